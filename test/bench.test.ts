import { createServer, type RequestListener } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { createAnswerReader } from '../bench/load/answer-reader.ts'
import { runClosed } from '../bench/load/closed-loop.ts'
import type { Outcome, Target } from '../bench/load/job.ts'
import { runOpen } from '../bench/load/open-loop.ts'
import { poissonArrivals } from '../bench/load/random.ts'
import { measure, noFigures, type Entrant } from '../bench/measure.ts'

/** What the figures of `npm run bench` rest on: that the load asks when it says, and that nothing that went wrong is counted as work. */

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

function serve(listener: RequestListener): Promise<Target> {
  const server = createServer(listener)
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return new Promise((done) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = address !== null && typeof address === 'object' ? address.port : 0
      done({
        port,
        tunnel: null,
        tls: null,
        protocol: 'http1',
        authority: `127.0.0.1:${port}`,
        path: '/',
        headers: [],
      })
    })
  })
}

const expected = { bodyBytes: 4 }
const closed = { kind: 'closed', expected, concurrency: 4, seconds: 60, requestsMaximum: 40 } as const

test('an answer is read the same wherever the network cuts it', () => {
  const bytes = Buffer.from(
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\nHTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n',
  )
  for (let first = 0; first <= bytes.length; first += 1) {
    for (const second of [first, first + 1, first + 5, bytes.length]) {
      const seen: string[] = []
      let body = ''
      const read = createAnswerReader({
        onHead: (status) => void (body = `${status} `),
        onBody: (part) => void (body += part.toString()),
        onEnd: () => void seen.push(body),
        onNonsense: () => void seen.push('nonsense'),
      })
      for (const part of [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]) read(part)
      expect(seen).toEqual(['200 body', '401 abc0123456789', '204 '])
    }
  }
})

test('arrivals are the same for the same seed, and as many as the rate says', () => {
  const arrivals = poissonArrivals(200, 50, 7)
  expect(poissonArrivals(200, 50, 7)).toEqual(arrivals)
  expect(poissonArrivals(200, 50, 8)).not.toEqual(arrivals)
  expect(arrivals).toEqual(arrivals.toSorted())
  // 10,000 are meant; a Poisson count is within five deviations of 100 for all but one seed in a million.
  expect(Math.abs(arrivals.length - 10_000)).toBeLessThan(500)
  const gaps = arrivals.slice(1).map((at, index) => at - (arrivals[index] ?? 0))
  const long = gaps.filter((gap) => gap > 10).length / gaps.length
  expect(long).toBeGreaterThan(0.11)
  expect(long).toBeLessThan(0.16)
})

const open = { kind: 'open', expected, perSecond: 400, seconds: 0.5, seed: 3 } as const
const arrivals = poissonArrivals(open.perSecond, open.seconds, open.seed)

test('the open loop never waits for an answer', async () => {
  const held: (() => void)[] = []
  // Nobody is answered before everybody has asked.
  const target = await serve((request, response) => {
    request.resume()
    held.push(() => void response.end('body'))
    if (held.length === arrivals.length) for (const answer of held) answer()
  })
  const outcome = await runOpen({ ...open, targets: [target] })
  expect(outcome).toMatchObject({ sent: arrivals.length, answered: arrivals.length, errors: {} })
  expect(outcome.latency.max).toBeGreaterThanOrEqual((arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0) - 1)
})

test('the clock of the open loop starts when a request was meant to leave, also where it left late', async () => {
  let stalled = false
  // This server and the load share a thread: while it is busy, nothing leaves.
  const target = await serve((request, response) => {
    const until = performance.now() + (stalled ? 0 : 300)
    stalled = true
    while (performance.now() < until);
    request.resume()
    response.end('body')
  })
  const outcome = await runOpen({ ...open, targets: [target] })
  expect(outcome).toMatchObject({ answered: arrivals.length, errors: {} })
  // Those of the first 150 ms, three in ten, waited for at least as long again.
  expect(outcome.latency.p90).toBeGreaterThan(150)
  expect(outcome.lateness?.p90).toBeGreaterThan(150)
})

test('the closed loop sends as many as it is told, and each answer counts once', async () => {
  let seen = 0
  const target = await serve((request, response) => {
    seen += 1
    request.resume()
    response.end('body')
  })
  const outcome = await runClosed({ ...closed, targets: [target] })
  expect(outcome).toMatchObject({ sent: 40, answered: 40, errors: {} })
  expect(seen).toBe(40)
})

test.each([
  ['status 401', 401, 'body'],
  ['wrong length', 200, 'bodies'],
  ['wrong length', 200, ''],
])('%s is an error and not an answer', async (name, status, text) => {
  const target = await serve((request, response) => {
    request.resume()
    response.writeHead(status)
    response.end(text)
  })
  const outcome = await runClosed({ ...closed, targets: [target] })
  expect(outcome).toMatchObject({ sent: 40, answered: 0, errors: { [name]: 40 } })
})

test('a connection that breaks is an error', async () => {
  const target = await serve((request) => void request.socket.destroy())
  const outcome = await runClosed({ ...closed, targets: [target] })
  expect(outcome).toMatchObject({ answered: 0, errors: { 'connection closed': outcome.sent } })
})

const spread = { p50: 1, p90: 1, p99: 1, max: 1 }
const tenSent: Outcome = { sent: 10, answered: 10, errors: {}, seconds: 1, latency: spread }

async function measured(seenByUpstream: number, journal: string | null): Promise<Map<string, number>> {
  const entrant: Entrant = {
    peer: {
      name: 'proxy',
      direct: 'direct',
      floor: 'floor',
      missing: null,
      version: '',
      streams: true,
      start: () => Promise.reject(new Error('it runs already')),
    },
    started: { processId: null, targets: [], check: async () => journal, stop: async () => undefined },
    figures: noFigures(),
  }
  let asked = 0
  const upstream = {
    plainPort: 0,
    tlsPort: 0,
    kind: 'fake',
    requests: async () => (asked++ === 0 ? 5 : 5 + seenByUpstream),
    stop: async () => undefined,
  }
  const load = { run: async () => tenSent, stop: async () => undefined }
  await measure(entrant, { ...closed, targets: [] }, load, upstream)
  return entrant.figures.errors
}

test('work that the upstream or the journal did not see is reported', async () => {
  expect(await measured(10, null)).toEqual(new Map())
  expect(await measured(8, null)).toEqual(new Map([['closed: the upstream saw fewer than were sent', 2]]))
  expect(await measured(11, null)).toEqual(new Map([['closed: the upstream saw more than were sent', 1]]))
  expect(await measured(10, '19 journal entries for 10 requests')).toEqual(
    new Map([['19 journal entries for 10 requests', 1]]),
  )
})
