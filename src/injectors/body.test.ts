import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import type { HeaderPair } from '../core/request.ts'
import { body } from './body.ts'
import { findPlaceholder, injectCredential, preparedRule } from './placement.ts'

const key = `${randomBytes(12).toString('base64')}"\\é`

function request(type: string | null, text: string | Uint8Array, more: readonly HeaderPair[] = []) {
  const headers: HeaderPair[] = [...(type === null ? [] : [['content-type', type] as const]), ...more]
  const head = { method: 'POST', scheme: 'https', host: 'api.example.com', port: 443, target: '/', headers } as const
  return { head, body: Buffer.from(text) }
}

const json = { kind: 'body', pointer: '/auth/key' }
const form = { kind: 'body', form: 'key' }
const sent = (...input: Parameters<typeof injectCredential>): string =>
  Buffer.from(injectCredential(...input).body ?? '').toString()

test('the string that the pointer names is replaced, and every other byte stays', () => {
  const around = [
    '{ "n" : 1.50e1,\t"s":"\\u0041\\/é", "auth" :{"key":"',
    '" , "x":[]}, "big":12345678901234567890 }\r\n',
  ]
  const given = request('application/json; charset=utf-8', around.join('\\u0061b'))
  expect(findPlaceholder(given.head, { inject: [json] }, given.body)).toMatchObject({ text: 'ab', field: 'key' })
  expect(sent(given, json, { key })).toBe(around.join(JSON.stringify(key).slice(1, -1)))
})

test('the field of a form is replaced, and every other byte stays', () => {
  const given = request('application/x-www-form-urlencoded', 'a=%c3%a9&key=%61+b&c=1+2&&d')
  expect(findPlaceholder(given.head, { inject: [form] }, given.body)?.text).toBe('a b')
  expect(sent(given, form, { key })).toBe(`a=%c3%a9&key=${encodeURIComponent(key)}&c=1+2&&d`)
})

test.each([
  ['application/json', true],
  ['Application/JSON ; charset="UTF-8"', true],
  ['application/vnd.api+json', true],
  ['text/json', true],
  ['application/json-seq', false],
  ['application/x-www-form-urlencoded', false],
  ['text/plain', false],
  [null, false],
])('%s is read as JSON: %s', (type, isRead) => {
  const given = request(type, '{"auth":{"key":"x"}}')
  expect(preparedRule(json).readsBody?.(given.head)).toBe(isRead)
  expect(findPlaceholder(given.head, { inject: [json] }, given.body) !== null).toBe(isRead)
})

test.each([
  [
    'a coding',
    request('application/json', '{"auth":{"key":"x"}}', [['content-encoding', 'br']]),
    'body_not_injectable',
  ],
  ['a coding of another type', request('text/plain', 'x', [['content-encoding', 'gzip']]), 'body_not_injectable'],
  [
    'two types',
    request('application/json', '{"auth":{"key":"x"}}', [['content-type', 'text/plain']]),
    'body_not_injectable',
  ],
  ['two types in one', request('text/plain, application/json', '{"auth":{"key":"x"}}'), 'body_not_injectable'],
  ['another charset', request('application/json; a=b; charset=latin1', '{"auth":{"key":"x"}}'), 'body_not_injectable'],
  ['no JSON', request('application/json', '{"auth":{"key":"x"}'), 'body_not_injectable'],
  ['a byte order mark', request('application/json', '\ufeff{"auth":{"key":"x"}}'), 'body_not_injectable'],
  ['two of them', request('application/json', '{"auth":{"key":"x"},"auth":{}}'), 'placeholder_ambiguous'],
  ['a number', request('application/json', '{"auth":{"key":1}}'), 'placeholder_required'],
  ['an object', request('application/json', '{"auth":{"key":{}}}'), 'placeholder_required'],
] as const)('%s is refused', (_what, given, code) => {
  expect(() => findPlaceholder(given.head, { inject: [json] }, given.body)).toThrow(expect.objectContaining({ code }))
  expect(() => injectCredential(given, json, { key })).toThrow(KeywardError)
})

test('the place in the head and the one in the body are not filled together', () => {
  const given = request('application/json', '{"auth":{"key":"x"}}', [['authorization', 'Bearer y']])
  const service = { inject: [{ kind: 'bearer' }, json] }
  expect(() => findPlaceholder(given.head, service, given.body)).toThrow(
    expect.objectContaining({ code: 'placeholder_ambiguous' }),
  )
})

test.each([
  {},
  { pointer: '/a', form: 'b' },
  { pointer: 'a' },
  { pointer: '' },
  { form: '' },
  { form: 'a b' },
  { form: 'a.b' },
  { form: 'a[b]' },
  { pointer: '/a', fields: 'key' },
])('the options %j are refused', (options) => {
  expect(() => body.prepare(options)).toThrow()
})

test('what an echo of the body could show is known beside the plain value', () => {
  expect(preparedRule(json).derived({ key })).toEqual([JSON.stringify(key).slice(1, -1)])
  expect(preparedRule(form).derived({ key })).toEqual([encodeURIComponent(key)])
  expect(preparedRule(json).derived({ key: 'plain' })).toEqual([])
})
