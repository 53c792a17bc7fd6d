import { writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { inspect } from 'node:util'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority } from '../../test/fakes/authority.ts'
import { startPostgres, withoutPostgres } from '../../test/postgres-server.ts'
import type { PostgresServer } from '../../test/postgres-server.ts'
import { storeCases } from './conformance.ts'
import type { StoreHarness } from './conformance.ts'
import { readPostgresUrl } from './postgres-address.ts'
import { AUTHORITY_MAXIMUM_BYTES, DATABASE_CONNECTIONS_MAXIMUM } from './postgres-connections.ts'
import { CHANNEL, NAME_LOCKS, nameKey } from './postgres-hold.ts'
import { openPostgresStore } from './postgres.ts'
import { storeSchema } from './store.ts'
import type { Store, StoredRow } from './store.ts'

const PATIENCE_MILLISECONDS = 10_000
const identity = { storeId: 'tested', schema: storeSchema }
const row = (id: string, seq = 1): StoredRow => ({ table: 'a', id, seq, body: '{}', mac: new Uint8Array(32) })
const batch = (expectedEpoch: number, ...ids: readonly string[]) => ({
  expectedEpoch,
  put: ids.map((id) => row(id, expectedEpoch + 1)),
  remove: [],
})

function open(url: string, node = 'node-1'): Promise<Store> {
  return openPostgresStore(readPostgresUrl(url), node)
}

/** Waits until the store answers again. */
async function answers(store: Store): Promise<void> {
  const deadline = performance.now() + PATIENCE_MILLISECONDS
  for (;;) {
    try {
      await store.epoch()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await wait(50)
    }
  }
}

