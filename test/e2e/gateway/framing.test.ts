import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStage, type Stage } from './harness.ts'
import { codeOf, doors, proxyCredentials, requestBytes, type Door, type Held, type Login } from './requests.ts'
import { always, startUpstream, type Upstream } from './upstream.ts'
import type { Answer } from './wire.ts'

/** What has two readings is refused, and nothing of it reaches the service. */

let stage: Stage
let upstream: Upstream
let echo: Held
let keyed: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, { 'content-type': 'text/plain' }, 'ok'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  keyed = await stage.hold({ id: 'keyed', endpoint: upstream.origin, inject: [{ kind: 'header', name: 'X-Api-Key' }] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

interface Shape {
  readonly method?: string
  /** Path at the service. */
  readonly target?: string
  /** Lines after the ordinary ones, each with its own line ending. */
  readonly lines?: string
  readonly body?: string
  readonly held?: Held
  readonly bare?: boolean
}

/** The bytes of a request with an ordinary head of this door, into which `lines` are put as they are. */
function bytesOf(
  door: Door,
  { method = 'POST', target = '/v1', lines = '', body = '', held = echo, bare = false }: Shape,
): Buffer {
  const credential = bare
    ? []
    : held === keyed
      ? [['X-Api-Key', login.placeholder(keyed)] as const]
      : [['Authorization', `Bearer ${login.placeholder(held)}`] as const]
  const head = requestBytes(stage, { door, held, login, method, target, headers: credential }).toString('latin1')
  return Buffer.from(`${head.slice(0, -2)}${lines}\r\n${body}`, 'latin1')
}

async function sent(door: Door, shape: Shape): Promise<Answer> {
  const wire = await stage.open(door, (shape.held ?? echo).host, login)
  wire.write(bytesOf(door, shape))
  const answer = await wire.answer({ method: shape.method ?? 'POST' })
  wire.close()
  return answer
}

const smuggling: readonly [name: string, code: string, shape: Shape][] = [
  [
    'Content-Length and Transfer-Encoding',
    'request_malformed',
    { lines: 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', body: '0\r\n\r\n' },
  ],
  [
    'Transfer-Encoding and Content-Length',
    'request_malformed',
    { lines: 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', body: '0\r\n\r\n' },
  ],
  ['Content-Length twice', 'request_malformed', { lines: 'Content-Length: 2\r\nContent-Length: 2\r\n', body: 'ab' }],
  [
    'Content-Length twice, differing',
    'request_malformed',
    { lines: 'Content-Length: 0\r\nContent-Length: 2\r\n', body: 'ab' },
  ],
  ['a list as Content-Length', 'request_malformed', { lines: 'Content-Length: 2, 2\r\n', body: 'ab' }],
  ['a signed Content-Length', 'request_malformed', { lines: 'Content-Length: +2\r\n', body: 'ab' }],
  ['a negative Content-Length', 'request_malformed', { lines: 'Content-Length: -2\r\n', body: 'ab' }],
  ['a hexadecimal Content-Length', 'request_malformed', { lines: 'Content-Length: 0x2\r\n', body: 'ab' }],
  ['a Content-Length with leading zeros', 'request_malformed', { lines: 'Content-Length: 02\r\n', body: 'ab' }],
  ['TE: xchunked', 'request_malformed', { lines: 'Transfer-Encoding: xchunked\r\n', body: '0\r\n\r\n' }],
  ['TE: identity', 'request_malformed', { lines: 'Transfer-Encoding: identity\r\n' }],
  [
    'TE: chunked, identity',
    'request_malformed',
    { lines: 'Transfer-Encoding: chunked, identity\r\n', body: '0\r\n\r\n' },
  ],
  ['TE: gzip, chunked', 'request_malformed', { lines: 'Transfer-Encoding: gzip, chunked\r\n', body: '0\r\n\r\n' }],
  [
    'TE twice',
    'request_malformed',
    { lines: 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', body: '0\r\n\r\n' },
  ],
  ['TE with a vertical tab', 'request_malformed', { lines: 'Transfer-Encoding: \x0bchunked\r\n', body: '0\r\n\r\n' }],
  ['a space before the colon', 'request_malformed', { lines: 'Transfer-Encoding : chunked\r\n', body: '0\r\n\r\n' }],
  ['a line folded onto the next', 'request_malformed', { lines: 'X-One: a\r\n b\r\n' }],
  ['a line that begins with a space', 'request_malformed', { lines: ' X-One: a\r\n' }],
  ['a bare line feed after a header', 'request_malformed', { lines: 'X-One: a\nX-Two: b\r\n' }],
  ['a bare carriage return in a header', 'request_malformed', { lines: 'X-One: a\rX-Two: b\r\n' }],
  ['a NUL in a header', 'request_malformed', { lines: 'X-One: a\0b\r\n' }],
  ['a header without a name', 'request_malformed', { lines: ': a\r\n' }],
  ['a header without a colon', 'request_malformed', { lines: 'X-One\r\n' }],
  ['a name with a space', 'request_malformed', { lines: 'X One: a\r\n' }],
  ['Host twice', 'request_malformed', { lines: 'Host: echo.example.test\r\n' }],
  ['Content-Type twice', 'request_malformed', { lines: 'Content-Type: a/b\r\nContent-Type: a/b\r\n' }],
  ['Authorization twice', 'placeholder_ambiguous', { lines: 'Authorization: Bearer x\r\n' }],
  ['Authorization with an underscore for the service’s x-api-key', 'request_malformed', { lines: 'X_Api_Key: x\r\n' }],
  ['content_length', 'request_malformed', { lines: 'Content_Length: 1\r\n' }],
  ['transfer_encoding', 'request_malformed', { lines: 'Transfer_Encoding: chunked\r\n' }],
  ['X-HTTP-Method-Override', 'method_refused', { lines: 'X-HTTP-Method-Override: DELETE\r\n' }],
  ['X-Method-Override', 'method_refused', { lines: 'X-Method-Override: DELETE\r\n' }],
  ['X-HTTP-Method, underscored', 'method_refused', { lines: 'X_HTTP_Method: DELETE\r\n' }],
  ['X-Original-URL', 'request_malformed', { lines: 'X-Original-URL: /admin\r\n' }],
  ['X-Rewrite-URL', 'request_malformed', { lines: 'X-Rewrite-URL: /admin\r\n' }],
  [
    'an upgrade to WebSocket without a key',
    'request_malformed',
    { method: 'GET', lines: 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' },
  ],
  ['an upgrade to TLS', 'upgrade_refused', { method: 'GET', lines: 'Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n' }],
  ['_method in the query', 'method_refused', { target: '/x?a=1&_method=DELETE' }],
  ['_method in the query, escaped', 'method_refused', { target: '/x?%5Fmethod=DELETE' }],
  ['TRACE', 'method_refused', { method: 'TRACE' }],
  ['a method in small letters', 'request_malformed', { method: 'get' }],
  ['a method that nobody knows', 'request_malformed', { method: 'FROBNICATE' }],
  [
    'more headers than are read',
    'request_too_large',
    { lines: Array.from({ length: 300 }, (_, i) => `X-${i}: a\r\n`).join('') },
  ],
  [
    'the second Authorization behind many headers',
    'request_too_large',
    { lines: `${Array.from({ length: 230 }, (_, i) => `X-${i}: a\r\n`).join('')}Authorization: Bearer x\r\n` },
  ],
  ['a header larger than is read', 'request_too_large', { lines: `X-One: ${'a'.repeat(70_000)}\r\n` }],
  ['a target larger than is read', 'request_too_large', { target: `/${'a'.repeat(70_000)}` }],
  ['a target longer than the canonical form allows', 'request_malformed', { target: `/${'a'.repeat(20_000)}` }],
]

const paths: readonly [target: string, code: string][] = [
  ['/v1/../admin', 'path_not_canonical'],
  ['/v1/./a', 'path_not_canonical'],
  ['/v1/..', 'path_not_canonical'],
  ['/v1//a', 'path_not_canonical'],
  ['/v1/%2e%2e/admin', 'path_not_canonical'],
  ['/v1/%2E%2e/admin', 'path_not_canonical'],
  ['/v1/.%2e/admin', 'path_not_canonical'],
  ['/v1%2fadmin', 'path_not_canonical'],
  ['/v1%5cadmin', 'path_not_canonical'],
  ['/v1\\admin', 'path_not_canonical'],
  ['/v1/a;b=c', 'path_not_canonical'],
  ['/v1/a%3bb', 'path_not_canonical'],
  ['/v1/%61dmin', 'path_not_canonical'],
  ['/v1/%252e%252e/admin', 'path_not_canonical'],
  ['/v1/%', 'path_not_canonical'],
  ['/v1/%zz', 'path_not_canonical'],
  ['/v1/%00', 'path_not_canonical'],
  ['/v1/%0d%0aX: y', 'request_malformed'],
  ['/v1/a#fragment', 'request_malformed'],
  ['/v1/a?b=%00', 'request_malformed'],
]

describe.each(doors)('%s', (door) => {
  test.each(smuggling)('%s', async (name, code, shape) => {
    const before = upstream.received().length
    const since = Date.now()
    const underscored = name.includes('underscore for')
    const answer = await sent(door, { ...shape, held: underscored ? keyed : echo })
    expect(codeOf(answer)).toBe(code)
    expect(answer.body.toString()).not.toContain(login.placeholder(echo))
    expect(upstream.received().length).toBe(before)
    // Inside a tunnel everybody is known, even those who write nonsense.
    if (door === 'tunnel')
      expect((await stage.journaled({ kind: 'refusal', code, since })).event['agent']).toBe('triage')
  })

  test.each(paths)('the path %s', async (target, code) => {
    const before = upstream.received().length
    const answer = await sent(door, { method: 'GET', target })
    expect(codeOf(answer)).toBe(code)
    expect(upstream.received().length).toBe(before)
  })

  test('Connection cannot take the credential out', async () => {
    for (const held of [echo, keyed]) {
      const answer = await sent(door, {
        method: 'GET',
        held,
        lines: 'Connection: close, Authorization, X-Api-Key, X-Private\r\nX-Private: 1\r\n',
      })
      expect(answer.status).toBe(200)
      const got = upstream.got.at(-1)
      expect(got?.headers[held === echo ? 'authorization' : 'x-api-key']).toBe(
        held === echo ? `Bearer ${held.secret()}` : held.secret(),
      )
      expect(got?.headers['x-private']).toBeUndefined()
    }
  })

  test('what belongs to the way to Keyward goes no further', async () => {
    await sent(door, {
      method: 'GET',
      lines:
        'Proxy-Connection: keep-alive\r\nX-Forwarded-For: 10.0.0.1\r\nVia: 1.1 x\r\nForwarded: for=x\r\nKeyward-Anything: x\r\nTE: trailers\r\nRange: bytes=0-1\r\n',
    })
    const names =
      upstream.got
        .at(-1)
        ?.rawHeaders.filter((_, index) => index % 2 === 0)
        .map((name) => name.toLowerCase()) ?? []
    expect(names.filter((name) => /^(proxy-|x-forwarded|via|forwarded|keyward|te$|range)/.test(name))).toEqual([])
    expect(names.filter((name) => name === 'host')).toHaveLength(1)
    expect(upstream.received().includes(login.token)).toBe(false)
    expect(upstream.received().includes(login.placeholder(echo))).toBe(false)
  })

  test('requests in one go are each judged, and answered in order', async () => {
    const narrow = await stage.hold({ id: `narrow-${door}`, endpoint: upstream.origin, allow: ['GET /open/**'] })
    const who = await stage.login('triage')
    const one = (target: string) =>
      requestBytes(stage, {
        door,
        held: narrow,
        login: who,
        target,
        headers: [['Authorization', `Bearer ${who.placeholder(narrow)}`]],
      })
    const wire = await stage.open(door, narrow.host, who)
    const count = upstream.got.length
    wire.write(Buffer.concat([one('/open/1'), one('/closed/2'), one('/open/3'), one('/open/../4')]))
    const answers = [await wire.answer(), await wire.answer(), await wire.answer(), await wire.answer()]
    expect(answers.map((answer) => answer.status)).toEqual([200, 403, 200, 400])
    expect(upstream.got.slice(count).map((got) => got.target)).toEqual(['/open/1', '/open/3'])
    wire.write(one('/open/5'))
    expect((await wire.answer()).status).toBe(200)
    wire.close()
  })

  test('a body that hides a request is a body', async () => {
    const inner = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
    const count = upstream.got.length
    const answer = await sent(door, { lines: `Content-Length: ${inner.length}\r\n`, body: inner })
    expect(answer.status).toBe(200)
    expect(upstream.got.slice(count).map((got) => [got.target, got.body.toString()])).toEqual([['/v1', inner]])
  })

  test('a request without Host, or of HTTP/1.0 without one', async () => {
    for (const version of ['1.1', '1.0']) {
      const wire = await stage.open(door, echo.host, login)
      const target = { 'base-url': '/s/echo/v1', absolute: `http://${echo.host}/v1`, tunnel: '/v1' }[door]
      const proof = door === 'absolute' ? `Proxy-Authorization: ${proxyCredentials(login.token)}\r\n` : ''
      wire.write(`GET ${target} HTTP/${version}\r\n${proof}\r\n`)
      expect(codeOf(await wire.answer())).toBe('request_malformed')
      wire.close()
    }
  })
})

test('Host that names another host than the connection', async () => {
  for (const door of ['absolute', 'tunnel'] as const) {
    for (const host of [
      'other.example.test',
      'echo.example.test:8443',
      'echo.example.test@other.test',
      'echo.example.test, other.test',
    ]) {
      const before = upstream.received().length
      const answer = await stage.request({
        door,
        held: echo,
        login,
        headers: [
          ['Host', host],
          ['Authorization', `Bearer ${login.placeholder(echo)}`],
        ],
      })
      expect(['host_mismatch', 'request_malformed']).toContain(codeOf(answer))
      expect(upstream.received().length).toBe(before)
    }
  }
})

describe('absolute form', () => {
  test.each([
    ['https://echo.example.test/', 'request_malformed'],
    ['HTTPS://echo.example.test/', 'request_malformed'],
    ['ftp://echo.example.test/', 'request_malformed'],
    ['http://user:pass@echo.example.test/', 'request_malformed'],
    ['http:///v1', 'request_malformed'],
    ['http://echo.example.test:0/', 'request_malformed'],
    ['http://echo.example.test:99999/', 'request_malformed'],
    ['http://echo.example.test:8080/', 'port_refused'],
    ['*', 'request_malformed'],
    ['echo.example.test/v1', 'request_malformed'],
  ])('%s', async (target, code) => {
    const wire = await stage.dial()
    const authority = /^http:\/\/([^/@]+)/i.exec(target)?.[1] ?? 'echo.example.test'
    wire.write(
      `${target === '*' ? 'OPTIONS' : 'GET'} ${target} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\nAuthorization: Bearer ${login.placeholder(echo)}\r\n\r\n`,
    )
    expect(codeOf(await wire.answer())).toBe(code)
    wire.close()
  })

  test('the gateway does not proxy to itself', async () => {
    for (const own of ['127.0.0.1', 'localhost', 'LOCALHOST.']) {
      const wire = await stage.dial()
      wire.write(
        `GET http://${own}:${stage.port}/s/echo/v1 HTTP/1.1\r\nHost: ${own}:${stage.port}\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\n\r\n`,
      )
      expect(codeOf(await wire.answer())).toBe('loop_refused')
      wire.close()
    }
  })
})
