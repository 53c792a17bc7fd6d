import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Pool, PoolClient, QueryResultRow } from 'pg'
import { KeywardError } from '../core/errors.ts'
import type { PostgresAddress } from './postgres-address.ts'
import { openConnections, postgresTimeouts, withConnection } from './postgres-connections.ts'
import type { PostgresTimeouts } from './postgres-connections.ts'
import { guarded, isOtherLayout, storeError } from './postgres-errors.ts'
import { takeHold } from './postgres-hold.ts'
import { storeSchema } from './store.ts'
import type { Store, StoreBatch, StoredRow, StoreIdentity } from './store.ts'

/** Rows that one statement carries, and bytes of them; a batch may have more, in one transaction all the same. */
const MAX_STATEMENT_ROWS = 1_000
const MAX_STATEMENT_BYTES = 8 * 1024 * 1024
/** How long it is tried to find out whether a commit was made whose answer was lost. */
const DOUBT_MILLISECONDS = 5_000
const DOUBT_RETRY_MILLISECONDS = 250

/**
 * From no tables to those of schema 1, from there to 2, and so on: forward only. Text is kept as bytes
 * (UTF-8), because PostgreSQL's own holds no NUL; the key has a digest, because an index entry is small.
 */
const layouts: readonly string[] = [
  `CREATE TABLE public.keyward (
     one integer PRIMARY KEY CHECK (one = 1),
     store_id text NOT NULL, schema integer NOT NULL, epoch bigint NOT NULL, holder text NOT NULL
   );
   CREATE TABLE public.record (
     tbl bytea NOT NULL, id bytea NOT NULL, seq bigint NOT NULL, body bytea NOT NULL, mac bytea NOT NULL
   );
   CREATE UNIQUE INDEX record_key ON public.record (tbl, sha256(id));`,
]

interface Marker extends StoreIdentity {
  readonly epoch: number
}

/**
 * A store in one PostgreSQL database, held by this process alone while it is open (`store_in_use` for a
 * second opener). Whoever opens it writes its own name into the marker, and a commit is made only while
 * that name stands there: a process that lost its hold without noticing changes nothing.
 */
