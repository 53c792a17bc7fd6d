import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { ServerResponse } from 'node:http'
import type { Wire } from '../e2e/gateway/wire.ts'
import {
  inWaves,
  measurable,
  requestFields,
  requestText,
  serve,
  sizeOf,
  type LoadSession,
  type Served,
} from './served.ts'

/** Promise 11: hundreds who read or write slowly, or not at all, take a bounded piece of memory each. */

const CONNECTIONS = sizeOf('KEYWARD_LOAD_SLOW', 300)
/**
 * What a stalled exchange may hold: buffers of two sockets, TLS, and what the scrubber holds back. Without
 * backpressure each would take all that the other side is willing to send, which here is far more.
 */
const STALLED_MAXIMUM_BYTES = 1_024 * 1_024
const OFFERED_BYTES = 16 * 1_024 * 1_024

let served: Served
let session: LoadSession
let offered = 0

const piece = Buffer.alloc(64 * 1_024, 'p')

/** Sends as much as is taken, up to the offer. */
function pour(response: ServerResponse): void {
  let written = 0
  response.writeHead(200, { 'content-type': 'application/octet-stream' })
  const go = (): void => {
    while (written < OFFERED_BYTES) {
      written += piece.length
      offered += piece.length
      if (!response.write(piece)) return void response.once('drain', go)
    }
    response.end()
  }
  go()
}

beforeAll(async () => {
  if (!measurable) return
  served = await serve(
    (request, response) => {
      if (request.url === '/pour') return pour(response)
      // Never reads what is sent, and never answers.
      if (request.url === '/deaf') return void request.pause()
      request.resume()
      request.on('end', () => response.end('ok'))
    },
    { early: true },
  )
  session = await served.session()
})
afterAll(() => served?.close())

let wires: Wire[] = []
beforeEach(() => {
  wires = []
  offered = 0
})
afterEach(() => {
  for (const wire of wires) wire.close()
})

const mebibytes = (bytes: number): number => Math.round(bytes / 104_857.6) / 10
const wayOf = (index: number): 'direct' | 'tunnel' => (index % 2 === 0 ? 'direct' : 'tunnel')

async function open(index: number): Promise<Wire> {
  const wire = wayOf(index) === 'direct' ? await served.direct() : await served.tunnel(session)
  wires.push(wire)
  return wire
}

/** Waits until the memory of the server has not grown for a while. */
async function settled(): Promise<number> {
  for (let last = 0, still = 0, most = 0; ;) {
    await new Promise((done) => setTimeout(done, 200))
    const now = served.memory()
    still = now > last + 1_048_576 ? 0 : still + 1
    last = Math.max(last, now)
    most = Math.max(most, now)
    if (still >= 4) return most
  }
}

/** So that what the first requests cost is not counted. */
async function warm(): Promise<number> {
  await inWaves(CONNECTIONS, 50, async (index) => {
    const wire = await open(index)
    wire.write(`${requestText(wayOf(index), session, '/ok')}\r\n`)
    expect((await wire.answer()).status).toBe(200)
  })
  return settled()
}

async function othersGoOn(): Promise<void> {
  const wire = await open(0)
  wire.write(`${requestText('direct', session, '/ok')}\r\n`)
  expect((await wire.answer()).status).toBe(200)
}

test.skipIf(!measurable)(`${CONNECTIONS} who ask for much and read nothing`, { timeout: 60_000 }, async () => {
  const before = await warm()
  await inWaves(CONNECTIONS, 50, async (index) => {
    const wire = await open(index)
    wire.write(`${requestText(wayOf(index), session, '/pour')}\r\n`)
    expect((await wire.head()).status).toBe(200)
    wire.socket.pause()
  })
  const growth = (await settled()) - before
  console.log(
    `${CONNECTIONS} who read nothing: ${mebibytes(growth)} MiB more, ${mebibytes(offered)} MiB taken from the service`,
  )
  expect(growth).toBeLessThan(CONNECTIONS * STALLED_MAXIMUM_BYTES)
  // The service was held back: it had far more to give.
  expect(offered).toBeLessThan(CONNECTIONS * OFFERED_BYTES * 0.7)
  await othersGoOn()
})

