import 'reflect-metadata'
import { X509CertificateGenerator } from '@peculiar/x509'
import * as fc from 'fast-check'
import { webcrypto } from 'node:crypto'
import { expect, test } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import { maximumFileLength, parseService } from './definition.ts'
import { services } from './index.ts'

const noTrust = (path: string): string => {
  throw new Error(`nothing to read at ${path}`)
}
const parse = (text: string) => parseService(text, noTrust, services)

function refusal(text: string): string {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof KeywardError && error.code === 'file_invalid') return error.detail ?? ''
    throw error
  }
  return 'accepted'
}

const minimal = `id: echo
hosts: [echo.example.test]
inject: { kind: bearer }
`

test('the smallest file is a service with one secret field named key', () => {
  expect(parse(minimal)).toEqual({
    id: 'echo',
    name: 'echo',
    hosts: ['echo.example.test'],
    fields: { key: 'secret' },
    inject: [{ kind: 'bearer' }],
    variables: { fields: {} },
    operations: [],
    checked: 'documented',
    source: 'a service file of the operator',
  })
})

test('every setting is read', () => {
  const service = parse(`
id: shop
name: The shop
hosts: ['{store}.shop.example.com', '*.cdn.example.com']
endpoint: http://127.0.0.1:9000
http2: true
fields: { key: secret, store: public }
inject:
  - { kind: header, name: X-Shop-Key }
  - { kind: query, name: api_key }
variables: { key: SHOP_KEY, store: [SHOP_STORE, SHOP_NAME], baseUrl: SHOP_URL, basePath: /v2 }
operations:
  - { name: orders.list, match: GET /orders }
  - { name: orders.delete, match: 'DELETE /orders/{order}', destructive: true }
  - { name: orders.delete, match: GRAPHQL mutation orderDelete, destructive: true }
  - { name: orders.search, match: RPC tools/call search_orders }
speaks:
  - { path: /graphql, language: graphql }
  - { path: '/{shop}/mcp', language: json-rpc }
sealed: ['POST /tokens', GRAPHQL mutation tokenCreate, GRAPHQL field accessToken, 'RPC admin/*']
handsOut: ['POST /login']
detector: generic
encodedSlash: true
`)
  expect(service.inject).toHaveLength(2)
  expect(service.variables).toEqual({
    fields: { key: ['SHOP_KEY'], store: ['SHOP_STORE', 'SHOP_NAME'] },
    baseUrl: ['SHOP_URL'],
    basePath: '/v2',
  })
  expect(service.operations[1]?.destructive).toBe(true)
  expect(service.endpoint).toBe('http://127.0.0.1:9000')
  expect(service.http2).toBe(true)
  expect(service.speaks).toEqual([
    { path: '/graphql', language: 'graphql' },
    { path: '/{shop}/mcp', language: 'json-rpc' },
  ])
})

test('places in messages take the field key unless they name another', () => {
  const { frames } = parse(`${minimal}frames: [{ pointer: /d/token }]\n`)
  expect(frames).toEqual([{ pointer: '/d/token', field: 'key' }])
})

test('a file with the id of a built-in service overrides only what it names', () => {
  const openai = services.find(({ id }) => id === 'openai')
  expect(parse('id: openai\nendpoint: http://127.0.0.1:9000\n')).toEqual({
    ...openai,
    endpoint: 'http://127.0.0.1:9000',
  })
  expect(parse('id: openai\nvariables: { baseUrl: MY_URL }\n').variables).toEqual({
    ...openai?.variables,
    baseUrl: ['MY_URL'],
  })
})

