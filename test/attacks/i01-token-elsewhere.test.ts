import { spawn, type ChildProcess } from 'node:child_process'
import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type LoginOptions, type Stage } from '../e2e/gateway/harness.ts'
import { codeOf, connectHead, requestBytes, requestFields, type Held, type Login } from '../e2e/gateway/requests.ts'
import { startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import type { Answer } from '../e2e/gateway/wire.ts'
import { attack, fronts, type Front } from './attack.ts'
import { boundTo, endRelay, startRelay, type RelayProcess } from './relay-process.ts'

const WITHIN_MILLISECONDS = 1_000

let stage: Stage
let upstream: Upstream
const children: ChildProcess[] = []
const relays: RelayProcess[] = []

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((_request, response, got) => {
    if (got.target !== '/stream') return void response.end('ok')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => response.write('data: tick\n\n'), 10)
    response.on('close', () => clearInterval(timer))
  })
})

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  for (const relay of relays) endRelay(relay)
  await stage.close()
  await upstream.close()
})

let count = 0
async function place(options: LoginOptions): Promise<{ held: Held; login: Login; agent: string }> {
  count += 1
  const agent = `agent-${count}`
  const held = await stage.hold({ id: `place-${count}`, endpoint: upstream.origin, agent })
  return { held, login: await stage.login(agent, options), agent }
}

function sleeper(): ChildProcess {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  children.push(child)
  return child
}

async function relay(under?: string): Promise<RelayProcess> {
  const started = await startRelay(stage.port, under)
  relays.push(started)
  return started
}

/** One request at this front; for a tunnel that is refused, the answer to CONNECT. */
async function ask(front: Front, { held, login }: { held: Held; login: Login }, target = '/'): Promise<Answer> {
  const headers = [['Authorization', `Bearer ${login.placeholder(held)}`]] as const
  if (front.door !== 'tunnel') return stage.request({ ...front, held, login, target, headers })
  const wire = await stage.dial()
  wire.write(connectHead(`${held.host}:443`, login.token))
  const { status } = await wire.head()
  wire.close()
  if (status === 200) return stage.request({ ...front, held, login, target, headers })
  const again = await stage.dial()
  again.write(connectHead(`${held.host}:443`, login.token))
  return again.answer()
}

/** An answer that goes on for as long as somebody reads; gives what resolves when it has been broken off. */
async function openStream(front: Front, { held, login }: { held: Held; login: Login }): Promise<Promise<void>[]> {
  const headers = [['Authorization', `Bearer ${login.placeholder(held)}`]] as const
  const wanted = { ...front, held, login, target: '/stream', headers }
  if (front.protocol === 'h2') {
    const wire = await stage.openH2(front.door, held.host, login)
    const stream = wire.stream(requestFields(stage, wanted), { endStream: true })
    stream.on('error', () => undefined)
    await new Promise((done) => stream.once('data', done))
    return [new Promise<void>((done) => void stream.once('close', () => done()))]
  }
  const wire = await stage.open(front.door, held.host, login)
  wire.write(requestBytes(stage, wanted))
  expect((await wire.head()).status).toBe(200)
  await wire.more()
  return [wire.closed]
}

async function endInTime(endings: readonly Promise<void>[]): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((done) => (timer = setTimeout(() => done(false), WITHIN_MILLISECONDS)))
  const ended = await Promise.race([Promise.all(endings).then(() => true as const), late])
  clearTimeout(timer)
  return ended
}

attack('I1', 'another process than the run’s', fronts, async (front) => {
  const where = await place({ binding: boundTo(sleeper().pid ?? 0) })
  const reached = upstream.received().length
  expect(codeOf(await ask(front, where))).toBe('session_elsewhere')
  expect(upstream.received().length).toBe(reached)
  const { event } = await stage.journaled({ kind: 'refusal', code: 'session_elsewhere', agent: where.agent })
  expect(event).toMatchObject({ bound: 'process', reason: 'process', process: process.pid, session: where.login.id })
  for (const secret of [where.held.secret(), where.login.token, where.login.placeholder(where.held)])
    expect(JSON.stringify(event)).not.toContain(secret)
})

attack('I1', 'the run’s own processes are not taken for others', fronts, async (front) => {
  const through = await relay('"$@" & wait')
  // The shell is what the session is bound to; the relay is its child.
  const where = await place({ binding: boundTo(through.process.pid ?? 0) })
  stage.enterBy(through.port)
  try {
    expect((await ask(front, where)).status).toBe(200)
  } finally {
    stage.enterBy(null)
  }
  expect(codeOf(await ask(front, where))).toBe('session_elsewhere')
  const { event } = await stage.journaled({ kind: 'intent', agent: where.agent })
  expect(event).toMatchObject({ bound: 'process', process: through.processId })
})

attack('I1', 'another address than the one it is bound to', fronts, async (front) => {
  const elsewhere = await place({ binding: { kind: 'address', address: '192.0.2.7' } })
  expect(codeOf(await ask(front, elsewhere))).toBe('session_elsewhere')
  const { event } = await stage.journaled({ kind: 'refusal', code: 'session_elsewhere', agent: elsewhere.agent })
  expect(event).toMatchObject({ bound: 'address', reason: 'address', peer: '127.0.0.1' })
  const here = await place({ binding: { kind: 'address', address: '127.0.0.1' } })
  expect((await ask(front, here)).status).toBe(200)
})

attack('I1', 'after the run has ended', fronts, async (front) => {
  const run = sleeper()
  const where = await place({ binding: boundTo(run.pid ?? 0) })
  run.kill('SIGKILL')
  await new Promise((done) => run.once('exit', done))
  expect(['session_elsewhere', 'session_revoked']).toContain(codeOf(await ask(front, where)))
  await stage.app.sessions.sweep()
  expect(codeOf(await ask(front, where))).toBe('session_revoked')
})

attack('I1', 'after it was revoked', fronts, async (front) => {
  const where = await place({})
  expect((await ask(front, where)).status).toBe(200)
  await stage.app.sessions.revoke(where.login.id, 'test')
  expect(codeOf(await ask(front, where))).toBe('session_revoked')
})

attack('I1', 'in a stream and in a tunnel that were open when it was revoked', fronts, async (front) => {
  const where = await place({})
  const stream = await openStream(front, where)
  const idle = await stage.open('tunnel', where.held.host, where.login)
  await stage.app.sessions.revoke(where.login.id, 'test')
  expect(await endInTime([...stream, idle.closed])).toBe(true)
})

attack('I1', 'in a stream that was open when its run ended, by a program that lives on', fronts, async (front) => {
  const through = await relay('"$@" & wait')
  const run = through.process.pid ?? 0
  const where = await place({ binding: boundTo(run) })
  stage.enterBy(through.port)
  try {
    const stream = await openStream(front, where)
    const gone = new Promise((done) => through.process.once('exit', done))
    process.kill(run, 'SIGKILL')
    await gone
    await stage.app.sessions.sweep()
    expect(await endInTime(stream)).toBe(true)
    expect(codeOf(await ask(front, where))).toBe('session_revoked')
  } finally {
    stage.enterBy(null)
  }
})

// Last: it moves the clock, and every session that was made before is over then.
attack('I1', 'after its time, also when the clock is set back', fronts, async (front) => {
  const where = await place({ ttlSeconds: 15 * 60 })
  const stream = await openStream(front, where)
  stage.advance(15 * 60_000 + 1)
  await stage.app.sessions.sweep()
  stage.advance(-15 * 60_000 - 1)
  expect(await endInTime(stream)).toBe(true)
  expect(codeOf(await ask(front, where))).toBe('session_expired')
})
