import { randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { RandomText } from '../core/placeholder.ts'
import { checkInjector } from './conformance.ts'
import { fieldValue } from './field-value.ts'
import { withHeader } from './header-place.ts'
import { defineBodyInjector } from './injector.ts'
import type { BodyInjector, FieldValues, Proof, SentRequest, WholeRequest } from './injector.ts'
import { sigv4 } from './sigv4.ts'

const random: RandomText = (length, alphabet) =>
  Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('')

type None = Record<string, never>
const real = sigv4.prepare({})
const { proof: realProof } = real
if (realProof === null) throw new Error('it has no proof')

const proof: Proof<None> = {
  fields: () => realProof.fields,
  verify: (sent, _, placeholders, now) => realProof.verify(sent, placeholders, now),
  example: (request, _, fields, now) => realProof.example(request, fields, now),
}

/** A careful one, to be broken below. */
const sound: BodyInjector<None> = {
  kind: 'sound',
  options: z.strictObject({}),
  place: () => real.place,
  fields: () => real.fields,
  readsBody: (head) => real.readsBody?.(head) ?? false,
  find: (request) => real.find(request),
  inject: (request, _, fields) => real.inject(request, fields),
  derived: () => [],
  describe: () => 'header authorization',
  blank: () => null,
  proof,
  samples: [{}],
}

/** One whose check passes over these refusals, and takes what they are about. */
function blindTo(what: (error: KeywardError, sent: SentRequest, placeholders: FieldValues) => boolean) {
  return proofWith((sent, placeholders, now) => {
    try {
      realProof?.verify(sent, placeholders, now)
    } catch (error) {
      if (!(error instanceof KeywardError) || !what(error, sent, placeholders)) throw error
    }
  })
}

function proofWith(verify: (sent: SentRequest, placeholders: FieldValues, now: number) => void): BodyInjector<None> {
  return { ...sound, proof: { ...proof, verify: (sent, _, placeholders, now) => verify(sent, placeholders, now) } }
}

function injecting(inject: (request: WholeRequest, fields: FieldValues) => WholeRequest): BodyInjector<None> {
  return { ...sound, inject: (request, _, fields) => inject(request, fields) }
}

const broken: Record<string, [complaint: RegExp, injector: BodyInjector<None>]> = {
  'verifies nothing': [/another time/, proofWith(() => undefined)],
  'takes any time': [/another time/, blindTo(({ code }) => code === 'signature_expired')],
  'takes any key': [/another key/, blindTo(({ detail = '' }) => detail.includes('another key'))],
  'takes another body': [/another request \(body\)/, blindTo(({ detail = '' }) => detail.includes('The body'))],
  'does not look for the headers that were signed': [
    /missing header/,
    blindTo(({ detail = '' }) => detail.includes('is not there')),
  ],
  'forgets the time that a message travels': [
    /refuses \(signature_expired\)/,
    proofWith((sent, placeholders, now) => {
      realProof.verify(sent, placeholders, now)
      realProof.verify(sent, placeholders, now + 2 * 60_000)
    }),
  ],
  'never asks for the body': [/does not ask for the body/, { ...sound, readsBody: () => false }],
  'passes on what the caller signed': [/does not verify/, injecting((request) => request)],
  'sends the secret': [
    /as often as it should/,
    injecting((request, fields) => {
      const after = real.inject(request, fields)
      return { ...after, head: withHeader(after.head, 'x-debug', fieldValue(fields, 'secretAccessKey')) }
    }),
  ],
  'leaves the placeholder beside it': [
    /leaves what stood there/,
    injecting((request, fields) => {
      const after = real.inject(request, fields)
      const old = real.find(request)?.text ?? ''
      return old === fields['accessKeyId'] ? after : { ...after, head: withHeader(after.head, 'x-was', old) }
    }),
  ],
  'adds a header': [
    /changes more than its place/,
    injecting((request, fields) => {
      const after = real.inject(request, fields)
      return { ...after, head: withHeader(after.head, 'x-by', 'gateway') }
    }),
  ],
  'signs what nobody has signed': [
    /signs what nobody has signed/,
    injecting((request, fields) => {
      const isSigned = request.head.headers.some(([name]) => name === 'authorization')
      return isSigned ? real.inject(request, fields) : realProof.example(request, fields, 0)
    }),
  ],
  'names another signer': [
    /something else than what names/,
    { ...sound, find: () => ({ field: 'accessKeyId', text: 'x' }) },
  ],
  'shows the secret in its error': [
    /error shows the value/,
    proofWith((sent, placeholders, now) => {
      try {
        realProof.verify(sent, placeholders, now)
      } catch (error) {
        if (error instanceof KeywardError) throw new KeywardError(error.code, JSON.stringify(placeholders))
        throw error
      }
    }),
  ],
}

test('a sound injector that signs passes', () => {
  expect(checkInjector(defineBodyInjector(sound), random)).toEqual([])
})

test.each(Object.entries(broken))('the suite fails an injector that %s', (_name, [complaint, injector]) => {
  expect(checkInjector(defineBodyInjector(injector), random).join('\n')).toMatch(complaint)
})
