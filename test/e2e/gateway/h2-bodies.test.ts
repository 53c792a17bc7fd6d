import { randomBytes } from 'node:crypto'
import { constants } from 'node:http2'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority } from '../../fakes/authority.ts'
import { frameFlag, FrameReader, frameType, PREFACE, type Frame } from '../../../src/gateway/http2/frames.ts'
import { answerOf, frame } from './h2-wire.ts'
import { startH2Upstream, type H2Handler, type H2Upstream } from './h2-upstream.ts'
import { eventually, openStage, type Stage } from './harness.ts'
import { codeOf, requestFields, type Ask, type Held, type Login } from './requests.ts'
import { startRawUpstream, startUpstream, type Handler, type Upstream } from './upstream.ts'
import { header } from './wire.ts'

/** Bodies over HTTP/2, to services of either protocol: whole, cut anywhere, slow, endless, given up. */

const MIB = 1024 * 1024
let stage: Stage
let login: Login
let one: Upstream
let two: H2Upstream
let overOne: Held
let overTwo: Held
let answerOne: Handler
let answerTwo: H2Handler

beforeAll(async () => {
  stage = await openStage()
  const authority = await createAuthority()
  one = await startUpstream((...call) => answerOne(...call))
  two = await startH2Upstream((...call) => answerTwo(...call), {
    leaf: await authority.issue(['two.vendor.test']),
    early: true,
  })
  overOne = await stage.hold({ id: 'one', endpoint: one.origin })
  overTwo = await stage.hold({
    id: 'two',
    endpoint: two.origin,
    hosts: ['two.vendor.test'],
    trust: authority.certificate,
  })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await one.close()
  await two.close()
})

const ask = (held: Held, over: Partial<Ask> = {}): Ask => ({
  door: 'tunnel',
  protocol: 'h2',
  held,
  login,
  ...over,
  headers: [['authorization', `Bearer ${login.placeholder(held)}`], ...(over.headers ?? [])],
})
/** Waits until it has grown, and then until it grows no longer. */
async function standsStill(count: () => number): Promise<void> {
  await eventually(() => count() > 0)
  for (let before = -1, now = count(); now !== before; now = count()) {
    before = now
    await new Promise((done) => setTimeout(done, 150))
  }
}
const tick = () => new Promise((done) => setImmediate(done))

test('a secret is found at every place where DATA may be cut', async () => {
  const secret = overTwo.secret()
  const text = `before ${secret} after`
  answerTwo = async (stream, got) => {
    const at = Number(got.headers.find(([name]) => name === ':path')?.[1]?.slice(1))
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' })
    stream.write(text.slice(0, at))
    await tick()
    await tick()
    stream.end(text.slice(at))
  }
  const wire = await stage.openH2('tunnel', overTwo.host, login)
  const answers = await Promise.all(
    Array.from({ length: text.length - 1 }, (_, i) =>
      wire.request(requestFields(stage, ask(overTwo, { target: `/${i + 1}` }))),
    ),
  )
  expect(new Set(answers.map(({ body }) => body.toString()))).toEqual(
    new Set([`before ${login.placeholder(overTwo)} after`]),
  )
  wire.close()
})

test('a coded answer is undone and scrubbed', async () => {
  answerTwo = (stream) => {
    stream.respond({ ':status': 200, 'content-encoding': 'gzip' })
    stream.end(gzipSync(`a ${overTwo.secret()} b`))
  }
  const answer = await stage.request(ask(overTwo))
  expect(answer.body.toString()).toBe(`a ${login.placeholder(overTwo)} b`)
  expect(header(answer, 'content-encoding')).toBeUndefined()
  answerTwo = (stream) => {
    stream.respond({ ':status': 200, 'content-encoding': 'own' })
    stream.end('x')
  }
  expect(codeOf(await stage.request(ask(overTwo)))).toBe('answer_withheld')
})

test.each(['HEAD', 'GET'])('%s with a status that has no body, and an empty one', async (method) => {
  for (const status of [200, 204, 304]) {
    answerTwo = (stream) => {
      stream.respond({ ':status': status, 'x-own': '1' }, { endStream: true })
    }
    const answer = await stage.request(ask(overTwo, { method }))
    expect(answer).toMatchObject({ status, whole: true, body: Buffer.alloc(0) })
    expect(header(answer, 'x-own')).toBe('1')
  }
})

