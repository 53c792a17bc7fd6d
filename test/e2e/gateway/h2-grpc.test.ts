import { constants } from 'node:http2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answerOf } from './h2-wire.ts'
import { startH2Upstream, type H2Handler, type H2Upstream } from './h2-upstream.ts'
import { eventually, openStage, type Stage } from './harness.ts'
import { requestFields, type Ask, type Held, type Login } from './requests.ts'
import { header, type Answer } from './wire.ts'

/** A client of gRPC reads a status and a message, and nothing else: so that is how it is told no. */

let stage: Stage
let upstream: H2Upstream
let held: Held
let login: Login
let answer: H2Handler

beforeAll(async () => {
  stage = await openStage()
  upstream = await startH2Upstream((...call) => answer(...call))
  held = await stage.hold({
    id: 'grpc',
    endpoint: upstream.origin,
    http2: true,
    allow: ['POST /a.B/**'],
    deny: ['POST /a.B/Denied'],
    limits: { rate: { count: 50, perSeconds: 3_600 } },
  })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const ask = (over: Partial<Ask> = {}): Ask => ({
  door: 'base-url',
  protocol: 'h2',
  held,
  login,
  method: 'POST',
  target: '/a.B/Call',
  body: Buffer.alloc(5),
  ...over,
  headers: over.headers ?? [
    ['authorization', `Bearer ${login.placeholder(held)}`],
    ['content-type', 'application/grpc'],
  ],
})
const grpc = { ':status': 200, 'content-type': 'application/grpc' }

/** Status, code and message of an answer that consists of a head alone. */
function told(given: Answer): { status: string | undefined; code: string | undefined; message: string } {
  expect(given).toMatchObject({ status: 200, whole: true, trailers: [] })
  expect(given.body.length).toBe(0)
  expect(header(given, 'content-type')).toBe('application/grpc')
  return {
    status: header(given, 'grpc-status'),
    code: header(given, 'keyward-error'),
    message: decodeURIComponent(header(given, 'grpc-message') ?? ''),
  }
}

test.each<[string, string, string, () => Partial<Ask>]>([
  ['7', 'operation_denied', 'a denied method', () => ({ target: '/a.B/Denied' })],
  ['7', 'operation_not_allowed', 'a method that was not granted', () => ({ target: '/a.C/Call' })],
  [
    '16',
    'placeholder_required',
    'a key of its own',
    () => ({
      headers: [
        ['authorization', 'Bearer none'],
        ['content-type', 'application/grpc+proto'],
      ],
    }),
  ],
  ['16', 'token_missing', 'no key', () => ({ headers: [['content-type', 'application/grpc']] })],
  ['5', 'service_unknown', 'no service', () => ({ held: { id: 'nowhere', host: held.host } })],
  ['3', 'path_not_canonical', 'a path with two readings', () => ({ target: '/a.B/../Call' })],
])('status %s, %s: %s', async (status, code, _name, over) => {
  const no = told(await stage.request(ask(over())))
  expect(no).toMatchObject({ status, code })
  expect(no.message).toMatch(new RegExp(`^${code}: .+\\.`))
  await stage.journaled({ kind: 'refusal', code })
})

test('a compression of messages that cannot be undone is withheld', async () => {
  answer = (stream) => {
    stream.respond({ ...grpc, 'grpc-encoding': 'snappy' })
    stream.end(Buffer.concat([Buffer.from([1, 0, 0, 0, 3]), Buffer.from('abc')]))
  }
  expect(told(await stage.request(ask()))).toMatchObject({ status: '12', code: 'answer_withheld' })
})

test('only compressions that can be undone are asked for', async () => {
  answer = (stream) => stream.respond({ ...grpc, 'grpc-status': '0' }, { endStream: true })
  for (const [asked, sent] of [
    ['identity,snappy,gzip', 'identity,gzip'],
    ['snappy', 'identity'],
  ] as const) {
    const headers = [...(ask().headers ?? []), ['grpc-accept-encoding', asked] as const]
    expect(told(await stage.request(ask({ headers })))).toMatchObject({ status: '0' })
    expect(upstream.got.at(-1)?.headers).toContainEqual(['grpc-accept-encoding', sent])
    expect(upstream.got.at(-1)?.headers).toContainEqual(['te', 'trailers'])
  }
})

test('a service that breaks off in the middle leaves a status, not a whole answer', async () => {
  answer = (stream) => {
    // Otherwise the library would end the stream before it resets it.
    stream.respond(grpc, { waitForTrailers: true })
    stream.write(Buffer.concat([Buffer.from([0, 0, 0, 0, 3]), Buffer.from('abc')]))
    setTimeout(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR), 30)
  }
  const cut = await stage.request(ask())
  expect(cut.body.toString()).toContain('abc')
  expect(Object.fromEntries(cut.trailers)).toMatchObject({ 'grpc-status': '14', 'keyward-error': 'upstream_broken' })
})

test('a session that is revoked ends a stream with its reason', async () => {
  answer = (stream) => {
    stream.respond(grpc)
    stream.write(Buffer.concat([Buffer.from([0, 0, 0, 0, 3]), Buffer.from('abc')]))
  }
  const going = await stage.login('triage')
  const wire = await stage.openH2('base-url', held.host, going)
  const headers: Ask['headers'] = [
    ['authorization', `Bearer ${going.placeholder(held)}`],
    ['content-type', 'application/grpc'],
  ]
  const stream = wire.stream(requestFields(stage, ask({ headers, login: going })), { endStream: false })
  stream.end(Buffer.alloc(5))
  const ended = answerOf(stream)
  let read = 0
  stream.on('data', (piece: Buffer) => (read += piece.length))
  await eventually(() => read > 0)
  await stage.app.sessions.revoke(going.id, 'test')
  expect(Object.fromEntries((await ended).trailers)).toMatchObject({
    'grpc-status': '16',
    'keyward-error': 'session_revoked',
  })
  wire.close()
})

test('a limit that is reached says when to come back', async () => {
  answer = (stream) => stream.respond({ ...grpc, 'grpc-status': '0' }, { endStream: true })
  let last = await stage.request(ask())
  for (let i = 0; i < 60 && header(last, 'grpc-status') === '0'; i++) last = await stage.request(ask())
  expect(told(last)).toMatchObject({ status: '8', code: 'rate_exceeded' })
  expect(Number(header(last, 'grpc-retry-pushback-ms'))).toBeGreaterThan(0)
})
