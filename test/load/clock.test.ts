import { connect as connectTls } from 'node:tls'
import { Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { verifyJournal } from '../../src/journal/verify.ts'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { codeOf, connectHead, requestBytes, type Held, type Login } from '../e2e/gateway/requests.ts'
import { startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'

/** A clock that jumps, forward and back: what time bounds is never lengthened by it, and nothing stands still. */

const MINUTE = 60_000
const HOUR = 60 * MINUTE

let stage: Stage
let upstream: Upstream

beforeEach(async () => {
  stage = await openStage()
  upstream = await startUpstream((_request, response, { target }) => {
    if (target !== '/stream') return void response.end('ok')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => response.write('data: tick\n\n'), 10)
    response.on('close', () => clearInterval(timer))
  })
})
afterEach(async () => {
  await stage.close()
  await upstream.close()
})

const ask = (held: Held, login: Login, target = '/') =>
  stage.request({
    door: 'base-url',
    held,
    login,
    target,
    headers: [['Authorization', `Bearer ${login.placeholder(held)}`]],
  })
const place = async (limits: object = {}, expiresAt?: number) => {
  const held = await stage.hold({
    id: 'place',
    endpoint: upstream.origin,
    limits,
    ...(expiresAt === undefined ? {} : { expiresAt }),
  })
  return { held, login: await stage.login('triage') }
}

test('forward past its end a session is over, and no step back brings it to life again', async () => {
  const { held, login } = await place()
  const tunnel = await stage.open('tunnel', held.host, login)
  expect((await ask(held, login)).status).toBe(200)
  stage.advance(HOUR + MINUTE)
  expect(codeOf(await ask(held, login))).toBe('session_expired')
  stage.advance(-2 * HOUR)
  expect(codeOf(await ask(held, login))).toBe('session_expired')
  await tunnel.closed
})

test('back by hours a session lives on, but a jump never adds to what it was given at its end', async () => {
  const { held, login } = await place()
  stage.advance(-6 * HOUR)
  expect((await ask(held, login)).status).toBe(200)
  stage.advance(6 * HOUR + HOUR + MINUTE)
  expect(codeOf(await ask(held, login))).toBe('session_expired')
})

test('a grant that has run out stays so, wherever the clock goes forward', async () => {
  const { held, login } = await place({}, Date.now() + 30 * MINUTE)
  expect((await ask(held, login)).status).toBe(200)
  stage.advance(31 * MINUTE)
  expect(codeOf(await ask(held, login))).toBe('grant_expired')
  stage.advance(10 * MINUTE)
  expect(codeOf(await ask(held, login))).toBe('grant_expired')
})

test('a rate is not refilled by a step back, and is by time that passes', async () => {
  const { held, login } = await place({ rate: { count: 4, perSeconds: 60 } })
  for (let count = 0; count < 4; count += 1) expect((await ask(held, login)).status).toBe(200)
  expect(codeOf(await ask(held, login))).toBe('rate_exceeded')
  // Within its window the clock is taken to stand still: many small steps back win nothing.
  for (let step = 0; step < 5; step += 1) {
    stage.advance(-9_000)
    expect(codeOf(await ask(held, login))).toBe('rate_exceeded')
  }
  stage.advance(45_000 + 2 * MINUTE)
  expect((await ask(held, login)).status).toBe(200)
})

test('a step back by years and forth again blocks nobody for longer than the window', async () => {
  const { held, login } = await place({ rate: { count: 4, perSeconds: 60 } })
  stage.advance(20 * HOUR)
  const later = await stage.login('triage')
  for (let count = 0; count < 4; count += 1) expect((await ask(held, later)).status).toBe(200)
  stage.advance(-20 * HOUR)
  // Further back than the window: its counts say nothing about now.
  expect((await ask(held, login)).status).toBe(200)
})

test('a leaf is good for the clock that its client has too, after a step back by hours', async () => {
  const { held, login } = await place()
  async function leaf(): Promise<X509Certificate> {
    const wire = await stage.dial()
    wire.write(connectHead(`${held.host}:443`, login.token))
    expect((await wire.head()).status).toBe(200)
    const { socket } = wire
    socket.removeAllListeners('data')
    if (!(socket instanceof Socket)) throw new Error('no socket')
    const secure = connectTls({ socket, servername: held.host, rejectUnauthorized: false })
    await new Promise<void>((done, fail) => secure.once('secureConnect', done).once('error', fail))
    const found = secure.getPeerX509Certificate()
    secure.destroy()
    if (found === undefined) throw new Error('no certificate')
    return found
  }
  let now = Date.now()
  const step = (milliseconds: number): void => {
    now += milliseconds
    stage.advance(milliseconds)
  }
  for (const milliseconds of [0, -5 * HOUR, 5 * HOUR, -20 * HOUR]) {
    step(milliseconds)
    const { validFromDate, validToDate } = await leaf()
    expect(validFromDate.getTime(), String(milliseconds)).toBeLessThanOrEqual(now)
    expect(validToDate.getTime(), String(milliseconds)).toBeGreaterThan(now + HOUR)
  }
})

test('requests and streams under way go on, and the journal verifies, through jumps in both directions', async () => {
  const { held, login } = await place()
  const wire = await stage.open('base-url', held.host, login)
  const headers = [['Authorization', `Bearer ${login.placeholder(held)}`]] as const
  wire.write(requestBytes(stage, { door: 'base-url', held, login, target: '/stream', headers }))
  expect((await wire.head()).status).toBe(200)
  for (const jump of [10 * MINUTE, -30 * MINUTE, 25 * MINUTE, -2 * HOUR, 2 * HOUR]) {
    stage.advance(jump)
    expect((await wire.more())?.length).toBeGreaterThan(0)
    expect((await ask(held, login)).status).toBe(200)
  }
  wire.close()
  const { event } = await stage.journaled({ kind: 'outcome', text: 'aborted' })
  expect(Number(event['latencyMilliseconds'])).toBeGreaterThanOrEqual(0)
  await stage.app.journal.checkpoint()
  const { publicKey } = stage.app.vault.journalKey()
  expect(await verifyJournal({ directory: join(stage.app.journalDirectory, 'test'), publicKey })).toMatchObject({
    ok: true,
  })
})