export async function openPostgresStore(
  address: PostgresAddress,
  timeouts: PostgresTimeouts = postgresTimeouts,
): Promise<Store> {
  const pool = openConnections(address, timeouts)
  const holder = randomUUID()
  /** The epoch that this process knows; null before the store is initialised. */
  let known: number | null = null
  let committing = 0

  async function isAsKnown(client: PoolClient): Promise<boolean> {
    const before = known
    if (before === null) return (await client.query('SELECT')).rowCount === 1
    const now = await heldEpoch(client, holder)
    return now === before || now === known || (committing > 0 && now === before + 1)
  }

  const hold = await takeHold(pool, isAsKnown).catch(async (error: unknown) => {
    await pool.end()
    throw error
  })

  async function close(): Promise<void> {
    hold.release()
    await pool.end()
  }

  try {
    known = await guarded(() =>
      withConnection(pool, async (client) => {
        const marker = await readMarker(client)
        if (marker === null) return null
        await client.query('UPDATE public.keyward SET holder = $1', [holder])
        return marker.epoch
      }),
    )
  } catch (error) {
    await close()
    throw error
  }

  return {
    kind: 'postgres',
    isCurrent: () => hold.held(),
    async identity() {
      const marker = await guarded(() => withConnection(pool, readMarker))
      return marker === null ? null : { storeId: marker.storeId, schema: marker.schema }
    },
    async initialise(identity) {
      await guarded(() => withConnection(pool, (client) => createTables(client, identity, holder)))
      known = 0
    },
    async epoch() {
      if (known === null) return 0
      return (await guarded(() => withConnection(pool, readMarker)))?.epoch ?? 0
    },
    async load() {
      if (known === null) return []
      const found = await guarded(() =>
        withConnection(pool, (client) => client.query('SELECT tbl, id, seq, body, mac FROM public.record')),
      )
      return found.rows.map(rowOf)
    },
    async commit(batch) {
      if (known === null) throw new KeywardError('store_conflict', 'The store has not been initialised.')
      const { expectedEpoch } = batch
      // Everything is read before anything is written.
      const statements = statementsOf(batch)
      committing += 1
      try {
        await guarded(() => write(pool, { expectedEpoch, holder, statements }))
        known = expectedEpoch + 1
      } finally {
        committing -= 1
      }
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
  change: { expectedEpoch: number; holder: string; statements: readonly Statement[] },
): Promise<void> {
  const { expectedEpoch, holder, statements } = change
  let isAsked = false
  try {
    await withConnection(pool, async (client) => {
      await client.query('BEGIN')
      const moved = await client.query('UPDATE public.keyward SET epoch = epoch + 1 WHERE epoch = $1 AND holder = $2', [
        expectedEpoch,
        holder,
      ])
      if (moved.rowCount !== 1) throw new KeywardError('store_conflict', 'The store is at another epoch.')
      for (const { text, values } of statements) await client.query(text, [...values])
      isAsked = true
      const { command } = await client.query('COMMIT')
      if (command !== 'COMMIT') throw new KeywardError('store_unreadable', 'The database undid the change.')
    })
  } catch (error) {
    if (!isAsked || error instanceof KeywardError) throw error
    if (!(await wasMade(pool, expectedEpoch, holder))) throw storeError(error)
  }
}

/**
 * Whether the commit that followed `expectedEpoch` was made, when its answer was lost. Only the holder
 * commits, so the epoch tells; the row lock waits for a transaction that the server has not ended yet.
 */
async function wasMade(pool: Pool, expectedEpoch: number, holder: string): Promise<boolean> {
  const deadline = Date.now() + DOUBT_MILLISECONDS
  while (Date.now() < deadline) {
    try {
      const epoch = await withConnection(pool, (client) => heldEpoch(client, holder, 'FOR UPDATE'))
      return epoch === expectedEpoch + 1
    } catch {
      await wait(DOUBT_RETRY_MILLISECONDS)
    }
  }
  throw new KeywardError('store_unavailable', 'Whether the change was made is not known.')
}

/** The epoch, or null where another process has taken the store since. */
async function heldEpoch(client: PoolClient, holder: string, lock = ''): Promise<number | null> {
  const { rows } = await client.query(`SELECT epoch, holder FROM public.keyward ${lock}`)
  const row: QueryResultRow = rows[0] ?? {}
  return row['holder'] === holder ? Number(row['epoch']) : null
}

async function createTables(client: PoolClient, identity: StoreIdentity, holder: string): Promise<void> {
  await client.query('BEGIN')
  if (!(await isEmpty(client))) throw new KeywardError('store_conflict', 'The store is not empty.')
  for (const layout of layouts.slice(0, identity.schema)) await client.query(layout)
  await client.query('INSERT INTO public.keyward (one, store_id, schema, epoch, holder) VALUES (1, $1, $2, 0, $3)', [
    identity.storeId,
    identity.schema,
    holder,
  ])
  await client.query('COMMIT')
}

async function readMarker(client: PoolClient): Promise<Marker | null> {
  const marked = await client.query("SELECT to_regclass('public.keyward') IS NOT NULL AS found")
  if (marked.rows[0]?.['found'] !== true) {
    if (!(await isEmpty(client)))
      throw new KeywardError('store_foreign', 'It holds tables, and none of them is Keyward’s marker.')
    return null
  }
  const found = await client
    .query('SELECT store_id, schema, epoch, holder FROM public.keyward')
    .catch((error: unknown) => {
      if (isOtherLayout(error))
        throw new KeywardError('store_foreign', 'Its table named keyward is not Keyward’s marker.')
      throw error
    })
  const row: QueryResultRow = found.rows[0] ?? {}
  const { store_id: storeId, schema } = row
  const epoch = Number(row['epoch'])
  if (found.rowCount !== 1 || typeof storeId !== 'string' || typeof schema !== 'number' || !Number.isSafeInteger(epoch))
    throw new KeywardError('store_unreadable', 'The marker of the database is damaged.')
  if (schema > storeSchema)
    throw new KeywardError('store_newer', `It has schema ${schema}; this program knows ${storeSchema}.`)
  return { storeId, schema, epoch }
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

function statementsOf({ put, remove }: StoreBatch): Statement[] {
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
