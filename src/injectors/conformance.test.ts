import { randomInt } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { RandomText } from '../core/placeholder.ts'
import { body } from './body.ts'
import { checkInjector } from './conformance.ts'
import { fieldValue, headerFieldValue } from './field-value.ts'
import { soleHeader, withHeader } from './header-place.ts'
import { injectors } from './index.ts'
import { defineBodyInjector, defineInjector } from './injector.ts'
import type { BodyInjector, Injector, WholeRequest } from './injector.ts'

const random: RandomText = (length, alphabet) =>
  Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('')

test.each(injectors.map((injector) => [injector.kind, injector] as const))(
  '%s keeps every promise',
  (_kind, injector) => {
    expect(checkInjector(injector, random)).toEqual([])
  },
)

test('the list is in alphabetical order and has every file', () => {
  const kinds = injectors.map((injector) => injector.kind)
  expect(kinds).toEqual(kinds.toSorted())
  const parts = [
    'conformance',
    'conformance-body',
    'conformance-proof',
    'field-value',
    'form-place',
    'header-place',
    'index',
    'injector',
    'placement',
    'signature-v4',
    'template',
  ]
  const files = readdirSync(new URL('.', import.meta.url)).filter((file) => !file.endsWith('.test.ts'))
  expect(files.toSorted()).toEqual([...kinds, ...parts].map((name) => `${name}.ts`).toSorted())
})

const sound: Injector<{ field: string }> = {
  kind: 'sound',
  options: z.strictObject({ field: z.string().default('key') }),
  place: () => ({ in: 'header', name: 'x-api-key' }),
  fields: ({ field }) => [field],
  find(head, { field }) {
    const text = soleHeader(head, 'x-api-key')
    return text === null ? null : { field, text }
  },
  inject: (head, { field }, fields) => withHeader(head, 'x-api-key', headerFieldValue(fields, field)),
  derived: () => [],
  describe: () => 'header x-api-key',
  samples: [{}],
}

let count = 0

const brokenInjectors: Record<string, [complaint: RegExp, injector: Injector<{ field: string }>]> = {
  'leaves an older header of another spelling': [
    /leaves what stood there/,
    {
      ...sound,
      inject: (head, { field }, fields) => ({
        ...head,
        headers: [
          ...head.headers.filter(([name]) => name !== 'x-api-key'),
          ['x-api-key', headerFieldValue(fields, field)],
        ],
      }),
    },
  ],
  'writes the key into a second header': [
    /changes more than its place/,
    {
      ...sound,
      inject: (head, options, fields) =>
        withHeader(sound.inject(head, options, fields), 'x-debug', headerFieldValue(fields, options.field)),
    },
  ],
  'drops a header that is not its own': [
    /changes more than its place/,
    {
      ...sound,
      inject: (head, options, fields) =>
        sound.inject({ ...head, headers: head.headers.filter(([name]) => name !== 'accept') }, options, fields),
    },
  ],
  'puts the key into the query as well': [
    /changes more than its place|exactly once/,
    {
      ...sound,
      inject: (head, options, fields) => ({
        ...sound.inject(head, options, fields),
        target: `${head.target}&key=${fields['key'] ?? ''}`,
      }),
    },
  ],
  'writes the place twice': [
    /filled exactly once/,
    {
      ...sound,
      inject(head, options, fields) {
        const after = sound.inject(head, options, fields)
        return { ...after, headers: [...after.headers, ['x-api-key', 'none']] }
      },
    },
  ],
  'lets line breaks through': [
    /control|it injects|does not throw/,
    {
      ...sound,
      inject(head, { field }, fields) {
        const value = fields[field]
        if (value === undefined) throw new KeywardError('field_missing', field)
        return withHeader(head, 'x-api-key', value)
      },
    },
  ],
  'shows the value in its error': [
    /error shows the value/,
    {
      ...sound,
      inject(head, options, fields) {
        try {
          return sound.inject(head, options, fields)
        } catch (error) {
          if (error instanceof KeywardError) throw new KeywardError(error.code, JSON.stringify(fields))
          throw error
        }
      },
    },
  ],
  'does not find what it wrote': [/does not find/, { ...sound, find: () => null }],
  'finds the scheme together with the key': [
    /something else than it wrote/,
    {
      ...sound,
      find(head, options) {
        const found = sound.find(head, options)
        return found === null ? null : { ...found, text: `key ${found.text}` }
      },
    },
  ],
  'takes the first of two': [
    /filled twice/,
    {
      ...sound,
      find(head, { field }) {
        const pair = head.headers.find(([name]) => name === 'x-api-key')
        return pair === undefined ? null : { field, text: pair[1] }
      },
    },
  ],
  'counts its calls on the wire': [
    /different requests/,
    {
      ...sound,
      inject(head, options, fields) {
        count += 1
        return withHeader(head, 'x-api-key', headerFieldValue(fields, options.field) + String(count))
      },
    },
  ],
  'hides the key in base64 without saying so': [
    /neither the value nor a derived text/,
    {
      ...sound,
      inject: (head, { field }, fields) =>
        withHeader(head, 'x-api-key', Buffer.from(headerFieldValue(fields, field)).toString('base64')),
    },
  ],
  'accepts any option': [/does not know/, { ...sound, options: z.object({ field: z.string().default('key') }) }],
  'has no samples': [/no samples/, { ...sound, samples: [] }],
}

