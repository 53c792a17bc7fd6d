import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStage, type Stage } from './harness.ts'
import { codeOf, connectHead, doors, requestBytes, type Door, type Held, type Login } from './requests.ts'
import { startUpstream, type Upstream } from './upstream.ts'
import type { Wire } from './wire.ts'

/** Promise 8: what is taken away ends at once, also where it is already under way. */

const WITHIN_MILLISECONDS = 1_000

let stage: Stage
let upstream: Upstream
let closedUpstream = 0

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((_request, response, got) => {
    if (got.target !== '/stream') return void response.end('ok')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => response.write('data: tick\n\n'), 10)
    response.on('close', () => {
      clearInterval(timer)
      closedUpstream += 1
    })
  })
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

interface Way {
  readonly name: string
  readonly code: string
  /** Takes away what `undo` gives back, where that is possible. */
  take(held: Held, login: Login): Promise<void>
  readonly undo: ((held: Held, login: Login) => Promise<void>) | null
  /** Whether the tunnel itself ends too; a credential is not the tunnel’s. */
  readonly endsTunnel: boolean
}

const ways: readonly Way[] = [
  {
    name: 'a session suspended',
    code: 'session_suspended',
    take: (_held, login) => stage.app.sessions.suspend(login.id, 'test'),
    undo: (_held, login) => stage.app.sessions.resume(login.id, 'test'),
    endsTunnel: true,
  },
  {
    name: 'a session revoked',
    code: 'session_revoked',
    take: (_held, login) => stage.app.sessions.revoke(login.id, 'test'),
    undo: null,
    endsTunnel: true,
  },
  {
    name: 'an agent suspended',
    code: 'agent_suspended',
    take: (held) => stage.app.agents.suspend(held.agentId, 'test'),
    undo: (held) => stage.app.agents.resume(held.agentId, 'test'),
    endsTunnel: true,
  },
  {
    name: 'a credential suspended',
    code: 'credential_suspended',
    take: (held) => stage.app.credentials.suspend(held.credentialId, 'test'),
    undo: (held) => stage.app.credentials.resume(held.credentialId, 'test'),
    endsTunnel: false,
  },
  {
    name: 'a grant removed',
    code: 'grant_missing',
    take: (held) => stage.app.grants.remove(held.grantId, 'test'),
    undo: null,
    endsTunnel: false,
  },
]

let count = 0
async function place(): Promise<{ held: Held; login: Login }> {
  count += 1
  const held = await stage.hold({ id: `place-${count}`, endpoint: upstream.origin, agent: `agent-${count}` })
  return { held, login: await stage.login(`agent-${count}`) }
}

const bytes = (door: Door, held: Held, login: Login, target: string) =>
  requestBytes(stage, { door, held, login, target, headers: [['Authorization', `Bearer ${login.placeholder(held)}`]] })

async function endedWithin(wire: Wire, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((done) => (timer = setTimeout(() => done(false), milliseconds)))
  const ended = await Promise.race([wire.closed.then(() => true as const), late])
  clearTimeout(timer)
  return ended
}

describe.each(doors)('%s', (door) => {
  test.each(ways)('$name ends a stream and refuses what comes after', async ({ code, take, undo }) => {
    const { held, login } = await place()
    const wire = await stage.open(door, held.host, login)
    wire.write(bytes(door, held, login, '/stream'))
    expect((await wire.head()).status).toBe(200)
    await wire.more()
    const before = closedUpstream
    await take(held, login)
    expect(await endedWithin(wire, WITHIN_MILLISECONDS)).toBe(true)
    await expect.poll(() => closedUpstream).toBe(before + 1)
    expect((await stage.journaled({ kind: 'outcome', agent: `agent-${count}`, text: 'ended' })).event).toMatchObject({
      outcome: 'ended',
      status: 200,
    })

    const reached = upstream.received().length
    const after = async (): Promise<string> => {
      if (door !== 'tunnel' || !['session_suspended', 'session_revoked', 'agent_suspended'].includes(code))
        return codeOf(
          await stage.request({ door, held, login, headers: [['Authorization', `Bearer ${login.placeholder(held)}`]] }),
        )
      const fresh = await stage.dial()
      fresh.write(connectHead(`${held.host}:443`, login.token))
      return codeOf(await fresh.answer())
    }
    expect(await after()).toBe(code)
    expect(upstream.received().length).toBe(reached)
    if (undo === null) return
    await undo(held, login)
    expect(
      (await stage.request({ door, held, login, headers: [['Authorization', `Bearer ${login.placeholder(held)}`]] }))
        .status,
    ).toBe(200)
  })
})

test.each(ways.filter(({ endsTunnel }) => endsTunnel))('$name ends an idle tunnel', async ({ take }) => {
  const { held, login } = await place()
  const wire = await stage.open('tunnel', held.host, login)
  wire.write(bytes('tunnel', held, login, '/'))
  expect((await wire.answer()).status).toBe(200)
  await take(held, login)
  expect(await endedWithin(wire, WITHIN_MILLISECONDS)).toBe(true)
})

test.each(ways.filter(({ endsTunnel }) => !endsTunnel))(
  '$name refuses the next request in an open tunnel',
  async ({ take, code }) => {
    const { held, login } = await place()
    const wire = await stage.open('tunnel', held.host, login)
    wire.write(bytes('tunnel', held, login, '/'))
    expect((await wire.answer()).status).toBe(200)
    await take(held, login)
    wire.write(bytes('tunnel', held, login, '/'))
    expect(codeOf(await wire.answer())).toBe(code)
  },
)

test('a session whose time is over ends its streams and its tunnels', async () => {
  const { held, login } = await place()
  const stream = await stage.open('base-url', held.host, login)
  stream.write(bytes('base-url', held, login, '/stream'))
  await stream.head()
  const tunnel = await stage.open('tunnel', held.host, login)
  stage.advance(3_601_000)
  // The sweep that runs each second finds it.
  expect(await endedWithin(stream, 2_500)).toBe(true)
  expect(await endedWithin(tunnel, WITHIN_MILLISECONDS)).toBe(true)
  expect(
    codeOf(
      await stage.request({
        door: 'base-url',
        held,
        login,
        headers: [['Authorization', `Bearer ${login.placeholder(held)}`]],
      }),
    ),
  ).toBe('session_expired')
  expect(codeOf(await stage.request({ door: 'absolute', held, login }))).toBe('session_expired')
})
