import type { Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { codeOf, doors, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startRawUpstream, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'

/** A service that misbehaves: each way has its code, its outcome in the journal, and touches nobody else. */

const HEAD_MILLISECONDS = 400
const BODY_MILLISECONDS = 400

let stage: Stage
let good: Upstream
let honest: Held
let login: Login
const agent = 'triage'

beforeAll(async () => {
  stage = await openStage({
    upstreamTimeouts: { headersTimeoutMilliseconds: HEAD_MILLISECONDS, bodyTimeoutMilliseconds: BODY_MILLISECONDS },
  })
  good = await startUpstream(always(200, {}, 'ok'))
  honest = await stage.hold({ id: 'honest', endpoint: good.origin, agent: 'honest' })
})
afterAll(async () => {
  await stage.close()
  await good.close()
})

const timers = new Set<NodeJS.Timeout>()
/** Writes `piece` again and again until the connection is closed. */
function drip(socket: Socket, piece: string | Buffer, everyMilliseconds: number): void {
  const timer = setInterval(() => void (socket.writable && socket.write(piece)), everyMilliseconds)
  timers.add(timer)
  socket.once('close', () => clearInterval(timer))
}
afterEach(() => {
  for (const timer of timers) clearInterval(timer)
  timers.clear()
})

interface Fault {
  readonly name: string
  /** Told of each request; null: nobody listens at all. */
  readonly answer: ((socket: Socket) => void) | null
  /** Before the answer has begun it is told by a refusal; after that, by an answer that is not whole. */
  readonly code: string
  readonly status: 502 | 504 | 'cut' | 'whole'
  readonly outcome: 'refused' | 'broken' | 'answered'
  readonly body?: string
}

const chunks = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'
const event = 'data: something that is long enough to be let go of at once\n\n'
const eventChunk = `${Buffer.byteLength(event).toString(16)}\r\n${event}\r\n`
const gzipped = gzipSync(Buffer.alloc(100_000, 'a'))
const refused = (name: string, answer: Fault['answer'], code = 'upstream_broken', status: 502 | 504 = 502): Fault => ({
  name,
  answer,
  code,
  status,
  outcome: 'refused',
})
const cut = (name: string, answer: Fault['answer'], code = 'upstream_broken'): Fault => ({
  name,
  answer,
  code,
  status: 'cut',
  outcome: 'broken',
})

const faults: readonly Fault[] = [
  refused('nobody listens', null, 'upstream_unreachable'),
  refused('stalls before its head', () => undefined, 'upstream_timeout', 504),
  refused('stalls within its head', (socket) => socket.write('HTTP/1.1 200 OK\r\nx-a: '), 'upstream_timeout', 504),
  refused(
    'never ends its head, a byte at a time',
    (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nx-a: ')
      drip(socket, 'a', HEAD_MILLISECONDS / 10)
    },
    'upstream_timeout',
    504,
  ),
  refused('never ends its head, as fast as it can', (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    drip(socket, `x-a: ${'a'.repeat(8_000)}\r\n`, 1)
  }),
  refused('never ends its interim answers', (socket) =>
    drip(socket, 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n', 1),
  ),
  refused('resets before its head', (socket) => void socket.resetAndDestroy()),
  refused('half-closes before its head', (socket) => void socket.end()),
  refused('half-closes within its head', (socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-len')),
  refused(
    'sends garbage',
    (socket) => void socket.write(Buffer.concat([Buffer.alloc(4_096, 0xa5), Buffer.from('\r\n\r\n')])),
  ),
  refused('sends a TLS alert', (socket) => void socket.end(Buffer.from('15030300020228', 'hex'))),
  refused('sends HTTP/2', (socket) => void socket.end(Buffer.from('000000040000000000', 'hex'))),
  refused('gives no number as its status', (socket) => void socket.write('HTTP/1.1 OK\r\n\r\n')),
  refused(
    'switches protocols unasked',
    (socket) => void socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
  ),
  refused(
    'gives a length that is no number',
    (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n'),
  ),
  refused(
    'gives two lengths',
    (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc'),
  ),
  refused(
    'gives a length and chunks',
    (socket) =>
      void socket.write(
        'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      ),
  ),
  refused(
    'gives a header with a NUL',
    (socket) => void socket.write('HTTP/1.1 200 OK\r\nx-a: \u0000\r\ncontent-length: 0\r\n\r\n'),
  ),
  cut('stalls in the middle of its body', (socket) => void socket.write(chunks + eventChunk)),
  cut('resets in the middle of its body', (socket) => {
    socket.write(chunks + eventChunk)
    setTimeout(() => socket.resetAndDestroy(), 50)
  }),
  cut('half-closes in the middle of its chunks', (socket) => void socket.end(chunks + eventChunk)),
  cut('sends a chunk that is none', (socket) => void socket.write(`${chunks}${eventChunk}zz\r\n`)),
  cut('sends a chunk longer than it said', (socket) => void socket.write(`${chunks}${eventChunk}2\r\nabcdef\r\n`)),
  cut(
    'sends less than it announced',
    (socket) =>
      void socket.end(
        `HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 900000\r\n\r\n${'b'.repeat(600_000)}`,
      ),
  ),
  cut('sends half of what it compressed', (socket) => {
    const head = `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${gzipped.length - 40}\r\n\r\n`
    socket.write(Buffer.concat([Buffer.from(head), gzipped.subarray(0, gzipped.length - 40)]))
  }),
  {
    name: 'sends more than it announced',
    answer: (socket) =>
      void socket.write(
        'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged',
      ),
    code: '',
    status: 'whole',
    outcome: 'answered',
    body: 'ok',
  },
]

let made = 0

describe.each(doors)('%s', (door) => {
  test.each(faults)('$name', async ({ answer, code, status, outcome, body }) => {
    made += 1
    const upstream = await startRawUpstream((socket) => socket.on('data', () => answer?.(socket)))
    if (answer === null) await upstream.close()
    const held = await stage.hold({ id: `fault-${made}`, endpoint: upstream.origin, agent })
    login = await stage.login(agent)
    const before = stage.app.inflight.size
    const ask = () =>
      stage.request({ door, held, login, headers: [['Authorization', `Bearer ${login.placeholder(held)}`]] })
    try {
      const got = await ask()
      if (status === 'whole') expect([got.status, got.whole, got.body.toString()]).toEqual([200, true, body])
      else if (status === 'cut') expect([got.status, got.whole]).toEqual([200, false])
      else expect([codeOf(got), got.status]).toEqual([code, status])
      const { exchange } = (await stage.journaled({ kind: 'intent', text: `fault-${made}` })).event
      const { event: ended } = await stage.journaled({ kind: 'outcome', text: String(exchange) })
      expect(ended).toMatchObject({ outcome, ...(code === '' ? {} : { code }) })
      // Nothing is left of it, and nobody else was touched.
      await expect.poll(() => stage.app.inflight.size).toBeLessThanOrEqual(before)
      const other = await stage.login('honest')
      const fine = await stage.request({
        door,
        held: honest,
        login: other,
        headers: [['Authorization', `Bearer ${other.placeholder(honest)}`]],
      })
      expect([fine.status, fine.body.toString()]).toEqual([200, 'ok'])
      expect(stage.errors).toEqual([])
    } finally {
      await upstream.close().catch(() => undefined)
    }
  })
})

test('a head that took nearly all its time leaves the body its own', async () => {
  const slow = await startRawUpstream((socket) =>
    socket.on('data', () =>
      setTimeout(() => {
        socket.write(chunks)
        setTimeout(() => socket.end(`${eventChunk}0\r\n\r\n`), BODY_MILLISECONDS * 0.5)
      }, HEAD_MILLISECONDS * 0.7),
    ),
  )
  const held = await stage.hold({ id: 'slow', endpoint: slow.origin, agent })
  login = await stage.login(agent)
  const headers = [['Authorization', `Bearer ${login.placeholder(held)}`]] as const
  const got = await stage.request({ door: 'base-url', held, login, headers })
  expect([got.status, got.whole, got.body.toString()]).toEqual([200, true, event])
  await slow.close()
})
