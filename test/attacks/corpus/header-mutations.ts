import { each, type Family } from './mutation.ts'

/** Header lines that two parsers could read in two ways, or that speak of more than they should. */

const CONTROLS = Array.from({ length: 33 }, (_, i) => (i === 32 ? 0x7f : i))

const lines: Family = [
  ...each('control byte in a value', CONTROLS, (draft, value) => {
    draft.lines.push(`X-Value: a${String.fromCharCode(value)}b`)
  }),
  ...each('control byte in a name', CONTROLS, (draft, value) => {
    draft.lines.push(`X-Na${String.fromCharCode(value)}me: a`)
  }),
  ...each('sign in a name', [...'"(),/:;<=>?@[\\]{} '], (draft, value) => {
    draft.lines.push(`X${value}Name: a`)
  }),
  ...each(
    'line',
    [
      ': a',
      ':',
      'X',
      'X ',
      'X : a',
      'X\t: a',
      ' X: a',
      '\tX: a',
      'X:a',
      'X:',
      'X: ',
      'X:\t',
      'X: \t a \t ',
      'X: a\r\n b',
      'X: a\r\n\tb',
      'X: a\r\n  \r\n',
      'X:\r\n a',
      'X: a\r\n ',
      'X: a\nY: b',
      'X: a\rY: b',
      'X: a\n\rY: b',
      'X: a\r\r\nY: b',
      'X: \xff\xfe',
      'X\xff: a',
      '\xef\xbb\xbfX: a',
      'X: a\\r\\nY: b',
      'X: a%0d%0aY: b',
      'X: é',
      'X: "a\r\n"',
      'GET / HTTP/1.1',
      'HTTP/1.1 200 OK',
      ':method: GET',
      ':path: /',
      'X__Y: a',
      '_: a',
      '-: a',
      '0: a',
      '#x: a',
      '$(id): a',
      'X: a\x85b',
      'X: a\u00a0',
      'X: \u00a0a',
      '__proto__: a',
      'constructor: a',
      'toString: a',
    ],
    (draft, value) => {
      draft.lines.push(value)
    },
  ),
  ...each('size of a header', [8_000, 17_000, 70_000], (draft, value) => {
    draft.lines.push(`X-Long: ${'a'.repeat(value)}`)
  }),
  ...each('size of a name', [300, 70_000], (draft, value) => {
    draft.lines.push(`${'X'.repeat(value)}: a`)
  }),
  ...each('number of headers', [150, 201, 250, 2_100], (draft, value) => {
    for (let i = 0; i < value; i++) draft.lines.push(`X-${i}: a`)
  }),
]

const meaning: Family = each(
  'meaning',
  [
    'Authorization: Bearer x',
    'authorization: Bearer x',
    'AUTHORIZATION: x',
    'Authorization : x',
    ' Authorization: x',
    'X_Authorization: x',
    'Author\0ization: x',
    'Cookie: a=b',
    'Cookie2: a',
    'Connection: close',
    'Connection: keep-alive, close',
    'Connection: Authorization',
    'Connection: Host',
    'Connection: Content-Length',
    'Connection: Transfer-Encoding',
    'Connection: X-Api-Key, Cookie',
    'Connection: ,,,',
    'Connection: \0',
    'Connection: upgrade',
    'Keep-Alive: timeout=0',
    'Proxy-Connection: close',
    'Proxy-Authorization: Basic x',
    'Proxy-Authenticate: x',
    'TE: trailers',
    'TE: gzip',
    'Trailer: Authorization',
    'Trailer: Content-Length',
    'Upgrade: h2c',
    'Upgrade: websocket',
    'Upgrade: TLS/1.0',
    'Upgrade: x',
    'HTTP2-Settings: AAMAAABkAAQAAP__',
    'X-HTTP-Method-Override: DELETE',
    'X-HTTP-Method: DELETE',
    'X-Method-Override: TRACE',
    'X_HTTP_METHOD_OVERRIDE: DELETE',
    'X-Original-URL: /admin',
    'X-Rewrite-URL: /admin',
    'X-Original-URI: /admin',
    'X-Forwarded-For: 127.0.0.1',
    'X-Forwarded-Proto: http',
    'X-Forwarded-Prefix: /x',
    'X-Real-IP: 127.0.0.1',
    'Via: 1.1 x',
    'Forwarded: for=127.0.0.1',
    'Max-Forwards: 0',
    'Range: bytes=0-0',
    'If-Range: x',
    'Request-Range: bytes=0-0',
    'Accept-Encoding: *',
    'Accept-Encoding: x, gzip;q=2',
    'Content-Type: a/b',
    'Keyward-Anything: x',
    'Content-Range: bytes 0-0/1',
    'Sec-WebSocket-Key: x',
    'Early-Data: 1',
    'Date: x',
    'Expect: 100-continue',
    'Transfer-Encoding: x',
    'Content-Length: 0',
  ],
  (draft, value) => {
    draft.lines.push(value)
  },
)

const twice: Family = [
  ...each(
    'twice',
    [
      'Content-Type: a/b',
      'Cookie: a=b',
      'X: a',
      'Connection: close',
      'Expect: 100-continue',
      'Proxy-Authorization: x',
      'If-Match: "a"',
      'User-Agent: x',
    ],
    (draft, value) => {
      draft.lines.push(value, value)
    },
  ),
  ...each(
    'upgrade',
    [
      [
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      ],
      ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'],
      ['Connection: Upgrade', 'Upgrade: foo'],
      ['Connection: Upgrade', 'Upgrade: h2c, websocket'],
      ['Connection: Upgrade', 'Upgrade: '],
      ['Connection: Upgrade', 'Upgrade: h2c', 'Upgrade: foo'],
    ],
    (draft, value) => {
      draft.lines.push(...value)
    },
  ),
]

export const headerFamilies: readonly Family[] = [lines, meaning, twice]
