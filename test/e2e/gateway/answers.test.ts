import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { madeUp, openStage, type Stage } from './harness.ts'
import { codeOf, doors, type Ask, type Door, type Held, type Login } from './requests.ts'
import { always, startUpstream, type Handler, type Upstream } from './upstream.ts'
import { header, type Answer } from './wire.ts'

/** No secret comes back, however the service writes it; everything else comes back as it was. */

let stage: Stage
let upstream: Upstream
let echo: Held
let other: Held
let composite: Held
let login: Login
let handler: Handler = always(200, {}, '')

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((request, response, got) => handler(request, response, got))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  // Of another agent: whoever asks, no secret of the vault comes back.
  other = await stage.hold({ id: 'other', endpoint: upstream.origin, agent: 'somebody-else' })
  composite = await stage.hold({
    id: 'composite',
    endpoint: upstream.origin,
    inject: [{ kind: 'basic', user: 'x-access-token' }],
  })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const ask = (door: Door, rest: Partial<Ask> = {}): Ask => ({
  door,
  held: echo,
  login,
  headers: [['Authorization', `Bearer ${login.placeholder(echo)}`]],
  ...rest,
})

/** Everything that was read, once as it came and once with every escape undone that this test writes. */
function readings({ rawHead, body, trailers }: Answer): string {
  const text = rawHead + body.toString('latin1') + JSON.stringify(trailers)
  const unescaped = [
    text.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    text
      .replaceAll(/\\u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
      .replaceAll('\\/', '/'),
    ...[...text.matchAll(/[A-Za-z0-9+/_-]{16,}=*/g)].flatMap(([match]) =>
      [0, 1, 2, 3].map((skip) => Buffer.from(match.slice(skip), 'base64').toString('latin1')),
    ),
    ...[...text.matchAll(/[0-9a-f]{32,}/gi)].map(([match]) => Buffer.from(match, 'hex').toString('latin1')),
  ]
  return [text, ...unescaped].join('\n')
}

function expectClean(answer: Answer): void {
  const all = readings(answer)
  for (const held of [echo, other, composite]) expect(all.includes(held.secret()), `secret of ${held.id}`).toBe(false)
}

const forms: readonly [name: string, write: (secret: string) => string][] = [
  ['as it is', (secret) => secret],
  ['in JSON', (secret) => JSON.stringify({ key: secret })],
  [
    'in JSON with every character escaped',
    (secret) => [...secret].map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  ],
  ['in JSON with escaped slashes', (secret) => JSON.stringify(secret).replaceAll('/', '\\/')],
  ['percent-encoded', (secret) => encodeURIComponent(secret)],
  [
    'percent-encoded throughout',
    (secret) => [...Buffer.from(secret)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  ],
  ['as a form', (secret) => new URLSearchParams({ key: secret }).toString()],
  ['in hexadecimal', (secret) => Buffer.from(secret).toString('hex')],
  ['in capital hexadecimal', (secret) => Buffer.from(secret).toString('hex').toUpperCase()],
  ['in base64', (secret) => Buffer.from(secret).toString('base64')],
  ['in base64 after one byte', (secret) => Buffer.from(`a${secret}b`).toString('base64')],
  ['in base64 after two bytes', (secret) => Buffer.from(`ab${secret}cd`).toString('base64')],
  ['in base64url', (secret) => Buffer.from(`user:${secret}`).toString('base64url')],
  ['as the value of a Basic header', (secret) => `Basic ${Buffer.from(`x-access-token:${secret}`).toString('base64')}`],
  ['many times over', (secret) => `${secret}${secret} ${secret}`.repeat(20)],
]

const codings: readonly [name: string, encode: (bytes: Buffer) => Buffer][] = [
  ['gzip', (bytes) => gzipSync(bytes)],
  ['x-gzip', (bytes) => gzipSync(bytes)],
  ['deflate', (bytes) => deflateSync(bytes)],
  ['deflate', (bytes) => deflateRawSync(bytes)],
  ['br', (bytes) => brotliCompressSync(bytes)],
  ['zstd', (bytes) => zstdCompressSync(bytes)],
  ['gzip, br', (bytes) => brotliCompressSync(gzipSync(bytes))],
  ['identity', (bytes) => bytes],
]

describe.each(doors)('%s', (door) => {
  test('a request gets its credential and its answer', async () => {
    handler = always(201, { 'content-type': 'text/plain', 'x-of-the-service': 'yes' }, 'hello')
    const answer = await stage.request(ask(door, { method: 'POST', target: '/v1/things?a=1&b=%20', body: 'ping' }))
    expect(answer).toMatchObject({ status: 201, whole: true })
    expect(answer.body.toString()).toBe('hello')
    expect(header(answer, 'x-of-the-service')).toBe('yes')
    expect(header(answer, 'keyward-error')).toBeUndefined()
    const got = upstream.got.at(-1)
    expect(got).toMatchObject({ method: 'POST', target: '/v1/things?a=1&b=%20' })
    expect(got?.headers.authorization).toBe(`Bearer ${echo.secret()}`)
    expect(got?.headers.host).toBe(echo.host)
    expect(got?.body.toString()).toBe('ping')
  })

  test.each(forms)('a secret %s, in a body, a header and a trailer', async (name, write) => {
    for (const held of [echo, other, composite]) {
      handler = (_request, response) => {
        response.writeHead(200, { trailer: 'x-late', 'x-early': write(held.secret()).slice(0, 4_000) })
        response.write(`before ${write(held.secret())} after`)
        response.addTrailers({ 'x-late': write(held.secret()).slice(0, 4_000) })
        response.end()
      }
      const answer = await stage.request(ask(door))
      expect(answer.status).toBe(200)
      expectClean(answer)
      expect(answer.body.toString()).toMatch(/^before [^]* after$/)
      // The agent's own placeholder stands where its own secret stood.
      if (held === echo && name === 'as it is') {
        expect(answer.body.toString()).toBe(`before ${login.placeholder(echo)} after`)
        expect(header(answer, 'x-early')).toBe(login.placeholder(echo))
        expect(answer.trailers).toEqual([['x-late', login.placeholder(echo)]])
      }
    }
    const entry = await stage.journaled({ kind: 'outcome', agent: 'triage' })
    expect(Number(entry.event['scrubbed'])).toBeGreaterThan(0)
  })

  test.each(codings)('a body with the coding %s', async (coding, encode) => {
    const text = `${'padding '.repeat(3_000)}${echo.secret()} and ${JSON.stringify(other.secret())}`
    const coded = encode(Buffer.from(text))
    for (const pieces of [1, 7]) {
      handler = (_request, response) => {
        response.writeHead(200, { 'content-encoding': coding, 'content-md5': 'x', etag: '"e"' })
        const size = Math.ceil(coded.length / pieces)
        for (let at = 0; at < coded.length; at += size) response.write(coded.subarray(at, at + size))
        response.end()
      }
      const answer = await stage.request(
        ask(door, {
          headers: [
            ['Authorization', `Bearer ${login.placeholder(echo)}`],
            ['Accept-Encoding', 'gzip, br, zstd, x-unheard'],
          ],
        }),
      )
      expectClean(answer)
      expect(answer.body.toString()).toContain(login.placeholder(echo))
      expect(answer.body.toString().startsWith('padding '.repeat(3_000))).toBe(true)
      expect(header(answer, 'content-encoding')).toBeUndefined()
      expect(upstream.got.at(-1)?.headers['accept-encoding']).toBe('gzip, br, zstd')
    }
  })

  test.each([
    ['an unknown coding', { 'content-encoding': 'x-unheard' }],
    ['an unknown coding over a known one', { 'content-encoding': 'gzip, compress' }],
    ['more layers than anybody needs', { 'content-encoding': 'gzip, gzip, gzip, gzip' }],
    ['a part of a coded body', { 'content-encoding': 'gzip', 'content-range': 'bytes 0-9/100' }],
  ])('%s is withheld', async (_name, headers) => {
    handler = always(200, headers, gzipSync(`hidden ${echo.secret()}`))
    const answer = await stage.request(ask(door))
    expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 502, code: 'answer_withheld' })
    expectClean(answer)
    expect((await stage.journaled({ kind: 'outcome', code: 'answer_withheld' })).event).toMatchObject({
      agent: 'triage',
      outcome: 'refused',
      status: 200,
    })
  })

  test('a coded body that is cut, and one that is none', async () => {
    const coded = gzipSync(Buffer.from(`${madeUp()} `.repeat(4_000)))
    handler = always(
      200,
      { 'content-encoding': 'gzip', 'content-length': String(coded.length - 100) },
      coded.subarray(0, coded.length - 100),
    )
    const cut = await stage.request(ask(door))
    expect(cut.status === 200 ? cut.whole : codeOf(cut)).toBe(cut.status === 200 ? false : 'upstream_broken')
    handler = always(200, { 'content-encoding': 'br', 'content-length': '11' }, 'not brotli!')
    expect(codeOf(await stage.request(ask(door)))).toBe('upstream_broken')
  })

  test('a secret split at every place', async () => {
    const text = `<${echo.secret()}|${Buffer.from(echo.secret()).toString('base64')}>`
    const outs: string[] = []
    handler = (_request, response, got) => {
      const at = Number(got.target.slice(1))
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(text.slice(0, at))
      setTimeout(() => response.end(text.slice(at)), 2)
    }
    const offsets = Array.from({ length: text.length - 1 }, (_, index) => index + 1).filter((at) => at % 3 === 1)
    for (let at = 0; at < offsets.length; at += 8) {
      const some = await Promise.all(
        offsets.slice(at, at + 8).map((offset) => stage.request(ask(door, { target: `/${offset}` }))),
      )
      for (const answer of some) {
        expectClean(answer)
        outs.push(answer.body.toString())
      }
    }
    expect(new Set(outs).size).toBe(1)
  })

  test('one byte at a time', async () => {
    const text = `event: ${encodeURIComponent(other.secret())} ${echo.secret()}\n\n`
    handler = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.socket?.setNoDelay(true)
      for (const byte of Buffer.from(text)) response.write(Buffer.of(byte))
      response.end()
    }
    const answer = await stage.request(ask(door))
    expectClean(answer)
    expect(answer.body.toString()).toContain(login.placeholder(echo))
  })

  test('HEAD, 204 and 304 have no body, and HEAD keeps its length', async () => {
    handler = always(200, { 'content-length': '5' }, '')
    const head = await stage.request(ask(door, { method: 'HEAD' }))
    expect([head.status, header(head, 'content-length'), head.body.length]).toEqual([200, '5', 0])
    handler = always(204, {}, '')
    expect(await stage.request(ask(door))).toMatchObject({ status: 204, whole: true })
    handler = always(304, { etag: '"a"', 'x-echo': echo.secret() }, '')
    const unchanged = await stage.request(ask(door))
    expect([unchanged.status, header(unchanged, 'etag')]).toEqual([304, '"a"'])
    expectClean(unchanged)
  })

  test('early answers are not passed on', async () => {
    handler = (_request, response) => {
      response.writeEarlyHints({ link: `<https://x/${encodeURIComponent(echo.secret())}>; rel=preload` })
      response.writeProcessing()
      response.end('late')
    }
    const wire = await stage.open(door, echo.host, login)
    wire.close()
    const answer = await stage.request(ask(door))
    expect(answer.body.toString()).toBe('late')
    expectClean(answer)
  })

  test('the reason phrase is not taken over', async () => {
    handler = (_request, response) => {
      response.writeHead(200, echo.secret())
      response.end()
    }
    expectClean(await stage.request(ask(door)))
  })

  test('a redirect is passed on, and nothing is sent after it', async () => {
    const count = upstream.got.length
    for (const status of [301, 302, 303, 307, 308]) {
      handler = always(
        status,
        { location: `https://elsewhere.example.test/?k=${encodeURIComponent(echo.secret())}` },
        '',
      )
      const answer = await stage.request(ask(door))
      expect(answer.status).toBe(status)
      expect(header(answer, 'location')).toMatch(/^https:\/\/elsewhere\.example\.test\//)
      expectClean(answer)
    }
    expect(upstream.got.length).toBe(count + 5)
  })

  test('the service cannot speak in Keyward’s name, nor frame the connection', async () => {
    handler = (_request, response) => {
      response.writeHead(403, {
        'keyward-error': 'token_invalid',
        connection: 'close, x-hop',
        'x-hop': '1',
        'proxy-authenticate': 'Basic',
        'alt-svc': 'h3=":443"',
        'set-cookie': ['a=1', 'b=2'],
      })
      response.end('no')
    }
    const answer = await stage.request(ask(door))
    expect(answer.status).toBe(403)
    for (const name of ['keyward-error', 'x-hop', 'proxy-authenticate', 'alt-svc'])
      expect(header(answer, name)).toBeUndefined()
    expect(answer.headers.filter(([name]) => name === 'set-cookie').map(([, value]) => value)).toEqual(['a=1', 'b=2'])
  })

  test('the journal holds the intent before, the outcome after, and no secret', async () => {
    handler = always(200, {}, 'x'.repeat(100))
    await stage.request(ask(door, { method: 'PUT', target: '/v1/journal?q=private', body: 'four' }))
    const intent = await stage.journaled({ kind: 'intent' })
    expect(intent.event).toMatchObject({
      door,
      agent: 'triage',
      environment: 'dev',
      host: echo.host,
      method: 'PUT',
      path: '/v1/journal',
      service: 'echo',
      credential: 'echo',
      version: 1,
      decision: 'allow',
      grant: echo.grantId,
      rule: '*',
    })
    const outcome = await stage.journaled({ kind: 'outcome', text: String(intent.event['exchange']) })
    expect(outcome.event).toMatchObject({
      exchange: intent.event['exchange'],
      outcome: 'answered',
      status: 200,
      bytesUp: 4,
      bytesDown: 100,
    })
    expect(outcome.sequence).toBeGreaterThan(intent.sequence)
    const all = JSON.stringify(await stage.entries({}))
    for (const text of [echo.secret(), other.secret(), composite.secret(), login.token, 'q=private'])
      expect(all).not.toContain(text)
  })
})