test('a sound injector passes', () => {
  expect(checkInjector(defineInjector(sound), random)).toEqual([])
})

test.each(Object.entries(brokenInjectors))('the suite fails an injector that %s', (_name, [complaint, injector]) => {
  expect(checkInjector(defineInjector(injector), random).join('\n')).toMatch(complaint)
})

test('the suite fails an injector that changes the head it was given', () => {
  const careless = defineInjector({
    ...sound,
    inject(head, options, fields) {
      Object.assign(head, sound.inject(head, options, fields))
      return head
    },
  })
  // The heads are frozen, so the attempt itself is the failure.
  expect(checkInjector(careless, random).join('\n')).toMatch(/TypeError/)
})

const wire = (request: WholeRequest): string => Buffer.from(request.body ?? '').toString()

/** A careful one for a single kind of body, to be broken below. */
const soundBody: BodyInjector<{ field: string }> = {
  kind: 'sound',
  options: z.strictObject({ field: z.string().default('key') }),
  place: () => ({ in: 'body' }),
  fields: ({ field }) => [field],
  readsBody: ({ headers }) => headers.some(([name, value]) => name === 'content-encoding' || value.includes('/json')),
  find: (request, { field }) => body.prepare({ pointer: '/key', field }).find(request),
  inject: (request, { field }, fields) => body.prepare({ pointer: '/key', field }).inject(request, fields),
  derived: ({ field }, fields) => body.prepare({ pointer: '/key', field }).derived(fields),
  describe: () => 'body /key',
  blank: () => ({ contentType: 'application/json', body: '{ "a": [1, {}], "key": "" }' }),
  samples: [{}],
}

const brokenBodyInjectors: Record<string, [complaint: RegExp, injector: BodyInjector<{ field: string }>]> = {
  'writes the body anew': [
    /more of the body than its place/,
    {
      ...soundBody,
      inject(request, options, fields) {
        const after = soundBody.inject(request, options, fields)
        return { ...after, body: Buffer.from(JSON.stringify(JSON.parse(wire(after)))) }
      },
    },
  ],
  'adds a member where there is none': [
    /injects into/,
    {
      ...soundBody,
      inject(request, options, fields) {
        const { key, ...rest } = JSON.parse(wire(request) || '{}')
        if (key !== undefined) return soundBody.inject(request, options, fields)
        return { ...request, body: Buffer.from(JSON.stringify({ ...rest, key: fields[options.field] })) }
      },
    },
  ],
  'takes the last of two members': [
    /filled twice/,
    {
      ...soundBody,
      find(request, { field }) {
        try {
          return soundBody.find(request, { field })
        } catch (error) {
          if (!(error instanceof KeywardError) || error.code !== 'placeholder_ambiguous') throw error
          return { field, text: String(JSON.parse(wire(request)).key) }
        }
      },
    },
  ],
  'finds what is written without escapes only': [
    /does not find what is written as/,
    {
      ...soundBody,
      find(request, options) {
        const found = soundBody.find(request, options)
        return found === null || wire(request).includes(found.text) ? found : null
      },
    },
  ],
  'reads a compressed body as it is': [
    /takes a body with a content coding/,
    {
      ...soundBody,
      find: ({ head, body: bytes }, options) =>
        soundBody.find(
          { head: { ...head, headers: head.headers.filter(([name]) => name !== 'content-encoding') }, body: bytes },
          options,
        ),
    },
  ],
  'reads bytes that are no UTF-8': [
    /takes a body with bytes that are not UTF-8/,
    {
      ...soundBody,
      find: ({ head, body: bytes }, options) =>
        soundBody.find(
          {
            head,
            body: Buffer.from(
              Buffer.from(bytes ?? [])
                .toString()
                .replace(/\ufffd$/, ''),
            ),
          },
          options,
        ),
    },
  ],
  'does not escape what JSON escapes': [
    /escapesWhatItWrites|does not escape/,
    {
      ...soundBody,
      inject: (request, { field }, fields) => ({
        ...request,
        body: Buffer.from(wire(request).replace(/"key": "[^"]*"/, `"key": "${fieldValue(fields, field)}"`)),
      }),
    },
  ],
  'leaves what stood there': [
    /leaves what stood there|injecting twice/,
    {
      ...soundBody,
      inject(request, options, fields) {
        const old = soundBody.find(request, options)?.text ?? ''
        const after = soundBody.inject(request, options, fields)
        return { ...after, body: Buffer.from(wire(after).replace('"key"', `"was": "${old}", "key"`)) }
      },
    },
  ],
  'never asks for the body': [/does not ask for the body/, { ...soundBody, readsBody: () => false }],
  'asks for every body': [/asks for a body in which/, { ...soundBody, readsBody: () => true }],
  'puts the key into a header as well': [
    /changes more than its place/,
    {
      ...soundBody,
      inject(request, options, fields) {
        const after = soundBody.inject(request, options, fields)
        return { ...after, head: withHeader(after.head, 'x-debug', fields[options.field] ?? '') }
      },
    },
  ],
}

test('a sound injector into bodies passes', () => {
  expect(checkInjector(defineBodyInjector(soundBody), random)).toEqual([])
})

test.each(Object.entries(brokenBodyInjectors))(
  'the suite fails an injector into bodies that %s',
  (_name, [complaint, injector]) => {
    expect(checkInjector(defineBodyInjector(injector), random).join('\n')).toMatch(complaint)
  },
)
