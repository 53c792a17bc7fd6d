import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPostgres, startStandby, withoutPostgres } from '../../test/postgres-server.ts'
import type { PostgresServer, Standby } from '../../test/postgres-server.ts'
import { readPostgresUrl } from '../stores/postgres-address.ts'
import { openPostgresStore } from '../stores/postgres.ts'
import { fileRootKey, recordingAnchor, seededRandom } from './fixture.ts'
import { followStore, LEASE_MILLISECONDS } from './follow.ts'
import { createVault, openVault } from './vault.ts'

const why = { actor: 'tester', action: 'test' }
const setting = (id: string, value: number) => ({ table: 'setting' as const, id, body: { value } })
const soon = { timeout: 15_000, interval: 20 }

/** What a node does when the server that it reaches is not, or is no more, the one that decides. */
describe.skipIf(withoutPostgres)('a database that is not the one that decides', () => {
  let server: PostgresServer
  let standby: Standby
  beforeAll(async () => {
    server = await startPostgres(['wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on'])
  })
  afterAll(async () => {
    await standby?.close()
    await server?.close()
  })
  const options = { rootKey: fileRootKey('failover'), now: () => 1_750_000_000_000, random: seededRandom('failover') }

  async function node(url: string, name: string) {
    const store = await openPostgresStore(readPostgresUrl(url), name)
    const isNew = (await store.identity()) === null
    const made = await (isNew ? createVault : openVault)({ ...options, store }).catch(async (error: unknown) => {
      await store.close()
      throw error
    })
    made.records.attach(recordingAnchor())
    const failures: unknown[] = []
    const follow = () =>
      followStore({
        store,
        records: made.records,
        onError: (error) => void failures.push(error),
        onFollowed: () => undefined,
      })
    return { store, records: made.records, failures, follow }
  }

  test('a replica opens for nobody, renews no lease and takes no change; promoted, it does from what it has got', async () => {
    const url = await server.database()
    const one = await node(url, 'one')
    await one.records.commit([setting('first', 1)], why)
    standby = await startStandby(server)
    const there = standby.at(url)

    const replica = { code: 'store_unreadable', detail: expect.stringContaining('replica') }
    await expect(node(there, 'reader')).rejects.toMatchObject(replica)
    const reader = await openPostgresStore(readPostgresUrl(there), 'reader')
    expect((await reader.load()).length).toBeGreaterThan(0)
    await expect(reader.epoch()).rejects.toMatchObject(replica)
    const batch = { expectedEpoch: one.records.epoch, put: [], remove: [] }
    await expect(reader.commit(batch)).rejects.toMatchObject({ code: 'store_unreadable' })
    await reader.close()

    // Its commits from now on do not arrive there.
    await standby.lag(true)
    await one.records.commit([setting('lost', 1)], why)
    await one.records.close()
    await server.stop('immediate')
    await standby.lag(false)
    // What was not replayed is gone with the server: the standby goes on from before.
    await standby.promote()
    await expect
      .poll(async () => (await server.run('SELECT pg_is_in_recovery() AS is', there))[0]?.['is'], soon)
      .toBe(false)
    const behind = await node(there, 'two')
    const lease = await behind.follow()
    expect(lease.held()).toBe(true)
    await behind.records.commit([setting('third', 1)], why)
    expect(behind.records.get('setting', 'third')).toEqual({ value: 1 })
    lease.close()
    await behind.records.close()
    await server.start()
  }, 60_000)

  test('a database that can only be read keeps what is known, refuses every change with its reason, and goes on when it can be written', async () => {
    const url = await server.database()
    const one = await node(url, 'one')
    const lease = await one.follow()
    const name = new URL(url).pathname.slice(1)
    await server.run(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
    await server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keyward'")
    await expect
      .poll(
        () =>
          one.records.commit([setting('no', 1)], why).then(
            () => '',
            (error: unknown) => String(error),
          ),
        soon,
      )
      .toContain('It can only be read')
    expect(one.records.get('setting', 'no')).toBeUndefined()
    await expect.poll(() => lease.held(), soon).toBe(true)
    await server.run(`ALTER DATABASE ${name} RESET default_transaction_read_only`)
    await server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keyward'")
    await expect
      .poll(
        () =>
          one.records.commit([setting('yes', 1)], why).then(
            () => 'made',
            (error: unknown) => String(error),
          ),
        soon,
      )
      .toBe('made')
    lease.close()
    await one.records.close()
  }, 60_000)

  test('connections that the server ends again and again under changes: each change is made once or refused, none is lost', async () => {
    const url = await server.database()
    const [one, two] = [await node(url, 'one'), await node(url, 'two')]
    const leases = [await one.follow(), await two.follow()]
    const made: string[] = []
    const ending = new AbortController()
    const killing = (async () => {
      while (!ending.signal.aborted) {
        await wait(120)
        await server.run(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keyward'",
          url,
        )
      }
    })()
    for (let at = 0; at < 40; at += 1) {
      const id = `change-${at}`
      const { records } = at % 2 === 0 ? one : two
      await records.commit([setting(id, at)], why).then(
        () => made.push(id),
        () => undefined,
      )
      await wait(20)
    }
    ending.abort()
    await killing
    await expect.poll(() => leases.every((lease) => lease.held()), soon).toBe(true)
    await Promise.all([one.records.refresh(), two.records.refresh()])
    expect(made.length).toBeGreaterThan(0)
    for (const { records } of [one, two]) for (const id of made) expect(records.get('setting', id), id).toBeDefined()
    expect(one.records.epoch).toBe(two.records.epoch)
    for (const lease of leases) lease.close()
    await Promise.all([one.records.close(), two.records.close()])
  }, 60_000)

  test('a server that is started again under load: leases lapse within a second of the last answer, and come back by themselves', async () => {
    const url = await server.database()
    const one = await node(url, 'one')
    const lease = await one.follow()
    await server.stop('immediate')
    await wait(LEASE_MILLISECONDS)
    expect(lease.held()).toBe(false)
    await expect(one.records.commit([setting('no', 1)], why)).rejects.toMatchObject({ code: 'store_unavailable' })
    await server.start()
    await expect.poll(() => lease.held(), soon).toBe(true)
    await one.records.commit([setting('yes', 1)], why)
    lease.close()
    await one.records.close()
  }, 60_000)

  test('a node with another root key is refused, and writes nothing', async () => {
    const url = await server.database()
    const one = await node(url, 'one')
    const store = await openPostgresStore(readPostgresUrl(url), 'two')
    const other = { ...options, store, rootKey: fileRootKey('another') }
    await expect(openVault(other)).rejects.toMatchObject({ code: 'root_key_wrong' })
    await expect(createVault(other)).rejects.toMatchObject({ code: 'store_conflict' })
    expect(await store.epoch()).toBe(one.records.epoch)
    await store.close()
    await one.records.close()
  })
})
