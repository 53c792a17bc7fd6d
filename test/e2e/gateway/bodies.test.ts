import { createHash, randomBytes } from 'node:crypto'
import { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eventually, openStage, type Stage } from './harness.ts'
import { codeOf, doors, requestBytes, type Ask, type Door, type Held, type Login } from './requests.ts'
import { always, startRawUpstream, startUpstream, type Handler, type Upstream } from './upstream.ts'
import { header, type Answer, type Wire } from './wire.ts'

/** Bytes go both ways at the pace of the slower side, as they come, and end when either side does. */

const MEGABYTE = 1_048_576
/** What sockets of the machine may hold on one way, above which somebody is gathering. */
const IN_FLIGHT_MAXIMUM = 24 * MEGABYTE

let stage: Stage
/** Waits for a silent service less long than anybody should. */
let impatient: Stage
let upstream: Upstream
let early: Upstream
let echo: Held
let eager: Held
let login: Login
let handler: Handler = always(200, {}, '')
let earlyHandler: Handler = always(200, {}, '')
const extra: Upstream[] = []

beforeAll(async () => {
  stage = await openStage()
  impatient = await openStage({ upstreamTimeouts: { headersTimeoutMilliseconds: 400, bodyTimeoutMilliseconds: 400 } })
  upstream = await startUpstream((request, response, got) => handler(request, response, got))
  early = await startUpstream((request, response, got) => earlyHandler(request, response, got), { early: true })
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  eager = await stage.hold({ id: 'eager', endpoint: early.origin })
  login = await stage.login('triage')
})

afterEach(async () => {
  for (const one of extra.splice(0)) await one.close()
})

afterAll(async () => {
  await stage.close()
  await impatient.close()
  await upstream.close()
  await early.close()
})

const ask = (door: Door, held: Held, rest: Partial<Ask> = {}): Ask => ({
  door,
  held,
  login,
  headers: [['Authorization', `Bearer ${login.placeholder(held)}`]],
  ...rest,
})

async function begin(door: Door, held: Held, rest: Partial<Ask> = {}): Promise<Wire> {
  const wire = await stage.open(door, held.host, login)
  wire.write(requestBytes(stage, ask(door, held, rest)))
  return wire
}

let names = 0
async function raw(talk: Parameters<typeof startRawUpstream>[0], on = stage): Promise<Held> {
  const one = await startRawUpstream(talk)
  extra.push(one)
  const held = await on.hold({ id: `raw-${names++}`, endpoint: one.origin })
  if (on === stage) login = await on.login('triage')
  return held
}

async function askImpatient(door: Door, held: Held): Promise<Answer> {
  const who = await impatient.login('triage')
  return impatient.request({ door, held, login: who, headers: [['Authorization', `Bearer ${who.placeholder(held)}`]] })
}

