import { Duplex } from 'node:stream'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Front as CodecFront } from '../../src/gateway/codec.ts'
import { createHttp1Codec, type Http1Times } from '../../src/gateway/http1/server.ts'
import { frame, headersFrames } from '../e2e/gateway/h2-wire.ts'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { requestFields, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startRawUpstream, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts, inside, type Front } from './attack.ts'
import { ask, askRaw, bearer, outcomeOf, rawH2, rawRequest, textFronts } from './asking.ts'
import { nowhere } from '../../src/gateway/peer-gate.ts'

let stage: Stage
let upstream: Upstream
let echo: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin, deny: ['* /closed/**'] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const many = (count: number): string => Array.from({ length: count }, (_, i) => `X-${i}: a\r\n`).join('')

attack('P13', 'heads, lines and targets without measure', textFronts, async (front) => {
  const before = upstream.received().length
  const shapes: readonly { readonly lines?: string; readonly target?: string; readonly method?: string }[] = [
    { lines: `X-Long: ${'a'.repeat(70_000)}\r\n` },
    { lines: `X-Long: ${'a'.repeat(2_000_000)}\r\n` },
    { lines: `${'X'.repeat(70_000)}: a\r\n` },
    { lines: many(250) },
    { lines: many(6_000) },
    { lines: `Cookie: ${'a=b; '.repeat(20_000)}\r\n` },
    { target: `/${'a'.repeat(20_000)}` },
    { target: `/${'a/'.repeat(40_000)}` },
    { target: `/?${'a=b&'.repeat(40_000)}` },
    { method: 'A'.repeat(100_000) },
  ]
  for (const shape of shapes) {
    const outcome = await askRaw(stage, front, { held: echo, login, ...shape }).then(outcomeOf, () => 'closed')
    expect(
      ['request_too_large', 'request_malformed', 'closed'],
      `${JSON.stringify(shape).slice(0, 60)}: ${outcome}`,
    ).toContain(outcome)
  }
  expect(upstream.received().length).toBe(before)
})

attack('P13', 'a head without end', textFronts, async (front) => {
  const wire = await stage.open(front.door, echo.host, login)
  wire.socket.on('error', () => undefined)
  wire.write(
    `GET ${front.door === 'base-url' ? '/s/echo/' : front.door === 'absolute' ? `http://${echo.host}/` : '/'} HTTP/1.1\r\n`,
  )
  let written = 0
  // Until the gateway has had enough: it reads no more than a head may hold, and what its sockets buffer.
  while (!wire.socket.destroyed && wire.socket.writable && written < 64 * 1024 * 1024) {
    const more = `X-${written}: ${'a'.repeat(8_000)}\r\n`
    written += more.length
    if (!wire.socket.write(more))
      await Promise.race([new Promise((done) => wire.socket.once('drain', done)), wire.closed])
  }
  await wire.closed
  expect(written).toBeLessThan(16 * 1024 * 1024)
  wire.close()
})

attack('P13', 'only a request that is let through is told to go on', textFronts, async (front) => {
  const lines = 'Expect: 100-continue\r\nContent-Length: 5\r\n'
  const wire = await stage.open(front.door, echo.host, login)
  wire.write(rawRequest(stage, front, { held: echo, login, method: 'POST', target: '/closed/x', lines }))
  const refused = await wire.head()
  expect(refused.status).toBe(403)
  wire.close()
  const second = await stage.open(front.door, echo.host, login)
  second.write(rawRequest(stage, front, { held: echo, login, method: 'POST', target: '/open', lines }))
  expect((await second.head()).status).toBe(100)
  second.write('hello')
  expect(outcomeOf(await second.answer())).toBe('answered 200')
  expect(upstream.got.at(-1)?.body.toString()).toBe('hello')
  second.close()
  for (const expectation of ['200-ok', '100-continue, 100-continue', 'x', '100-continue;q=1']) {
    const answer = await askRaw(stage, front, {
      held: echo,
      login,
      method: 'POST',
      lines: `Expect: ${expectation}\r\nContent-Length: 5\r\n`,
      body: 'hello',
    })
    expect(outcomeOf(answer), expectation).toBe('request_malformed')
  }
})

const none: CodecFront = {
  request: () => undefined,
  connect: () => undefined,
  malformed: (_connection, refusal) => Promise.resolve(refusal),
  preface: () => undefined,
}

/** A connection in memory to Keyward's codec. */
function connection(times: Partial<Http1Times>, front: Partial<CodecFront> = {}) {
  const codec = createHttp1Codec(
    { ...none, ...front },
    { headMilliseconds: 60_000, keepAliveMilliseconds: 60_000, silenceMilliseconds: 60_000, ...times },
  )
  let said = ''
  const wire = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _coding, done) {
      said += chunk.toString('latin1')
      done()
    },
  })
  wire.on('error', () => undefined)
  const closed = new Promise<void>((done) => {
    wire.once('close', () => done())
    wire.once('finish', () => done())
  })
  codec.serve({ stream: wire, peer: '', remote: nowhere, tunnel: null })
  return { wire, closed, said: () => said, end: () => (wire.destroy(), codec.close()) }
}

attack('P13', 'a head that drips in is cut off, however steadily it drips', inside, async () => {
  const { wire, closed, said, end } = connection({ headMilliseconds: 200 })
  const drip = setInterval(() => void (wire.destroyed || wire.push('X')), 10)
  wire.push('GET / HTTP/1.1\r\nX-Slow: ')
  await closed
  clearInterval(drip)
  expect(said()).toContain('request_timeout')
  end()
})

