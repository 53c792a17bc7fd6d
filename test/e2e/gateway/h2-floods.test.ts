import { constants } from 'node:http2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  CONTINUATIONS_MAXIMUM_COUNT,
  HEADER_BLOCK_MAXIMUM_BYTES,
  IDLE_FRAMES_MAXIMUM_COUNT,
  RESETS_MAXIMUM_COUNT,
} from '../../../src/gateway/http2/flood.ts'
import { STREAMS_MAXIMUM_COUNT } from '../../../src/gateway/http2/server.ts'
import { answerOf, block, frame, headersFrames } from './h2-wire.ts'
import { eventually, openStage, type Stage } from './harness.ts'
import { codeOf, requestFields, type Held, type Login } from './requests.ts'
import { startUpstream, type Upstream } from './upstream.ts'
import type { Wire } from './wire.ts'

/** What no client does that means well ends its connection, is written down, and leaves nothing behind. */

let stage: Stage
let upstream: Upstream
let held: Held
let login: Login
const waiting: (() => void)[] = []

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((request, response) => {
    if (request.url === '/wait') waiting.push(() => response.end('waited'))
    else response.end('ok')
  })
  held = await stage.hold({ id: 'echo', endpoint: upstream.origin, limits: { concurrent: 150 } })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)])
const fieldsOf = (target = '/') =>
  requestFields(stage, {
    door: 'base-url',
    held,
    login,
    target,
    headers: [['authorization', `Bearer ${login.placeholder(held)}`]],
  })
const reset = (stream: number) => frame(3, 0, stream, Buffer.from([0, 0, 0, 8]))

async function open(): Promise<Wire> {
  const wire = await stage.dial()
  wire.write(PREFACE)
  return wire
}

async function ends(wire: Wire, code: string): Promise<void> {
  const since = Date.now() - 5_000
  await wire.closed
  await stage.journaled({ kind: 'refusal', code, since })
}

/** Nothing is held by what is over: as many requests as the grant allows at once go through. */
async function expectNothingHeld(): Promise<void> {
  const wire = await stage.openH2('base-url', held.host, login)
  const answers = await Promise.all(Array.from({ length: 90 }, () => wire.request(fieldsOf())))
  expect(answers.every(({ status }) => status === 200)).toBe(true)
  wire.close()
}

describe('rapid reset', () => {
  test('in one piece: the requests never begin', async () => {
    const wire = await open()
    const before = upstream.got.length
    const frames: Buffer[] = []
    for (let i = 0; i < 2 * RESETS_MAXIMUM_COUNT; i++)
      frames.push(headersFrames(2 * i + 1, fieldsOf(), true), reset(2 * i + 1))
    wire.write(Buffer.concat(frames))
    await ends(wire, 'connection_flooded')
    expect(upstream.got.length).toBe(before)
    await expectNothingHeld()
  })

  test('one after the other, while they are under way: they are broken off', async () => {
    const wire = await open()
    for (let i = 0; i < RESETS_MAXIMUM_COUNT + 100; i++) {
      wire.write(headersFrames(2 * i + 1, fieldsOf('/wait'), true))
      if (i % 20 === 19) await new Promise((done) => setTimeout(done, 5))
      wire.write(reset(2 * i + 1))
    }
    await ends(wire, 'connection_flooded')
    await expectNothingHeld()
  })

  test('as many as a client may is no harm', async () => {
    const wire = await stage.openH2('base-url', held.host, login)
    for (let i = 0; i < RESETS_MAXIMUM_COUNT / 2; i++) {
      const stream = wire.stream(fieldsOf('/wait'))
      if (stream.pending) await new Promise((done) => stream.once('ready', done))
      stream.close(constants.NGHTTP2_CANCEL)
    }
    expect((await wire.request(fieldsOf())).status).toBe(200)
    wire.close()
    await expectNothingHeld()
  })
})

