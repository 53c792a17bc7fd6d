import type { Pool, PoolClient, QueryResultRow } from 'pg'
import { KeywardError } from '../core/errors.ts'
import { withConnection } from './postgres-connections.ts'
import { guarded, isMadeMeanwhile } from './postgres-errors.ts'
import { NAME_LOCKS, nameKey, SCHEMA_LOCKS } from './postgres-hold.ts'
import { oldestStoreSchema } from './store.ts'
import type { NodeRegister, NodeSeen } from './store.ts'

/** Nodes that a list gives, those that were seen last. */
export const NODES_LISTED_MAXIMUM = 1_000

/** Beside the records: release 0.1.0 does not look at it. */
const createTable = `
  CREATE TABLE IF NOT EXISTS public.keyward_node (
    name text PRIMARY KEY, version text NOT NULL, schema integer NOT NULL, started_at bigint NOT NULL,
    seen_at timestamptz NOT NULL, epoch bigint NOT NULL, lease_held boolean NOT NULL
  )`

/** Who has the database open is told by the server's own locks, which end with their connection; what they are, by a table. */
const liveNodes = `
  SELECT held.objid::bigint::text AS key, coalesce((
    SELECT max(knows.objid::bigint) FROM pg_locks knows
    WHERE knows.locktype = 'advisory' AND knows.classid::bigint = ${SCHEMA_LOCKS} AND knows.objsubid = 2
      AND knows.granted AND knows.database = held.database AND knows.pid = held.pid
  ), ${oldestStoreSchema})::integer AS schema
  FROM pg_locks held
  WHERE held.locktype = 'advisory' AND held.classid::bigint = ${NAME_LOCKS} AND held.objsubid = 2 AND held.granted
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())`

/** Throws `schema_held` while a node has the database open that does not know `schema`. */
export async function refuseHeldBack(client: PoolClient, schema: number): Promise<void> {
  const { rows } = await client.query(liveNodes)
  const held = rows.filter((row) => Number(row['schema']) < schema).length
  if (held > 0) throw new KeywardError('schema_held', `Nodes that do not know schema ${schema}: ${held}.`)
}

export function createNodeRegister(
  pool: Pool,
  { node, schema, onHint }: { node: string; schema: number; onHint: NodeRegister['onHint'] },
): NodeRegister {
  let isTableMade = false

  async function makeTable(client: PoolClient): Promise<void> {
    if (isTableMade) return
    await client.query(createTable).catch((error: unknown) => {
      if (!isMadeMeanwhile(error)) throw error
    })
    isTableMade = true
  }

  return {
    onHint,
    async announce({ version, startedAt, epoch, leaseHeld }) {
      await guarded(() =>
        withConnection(pool, async (client) => {
          await makeTable(client)
          await client.query(
            `INSERT INTO public.keyward_node (name, version, schema, started_at, seen_at, epoch, lease_held)
             VALUES ($1, $2, $3, $4, now(), $5, $6)
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, schema = excluded.schema,
               started_at = excluded.started_at, seen_at = excluded.seen_at, epoch = excluded.epoch,
               lease_held = excluded.lease_held`,
            [node, version, schema, startedAt, epoch, leaseHeld],
          )
        }),
      )
    },
    async list(known) {
      const found = await guarded(() => withConnection(pool, readNodes))
      return merge(found.live, found.said, known)
    },
    async forget(name) {
      return guarded(() =>
        withConnection(pool, async (client) => {
          const { live } = await readNodes(client)
          if (live.has(unsigned(nameKey(name)))) return false
          await makeTable(client)
          const { rowCount } = await client.query('DELETE FROM public.keyward_node WHERE name = $1', [name])
          return rowCount === 1
        }),
      )
    },
  }
}

interface Said {
  readonly name: string
  readonly schema: number
  readonly said: NonNullable<NodeSeen['said']>
}

/** Key of a name's lock to the schema that its holder knows. */
type Live = ReadonlyMap<string, number>

async function readNodes(client: PoolClient): Promise<{ live: Live; said: readonly Said[] }> {
  const locks = await client.query(liveNodes)
  const live = new Map(locks.rows.map((row) => [String(row['key']), Number(row['schema'])]))
  const made = await client.query("SELECT to_regclass('public.keyward_node') IS NOT NULL AS found")
  if (made.rows[0]?.['found'] !== true) return { live, said: [] }
  const { rows } = await client.query(
    `SELECT name, version, schema, started_at, epoch, lease_held,
       greatest(0, extract(epoch FROM now() - seen_at) * 1000)::bigint AS ago
     FROM public.keyward_node ORDER BY seen_at DESC LIMIT ${NODES_LISTED_MAXIMUM}`,
  )
  return { live, said: rows.map(saidOf) }
}

function saidOf(row: QueryResultRow): Said {
  return {
    name: String(row['name']),
    schema: Number(row['schema']),
    said: {
      version: String(row['version']),
      startedAt: Number(row['started_at']),
      epoch: Number(row['epoch']),
      leaseHeld: row['lease_held'] === true,
      millisecondsAgo: Number(row['ago']),
    },
  }
}

/** By name, and last those that have none. What a name last said is left out where its holder knows another schema: it is of another release. */
function merge(live: Live, said: readonly Said[], known: readonly string[]): NodeSeen[] {
  const unnamed = new Map(live)
  const nodes: NodeSeen[] = []
  const names = new Map<string, Said | null>(known.map((name) => [name, null]))
  for (const one of said) names.set(one.name, one)
  for (const [name, one] of names) {
    const key = unsigned(nameKey(name))
    const schema = live.get(key)
    unnamed.delete(key)
    if (schema === undefined && one === null) continue
    const isSame = one !== null && (schema === undefined || schema === one.schema)
    nodes.push({
      name,
      isLive: schema !== undefined,
      schema: schema ?? one?.schema ?? oldestStoreSchema,
      said: isSame ? one.said : null,
    })
  }
  nodes.sort((a, b) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1))
  for (const schema of unnamed.values()) nodes.push({ name: null, isLive: true, schema, said: null })
  return nodes
}

/** As the server writes the second half of a lock's key. */
function unsigned(key: number): string {
  return String(key >>> 0)
}