attack('P13', 'a connection that says nothing is closed, and so is one that stops within a body', inside, async () => {
  const idle = connection({ keepAliveMilliseconds: 100, headMilliseconds: 400 })
  await idle.closed
  expect(idle.said()).toBe('')
  idle.end()
  const stuck = connection(
    { silenceMilliseconds: 200, headMilliseconds: 400 },
    { request: (_arrival, body) => body.read({ data: () => undefined, end: () => undefined, fail: () => undefined }) },
  )
  stuck.wire.push('POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhello')
  await stuck.closed
  stuck.end()
})

attack('P13', 'requests that nobody waits for an answer to are not read ahead without measure', inside, async () => {
  let begun = 0
  const { wire, end } = connection({}, { request: () => void (begun += 1) })
  const one = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
  for (let i = 0; i < 100; i++) wire.push(one.repeat(400))
  for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done))
  // One is being answered; the rest stays where it came from, and the sender feels it.
  expect(begun).toBe(1)
  expect(wire.isPaused()).toBe(true)
  expect(wire.readableLength).toBeGreaterThan(500_000)
  end()
})

const h2Fronts = fronts.filter(({ protocol }) => protocol === 'h2')

async function stillServes(front: Front): Promise<void> {
  expect(outcomeOf(await ask(stage, front, { held: echo, login, target: '/after' }))).toBe('answered 200')
}

attack('P13', 'rapid reset: streams that are opened and taken back at once', h2Fronts, async (front) => {
  const wire = await rawH2(stage, front, echo.host, login)
  const before = upstream.received().length
  const since = Date.now()
  const fields = requestFields(stage, {
    door: front.door,
    held: echo,
    login,
    target: '/reset',
    headers: [bearer(login, echo)],
  })
  const cancel = Buffer.from([0, 0, 0, 8])
  const frames: Buffer[] = []
  for (let stream = 1; stream < 2_001; stream += 2)
    frames.push(headersFrames(stream, fields, true), frame(3, 0, stream, cancel))
  wire.write(Buffer.concat(frames))
  await wire.closed
  await stage.journaled({ kind: 'refusal', code: 'connection_flooded', since })
  const arrived = upstream.received().subarray(before).toString('latin1').split(' /reset ').length - 1
  expect(arrived).toBeLessThan(400)
  await stillServes(front)
})

attack('P13', 'a block of headers that never ends', h2Fronts, async (front) => {
  for (const [size, count] of [
    [1_000, 1_000],
    [0, 10_000],
    [1, 10_000],
  ] as const) {
    const wire = await rawH2(stage, front, echo.host, login)
    const since = Date.now()
    const before = upstream.received().length
    const pieces = [frame(1, 1, 1, Buffer.alloc(10))]
    for (let i = 0; i < count; i++) pieces.push(frame(9, 0, 1, Buffer.alloc(size)))
    wire.write(Buffer.concat(pieces))
    await wire.closed
    await stage.journaled({ kind: 'refusal', code: 'request_too_large', since })
    expect(upstream.received().length).toBe(before)
  }
  await stillServes(front)
})

attack('P13', 'frames that ask for work and carry nothing', h2Fronts, async (front) => {
  for (const [type, payload] of [
    [6, Buffer.alloc(8)],
    [4, Buffer.alloc(0)],
    [2, Buffer.from([0, 0, 0, 3, 1])],
    [8, Buffer.from([0, 0, 0, 1])],
    [99, Buffer.alloc(0)],
  ] as const) {
    const wire = await rawH2(stage, front, echo.host, login)
    const since = Date.now()
    wire.write(Buffer.concat(Array.from({ length: 5_000 }, () => frame(type, 0, type === 2 ? 1 : 0, payload))))
    await wire.closed
    // The connection ends before its entry is on disk.
    await stage.journaled({ kind: 'refusal', since })
    const codes = (await stage.entries({ kind: 'refusal', since })).map(({ event }) => event['code'])
    expect(
      codes.includes('connection_flooded') || codes.includes('request_malformed'),
      `type ${type}: ${codes.join()}`,
    ).toBe(true)
  }
  await stillServes(front)
})

attack('P13', 'a block of headers larger than is read', h2Fronts, async (front) => {
  const before = upstream.received().length
  for (const headers of [
    [['x-long', 'a'.repeat(70_000)] as const],
    Array.from({ length: 300 }, (_, i) => [`x-${i}`, 'a'] as const),
  ]) {
    const outcome = await ask(stage, front, { held: echo, login, headers: [bearer(login, echo), ...headers] }).then(
      outcomeOf,
      () => 'reset',
    )
    expect(['request_too_large', 'reset']).toContain(outcome)
  }
  expect(upstream.received().length).toBe(before)
  await stillServes(front)
})

attack('P13', 'a service whose head never ends, or that informs without end', fronts, async (front) => {
  for (const [id, first, more] of [
    ['endless', 'HTTP/1.1 200 OK\r\n', `X-Long: ${'a'.repeat(8_000)}\r\n`],
    ['informing', '', 'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n'],
  ] as const) {
    const broken = await startRawUpstream((socket) => {
      socket.once('data', () => {
        socket.write(first + more.repeat(20))
        const timer = setInterval(
          () => void (socket.destroyed ? clearInterval(timer) : socket.write(more.repeat(10))),
          1,
        )
        socket.once('close', () => clearInterval(timer))
      })
    })
    const held = await stage.hold({ id: `${id}-${front.name.replace(' ', '-')}`, endpoint: broken.origin })
    const who = await stage.login('triage')
    const outcome = outcomeOf(await ask(stage, front, { held, login: who }))
    expect(outcome, id).toBe('upstream_broken')
    await broken.close()
  }
})