/** Streams of one connection that read nothing. */
const STREAMS = 10
const WIDE_WINDOW_BYTES = 2 ** 30

test.skipIf(!measurable)(
  `${CONNECTIONS} streams that were given the widest windows, on connections that nobody reads`,
  { timeout: 60_000 },
  async () => {
    const before = await warm()
    const wide: { close(): void }[] = []
    await inWaves(Math.ceil(CONNECTIONS / STREAMS), 10, async () => {
      const wire = await served.tunnelH2(session)
      wide.push(wire)
      await new Promise<void>((done) => wire.session.settings({ initialWindowSize: WIDE_WINDOW_BYTES }, () => done()))
      wire.session.setLocalWindowSize(WIDE_WINDOW_BYTES)
      wire.session.on('error', () => undefined)
      await Promise.all(
        Array.from({ length: STREAMS }, async () => {
          const stream = wire.stream(requestFields(session, '/pour'))
          stream.on('error', () => undefined)
          await new Promise<void>((done) => stream.once('response', () => done()))
        }),
      )
      wire.deafen()
    })
    const growth = (await settled()) - before
    console.log(
      `${CONNECTIONS} streams: ${mebibytes(growth)} MiB more, ${mebibytes(offered)} MiB taken from the service`,
    )
    for (const wire of wide) wire.close()
    expect(growth).toBeLessThan(CONNECTIONS * STALLED_MAXIMUM_BYTES)
    expect(offered).toBeLessThan(CONNECTIONS * OFFERED_BYTES * 0.7)
    await othersGoOn()
  },
)

test.skipIf(!measurable)(`${CONNECTIONS} who upload to a service that reads nothing`, { timeout: 60_000 }, async () => {
  const before = await warm()
  let taken = 0
  await inWaves(CONNECTIONS, 50, async (index) => {
    const wire = await open(index)
    const head = requestText(wayOf(index), session, '/deaf', 'POST')
    wire.write(`${head}Content-Length: ${OFFERED_BYTES}\r\n\r\n`)
    const go = (): void => {
      while (wire.socket.writable && taken < CONNECTIONS * OFFERED_BYTES) {
        taken += piece.length
        if (!wire.socket.write(piece)) return void wire.socket.once('drain', go)
      }
    }
    go()
  })
  const growth = (await settled()) - before
  console.log(`${CONNECTIONS} uploads that nobody reads: ${mebibytes(growth)} MiB more, ${mebibytes(taken)} MiB given`)
  expect(growth).toBeLessThan(CONNECTIONS * STALLED_MAXIMUM_BYTES)
  await othersGoOn()
})

test.skipIf(!measurable)(
  `${CONNECTIONS} who send a byte at a time: heads and small bodies`,
  { timeout: 60_000 },
  async () => {
    const before = await warm()
    const timers: NodeJS.Timeout[] = []
    await inWaves(CONNECTIONS, 50, async (index) => {
      const wire = await open(index)
      const way = wayOf(index)
      if (index % 4 < 2) wire.write(requestText(way, session, '/slow'))
      else wire.write(`${requestText(way, session, '/slow', 'POST')}Content-Length: 60000\r\n\r\n`)
      const each = index % 4 < 2 ? 'X-A: a\r\n' : 'a'
      timers.push(setInterval(() => wire.socket.writable && wire.write(each), 20))
    })
    const growth = (await settled()) - before
    for (const timer of timers) clearInterval(timer)
    console.log(`${CONNECTIONS} who write slowly: ${mebibytes(growth)} MiB more`)
    expect(growth).toBeLessThan(CONNECTIONS * STALLED_MAXIMUM_BYTES)
    await othersGoOn()
  },
)