describe.each(['one', 'two'] as const)('to a service of protocol %s', (which) => {
  const held = () => (which === 'one' ? overOne : overTwo)

  test('a large body arrives whole, in both directions', async () => {
    const body = randomBytes(3 * MIB)
    answerOne = (_request, response, got) => response.end(got.body)
    answerTwo = (stream) => {
      stream.respond({ ':status': 200 })
      stream.pipe(stream)
    }
    const answer = await stage.request(ask(held(), { method: 'POST', body }))
    expect(answer.whole).toBe(true)
    expect(Buffer.compare(answer.body, body)).toBe(0)
    const { event } = await stage.journaled({ kind: 'outcome' })
    expect(event).toMatchObject({ bytesUp: body.length, bytesDown: body.length })
  })

  test('a reader that does not read holds the service back', async () => {
    let written = 0
    let closed = false
    const piece = Buffer.alloc(64 * 1024)
    const flood = (write: (piece: Buffer, done: () => void) => void): void =>
      write(piece, () => {
        written += piece.length
        if (!closed && written < 64 * MIB) flood(write)
      })
    answerOne = (_request, response) => {
      response.once('close', () => (closed = true))
      flood((bytes, done) => response.write(bytes, done))
    }
    answerTwo = (stream) => {
      stream.respond({ ':status': 200 })
      stream.once('close', () => (closed = true))
      flood((bytes, done) => stream.write(bytes, done))
    }
    const wire = await stage.openH2('tunnel', held().host, login)
    const stream = wire.stream(requestFields(stage, ask(held())))
    await new Promise((done) => stream.once('response', done))
    // Nothing is read: windows and buffers fill, and then it stands still.
    await standsStill(() => written)
    expect(written).toBeLessThan(16 * MIB)
    // The other streams of the connection go on meanwhile.
    const stalled = [answerOne, answerTwo] as const
    answerOne = (_request, response) => response.end('quick')
    answerTwo = (quick) => {
      quick.respond({ ':status': 200 })
      quick.end('quick')
    }
    expect((await wire.request(requestFields(stage, ask(held())))).body.toString()).toBe('quick')
    ;[answerOne, answerTwo] = stalled
    stream.close(constants.NGHTTP2_CANCEL)
    await eventually(() => closed)
    wire.close()
  })

  test('a service that does not read holds the agent back', async () => {
    let closed = false
    answerOne = () => undefined
    answerTwo = (stream) => {
      stream.pause()
      stream.once('close', () => (closed = true))
    }
    const wire = await stage.openH2('tunnel', held().host, login)
    const stream = wire.stream(requestFields(stage, ask(held(), { method: 'POST' })), { endStream: false })
    let sent = 0
    const piece = Buffer.alloc(64 * 1024)
    const more = (): void => {
      stream.write(piece, () => {
        sent += piece.length
        if (sent < 32 * MIB) more()
      })
    }
    if (which === 'two') {
      more()
      await standsStill(() => sent)
      expect(sent).toBeLessThan(8 * MIB)
      stream.close(constants.NGHTTP2_CANCEL)
      await eventually(() => closed)
    }
    wire.close()
  })

  test('an answer that comes before the body is complete ends the exchange', async () => {
    answerOne = (_request, response) => {
      response.writeHead(413)
      response.end('too much')
    }
    answerTwo = (stream) => {
      stream.respond({ ':status': 413 })
      stream.end('too much')
    }
    const wire = await stage.openH2('tunnel', held().host, login)
    const stream = wire.stream(requestFields(stage, ask(held(), { method: 'POST' })), { endStream: false })
    stream.write('begun')
    if (which === 'one') stream.end()
    const answer = await answerOf(stream)
    expect({ status: answer.status, body: answer.body.toString() }).toEqual({ status: 413, body: 'too much' })
    await eventually(() => stream.closed)
    wire.close()
  })
})

test('Expect: 100-continue is answered, once somebody wants the body', async () => {
  answerTwo = (stream) => {
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  }
  const wire = await stage.openH2('tunnel', overTwo.host, login)
  const stream = wire.stream(
    requestFields(stage, ask(overTwo, { method: 'POST', headers: [['expect', '100-continue']] })),
    { endStream: false },
  )
  const answer = answerOf(stream)
  await new Promise<void>((done) => {
    stream.once('continue', done)
    stream.once('headers', () => done())
  })
  stream.end('now')
  expect((await answer).body.toString()).toBe('now')
  // Nobody wants the body of what is refused.
  const refused = wire.stream(
    requestFields(stage, {
      ...ask(overTwo, { method: 'POST' }),
      headers: [
        ['authorization', 'Bearer none'],
        ['expect', '100-continue'],
      ],
    }),
    { endStream: false },
  )
  let asked = false
  refused.once('continue', () => (asked = true))
  expect(codeOf(await answerOf(refused))).toBe('placeholder_required')
  expect(asked).toBe(false)
  wire.close()
})

test.each([1_000, 100_000])(
  'an agent that breaks off after %d bytes of its body is not taken for one that has ended',
  async (sent) => {
    const frames: Frame[] = []
    const raw = await startRawUpstream((socket) => {
      const reader = new FrameReader((seen) => frames.push(seen), PREFACE)
      socket.on('data', (chunk: Buffer) => reader.push(chunk))
      socket.write(Buffer.concat([frame(4, 0, 0), frame(4, 1, 0)]))
    })
    const held = await stage.hold({ id: `raw-${sent}`, endpoint: raw.origin, http2: true })
    login = await stage.login('triage')
    const wire = await stage.openH2('tunnel', held.host, login)
    const stream = wire.stream(requestFields(stage, ask(held, { method: 'POST' })), { endStream: false })
    stream.write(Buffer.alloc(sent))
    // As much as the window of the service allows.
    const arrived = () =>
      frames.reduce((sum, { type, byteLength }) => sum + (type === frameType.data ? byteLength : 0), 0)
    await eventually(() => arrived() >= Math.min(sent, 65_535))
    // By hand: Node's own client ends a stream before it resets it.
    wire.write(frame(frameType.reset, 0, stream.id ?? 0, Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL])))
    await eventually(() => frames.some(({ type }) => type === frameType.reset))
    expect(frames.some(({ type, flags }) => type === frameType.data && (flags & frameFlag.endStream) !== 0)).toBe(false)
    wire.close()
    await raw.close()
  },
)

test('a hundred streams at once on one connection', async () => {
  answerTwo = (stream, got) => {
    stream.respond({ ':status': 200 })
    setTimeout(() => stream.end(got.headers.find(([name]) => name === ':path')?.[1]), 20)
  }
  const wire = await stage.openH2('tunnel', overTwo.host, login)
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => wire.request(requestFields(stage, ask(overTwo, { target: `/${i}` })))),
  )
  expect(answers.map(({ body }) => body.toString())).toEqual(Array.from({ length: 100 }, (_, i) => `/${i}`))
  wire.close()
})
