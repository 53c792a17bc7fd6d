import { renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { expect, onTestFinished } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { madeUp, openStage } from '../e2e/gateway/harness.ts'
import { codeOf } from '../e2e/gateway/requests.ts'
import { always, startUpstream } from '../e2e/gateway/upstream.ts'
import { makeHome } from './home.ts'
import { attack, fronts, inside } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

attack('S8', 'a credential that is gone is never replaced by what lies around in variables', fronts, async (front) => {
  const where = await places.place()
  const stray = madeUp()
  const names = [
    'PLACE_API_KEY',
    `${where.held.id.toUpperCase().replaceAll('-', '_')}_API_KEY`,
    'API_KEY',
    'AUTHORIZATION',
  ]
  for (const name of names) process.env[name] = stray
  onTestFinished(() => {
    for (const name of names) delete process.env[name]
  })
  await places.stage.app.credentials.remove(where.held.credentialId, 'test', { cascade: true })
  const before = places.upstream.received().length
  const answer = await places.ask(front, where).catch(() => null)
  // Nobody guards the host any more, so a tunnel to it is not opened either.
  if (answer !== null)
    expect(['credential_missing', 'host_refused', 'upstream_unreachable', 'host_not_listed']).toContain(codeOf(answer))
  expect(places.upstream.received().length).toBe(before)
})

attack('S8', 'without its lease a node uses no credential', fronts, async (front) => {
  let held = true
  const stage = await openStage({ lease: { held: () => held } })
  const upstream = await startUpstream(always(200, {}, 'ok'))
  onTestFinished(async () => {
    await stage.close()
    await upstream.close()
  })
  const one = await stage.hold({ id: 'leased', endpoint: upstream.origin })
  const login = await stage.login('triage')
  const ask = () =>
    stage.request({ ...front, held: one, login, headers: [['Authorization', `Bearer ${login.placeholder(one)}`]] })
  expect((await ask()).status).toBe(200)
  held = false
  const before = upstream.received().length
  expect(codeOf(await ask())).toBe('lease_lost')
  expect(upstream.received().length).toBe(before)
  held = true
  expect((await ask()).status).toBe(200)
})

/** What stands beside the database in write-ahead mode goes with it. */
const files = (database: string): string[] => [database, `${database}-wal`]

attack(
  'S8',
  'a database taken away while it serves: no change is acknowledged that would be lost',
  inside,
  async () => {
    const home = makeHome()
    const app = await home.open()
    onTestFinished(async () => {
      await app.close()
      home.remove()
    })
    const fields = { key: Secret.fromText('key', madeUp()) }
    const { id } = await app.credentials.add(
      { name: 'one', environment: 'dev', service: 'openai', fields, owner: null, sensitivity: 'low' },
      'test',
    )
    const agent = await app.agents.add({ name: 'ada', environment: 'dev', owner: null }, 'test')
    const wanted = { agentId: agent.id, ttlSeconds: 3_600, egress: null, binding: { kind: 'unbound' } } as const
    const session = await app.sessions.issue(wanted, 'test')
    for (const gone of [files(home.database), [home.database], [`${home.database}-wal`]]) {
      for (const path of gone) renameSync(path, `${path}.away`)
      const refused = { code: 'store_unreadable' }
      await expect(app.credentials.suspend(id, 'test')).rejects.toMatchObject(refused)
      await expect(app.sessions.issue(wanted, 'test')).rejects.toMatchObject(refused)
      await expect(app.sessions.revoke(session.id, 'test')).rejects.toMatchObject(refused)
      expect(app.records.get('credential', id)?.state).toBe('active')
      // What is known goes on: the same session is still a caller.
      expect(app.sessions.byToken(session.token)).toMatchObject({ sessionId: session.id })
      for (const path of gone) renameSync(`${path}.away`, path)
      await app.credentials.suspend(id, 'test')
      expect(app.records.get('credential', id)?.state).toBe('suspended')
      await app.credentials.resume(id, 'test')
    }
  },
)

attack('S8', 'another database put in its place is not written, and not served at the next start', inside, async () => {
  const home = makeHome()
  const other = makeHome()
  await (await other.open()).close()
  const app = await home.open()
  onTestFinished(() => {
    home.remove()
    other.remove()
  })
  const away = join(home.home, 'away.db')
  renameSync(home.database, away)
  renameSync(other.database, home.database)
  await expect(app.agents.add({ name: 'ada', environment: 'dev', owner: null }, 'test')).rejects.toMatchObject({
    code: 'store_unreadable',
  })
  await app.close()
  rmSync(`${home.database}-wal`, { force: true })
  expect(await home.refusal()).toBe('root_key_wrong')
})