describe.each(doors)('%s', (door) => {
  test('events arrive one by one, each before the next is sent', async () => {
    let next: () => void = () => undefined
    handler = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      let count = 0
      next = () => {
        count += 1
        response.write(`data: ${count}\n\n`)
        if (count === 5) response.end()
      }
      next()
    }
    const wire = await begin(door, echo)
    const head = await wire.head()
    expect(head.status).toBe(200)
    expect(header(head, 'content-length')).toBeUndefined()
    for (let count = 1; count <= 5; count++) {
      let text = ''
      while (!text.includes(`data: ${count}\n\n`)) text += String(await wire.more())
      expect(text).not.toContain(`data: ${count + 1}`)
      next()
    }
    wire.close()
  })

  test('a large answer is whole', async () => {
    const body = randomBytes(8 * MEGABYTE)
    handler = always(200, { 'content-type': 'application/octet-stream' }, body)
    const answer = await stage.request(ask(door, echo))
    expect(answer.whole).toBe(true)
    expect(createHash('sha256').update(answer.body).digest('hex')).toBe(createHash('sha256').update(body).digest('hex'))
  })

  test.each(['with its length', 'in chunks'])('a large request arrives whole, %s', async (way) => {
    const body = randomBytes(4 * MEGABYTE)
    handler = always(200, {}, 'ok')
    const wire = await stage.open(door, echo.host, login)
    const headers = [
      ['Authorization', `Bearer ${login.placeholder(echo)}`],
      way === 'in chunks' ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', String(body.length)],
    ] as [string, string][]
    wire.write(requestBytes(stage, { door, held: echo, login, method: 'POST', headers }))
    for (let at = 0; at < body.length; at += 100_000) {
      const piece = body.subarray(at, at + 100_000)
      if (way === 'in chunks')
        wire.write(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]))
      else wire.write(piece)
    }
    if (way === 'in chunks') wire.write('0\r\nX-Trailer: a\r\n\r\n')
    expect((await wire.answer()).status).toBe(200)
    wire.close()
    const got = upstream.got.at(-1)
    expect(got?.body.equals(body)).toBe(true)
    expect(got?.headers['content-length']).toBe(way === 'in chunks' ? undefined : String(body.length))
  })

  test('a reader who does not read holds the service back', async () => {
    let written = 0
    let done = false
    handler = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' })
      const piece = randomBytes(MEGABYTE)
      const write = (): void => {
        while (written < 128 * MEGABYTE) {
          written += piece.length
          if (!response.write(piece)) return void response.once('drain', write)
        }
        done = true
        response.end()
      }
      write()
    }
    const wire = await begin(door, echo)
    await wire.head()
    wire.socket.pause()
    await settled(() => written)
    expect(done).toBe(false)
    expect(written).toBeLessThan(IN_FLIGHT_MAXIMUM)
    // Once it reads again, everything flows again.
    const before = written
    wire.socket.resume()
    await eventually(() => written > before + 4 * MEGABYTE)
    wire.close()
  })

  test('a service that does not read holds the agent back', async () => {
    let paused = false
    earlyHandler = (request) => {
      request.pause()
      paused = true
    }
    const wire = await stage.open(door, eager.host, login)
    wire.write(
      requestBytes(stage, {
        ...ask(door, eager, { method: 'POST' }),
        headers: [
          ['Authorization', `Bearer ${login.placeholder(eager)}`],
          ['Content-Length', String(256 * MEGABYTE)],
        ],
      }),
    )
    let written = 0
    const piece = Buffer.alloc(MEGABYTE)
    const write = (): void => {
      while (written < 256 * MEGABYTE && wire.socket.writable) {
        written += piece.length
        if (!wire.socket.write(piece)) return void wire.socket.once('drain', write)
      }
    }
    write()
    await eventually(() => paused)
    await settled(() => written)
    expect(written).toBeLessThan(IN_FLIGHT_MAXIMUM)
    wire.close()
  })

  test('100-continue is answered, and the expectation goes no further', async () => {
    handler = always(200, {}, 'ok')
    const wire = await stage.open(door, echo.host, login)
    wire.write(
      requestBytes(stage, {
        ...ask(door, echo, { method: 'POST' }),
        headers: [
          ['Authorization', `Bearer ${login.placeholder(echo)}`],
          ['Expect', '100-continue'],
          ['Content-Length', '4'],
        ],
      }),
    )
    expect((await wire.head()).status).toBe(100)
    wire.write('body')
    expect((await wire.answer()).status).toBe(200)
    expect(upstream.got.at(-1)?.headers.expect).toBeUndefined()
    expect(upstream.got.at(-1)?.body.toString()).toBe('body')
    wire.close()
  })

  test('another expectation is refused', async () => {
    expect(codeOf(await stage.request({ ...ask(door, echo), headers: [['Expect', 'miracles']] }))).toBe(
      'request_malformed',
    )
  })

  test('an agent that goes away takes its request with it, before the answer and during it', async () => {
    let gone = 0
    handler = (_request, response) => void response.on('close', () => (gone += 1))
    const count = upstream.got.length
    const waiting = await begin(door, echo)
    await eventually(() => upstream.got.length === count + 1)
    waiting.close()
    await eventually(() => gone === 1)
    handler = (_request, response) => {
      response.on('close', () => (gone += 1))
      response.write('something')
    }
    const reading = await begin(door, echo)
    await reading.head()
    reading.close()
    await eventually(() => gone === 2)
    expect((await stage.journaled({ kind: 'outcome', text: 'aborted' })).event).toMatchObject({
      agent: 'triage',
      outcome: 'aborted',
    })
  })

  test('an agent that goes away in the middle of its upload', async () => {
    let broken = 0
    earlyHandler = (request) => {
      request.on('error', () => (broken += 1))
      request.resume()
    }
    const wire = await begin(door, eager, {
      method: 'POST',
      headers: [
        ['Authorization', `Bearer ${login.placeholder(eager)}`],
        ['Content-Length', '100000'],
      ],
    })
    wire.write('half')
    await eventually(() => early.received().toString('latin1').endsWith('half'))
    wire.close()
    await eventually(() => broken === 1)
    expect(stage.errors).toEqual([])
  })

  test('a small body that never came whole is not sent, and the journal says that the agent went away', async () => {
    const before = early.received().byteLength
    const headers = [
      ['Authorization', `Bearer ${login.placeholder(eager)}`],
      ['Content-Length', '1000'],
    ] as const
    const wire = await begin(door, eager, { method: 'POST', target: '/never', headers })
    wire.write('half')
    await stage.journaled({ kind: 'intent', text: '/never' })
    wire.close()
    const { exchange } = (await stage.journaled({ kind: 'intent', text: '/never' })).event
    expect((await stage.journaled({ kind: 'outcome', text: String(exchange) })).event).toMatchObject({
      agent: 'triage',
      outcome: 'aborted',
      bytesUp: 0,
    })
    expect(early.received().byteLength).toBe(before)
    expect(stage.errors).toEqual([])
  })

  test('a refusal reaches an agent that is still uploading', async () => {
    const denied = await stage.hold({ id: `denied-${door}`, endpoint: upstream.origin, allow: ['GET /nothing'] })
    login = await stage.login('triage')
    const wire = await stage.open(door, denied.host, login)
    wire.write(
      requestBytes(stage, {
        door,
        held: denied,
        login,
        method: 'POST',
        headers: [
          ['Authorization', `Bearer ${login.placeholder(denied)}`],
          ['Content-Length', String(2 * MEGABYTE)],
        ],
      }),
    )
    wire.write(Buffer.alloc(2 * MEGABYTE))
    expect(codeOf(await wire.answer())).toBe('operation_not_allowed')
    wire.close()
  })

  test('an early answer reaches an agent that is still uploading', async () => {
    earlyHandler = (_request, response) => {
      response.writeHead(413, { 'content-type': 'text/plain', 'content-length': '9' })
      response.end('too large')
    }
    const wire = await begin(door, eager, {
      method: 'POST',
      headers: [
        ['Authorization', `Bearer ${login.placeholder(eager)}`],
        ['Content-Length', String(2 * MEGABYTE)],
      ],
    })
    wire.write(Buffer.alloc(10_000))
    const answer = await wire.answer()
    expect([answer.status, answer.body.toString()]).toEqual([413, 'too large'])
    wire.close()
  })

  test('nonsense in the middle of an answer ends it, and is never mixed into it', async () => {
    handler = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: first\n\n')
    }
    const wire = await begin(door, echo)
    expect((await wire.head()).status).toBe(200)
    wire.write('nonsense\r\n\r\n')
    let rest = ''
    for (let piece = await wire.more(); piece !== null; piece = await wire.more()) rest += piece.toString()
    expect(rest).not.toContain('HTTP/1.1')
    expect(rest).not.toContain('request_malformed')
  })

  test('connections are kept, one for many requests, on both sides', async () => {
    handler = always(200, {}, 'ok')
    const wire = await stage.open(door, echo.host, login)
    for (let count = 0; count < 20; count++) {
      wire.write(requestBytes(stage, ask(door, echo, { target: `/${count}` })))
      expect((await wire.answer()).status).toBe(200)
    }
    expect(upstream.open).toBeLessThanOrEqual(4)
    wire.close()
  })
})