describe('headers', () => {
  test('more CONTINUATION frames than any block needs', async () => {
    const wire = await open()
    const piece = block([['x', '1']])
    wire.write(frame(1, 1, 1, block(fieldsOf())))
    for (let i = 0; i <= CONTINUATIONS_MAXIMUM_COUNT; i++) wire.write(frame(9, 0, 1, piece))
    await ends(wire, 'request_too_large')
  })

  test('a block that is too long', async () => {
    const wire = await open()
    const piece = Buffer.alloc(16_384)
    wire.write(frame(1, 1, 1, piece))
    for (let i = 0; i < HEADER_BLOCK_MAXIMUM_BYTES / piece.length; i++) wire.write(frame(9, 0, 1, piece))
    await ends(wire, 'request_too_large')
  })

  test('a short block that unfolds into a long list', async () => {
    const since = Date.now()
    const wire = await open()
    const value = Buffer.alloc(4_000, 'a')
    const long = Buffer.concat([Buffer.from([0x40, 1]), Buffer.from('x'), Buffer.from([127, 0xa1, 0x1e]), value])
    // The entry just made, again and again (RFC 7541 section 6.1).
    const again = Buffer.alloc(100, 0x80 | 62)
    wire.write(frame(1, 5, 1, Buffer.concat([block(fieldsOf()), long, again])))
    await stage.journaled({ kind: 'refusal', code: 'request_too_large', since })
    wire.close()
  })

  test('more headers than are read', async () => {
    const since = Date.now()
    const wire = await stage.openH2('base-url', held.host, login)
    const many = Array.from({ length: 250 }, (_, i) => [`x-${i}`, '1'] as const)
    await expect(wire.request([...fieldsOf(), ...many])).rejects.toThrow('reset with 11')
    await stage.journaled({ kind: 'refusal', code: 'request_too_large', since })
    expect((await wire.request(fieldsOf())).status).toBe(200)
    wire.close()
  })
})

describe('frames that carry nothing', () => {
  test.each<[string, (i: number) => Buffer]>([
    ['PING', () => frame(6, 0, 0, Buffer.alloc(8))],
    ['acknowledged PING', () => frame(6, 1, 0, Buffer.alloc(8))],
    ['SETTINGS', () => frame(4, 0, 0)],
    ['PRIORITY', (i) => frame(2, 0, 2 * i + 1, Buffer.from([0, 0, 0, 0, 1]))],
    ['WINDOW_UPDATE', () => frame(8, 0, 0, Buffer.from([0, 0, 0, 1]))],
    ['an unknown type', () => frame(0xbe, 0, 0, Buffer.alloc(3))],
    ['empty DATA', () => frame(0, 0, 1)],
  ])('%s', async (_name, make) => {
    const wire = await open()
    wire.write(headersFrames(1, [...fieldsOf('/wait'), ['content-length', '5']], false))
    const frames: Buffer[] = []
    for (let i = 0; i < 2 * IDLE_FRAMES_MAXIMUM_COUNT; i++) frames.push(make(i))
    wire.write(Buffer.concat(frames))
    // The library ends some of these sooner, in its own words.
    const since = Date.now() - 5_000
    await wire.closed
    const told = await stage.entries({ kind: 'refusal', since })
    expect(told.map(({ event }) => event['code'])).toContain('connection_flooded')
    await expectNothingHeld()
  })
})

test('no more streams at once than the bound; the others are told to try again', async () => {
  const since = Date.now()
  waiting.length = 0
  const wire = await open()
  for (let i = 0; i < STREAMS_MAXIMUM_COUNT + 20; i++) wire.write(headersFrames(2 * i + 1, fieldsOf('/wait'), true))
  await stage.journaled({ kind: 'refusal', code: 'overloaded', since })
  await eventually(() => waiting.length === STREAMS_MAXIMUM_COUNT)
  wire.close()
  await expectNothingHeld()
})

test('what is no HTTP/2 ends the connection', async () => {
  const wire = await open()
  wire.write(frame(0, 0, 0, Buffer.alloc(10)))
  await ends(wire, 'request_malformed')
})

test('a session that is revoked: its streams end, in a tunnel with their connection', async () => {
  for (const door of ['tunnel', 'base-url'] as const) {
    const going = await stage.login('triage')
    waiting.length = 0
    const wire = await stage.openH2(door, held.host, going)
    const answer = answerOf(
      wire.stream(
        requestFields(stage, {
          door,
          held,
          login: going,
          target: '/wait',
          headers: [['authorization', `Bearer ${going.placeholder(held)}`]],
        }),
      ),
    ).then(codeOf, (error: Error) => error.message)
    await eventually(() => waiting.length === 1)
    const before = Date.now()
    await stage.app.sessions.revoke(going.id, 'test')
    expect(await answer).toMatch(/session_revoked|reset/)
    if (door === 'tunnel') await wire.closed
    expect(Date.now() - before).toBeLessThan(1_000)
    wire.close()
  }
})
