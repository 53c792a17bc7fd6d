import { expect } from 'vitest'
import { codeOf, requestBytes, requestFields } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import type { Wire } from '../e2e/gateway/wire.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces, type Placed } from './place.ts'

/** Streams where `/stream` is asked for, and tells how many of its streams were let go. */
let released = 0
const places = usePlaces((_request, response, { target }) => {
  if (target !== '/stream') return void response.end('ok')
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const timer = setInterval(() => response.write('data: tick\n\n'), 10)
  response.on('close', () => {
    clearInterval(timer)
    released += 1
  })
})

const WITHIN_MILLISECONDS = 1_000
const app = () => places.stage.app

interface Change {
  readonly name: string
  /** What the next request in the tunnel is told; null: the tunnel itself is gone. */
  readonly code: string | null
  make(where: Placed): Promise<void>
}

function redefined(where: Placed, change: object): Promise<void> {
  const definition = { ...app().services.get(where.held.id), ...change }
  return app().records.commit([{ table: 'service', id: where.held.id, body: { definition, createdAt: 1 } }], {
    actor: 'test',
    action: 'service.set',
  })
}

const changes: readonly Change[] = [
  { name: 'the grant removed', code: 'grant_missing', make: ({ held }) => app().grants.remove(held.grantId, 'test') },
  {
    name: 'the credential suspended',
    code: 'credential_suspended',
    make: ({ held }) => app().credentials.suspend(held.credentialId, 'test'),
  },
  { name: 'the session revoked', code: null, make: ({ login }) => app().sessions.revoke(login.id, 'test') },
  { name: 'the agent suspended', code: null, make: ({ held }) => app().agents.suspend(held.agentId, 'test') },
  {
    name: 'an operation of the service sealed',
    code: 'operation_sealed',
    make: (where) => redefined(where, { sealed: ['* /**'] }),
  },
]

const bytes = (where: Placed, target: string): Buffer =>
  requestBytes(places.stage, {
    door: 'tunnel',
    held: where.held,
    login: where.login,
    target,
    headers: [['Authorization', `Bearer ${where.login.placeholder(where.held)}`]],
  })

async function endsInTime(wire: Wire): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((done) => (timer = setTimeout(() => done(false), WITHIN_MILLISECONDS)))
  const ended = await Promise.race([wire.closed.then(() => true as const), late])
  clearTimeout(timer)
  return ended
}

const ofTunnels = fronts.filter(({ door }) => door === 'tunnel')
const tunnels = ofTunnels.filter(({ protocol }) => protocol === 'http/1.1')
const h2Tunnels = ofTunnels.filter(({ protocol }) => protocol === 'h2')

for (const { name, code, make } of changes) {
  attack('S14', `${name}: what streams ends, and the next request in the tunnel is judged anew`, tunnels, async () => {
    const where = await places.place()
    const idle = await places.stage.open('tunnel', where.held.host, where.login)
    idle.write(bytes(where, '/before'))
    expect((await idle.answer()).status).toBe(200)
    const streaming = await places.stage.open('tunnel', where.held.host, where.login)
    streaming.write(bytes(where, '/stream'))
    expect((await streaming.head()).status).toBe(200)
    await streaming.more()
    const before = released
    await make(where)
    expect(await endsInTime(streaming)).toBe(true)
    await expect.poll(() => released).toBe(before + 1)

    const arrived = places.upstream.received().length
    if (code === null) expect(await endsInTime(idle)).toBe(true)
    else {
      idle.write(bytes(where, '/after'))
      expect(codeOf(await idle.answer())).toBe(code)
    }
    expect(places.upstream.received().length).toBe(arrived)
  })
}

const ask = (where: Placed, target: string) =>
  requestFields(places.stage, {
    door: 'tunnel',
    held: where.held,
    login: where.login,
    target,
    headers: [['Authorization', `Bearer ${where.login.placeholder(where.held)}`]],
  })

for (const { name, code, make } of changes) {
  attack('S14', `${name}: streams end, and the next one on their connection is judged anew`, h2Tunnels, async () => {
    const where = await places.place()
    const wire = await places.stage.openH2('tunnel', where.held.host, where.login)
    expect((await wire.request(ask(where, '/before'))).status).toBe(200)
    const stream = wire.stream(ask(where, '/stream'))
    const closed = new Promise<number>((done) => stream.once('close', () => done(performance.now())))
    stream.on('error', () => undefined)
    stream.resume()
    await new Promise<void>((done) => stream.once('response', () => done()))
    const before = released
    const startedAt = performance.now()
    await make(where)
    expect((await closed) - startedAt).toBeLessThan(WITHIN_MILLISECONDS)
    await expect.poll(() => released).toBe(before + 1)

    const arrived = places.upstream.received().length
    if (code === null) await wire.closed
    else expect(codeOf(await wire.request(ask(where, '/after')))).toBe(code)
    expect(places.upstream.received().length).toBe(arrived)
  })
}

attack(
  'S14',
  'the service moved to another place: the old one gets nothing more through the open tunnel',
  tunnels,
  async () => {
    const where = await places.place()
    const idle = await places.stage.open('tunnel', where.held.host, where.login)
    idle.write(bytes(where, '/before'))
    expect((await idle.answer()).status).toBe(200)
    const moved: Upstream = await startUpstream(always(200, {}, 'moved'))
    try {
      await redefined(where, { endpoint: moved.origin })
      const arrived = places.upstream.received().length
      idle.write(bytes(where, '/after'))
      expect((await idle.answer()).body.toString()).toBe('moved')
      expect(places.upstream.received().length).toBe(arrived)
      expect(moved.got[0]?.headers.authorization).toBe(`Bearer ${where.held.secret()}`)
    } finally {
      await moved.close()
    }
  },
)

attack('S14', 'the host struck from the service: its tunnel carries no credential any more', tunnels, async () => {
  const where = await places.place({ environment: 'prod' })
  const idle = await places.stage.open('tunnel', where.held.host, where.login)
  idle.write(bytes(where, '/before'))
  expect((await idle.answer()).status).toBe(200)
  await redefined(where, { hosts: ['elsewhere.example.test'] })
  const arrived = places.upstream.received().length
  idle.write(bytes(where, '/after'))
  expect(codeOf(await idle.answer())).toBe('host_not_listed')
  expect(places.upstream.received().length).toBe(arrived)
})

attack('S14', 'an environment closed: tunnels to hosts without a service end', tunnels, async () => {
  const where = await places.place()
  const wire = await places.stage.dial()
  wire.write(
    `CONNECT outside.example.net:80 HTTP/1.1\r\nHost: outside.example.net:80\r\nProxy-Authorization: Bearer ${where.login.token}\r\n\r\n`,
  )
  expect((await wire.head()).status).toBe(200)
  await app().environments.setEgress('dev', 'deny', 'test')
  expect(await endsInTime(wire)).toBe(true)
  await app().environments.setEgress('dev', 'open', 'test')
})
