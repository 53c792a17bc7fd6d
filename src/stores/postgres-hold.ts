import { createHash } from 'node:crypto'
import type { Pool, PoolClient } from 'pg'
import { KeywardError } from '../core/errors.ts'
import { storeError } from './postgres-errors.ts'

/** How long a new process waits for the connection of one that has just died. */
export const TAKE_OVER_MILLISECONDS = 2_000
/** First half of the key of the advisory lock that a name is, which is unique within a database: "keyw" in ASCII. */
export const NAME_LOCKS = 0x6b_65_79_77
/** The same of the shared lock that says which schema a node knows: "keys". Release 0.1.0, which knows schema 1, takes none. */
export const SCHEMA_LOCKS = 0x6b_65_79_73

/** On which a node that has committed says so, without a word about what. */
export const CHANNEL = 'keyward_commit'

/** A name in a database that only one process has at a time. */
export interface Hold {
  /**
   * Runs `work` on the connection that has the name: what it finds, it finds while nobody else has it.
   * A connection on which anything fails is closed; the next call makes another and takes the name
   * again. Throws `store_in_use` where somebody else has it by then.
   */
  ask<T>(work: (client: PoolClient) => Promise<T>): Promise<T>
  release(): void
}

/** Second half of the key of a name's lock. */
export function nameKey(name: string): number {
  return createHash('sha256').update(name).digest().readInt32BE(0)
}

/** Takes `name` by an advisory lock, which the server frees with the connection. `onHint` is called for every notification of the channel. Throws `store_in_use`. */
export async function takeHold(pool: Pool, name: string, schema: number, onHint: () => void): Promise<Hold> {
  const keys = { name: nameKey(name), schema }
  const connect = (): Promise<PoolClient> => lockedConnection(pool, keys, onHint)
  let client: Promise<PoolClient> | null = connect()
  await client
  let released = false

  async function drop(which: Promise<PoolClient> | null): Promise<void> {
    if (client === which) client = null
    const dropped = await which?.catch(() => null)
    dropped?.release(true)
  }

  return {
    async ask(work) {
      if (released) throw new KeywardError('store_unavailable', 'The store is closed.')
      const mine = (client ??= connect())
      try {
        return await work(await mine)
      } catch (error) {
        if (client === mine) await drop(mine)
        throw storeError(error)
      }
    },
    release() {
      released = true
      void drop(client)
    },
  }
}

async function lockedConnection(
  pool: Pool,
  keys: { name: number; schema: number },
  onHint: () => void,
): Promise<PoolClient> {
  const client = await pool.connect()
  client.on('error', () => undefined)
  try {
    await client.query(
      // First what it knows, then that it is there: seen in between, it would count as one of the first release.
      `BEGIN; SET LOCAL lock_timeout = ${TAKE_OVER_MILLISECONDS};
       SELECT pg_advisory_lock_shared(${SCHEMA_LOCKS}, ${keys.schema});
       SELECT pg_advisory_lock(${NAME_LOCKS}, ${keys.name}); COMMIT`,
    )
    // A replica knows no channels; whatever is heard here only hastens a look.
    await client.query(`LISTEN ${CHANNEL}`).catch(() => undefined)
    client.on('notification', onHint)
    return client
  } catch (error) {
    client.release(true)
    if (error instanceof Error && 'code' in error && error.code === '55P03') throw new KeywardError('store_in_use')
    throw error
  }
}
