import { describe, expect, test } from 'vitest'
import type { HeaderPair } from '../core/request.ts'
import { HEADERS_MAXIMUM, requestHeadersForUpstream } from './request-headers.ts'

const options = { method: 'POST', guarded: ['authorization', 'x-api-key'] }

function upstream(...headers: HeaderPair[]): unknown {
  const result = requestHeadersForUpstream(headers, options)
  return 'refusal' in result ? result.refusal : result.headers
}

test('I4: what belongs to the connection or to Keyward does not go upstream', () => {
  expect(
    upstream(
      ['host', 'api.example.test'],
      ['connection', 'close, x-hop'],
      ['x-hop', '1'],
      ['proxy-authorization', 'Basic x'],
      ['proxy-connection', 'keep-alive'],
      ['keep-alive', '5'],
      ['te', 'trailers'],
      ['trailer', 'x'],
      ['upgrade', 'h2c'],
      ['http2-settings', 'x'],
      ['expect', '100-continue'],
      ['max-forwards', '1'],
      ['x-forwarded-for', '10.0.0.1'],
      ['forwarded', 'for=10.0.0.1'],
      ['keyward-session', 'x'],
      ['content-type', 'application/json'],
      ['content-length', '12'],
    ),
  ).toEqual([
    ['host', 'api.example.test'],
    ['content-type', 'application/json'],
    ['content-length', '12'],
  ])
})

test('P5: Connection cannot take the credential out, however it is written', () => {
  for (const value of ['authorization', 'Authorization , X-API-Key', 'close,HOST,AUTHORIZATION']) {
    expect(upstream(['authorization', 'Bearer p'], ['x-api-key', 'p'], ['connection', value])).toEqual([
      ['authorization', 'Bearer p'],
      ['x-api-key', 'p'],
    ])
  }
})

describe('P5: one reading', () => {
  test.each<[string, HeaderPair[]]>([
    [
      'placeholder_ambiguous',
      [
        ['authorization', 'a'],
        ['authorization', 'b'],
      ],
    ],
    [
      'request_malformed',
      [
        ['host', 'a'],
        ['host', 'a'],
      ],
    ],
    [
      'request_malformed',
      [
        ['content-length', '1'],
        ['content-length', '1'],
      ],
    ],
    [
      'request_malformed',
      [
        ['transfer-encoding', 'chunked'],
        ['transfer-encoding', 'chunked'],
      ],
    ],
    ['request_malformed', [['x_api_key', 'a']]],
    ['request_malformed', [['x-api_key', 'a']]],
    ['request_malformed', [['content_length', '1']]],
    ['request_malformed', [['transfer_encoding', 'chunked']]],
    ['request_malformed', [['bad name', 'a']]],
    ['request_malformed', [['', 'a']]],
    ['request_malformed', [['x', 'a\r\nhost: b']]],
    ['request_malformed', [['x', 'a\0']]],
    ['request_malformed', [['x-original-url', '/admin']]],
    ['request_malformed', [['x-rewrite-url', '/admin']]],
    ['request_too_large', Array.from({ length: HEADERS_MAXIMUM + 1 }, (_, i): HeaderPair => [`x-${i}`, ''])],
  ])('%s: %j', (code, headers) => {
    expect(upstream(...headers)).toBe(code)
  })

  test('P2: framing', () => {
    expect(upstream(['transfer-encoding', 'chunked'], ['content-length', '1'])).toBe('request_malformed')
    for (const value of ['xchunked', 'gzip, chunked', 'identity', 'chunked, chunked', ''])
      expect(upstream(['transfer-encoding', value])).toBe('request_malformed')
    for (const value of ['+1', '01', '1 ', '-1', '0x1', '1e3', '', '1,1', '9'.repeat(16)])
      expect(upstream(['content-length', value])).toBe('request_malformed')
  })

  test('other headers with an underscore pass', () => {
    expect(upstream(['x_trace_id', '1'])).toEqual([['x_trace_id', '1']])
  })
})

describe('R8, P7: methods', () => {
  test.each(['x-http-method-override', 'x-http-method', 'x-method-override', 'x_http_method_override'])(
    '%s is refused',
    (name) => {
      expect(upstream([name, 'DELETE'])).toBe('method_refused')
    },
  )

  test.each(['TRACE', 'TRACK', 'CONNECT', 'trace'])('%s is refused', (method) => {
    expect(requestHeadersForUpstream([], { method })).toMatchObject({ refusal: 'method_refused' })
  })

  test.each(['get', 'GE T', '', 'GET\r\n', 'A'.repeat(33), 'G3T'])('%j is malformed', (method) => {
    expect(requestHeadersForUpstream([], { method })).toMatchObject({ refusal: 'request_malformed' })
  })

  test.each(['GET', 'PATCH', 'PROPFIND', 'VERSION-CONTROL'])('%s passes', (method) => {
    expect(requestHeadersForUpstream([], { method })).toEqual({ headers: [] })
  })
})

test.each([
  ['gzip, deflate, br, zstd', 'gzip, deflate, br, zstd'],
  ['gzip, compress, br;q=0.5, dcz, *', 'gzip, br;q=0.5'],
  ['GZIP ; q=1.0', 'gzip;q=1.0'],
  ['*', 'identity'],
  ['', 'identity'],
  ['gzip;q=9', 'identity'],
])('only codings that can be undone are asked for: %s', (asked, sent) => {
  expect(upstream(['accept-encoding', asked])).toEqual([['accept-encoding', sent]])
})

test('R15: no parts of a body are asked for', () => {
  const headers: HeaderPair[] = [
    ['range', 'bytes=0-0'],
    ['if-range', 'x'],
    ['accept', '*/*'],
  ]
  expect(requestHeadersForUpstream(headers, { ...options, whole: true })).toEqual({ headers: [['accept', '*/*']] })
  expect(requestHeadersForUpstream(headers, options)).toEqual({ headers })
})
