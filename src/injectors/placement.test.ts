import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { base62, makePlaceholder } from '../core/placeholder.ts'
import type { HeaderPair, RequestHead } from '../core/request.ts'
import { derivedTexts, describeRule, findPlaceholder, injectCredential, preparedRule } from './placement.ts'

function head(headers: HeaderPair[], target = '/v1/x'): RequestHead {
  return { method: 'GET', scheme: 'https', host: 'api.example.com', port: 443, target, headers }
}

const whole = (request: RequestHead) => ({ head: request, body: null })

function basicValue(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

const key = randomBytes(16).toString('hex')
const placeholder = (fill: string) =>
  makePlaceholder({ prefix: 'sk-', alphabet: base62, length: null }, (length) => fill.repeat(length)).text

const git = {
  inject: [
    { kind: 'bearer' },
    { kind: 'header', name: 'authorization', template: 'token {key}' },
    { kind: 'basic', user: 'x-access-token' },
  ],
}
const google = {
  inject: [{ kind: 'header', name: 'x-goog-api-key' }, { kind: 'query', name: 'key' }, { kind: 'bearer' }],
}

test('the place in which the caller presents something decides the rule', () => {
  const presented = placeholder('a')
  expect(findPlaceholder(head([['authorization', `bearer  ${presented}`]]), git)).toEqual({
    rule: git.inject[0],
    field: 'key',
    text: presented,
  })
  expect(findPlaceholder(head([['authorization', `Token ${presented}`]]), git)).toEqual({
    rule: git.inject[1],
    field: 'key',
    text: presented,
  })
  expect(findPlaceholder(head([], `/v1beta/models?alt=sse&key=${presented}`), google)).toEqual({
    rule: google.inject[1],
    field: 'key',
    text: presented,
  })
  expect(findPlaceholder(head([['accept', '*/*']]), google)).toBeNull()
})

test('git may send the placeholder as password beside any user, or as the user', () => {
  const presented = placeholder('b')
  for (const [user, password] of [
    ['x-access-token', presented],
    ['somebody', presented],
    [presented, 'x-oauth-basic'],
    [presented, ''],
  ] as const) {
    expect(findPlaceholder(head([['authorization', basicValue(user, password)]]), git)?.text).toBe(presented)
  }
})

test('whatever else stands in the place is given back as it is, to be refused by the look-up', () => {
  expect(findPlaceholder(head([['authorization', `Bearer ${key}`]]), git)?.text).toBe(key)
  expect(findPlaceholder(head([['authorization', 'Basic ####']]), git)?.text).toBe('####')
  expect(findPlaceholder(head([], '/v1?key=%zz'), google)?.text).toBe('%zz')
})

test.each([
  [
    'a header twice',
    google,
    head([
      ['x-goog-api-key', placeholder('a')],
      ['x-goog-api-key', placeholder('a')],
    ]),
  ],
  [
    'a header in two spellings',
    google,
    head([
      ['x-goog-api-key', placeholder('a')],
      ['x_goog_api_key', placeholder('a')],
    ]),
  ],
  ['header and query', google, head([['x-goog-api-key', placeholder('a')]], `/v1?key=${placeholder('a')}`)],
  ['a query parameter twice', google, head([], `/v1?key=${placeholder('a')}&k%65y=${placeholder('b')}`)],
  ['two placeholders in Basic', git, head([['authorization', basicValue(placeholder('a'), placeholder('b'))]])],
])('%s is ambiguous', (_name, service, request) => {
  expect(() => findPlaceholder(request, service)).toThrow(expect.objectContaining({ code: 'placeholder_ambiguous' }))
})

test('the credential replaces the placeholder in its place', () => {
  const rule = google.inject[1] ?? { kind: '' }
  expect(injectCredential(whole(head([], `/v1?a=1&key=${placeholder('a')}&b=2`)), rule, { key }).head.target).toBe(
    `/v1?a=1&key=${key}&b=2`,
  )
  const path = { kind: 'path', template: '/bot{token}' }
  expect(
    injectCredential(whole(head([], `/bot${placeholder('a')}/getMe?x=1`)), path, { token: `1:${key}` }).head.target,
  ).toBe(`/bot1:${key}/getMe?x=1`)
  expect(injectCredential(whole(head([], '/getMe')), path, { token: key }).head.target).toBe(`/bot${key}/getMe`)
  expect(
    injectCredential(
      whole(head([['Authorization', 'Bearer old']])),
      { kind: 'basic', userField: 'key', password: '' },
      { key },
    ).head.headers,
  ).toEqual([['authorization', basicValue(key, '')]])
})

test('the composites that an answer could repeat are known', () => {
  const texts = derivedTexts({ kind: 'basic', user: 'x-access-token' }, { key })
  expect(texts).toContain(Buffer.from(`x-access-token:${key}`).toString('base64'))
  expect(derivedTexts({ kind: 'query', name: 'key' }, { key: 'a b' })).toEqual(['a%20b'])
})

test('options are checked once for each rule', () => {
  const rule = { kind: 'bearer' }
  expect(preparedRule(rule)).toBe(preparedRule(rule))
  expect(describeRule({ kind: 'header', name: 'X-Api-Key' })).toBe('header x-api-key')
})

test.each([
  [{ kind: 'cookie' }, /no way of injecting/],
  [{ kind: 'bearer', name: 'x' }, /bearer/],
  [{ kind: 'header' }, /header at name/],
  [{ kind: 'header', name: 'host' }, /no place for a credential/],
  [{ kind: 'header', name: 'x-key', template: 'no field' }, /exactly one/],
  [{ kind: 'header', name: 'x-key', template: '{a}{b}' }, /exactly one/],
  [{ kind: 'header', name: 'x-key', template: '{key}\r\nx: y' }, /printable/],
  [{ kind: 'basic', user: 'a', userField: 'b' }, /not both/],
  [{ kind: 'basic', user: 'a', password: 'b' }, /neither/],
  [{ kind: 'query', name: 'a&b' }, /parameter name/],
  [{ kind: 'path', template: 'bot{token}' }, /begins with/],
  [{ kind: 'path', template: '/../{token}' }, /canonical/],
])('wrong options are named: %j', (rule, message) => {
  expect(() => preparedRule(rule)).toThrow(message)
  expect(() => preparedRule(rule)).toThrow(expect.objectContaining({ code: 'file_invalid' }))
})