describe.skipIf(withoutPostgres)('on one server', () => {
  let server: PostgresServer
  beforeAll(async () => {
    // Nothing is written before a commit asks for it.
    server = await startPostgres(['wal_writer_delay = 10s', 'wal_writer_flush_after = 1GB'])
  })
  afterAll(() => server.close())

  const harness: StoreHarness = {
    place: () => server.database(),
    open,
    occupy: async (place) => void (await server.run('CREATE TABLE customers (name text)', place)),
    setSchema: async (place, schema) => void (await server.run(`UPDATE keyward SET schema = ${schema}`, place)),
  }

  async function started(place: string): Promise<Store> {
    const store = await open(place)
    await store.initialise(identity)
    return store
  }

  /** Ends the connections of a database, as an administrator would. */
  function disconnect(place: string): Promise<unknown> {
    return server.run(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      place,
    )
  }

  describe('conformance of the PostgreSQL store', () => {
    test.each(storeCases)('$name', ({ run }) => run(harness))
  })

  describe('what counts as empty', () => {
    test('what an extension brought does not count', async () => {
      const place = await server.database()
      await server.run('CREATE EXTENSION pg_stat_statements', place)
      const store = await started(place)
      await store.close()
    })

    test.each([
      'CREATE VIEW customers AS SELECT 1 AS one',
      'CREATE SEQUENCE numbers',
      'CREATE SCHEMA shop; CREATE TABLE shop.customers (name text)',
      'CREATE TABLE keyward (colour text)',
      'CREATE VIEW keyward AS SELECT 1 AS one',
    ])('%s: foreign, and left as it was', async (sql) => {
      const place = await server.database()
      await server.run(sql, place)
      await expect(open(place)).rejects.toMatchObject({ code: 'store_foreign' })
      const made = await server.run("SELECT relname FROM pg_class WHERE relname IN ('record', 'record_key')", place)
      expect(made).toEqual([])
    })

    test('a marker without its row is unreadable', async () => {
      const place = await server.database()
      await (await started(place)).close()
      await server.run('DELETE FROM keyward', place)
      await expect(open(place)).rejects.toMatchObject({ code: 'store_unreadable' })
    })
  })

  describe('nodes', () => {
    test('a second one of the same name is refused, before and after the first has begun, until the first has closed', async () => {
      const place = await server.database()
      const first = await open(place)
      await expect(open(place)).rejects.toMatchObject({ code: 'store_in_use' })
      await first.initialise(identity)
      await expect(open(place)).rejects.toMatchObject({ code: 'store_in_use' })
      await first.commit(batch(0, '1'))
      await first.close()
      const second = await open(place)
      expect(await second.identity()).toEqual(identity)
      await second.close()
    })

    test('two of different names: of two commits at one epoch one is made, and each sees what the other did', async () => {
      const place = await server.database()
      const [one, two] = [await started(place), await open(place, 'node-2')]
      const both = await Promise.allSettled([one.commit(batch(0, '1')), two.commit(batch(0, '2'))])
      expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
      const lost = both.find((outcome) => outcome.status === 'rejected')
      expect(lost?.reason).toMatchObject({ code: 'store_conflict' })
      await two.commit(batch(1, '3'))
      expect(await one.epoch()).toBe(2)
      expect((await one.changesSince(1)).map(({ id }) => id)).toEqual(['3'])
      await one.close()
      await two.close()
    })

    test('two that begin at once: one has begun, and the other is told', async () => {
      const place = await server.database()
      const [one, two] = [await open(place), await open(place, 'node-2')]
      const both = await Promise.allSettled([one.initialise(identity), two.initialise({ ...identity, storeId: 'b' })])
      expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
      expect(both.find((outcome) => outcome.status === 'rejected')?.reason).toMatchObject({ code: 'store_conflict' })
      await one.close()
      await two.close()
    })

    test('connections that an administrator ends are made anew, and the name is taken again', async () => {
      const place = await server.database()
      const store = await started(place)
      await store.commit(batch(0, '1'))
      await disconnect(place)
      await answers(store)
      await store.commit(batch(1, '2'))
      await expect(open(place)).rejects.toMatchObject({ code: 'store_in_use' })
      expect(await store.load()).toHaveLength(2)
      await store.close()
    })

    test('one whose name was taken while it was cut off is told so, and commits nothing', async () => {
      const place = await server.database()
      const first = await started(place)
      const taking = open(place)
      await wait(300)
      // The lock passes on to the one that waits for it.
      await server.run(
        `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = ${NAME_LOCKS} AND granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
        place,
      )
      const second = await taking
      await expect(first.epoch()).rejects.toMatchObject({ code: 'store_unavailable' })
      await expect(first.epoch()).rejects.toMatchObject({ code: 'store_in_use' })
      await expect(first.commit(batch(0, '1'))).rejects.toMatchObject({ code: 'store_in_use' })
      await second.commit(batch(0, '2'))
      expect((await second.load()).map(({ id }) => id)).toEqual(['2'])
      await second.close()
      await first.close()
    })
  })

  describe('hints', () => {
    test('a commit gives one to every node, also on a connection that was made anew, and anybody may give one', async () => {
      const place = await server.database()
      const [one, two] = [await started(place), await open(place, 'node-2')]
      let heard = 0
      two.nodes?.onHint(() => (heard += 1))
      await one.commit(batch(0, '1'))
      await expect.poll(() => heard).toBe(1)
      await server.run(`NOTIFY ${CHANNEL}, 'epoch 999'`, place)
      await expect.poll(() => heard).toBe(2)
      await disconnect(place)
      await answers(two)
      await answers(one)
      await one.commit(batch(1, '2'))
      await expect.poll(() => heard).toBe(3)
      await one.close()
      await two.close()
    })
  })

  describe('the list of nodes', () => {
    const self = { version: '9.9.9', startedAt: 1_750_000_000_000, epoch: 3, leaseHeld: true }
    /** A node of the first release: it has a name, and says nothing of itself. */
    async function firstRelease(place: string, name: string): Promise<Client> {
      const client = new Client({ connectionString: place, ssl: false })
      await client.connect()
      await client.query(`SELECT pg_advisory_lock(${NAME_LOCKS}, ${nameKey(name)})`)
      return client
    }
    const listOf = async (store: Store, ...known: string[]) => (await store.nodes?.list(known)) ?? []

    test('who has it open is told by the server; what a node last said stays when it is gone, until it is forgotten', async () => {
      const place = await server.database()
      const [one, two] = [await started(place), await open(place, 'node-2')]
      await two.nodes?.announce(self)
      await one.nodes?.announce({ ...self, leaseHeld: false })
      expect(await listOf(one)).toEqual([
        {
          name: 'node-1',
          isLive: true,
          schema: storeSchema,
          said: { ...self, leaseHeld: false, millisecondsAgo: expect.any(Number) },
        },
        { name: 'node-2', isLive: true, schema: storeSchema, said: { ...self, millisecondsAgo: expect.any(Number) } },
      ])
      expect(await one.nodes?.forget('node-2')).toBe(false)
      await two.close()
      await expect.poll(async () => (await listOf(one)).at(1)?.isLive).toBe(false)
      expect(await one.nodes?.forget('node-2')).toBe(true)
      expect(await one.nodes?.forget('node-2')).toBe(false)
      expect(await listOf(one)).toHaveLength(1)
      await one.close()
    })

    test('a node of the first release counts as one that knows schema 1, named where its name is known', async () => {
      const place = await server.database()
      const one = await started(place)
      const former = await firstRelease(place, 'old')
      expect(await listOf(one, 'old', 'never-seen')).toEqual([
        { name: 'old', isLive: true, schema: 1, said: null },
        { name: null, isLive: true, schema: storeSchema, said: null },
      ])
      await former.end()
      await one.close()
    })

    test('what a name said as another release is not told of the one that has it now', async () => {
      const place = await server.database()
      const one = await started(place)
      const two = await open(place, 'node-2')
      await two.nodes?.announce(self)
      await two.close()
      const former = await firstRelease(place, 'node-2')
      expect(await listOf(one, 'node-1')).toEqual([
        { name: 'node-1', isLive: true, schema: storeSchema, said: null },
        { name: 'node-2', isLive: true, schema: 1, said: null },
      ])
      await former.end()
      await one.close()
    })

    test('the schema is raised when nobody is there who does not know it, and not before', async () => {
      const place = await server.database()
      const one = await open(place)
      await one.initialise({ ...identity, schema: 1 })
      const former = await firstRelease(place, 'old')
      const raising = { ...batch(0, '1'), schema: storeSchema }
      await expect(one.commit(raising)).rejects.toMatchObject({ code: 'schema_held' })
      expect([await one.identity(), await one.epoch(), await one.load()]).toEqual([{ ...identity, schema: 1 }, 0, []])
      await one.commit(batch(0, '1'))
      await former.end()
      await expect.poll(async () => (await listOf(one)).length).toBe(1)
      await one.commit({ ...batch(1, '2'), schema: storeSchema })
      expect(await one.identity()).toEqual(identity)
      await one.close()
    })

    test('locks of other databases, and other locks, are nobody’s', async () => {
      const [place, elsewhere] = [await server.database(), await server.database()]
      const one = await started(place)
      const other = await firstRelease(elsewhere, 'old')
      const here = new Client({ connectionString: place, ssl: false })
      await here.connect()
      await here.query(`SELECT pg_advisory_lock(1, 2), pg_advisory_lock(3)`)
      expect(await listOf(one, 'node-1')).toHaveLength(1)
      await Promise.all([other.end(), here.end()])
      await one.close()
    })
  })

  describe('an answer that is lost', () => {
    let gate: Gate
    beforeAll(async () => {
      gate = await openGate(server.port)
    })
    afterAll(() => gate.close())

    async function through(place: string): Promise<Store> {
      const url = new URL(place)
      url.port = String(gate.port)
      const store = await open(url.href)
      await store.initialise(identity)
      return store
    }

    test.each([['passes', 1] as const, ['stops', 0] as const])(
      'the connection breaks at a commit that %s: the store says what is true',
      async (way, made) => {
        const place = await server.database()
        const store = await through(place)
        gate.cutAtCommit(way === 'passes')
        const outcome = await store.commit(batch(0, '1')).then(
          () => 'made',
          (error: unknown) => error,
        )
        if (made === 1) expect(outcome).toBe('made')
        else expect(outcome).toMatchObject({ code: 'store_unavailable' })
        expect(await store.epoch()).toBe(made)
        expect(await store.load()).toHaveLength(made)
        await store.commit(batch(made, '2'))
        await store.close()
      },
    )

    test('a server that is gone without a word is given up', async () => {
      const url = new URL(await server.database())
      url.port = String(gate.port)
      const store = await openPostgresStore(readPostgresUrl(url.href), 'node-1', {
        connectMilliseconds: 300,
        statementMilliseconds: 10_000,
        answerMilliseconds: 300,
      })
      await store.initialise(identity)
      gate.freeze()
      await expect(store.commit(batch(0, '1'))).rejects.toMatchObject({ code: 'store_unavailable' })
      await expect(store.epoch()).rejects.toMatchObject({ code: 'store_unavailable' })
      gate.thaw()
      await answers(store)
      await store.commit(batch(await store.epoch(), '1'))
      await store.close()
    })
  })

  describe('what the server refuses', () => {
    test('a lock that somebody holds is waited for as long as the bound says', async () => {
      const place = await server.database()
      const store = await openPostgresStore(readPostgresUrl(place), 'node-1', {
        connectMilliseconds: 5_000,
        statementMilliseconds: 300,
        answerMilliseconds: 5_000,
      })
      await store.initialise(identity)
      const blocking = server.run('BEGIN; LOCK TABLE record; SELECT pg_sleep(1.5); COMMIT', place)
      await wait(300)
      await expect(store.commit(batch(0, '1'))).rejects.toMatchObject({
        code: 'store_unavailable',
        detail: expect.stringMatching(/^It did not answer in time/),
      })
      await blocking
      await store.commit(batch(0, '1'))
      await store.close()
    })

    test('a database that can only be read', async () => {
      const place = await server.database()
      await (await started(place)).close()
      await server.run(`ALTER DATABASE ${new URL(place).pathname.slice(1)} SET default_transaction_read_only = on`)
      const store = await open(place)
      await expect(store.commit(batch(0, '1'))).rejects.toMatchObject({
        code: 'store_unreadable',
        detail: expect.stringMatching(/only be read/),
      })
      await store.close()
    })

    test('a user without the rights', async () => {
      const place = await server.database()
      await server.run("CREATE ROLE weak LOGIN PASSWORD 'weak-password-of-a-test'")
      const weak = server.url(new URL(place).pathname.slice(1), { user: 'weak', password: 'weak-password-of-a-test' })
      const store = await open(weak)
      await expect(store.initialise(identity)).rejects.toMatchObject({
        code: 'store_unreadable',
        detail: expect.stringMatching(/permission/),
      })
      await store.close()
      await (await started(place)).close()
      await expect(open(weak)).rejects.toMatchObject({
        code: 'store_unreadable',
        detail: expect.stringMatching(/permission/),
      })
    })

    test.each([
      ['53100', 'store_unreadable', /disk is full/],
      ['58030', 'store_unreadable', /disk fails/],
      ['XX001', 'store_unreadable', /XX001/],
      ['57P01', 'store_unavailable', /shut down/],
    ])('SQLSTATE %s at a commit is %s, changes nothing, and quotes no row', async (state, code, detail) => {
      const place = await server.database()
      const store = await started(place)
      await store.commit(batch(0, 'before'))
      await server.run(
        `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'row %', NEW USING ERRCODE = '${state}', DETAIL = NEW::text; END $$;
         CREATE TRIGGER fail BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION fail()`,
        place,
      )
      const marked = { ...row('x'), body: '"text-of-a-row"' }
      const refused: unknown = await store
        .commit({ expectedEpoch: 1, put: [marked], remove: [{ table: 'a', id: 'before' }] })
        .catch((error: unknown) => error)
      expect(refused).toMatchObject({ code, detail: expect.stringMatching(detail) })
      const hex = Buffer.from(marked.body).toString('hex')
      for (const text of [hex, 'text-of-a-row']) expect(inspect(refused, { depth: 9 })).not.toContain(text)
      await server.run('DROP TRIGGER fail ON record', place)
      expect((await store.load()).map(({ id }) => id)).toEqual(['before'])
      await store.commit(batch(1, 'after'))
      await store.close()
    })

    test('login, database and address: told apart, and no password repeated', async () => {
      const secret = 'wrong-password-of-a-test'
      const cases = [
        [server.url('postgres', { password: secret }), /refuses the password/],
        [server.url('nowhere'), /no database of that name/],
        [server.url('postgres', { password: secret, port: 1 }), /ECONNREFUSED/],
      ] as const
      for (const [url, detail] of cases) {
        const refused: unknown = await open(url).catch((error: unknown) => error)
        expect(refused).toMatchObject({ code: 'store_unavailable', detail: expect.stringMatching(detail) })
        for (const text of [secret, server.password]) expect(inspect(refused, { depth: 9 })).not.toContain(text)
      }
    })

    test('PG* variables and their password are not used', async () => {
      const before = process.env['PGPASSWORD']
      process.env['PGPASSWORD'] = server.password
      try {
        await expect(open(server.url('postgres', { password: '' }))).rejects.toMatchObject({
          code: 'store_unavailable',
        })
      } finally {
        if (before === undefined) delete process.env['PGPASSWORD']
        else process.env['PGPASSWORD'] = before
      }
    })
  })

  test('as many connections as the bound says, however much is asked at once', async () => {
    const place = await server.database()
    const store = await started(place)
    await Promise.all(Array.from({ length: 30 }, () => Promise.all([store.load(), store.epoch(), store.identity()])))
    const connected = await server.run(
      'SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      place,
    )
    expect(connected).toHaveLength(DATABASE_CONNECTIONS_MAXIMUM)
    await store.close()
  })

  test('an open store prints without the password', async () => {
    const store = await started(await server.database())
    expect(inspect(store, { depth: 12, showHidden: true })).not.toContain(server.password)
    await store.close()
  })

  test('a server that names TLS nowhere is not spoken to where TLS is asked for', async () => {
    await expect(open(server.url('postgres', { query: '?sslmode=verify-full' }))).rejects.toMatchObject({
      code: 'store_unavailable',
      detail: 'It offers no TLS; nothing was sent.',
    })
  })

  // Last, because it takes the server away from under the others.
  test('what was committed survives a crash of the server, whatever the database’s default is', async () => {
    const place = await server.database()
    await server.run(`ALTER DATABASE ${new URL(place).pathname.slice(1)} SET synchronous_commit = off`)
    const store = await started(place)
    await store.commit(batch(0, '1'))
    await server.stop('immediate')
    await expect(store.commit(batch(1, '2'))).rejects.toMatchObject({ code: 'store_unavailable' })
    await server.start()
    await answers(store)
    expect((await store.load()).map(({ id }) => id)).toEqual(['1'])
    await store.commit(batch(1, '2'))
    await store.close()
  })
})

describe.skipIf(withoutPostgres)('a server with TLS', () => {
  let server: PostgresServer
  let authorityFile = ''
  beforeAll(async () => {
    const authority = await createAuthority()
    server = await startPostgres([], await authority.issue(['127.0.0.1']))
    authorityFile = join(server.folder, 'authority.pem')
    writeFileSync(authorityFile, authority.certificate)
  })
  afterAll(() => server.close())

  test('is used over TLS when its certificate verifies', async () => {
    const store = await open(server.url('postgres', { query: `?sslmode=verify-full&sslrootcert=${authorityFile}` }))
    const used = await server.run(
      "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'keyward'",
    )
    expect(used.length).toBeGreaterThan(0)
    expect(used.every(({ ssl }) => ssl === true)).toBe(true)
    await store.close()
  })

  test('is refused without its authority, for another name, and whatever the process allows otherwise', async () => {
    const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    try {
      await expect(open(server.url('postgres', { query: '?sslmode=verify-full' }))).rejects.toMatchObject({
        code: 'store_unavailable',
        detail: expect.stringMatching(/certificate does not verify/),
      })
      const other = server
        .url('postgres', { query: `?sslmode=verify-full&sslrootcert=${authorityFile}` })
        .replace('127.0.0.1', 'localhost')
      await expect(open(other)).rejects.toMatchObject({
        code: 'store_unavailable',
        detail: expect.stringMatching(/ERR_TLS_CERT_ALTNAME_INVALID/),
      })
    } finally {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
    }
  })

  test('an authority that cannot be read is said to be that', async () => {
    const url = server.url('postgres', { query: `?sslmode=verify-full&sslrootcert=${authorityFile}.gone` })
    await expect(open(url)).rejects.toMatchObject({ code: 'config_invalid' })
    writeFileSync(`${authorityFile}.gone`, Buffer.alloc(AUTHORITY_MAXIMUM_BYTES + 1, 'x'))
    await expect(open(url)).rejects.toMatchObject({ code: 'config_invalid' })
  })
})

/** Type, length and text of the statement, as the protocol writes a simple query. */
const commitMessage = 'Q\0\0\0\u000bCOMMIT\0'

/** A way to the server that can break at a commit, or stop moving. */
interface Gate {
  readonly port: number
  /** The next COMMIT ends its connection, after it has reached the server or before. */
  cutAtCommit(passes: boolean): void
  freeze(): void
  thaw(): void
  close(): void
}

async function openGate(serverPort: number): Promise<Gate> {
  let cut: { readonly passes: boolean } | null = null
  let frozen = false
  const pairs = new Set<readonly [Socket, Socket]>()
  const gate: Server = createServer((near) => {
    const far = connect(serverPort, '127.0.0.1')
    const pair = [near, far] as const
    pairs.add(pair)
    let answers = true
    for (const socket of pair) {
      if (frozen) socket.pause()
      socket.on('error', () => undefined)
      socket.on('close', () => {
        pairs.delete(pair)
        near.destroy()
        far.destroy()
      })
    }
    near.on('data', (chunk: Buffer) => {
      const now = chunk.includes(commitMessage) ? cut : null
      if (now === null) {
        far.write(chunk)
        return
      }
      cut = null
      answers = false
      if (now.passes) far.write(chunk)
      else near.destroy()
    })
    far.on('data', (chunk: Buffer) => {
      if (answers) near.write(chunk)
      else near.destroy()
    })
  })
  await new Promise<void>((done) => gate.listen(0, '127.0.0.1', done))
  const address = gate.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cutAtCommit: (passes) => (cut = { passes }),
    freeze() {
      frozen = true
      for (const pair of pairs) for (const socket of pair) socket.pause()
    },
    thaw() {
      frozen = false
      for (const pair of pairs) for (const socket of pair) socket.resume()
    },
    close() {
      gate.close()
      for (const pair of pairs) for (const socket of pair) socket.destroy()
    },
  }
}