test.each([
  ['an unknown setting', `${minimal}color: red\n`, /^Line 4, column 1: color: there is no setting "color"/],
  [
    'an unknown setting further in',
    `${minimal}operations:\n  - name: a\n    match: GET /a\n    risky: true\n`,
    /^Line 7, column 5: .*risky/,
  ],
  [
    'an unknown way of injecting',
    minimal.replace('bearer', 'telepathy'),
    /^Line 3, column 1: inject\.0: There is no way of injecting called "telepathy"/,
  ],
  ['a wrong option', minimal.replace('{ kind: bearer }', '{ kind: bearer, name: x }'), /^Line 3/],
  [
    'a field that is not there',
    minimal.replace('{ kind: bearer }', '{ kind: bearer, field: token }'),
    /^Line 3.*no field token/,
  ],
  [
    'only a public field put in',
    `${minimal.replace('bearer', 'bearer, field: open')}fields: { key: secret, open: public }\n`,
    /no secret field/,
  ],
  ['no secret field', `${minimal}fields: { key: public }\n`, /^Line 4.*secret field/],
  [
    'a wildcard for a whole top-level domain',
    minimal.replace('echo.example.test', '"*.com"'),
    /^Line 2, column 9: hosts\.0/,
  ],
  ['an id that is none', minimal.replace('id: echo', 'id: ../echo'), /^Line 1, column 1: id/],
  ['a variable in lower case', `${minimal}variables: { key: echo_key }\n`, /^Line 4.*upper-case/],
  ['a variable for no field', `${minimal}variables: { token: ECHO }\n`, /^Line 4.*no field token/],
  ['an endpoint with a path', `${minimal}endpoint: https://127.0.0.1/x\n`, /^Line 4, column 1: endpoint/],
  ['an endpoint with a user', `${minimal}endpoint: https://a:b@127.0.0.1\n`, /^Line 4/],
  ['plain http to elsewhere', `${minimal}endpoint: http://10.0.0.1:80\n`, /^Line 4/],
  [
    'plain http to a name that looks like loopback',
    `${minimal}endpoint: http://127.0.0.1.evil.test\n`,
    /^Line 4.*loopback/,
  ],
  ['a malformed pattern', `${minimal}operations: [{ name: a, match: GET a }]\n`, /^Line 4/],
  ['a language that is none', `${minimal}speaks: [{ path: /a, language: soap }]\n`, /^Line 4.*speaks/],
  ['a path that is none', `${minimal}speaks: [{ path: a, language: graphql }]\n`, /^Line 4.*"a" is not a path/],
  ['a path with a query', `${minimal}speaks: [{ path: '/a?b', language: graphql }]\n`, /^Line 4.*malformed/],
  ['a method for a path', `${minimal}speaks: [{ path: POST /a, language: graphql }]\n`, /^Line 4.*is not a path/],
  [
    'two languages at one path',
    `${minimal}speaks: [{ path: /a, language: graphql }, { path: /A, language: json-rpc }]\n`,
    /^Line 4.*listed twice/,
  ],
  ['nothing that is spoken', `${minimal}speaks: []\n`, /^Line 4.*speaks/],
  [
    'an operation in a language that is not spoken',
    `${minimal}operations: [{ name: a, match: GRAPHQL mutation a }]\n`,
    /^Line 4.*fits nothing: no path in speaks has the language graphql/,
  ],
  [
    'a seal in a language that is not spoken',
    `${minimal}speaks: [{ path: /a, language: graphql }]\nsealed: [RPC a]\n`,
    /^Line 5.*json-rpc/,
  ],
  [
    'an operation by a field at any depth',
    `${minimal}speaks: [{ path: /a, language: graphql }]\noperations: [{ name: a, match: GRAPHQL field a }]\n`,
    /^Line 5.*GRAPHQL field a.*is not METHOD/,
  ],
  [
    'a call that hands out',
    `${minimal}speaks: [{ path: /a, language: graphql }]\nhandsOut: [GRAPHQL mutation a]\n`,
    /^Line 5.*is not METHOD/,
  ],
  ['a pointer that is none', `${minimal}frames: [{ pointer: token }]\n`, /^Line 4.*JSON Pointer/],
  ['a pointer to all of a message', `${minimal}frames: [{ pointer: "" }]\n`, /^Line 4.*JSON Pointer/],
  [
    'a message with a field that is not there',
    `${minimal}frames: [{ pointer: /a, field: b }]\n`,
    /^Line 4.*no secret field b/,
  ],
  [
    'a message with a public field',
    `${minimal}fields: { key: secret, open: public }\nframes: [{ pointer: /a, field: open }]\n`,
    /^Line 5.*no secret field open/,
  ],
  ['a pointer twice', `${minimal}frames: [{ pointer: /a }, { pointer: /a }]\n`, /^Line 4.*twice/],
  ['more pointers than are looked at', `${minimal}frames: [${'{ pointer: /a }, '.repeat(9)}]\n`, /^Line 4/],
  ['a malformed pattern in handsOut', `${minimal}handsOut: [login]\n`, /^Line 4/],
  ['a malformed sealed pattern', `${minimal}sealed: [POST tokens]\n`, /^Line 4/],
  [
    'a field that would fill a host but is secret',
    minimal.replace('echo.example.test', '"{key}.example.test"'),
    /public field key/,
  ],
  ['an unknown detector', `${minimal}detector: nose\n`, /^Line 4.*no detector/],
  ['neither hosts nor a built-in id', 'id: echo\n', /hosts and inject are needed/],
  ['broken YAML', 'id: echo\nhosts: [a.example.test\ninject: x\n', /^Line \d+, column \d+: /],
  ['a key twice', `${minimal}id: other\n`, /^Line 4, column 1: /],
  [
    'an alias',
    'id: &a echo\nname: *a\nhosts: [a.example.test]\ninject: { kind: bearer }\n',
    /^Line 1, column 8: anchors/,
  ],
  ['an unknown tag', 'id: !!js/function echo\n', /^Line 1/],
  ['a list', '- a\n- b\n', /list of names/],
  ['nothing', '', /list of names/],
  ['two documents', `${minimal}---\n${minimal}`, /^Line/],
  ['too much', `${minimal}#${'x'.repeat(maximumFileLength)}`, /longer than/],
  ['a prototype', `${minimal}__proto__: { hosts: [evil.test] }\n`, /__proto__/],
])('%s is refused with its place', (_what, text, message) => {
  expect(refusal(text)).toMatch(message)
})