describe.each(doors)('%s: a service that fails', (door) => {
  test('is not there', async () => {
    const gone = await startUpstream(always(200, {}, ''))
    const held = await stage.hold({ id: `gone-${door}`, endpoint: gone.origin })
    await gone.close()
    login = await stage.login('triage')
    const answer = await stage.request(ask(door, held))
    expect({ code: codeOf(answer), status: answer.status }).toEqual({ code: 'upstream_unreachable', status: 502 })
    expect((await stage.journaled({ kind: 'outcome', code: 'upstream_unreachable' })).event).toMatchObject({
      agent: 'triage',
      outcome: 'refused',
    })
  })

  test('says nothing', async () => {
    const held = await raw((socket) => socket.resume(), impatient)
    const answer = await askImpatient(door, held)
    expect({ code: codeOf(answer), status: answer.status }).toEqual({ code: 'upstream_timeout', status: 504 })
  })

  test('falls silent in the middle', async () => {
    const held = await raw(
      (socket) =>
        socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n')),
      impatient,
    )
    const answer = await askImpatient(door, held)
    expect([answer.status, answer.whole]).toEqual([200, false])
    // The last bytes may be the beginning of a secret, and stay behind.
    expect('hello'.startsWith(answer.body.toString())).toBe(true)
  })

  test.each([
    ['closes at once', ''],
    ['closes within the head', 'HTTP/1.1 200 OK\r\ncontent-le'],
    ['speaks something else', 'SSH-2.0-OpenSSH_9.9\r\n'],
    [
      'answers with an unasked upgrade',
      'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nraw',
    ],
    ['gives two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc'],
    ['folds a header', 'HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 0\r\n\r\n'],
    ['sends a small part of what it announced', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc'],
    ['has a head larger than is read', `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(70_000)}\r\n\r\n`],
  ])('%s', async (_name, bytes) => {
    const held = await raw((socket) => socket.once('data', () => socket.end(bytes)))
    const answer = await stage.request(ask(door, held))
    expect({ code: codeOf(answer), status: answer.status }).toEqual({ code: 'upstream_broken', status: 502 })
  })

  test.each([
    ['within the chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['before the announced length', `HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhello`],
    ['with a broken chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n', 'zz\r\n'],
  ])('breaks off after the answer has begun: %s', async (_name, bytes, later = '') => {
    const brokenAnswers = async () =>
      (await stage.entries({ kind: 'outcome', code: 'upstream_broken' })).filter(
        ({ event }) => event['outcome'] === 'broken' && event['status'] === 200,
      ).length
    const before = await brokenAnswers()
    const held = await raw((socket) =>
      socket.once('data', () => void (socket.write(bytes), setTimeout(() => socket.end(later), 20))),
    )
    const answer = await stage.request(ask(door, held))
    expect([answer.status, answer.whole]).toEqual([200, false])
    // Earlier services were refused with the same code, so this one is told by its outcome.
    await expect.poll(brokenAnswers).toBe(before + 1)
  })

  test('sends more than it announced: the rest is nobody’s answer', async () => {
    const held = await raw((socket) =>
      socket.on('data', () =>
        socket.write(
          'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged',
        ),
      ),
    )
    const wire = await stage.open(door, held.host, login)
    for (const _ of [1, 2, 3]) {
      wire.write(requestBytes(stage, ask(door, held)))
      const answer = await wire.answer()
      if (answer.status === 200) expect(answer.body.toString()).toBe('ok')
      else expect(codeOf(answer)).toBe('upstream_broken')
    }
    wire.close()
  })
})

/** Waits until a count has stood still for a while. */
async function settled(count: () => number): Promise<void> {
  let last = -1
  while (last !== count()) {
    last = count()
    await new Promise((done) => setTimeout(done, 250))
  }
}

test('agents that go away at once, before anything was sent, hold nothing at the service', async () => {
  handler = () => undefined
  const before = stage.app.inflight.size
  const bytes = requestBytes(stage, ask('base-url', echo))
  for (let i = 0; i < 60; i++) {
    const wire = await stage.dial()
    if (!(wire.socket instanceof Socket)) throw new Error('not a socket')
    const { socket } = wire
    const pipelined = i % 3 === 0 ? Buffer.concat([Buffer.from(bytes), Buffer.from(bytes)]) : bytes
    socket.write(pipelined, () => socket.resetAndDestroy())
  }
  await eventually(() => stage.app.inflight.size <= before)
})
