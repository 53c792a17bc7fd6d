import { randomBytes } from 'node:crypto'
import { createServer, type Server as Upstream } from 'node:http'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { VERSION } from '../../src/core/version.ts'
import { readPostgresUrl } from '../../src/stores/postgres-address.ts'
import { openPostgresStore } from '../../src/stores/postgres.ts'
import { oldestStoreSchema, storeSchema } from '../../src/stores/store.ts'
import { recordingAnchor } from '../../src/vault/fixture.ts'
import { QUIET_MILLISECONDS } from '../../src/vault/nodes.ts'
import { readRootKeyFile } from '../../src/vault/root-keys/file.ts'
import { openVault } from '../../src/vault/vault.ts'
import { takeFormerRelease, withoutFormerRelease } from '../former-release.ts'
import type { FormerRelease } from '../former-release.ts'
import { openHouse, serviceYaml } from '../harness.ts'
import type { House, Server } from '../harness.ts'
import { startPostgres, withoutPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'

const PATIENCE_MILLISECONDS = 40_000

/** The former release as it was, and this one, on one database: real processes, real requests. */
describe.skipIf(withoutPostgres || withoutFormerRelease !== null)(
  `two releases on one PostgreSQL${withoutFormerRelease === null ? '' : `: skipped, ${withoutFormerRelease}`}`,
  () => {
    let postgres: PostgresServer
    let release: FormerRelease
    let upstream: Upstream
    let former: House
    let latter: House
    let formerServer: Server
    let latterServer: Server
    let url = ''
    let placeholder = ''
    const key = `released-${randomBytes(24).toString('hex')}`
    const reached: string[] = []
    const agents = { environment: 'dev' }

    beforeAll(async () => {
      postgres = await startPostgres()
      release = takeFormerRelease()
      url = await postgres.database()
      upstream = createServer((incoming, response) => {
        if (incoming.headers.authorization === `Bearer ${key}`) reached.push(incoming.url ?? '')
        response.end('done')
      })
      await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
      const address = upstream.address()
      former = openHouse(release.entry)
      formerServer = await former.up({ variables: { KEYWARD_DATABASE_URL: url, KEYWARD_NODE: 'former' } })
      former.write('one.yaml', serviceYaml('one', typeof address === 'object' && address !== null ? address.port : 0))
      await former.expectDone(['service', 'add', 'one.yaml'])
      await former.expectDone(['credential', 'add', 'first', '--service', 'one', '--stdin'], { input: key })
      await former.expectDone(['agent', 'add', 'ada'])
      await former.expectDone(['grant', 'add', '--agent', 'ada', '--credential', 'first', '--allow', '*'])
      const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
        await former.expectDone(['session', 'issue', '--agent', 'ada', '--ttl', '12h', '--json']),
      )
      placeholder = issued.credentials[0]?.fields[0]?.text ?? ''
      latter = openHouse()
      latterServer = await latter.up({ variables: latterVariables() })
    })

    afterAll(async () => {
      await latter?.close()
      await former?.close()
      upstream?.close()
      upstream?.closeAllConnections()
      release?.remove()
      await postgres?.close()
    })

    const latterVariables = () => ({
      KEYWARD_DATABASE_URL: url,
      KEYWARD_NODE: 'latter',
      KEYWARD_ROOT_KEY_FILE: former.rootKeyFile,
    })

    async function ask(server: Server): Promise<{ status: number; code?: string }> {
      const answer = await fetch(`http://127.0.0.1:${server.port}/s/one/asked`, {
        headers: { authorization: `Bearer ${placeholder}` },
      })
      const text = await answer.text()
      return answer.status === 200 ? { status: 200 } : { status: answer.status, code: JSON.parse(text).code }
    }
    const soon = { timeout: PATIENCE_MILLISECONDS, interval: 50 }

    async function schemaNow(): Promise<number> {
      const [row] = await postgres.run('SELECT schema FROM keyward', url)
      return Number(row?.['schema'])
    }

    test('each serves what the other changed, and the store stays as the former reads it', async () => {
      expect(release.version).not.toBe(VERSION)
      expect((await former.client().call('GET /status', {}, {})).version).toBe(release.version)
      expect((await latter.client().call('GET /status', {}, {})).version).toBe(VERSION)
      const until = Date.now() + QUIET_MILLISECONDS + 2_000
      do {
        await expect.poll(() => ask(formerServer), soon).toEqual({ status: 200 })
        await expect.poll(() => ask(latterServer), soon).toEqual({ status: 200 })
        await latter.expectDone(['credential', 'suspend', 'first'])
        await expect.poll(() => ask(formerServer), soon).toEqual({ status: 403, code: 'credential_suspended' })
        await former.expectDone(['credential', 'resume', 'first'])
        await former.expectDone(['agent', 'suspend', 'ada'])
        await expect.poll(() => ask(latterServer), soon).toEqual({ status: 403, code: 'agent_suspended' })
        await latter.expectDone(['agent', 'resume', 'ada'])
      } while (Date.now() < until)
      expect(await schemaNow()).toBe(oldestStoreSchema)
      expect(reached.length).toBeGreaterThan(4)
    })

    test('what the former cannot read is refused while it is there, and nothing is written', async () => {
      const rootKey = await readRootKeyFile(former.rootKeyFile)
      const store = await openPostgresStore(readPostgresUrl(url), 'third')
      try {
        const { records } = await openVault({ store, rootKey, now: Date.now, random: randomBytes })
        records.attach(recordingAnchor())
        const why = { actor: 'tester', action: 'test' }
        const made = { table: 'setting' as const, id: 'of-a-later-schema', body: { value: 1 } }
        await expect(records.commit([made], why)).rejects.toMatchObject({ code: 'schema_held' })
        await expect(records.raise(storeSchema, why)).rejects.toMatchObject({ code: 'schema_held' })
        expect(await store.nodes?.list(['former', 'latter', 'third'])).toEqual([
          expect.objectContaining({ name: 'former', isLive: true, schema: 1, said: null }),
          expect.objectContaining({ name: 'latter', isLive: true, schema: storeSchema }),
          expect.objectContaining({ name: 'third', isLive: true, schema: storeSchema, said: null }),
        ])
      } finally {
        await store.close()
      }
      expect(await schemaNow()).toBe(oldestStoreSchema)
      expect(await ask(formerServer)).toEqual({ status: 200 })
    })

    test('all that the former knows can be made at the latter, and is used at the former', async () => {
      await latter.expectDone(['credential', 'add', 'second', '--service', 'one', '--stdin'], { input: `${key}2` })
      await latter.expectDone(['agent', 'add', 'bob'])
      await latter.expectDone(['grant', 'add', '--agent', 'bob', '--credential', 'first', '--allow', '*'])
      const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
        await latter.expectDone(['session', 'issue', '--agent', 'bob', '--ttl', '12h', '--json']),
      )
      const text = issued.credentials[0]?.fields[0]?.text ?? ''
      await expect
        .poll(async () => {
          const headers = { authorization: `Bearer ${text}` }
          return (await fetch(`http://127.0.0.1:${formerServer.port}/s/one/by-bob`, { headers })).status
        }, soon)
        .toBe(200)
      await latter.expectDone(['grant', 'list'])
      await latter.expectDone(['agent', 'remove', 'bob'])
      await latter.expectDone(['credential', 'remove', 'second', '--yes'])
      await expect.poll(() => ask(formerServer), soon).toEqual({ status: 200 })
      expect(await schemaNow()).toBe(oldestStoreSchema)
    })

    test('the former can be stopped and started again beside the latter', async () => {
      await formerServer.stop()
      await latter.client().call('POST /environments/:environment/agents', agents, { name: 'while-away' })
      formerServer = await former.up({ variables: { KEYWARD_DATABASE_URL: url, KEYWARD_NODE: 'former' } })
      expect(await former.expectDone(['agent', 'list'])).toContain('while-away')
      await expect.poll(() => ask(formerServer), soon).toEqual({ status: 200 })
      expect(await schemaNow()).toBe(oldestStoreSchema)
    })

    test('one that was away while the store was raised uses no credential when it comes back, and writes nothing', async () => {
      process.kill(formerServer.pid, 'SIGSTOP')
      await postgres.run(
        `SELECT pg_terminate_backend(pid) FROM pg_locks
         WHERE locktype = 'advisory' AND classid = ${0x6b_65_79_77} AND pid NOT IN (
           SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = ${0x6b_65_79_73})`,
        url,
      )
      await expect.poll(schemaNow, soon).toBe(storeSchema)
      const before = reached.length
      const asked = ask(formerServer)
      await wait(100)
      process.kill(formerServer.pid, 'SIGCONT')
      expect(await asked).toEqual({ status: 503, code: 'lease_lost' })
      await wait(1_500)
      expect(await ask(formerServer)).toEqual({ status: 503, code: 'lease_lost' })
      expect(reached).toHaveLength(before)
      const refused = await former.keyward(['agent', 'add', 'too-late'])
      expect(refused.code, refused.err).toBe(1)
      expect(await latter.expectDone(['agent', 'list'])).not.toContain('too-late')
      await expect.poll(() => ask(latterServer), soon).toEqual({ status: 200 })
    })

    test('raised, it is refused by the former and served by the latter, whose journal says so', async () => {
      await formerServer.kill('SIGKILL')
      const refused = await former.keyward(['up'], {
        variables: { KEYWARD_DATABASE_URL: url, KEYWARD_NODE: 'former' },
      })
      expect(refused.code, refused.err).toBe(1)
      expect(refused.err).toContain('The database was written by a newer Keyward.')
      expect(await latter.expectDone(['journal', 'search', 'store.raise'])).toContain('store.raise')
      await latterServer.stop()
      latterServer = await latter.up({ variables: latterVariables() })
      await expect.poll(() => ask(latterServer), soon).toEqual({ status: 200 })
      await latter.expectDone(['journal', 'verify'], { variables: latterVariables() })
    })

    test('on SQLite the home of the former is raised at the start, which says so, and its journal goes on', async () => {
      const before = openHouse(release.entry)
      const variables = { KEYWARD_HOME: join(before.folder, 'home') }
      let server = await before.up({ variables })
      await before.expectDone(['agent', 'add', 'kept'], { variables })
      await server.stop()
      const after = openHouse()
      const there = { ...variables, KEYWARD_ROOT_KEY_FILE: before.rootKeyFile, TMPDIR: before.temporary }
      server = await after.up({ variables: there })
      expect(await after.expectDone(['agent', 'list'], { variables: there })).toContain('kept')
      const { err } = await server.stop()
      expect(err).toContain(`raised from schema ${oldestStoreSchema} to ${storeSchema}`)
      await after.expectDone(['journal', 'verify'], { variables: there })
      const refused = await before.keyward(['up'], { variables })
      expect(refused.err).toContain('The database was written by a newer Keyward.')
      await after.close()
      await before.close()
    })
  },
)