test('deep nesting ends in a refusal', () => {
  expect(refusal(`id: ${'['.repeat(30_000)}`)).not.toBe('accepted')
  expect(refusal(`id: ${'{a: '.repeat(10_000)}`)).not.toBe('accepted')
})

test('the trust file is read, checked, and kept without anything else that stands in it', () => {
  const text = `${minimal}trust: ./ca.pem\n`
  const wrong = [
    '',
    'nothing',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    'x'.repeat(maximumFileLength + 1),
  ]
  for (const content of wrong) expect(() => parseService(text, () => content, services)).toThrow(/trust file/)
  expect(() => parseService(text, noTrust, services)).toThrow('nothing to read at ./ca.pem')
})

test('certificates of the trust file are kept, a private key beside them is not', async () => {
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=test',
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  })
  const privateKey = `-----BEGIN ${'PRIVATE'} KEY-----\nAAAA\n-----END ${'PRIVATE'} KEY-----\n`
  const pem = certificate.toString('pem')
  const { trust } = parseService(`${minimal}trust: ./ca.pem\n`, () => `${pem}\n${privateKey}${pem}\n`, services)
  expect(trust).toBe(`${pem}\n${pem}\n`)
})

test('whatever the text, the outcome is a service or file_invalid', () => {
  const piece = fc.constantFrom(
    'id',
    ':',
    ' ',
    '\n',
    'echo',
    '[',
    ']',
    '{',
    '}',
    '- ',
    '&a',
    '*a',
    '"',
    "'",
    '|',
    '>',
    '#',
    '!!',
    '?',
    'hosts',
    'inject',
    '\t',
    '%',
    '0',
    '.test',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece, { maxLength: 40 }).map((parts) => parts.join('')),
      ),
      (text) => {
        expect(typeof refusal(text)).toBe('string')
        expect(typeof refusal(minimal + text)).toBe('string')
      },
    ),
    { numRuns: 500 },
  )
})
