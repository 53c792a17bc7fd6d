import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import type { Pool, PoolClient, QueryResultRow } from 'pg'
import { KeywardError } from '../core/errors.ts'
import type { PostgresAddress } from './postgres-address.ts'
import { openConnections, postgresTimeouts, withConnection } from './postgres-connections.ts'
import type { PostgresTimeouts } from './postgres-connections.ts'
import { guarded, isMadeMeanwhile, isOtherLayout, storeError } from './postgres-errors.ts'
import { CHANNEL, takeHold } from './postgres-hold.ts'
import { createNodeRegister, refuseHeldBack } from './postgres-nodes.ts'
import { knownIdentity, storeSchema } from './store.ts'
import type { Store, StoreBatch, StoredRow, StoreIdentity } from './store.ts'

/** Rows that one statement carries, and bytes of them; a batch may have more, in one transaction all the same. */
const MAX_STATEMENT_ROWS = 1_000
const MAX_STATEMENT_BYTES = 8 * 1024 * 1024
/** How long it is tried to find out whether a commit was made whose answer was lost. */
const DOUBT_MILLISECONDS = 5_000
const DOUBT_RETRY_MILLISECONDS = 250

/**
 * From no tables to those of schema 1, from there to 2, and so on: forward only; a schema that only says more within the
 * rows has none. Text is kept as bytes
 * (UTF-8), because PostgreSQL's own holds no NUL; the key has a digest, because an index entry is small.
 */
const layouts: readonly string[] = [
  `CREATE TABLE public.keyward (
     one integer PRIMARY KEY CHECK (one = 1),
     store_id text NOT NULL, schema integer NOT NULL, epoch bigint NOT NULL, last_commit text NOT NULL
   );
   CREATE TABLE public.record (
     tbl bytea NOT NULL, id bytea NOT NULL, seq bigint NOT NULL, body bytea NOT NULL, mac bytea NOT NULL
   );
   CREATE UNIQUE INDEX record_key ON public.record (tbl, sha256(id));
   CREATE INDEX record_seq ON public.record (seq);`,
]

/**
 * A store in one PostgreSQL database, which several nodes may have open, each under a name of its own
 * (`store_in_use` for a second one of the same name). Commits go by the epoch alone; `epoch` and
 * `commit` first make sure of the name.
 */
export async function openPostgresStore(
  address: PostgresAddress,
  node: string,
  timeouts: PostgresTimeouts = postgresTimeouts,
): Promise<Store> {
  const pool = openConnections(address, timeouts)
  let hinted = (): void => undefined
  const hold = await guarded(() => takeHold(pool, node, storeSchema, () => hinted())).catch(async (error: unknown) => {
    await pool.end()
    throw error
  })

  async function close(): Promise<void> {
    hold.release()
    await pool.end()
  }

  const readIdentity = (): Promise<StoreIdentity | null> => guarded(() => withConnection(pool, readMarker))
  let initialised = await readIdentity().then(
    (identity) => identity !== null,
    async (error: unknown) => {
      await close()
      throw error
    },
  )

  async function rowsAfter(epoch: number): Promise<StoredRow[]> {
    if (!initialised) return []
    const text = 'SELECT tbl, id, seq, body, mac FROM public.record WHERE seq > $1'
    const found = await guarded(() => withConnection(pool, (client) => client.query(text, [epoch])))
    return found.rows.map(rowOf)
  }

  return {
    kind: 'postgres',
    node,
    nodes: createNodeRegister(pool, { node, schema: storeSchema, onHint: (listener) => void (hinted = listener) }),
    identity: readIdentity,
    async initialise(identity, content = { epoch: 0, rows: [] }) {
      const statements = statementsOf({ put: content.rows, remove: [] })
      const first = { identity, epoch: content.epoch, commitId: randomUUID(), statements }
      await guarded(() => begin(pool, first))
      initialised = true
    },
    async epoch() {
      if (!initialised) return 0
      const { rows } = await hold.ask((client) =>
        client.query('SELECT epoch, pg_is_in_recovery() AS is_replica FROM public.keyward'),
      )
      // What a replica shows may have been true a while ago, and nothing is proven by asking it.
      if (rows[0]?.['is_replica'] !== false)
        throw new KeywardError('store_unreadable', 'It is a replica, which may lag behind.')
      return Number(rows[0]['epoch'])
    },
    load: () => rowsAfter(-1),
    changesSince: rowsAfter,
    async commit(batch) {
      if (!initialised) throw new KeywardError('store_conflict', 'The store has not been initialised.')
      // Everything is read before anything is written.
      const statements = statementsOf(batch)
      await hold.ask((client) => client.query('SELECT'))
      const { expectedEpoch, schema = null } = batch
      await guarded(() => write(pool, { expectedEpoch, schema, commitId: randomUUID(), statements }))
      // Behind the commit and waited for by nobody: the channel may be full or forbidden, and the change is made.
      void withConnection(pool, (client) => client.query(`NOTIFY ${CHANNEL}`)).catch(() => undefined)
    },
    close,
  }
}

