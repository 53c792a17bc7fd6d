import { createHash } from 'node:crypto'
import type { Pool, PoolClient } from 'pg'
import { KeywardError } from '../core/errors.ts'
import { storeError } from './postgres-errors.ts'

/** How long a new process waits for the connection of one that has just died. */
export const TAKE_OVER_MILLISECONDS = 2_000
/** First half of the advisory lock's key, which is unique within a database: "keyw" in ASCII. */
const LOCK_CLASS = 0x6b_65_79_77

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

/** Takes `name` by an advisory lock, which the server frees with the connection. Throws `store_in_use`. */
export async function takeHold(pool: Pool, name: string): Promise<Hold> {
  const key = createHash('sha256').update(name).digest().readInt32BE(0)
  let client: Promise<PoolClient> | null = lockedConnection(pool, key)
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
      const mine = (client ??= lockedConnection(pool, key))
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

async function lockedConnection(pool: Pool, key: number): Promise<PoolClient> {
  const client = await pool.connect()
  client.on('error', () => undefined)
  try {
    await client.query(
      `BEGIN; SET LOCAL lock_timeout = ${TAKE_OVER_MILLISECONDS}; SELECT pg_advisory_lock(${LOCK_CLASS}, ${key}); COMMIT`,
    )
    return client
  } catch (error) {
    client.release(true)
    if (error instanceof Error && 'code' in error && error.code === '55P03') throw new KeywardError('store_in_use')
    throw error
  }
}