interface Statement {
  readonly text: string
  readonly values: readonly (readonly (string | number | Buffer)[])[]
}

async function write(
  pool: Pool,
  change: {
    readonly expectedEpoch: number
    readonly schema: number | null
    readonly commitId: string
    readonly statements: readonly Statement[]
  },
): Promise<void> {
  const { expectedEpoch, schema, commitId, statements } = change
  let isAsked = false
  try {
    await withConnection(pool, async (client) => {
      await client.query('BEGIN')
      const moved = await client.query(
        'UPDATE public.keyward SET epoch = epoch + 1, last_commit = $2 WHERE epoch = $1',
        [expectedEpoch, commitId],
      )
      if (moved.rowCount !== 1) throw new KeywardError('store_conflict', 'The store is at another epoch.')
      if (schema !== null) await raiseSchema(client, schema)
      for (const { text, values } of statements) await client.query(text, [...values])
      isAsked = true
      const { command } = await client.query('COMMIT')
      if (command !== 'COMMIT') throw new KeywardError('store_unreadable', 'The database undid the change.')
    })
  } catch (error) {
    if (!isAsked || error instanceof KeywardError) throw error
    if (!(await wasMade(pool, expectedEpoch, commitId))) throw storeError(error)
  }
}

async function raiseSchema(client: PoolClient, schema: number): Promise<void> {
  // A node that comes after this look finds the old marker at most, and then the new epoch, whose head names the new schema.
  await refuseHeldBack(client, schema)
  const { rows } = await client.query('SELECT schema FROM public.keyward')
  for (const layout of layouts.slice(Number(rows[0]?.['schema']), schema)) await client.query(layout)
  await client.query('UPDATE public.keyward SET schema = $1', [schema])
}

/**
 * Whether a commit was made whose answer was lost. The row lock waits for a transaction that the server
 * has not ended yet. Throws where it cannot be told: out of reach, or others have committed since.
 */
async function wasMade(pool: Pool, expectedEpoch: number, commitId: string): Promise<boolean> {
  const text = 'SELECT epoch, last_commit FROM public.keyward FOR UPDATE'
  const deadline = performance.now() + DOUBT_MILLISECONDS
  while (performance.now() < deadline) {
    const found = await withConnection(pool, (client) => client.query(text)).catch(() => null)
    if (found !== null) {
      const row: QueryResultRow = found.rows[0] ?? {}
      if (row['last_commit'] === commitId) return true
      if (Number(row['epoch']) === expectedEpoch) return false
      break
    }
    await wait(DOUBT_RETRY_MILLISECONDS)
  }
  throw new KeywardError('store_unavailable', 'Whether the change was made is not known.')
}

interface FirstState {
  readonly identity: StoreIdentity
  readonly epoch: number
  readonly commitId: string
  readonly statements: readonly Statement[]
}

/** As `write` does, an answer that was lost is asked for again: what was begun here may be there. */
async function begin(pool: Pool, first: FirstState): Promise<void> {
  let isAsked = false
  try {
    await withConnection(pool, (client) =>
      createTables(client, first, () => {
        isAsked = true
      }),
    )
  } catch (error) {
    if (!isAsked || error instanceof KeywardError) throw error
    if (!(await wasMade(pool, first.epoch, first.commitId))) throw storeError(error)
  }
}

async function createTables(client: PoolClient, first: FirstState, onAsked: () => void): Promise<void> {
  const { identity, epoch, commitId, statements } = first
  await client.query('BEGIN')
  if (!(await isEmpty(client))) throw new KeywardError('store_conflict', 'The store is not empty.')
  try {
    for (const layout of layouts.slice(0, identity.schema)) await client.query(layout)
  } catch (error) {
    throw isMadeMeanwhile(error) ? new KeywardError('store_conflict', 'Another node has begun here.') : error
  }
  await client.query(
    'INSERT INTO public.keyward (one, store_id, schema, epoch, last_commit) VALUES (1, $1, $2, $3, $4)',
    [identity.storeId, identity.schema, epoch, commitId],
  )
  for (const { text, values } of statements) await client.query(text, [...values])
  onAsked()
  const { command } = await client.query('COMMIT')
  if (command !== 'COMMIT') throw new KeywardError('store_unreadable', 'The database undid the change.')
}

async function readMarker(client: PoolClient): Promise<StoreIdentity | null> {
  const marked = await client.query("SELECT to_regclass('public.keyward') IS NOT NULL AS found")
  if (marked.rows[0]?.['found'] !== true) {
    if (!(await isEmpty(client)))
      throw new KeywardError('store_foreign', 'It holds tables, and none of them is Keyward’s marker.')
    return null
  }
  const found = await client
    .query('SELECT store_id, schema, epoch, last_commit FROM public.keyward')
    .catch((error: unknown) => {
      if (isOtherLayout(error))
        throw new KeywardError('store_foreign', 'Its table named keyward is not Keyward’s marker.')
      throw error
    })
  const row: QueryResultRow = found.rows[0] ?? {}
  const { store_id: storeId, schema } = row
  if (found.rowCount !== 1 || typeof storeId !== 'string' || typeof schema !== 'number')
    throw new KeywardError('store_unreadable', 'The marker of the database is damaged.')
  return knownIdentity({ storeId, schema })
}

/** Whether nobody has made a table, view or sequence yet; what an extension brought does not count. */
async function isEmpty(client: PoolClient): Promise<boolean> {
  const { rows } = await client.query(`
    SELECT NOT EXISTS (
      SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
        AND NOT EXISTS (
          SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    ) AS empty`)
  return rows[0]?.['empty'] === true
}

function statementsOf({ put, remove }: Pick<StoreBatch, 'put' | 'remove'>): Statement[] {
  const statements: Statement[] = []
  for (const some of portions(remove, () => 0)) {
    statements.push({
      text: `DELETE FROM public.record USING unnest($1::bytea[], $2::bytea[]) AS gone (tbl, id)
             WHERE record.tbl = gone.tbl AND sha256(record.id) = sha256(gone.id) AND record.id = gone.id`,
      values: [some.map(({ table }) => Buffer.from(table)), some.map(({ id }) => Buffer.from(id))],
    })
  }
  const rows = put.map(({ table, id, seq, body, mac }) => ({
    table: Buffer.from(table),
    id: Buffer.from(id),
    seq,
    body: Buffer.from(body),
    mac: Buffer.from(mac),
  }))
  for (const some of portions(rows, ({ id, body }) => id.byteLength + body.byteLength)) {
    statements.push({
      text: `INSERT INTO public.record (tbl, id, seq, body, mac)
             SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[])
             ON CONFLICT (tbl, sha256(id))
             DO UPDATE SET id = excluded.id, seq = excluded.seq, body = excluded.body, mac = excluded.mac`,
      values: [
        some.map(({ table }) => table),
        some.map(({ id }) => id),
        some.map(({ seq }) => seq),
        some.map(({ body }) => body),
        some.map(({ mac }) => mac),
      ],
    })
  }
  return statements
}

/** Cuts a batch into what one statement carries. */
function portions<T>(rows: readonly T[], bytesOf: (row: T) => number): T[][] {
  const cut: T[][] = []
  let bytes = MAX_STATEMENT_BYTES
  for (const row of rows) {
    const more = bytesOf(row)
    const last = cut.at(-1)
    if (last === undefined || last.length >= MAX_STATEMENT_ROWS || bytes + more > MAX_STATEMENT_BYTES) {
      cut.push([row])
      bytes = more
    } else {
      last.push(row)
      bytes += more
    }
  }
  return cut
}

function rowOf({ tbl, id, seq, body, mac }: QueryResultRow): StoredRow {
  if (!isText(tbl) || !isText(id) || typeof seq !== 'string' || !isText(body) || !(mac instanceof Uint8Array))
    throw new KeywardError('store_unreadable', 'A row of the database has the wrong types.')
  return { table: tbl.toString(), id: id.toString(), seq: Number(seq), body: body.toString(), mac }
}

function isText(value: unknown): value is Buffer {
  return Buffer.isBuffer(value) && isUtf8(value)
}
