import { performance } from 'node:perf_hooks'
import type { Pool, PoolClient } from 'pg'
import { KeywardError } from '../core/errors.ts'
import { storeError } from './postgres-errors.ts'

/** How often the hold is confirmed. */
const RENEW_MILLISECONDS = 250
/** How long a confirmation is good for (promise 8). */
export const LEASE_MILLISECONDS = 1_000
/** How long a new process waits for the connection of one that has just died. */
export const TAKE_OVER_MILLISECONDS = 2_000
/** Key of the advisory lock, unique within a database: "keyward" in ASCII. */
const LOCK_KEY = 0x6b_65_79_77_61_72_64n

/** What only one process at a time has of a database. */
export interface Hold {
  /** Whether the database confirmed, not more than a second ago, that nobody else can have written to it. */
  held(): boolean
  release(): void
}

/**
 * Takes the database for this process, by an advisory lock that the server frees with the connection.
 * Throws `store_in_use` where another process has it. `confirm` asks over the given connection whether
 * the store is still the one that this process knows; while it says no, or the server is out of reach,
 * the hold counts as lost. A connection that breaks is made anew, and the lock taken again.
 */
export async function takeHold(pool: Pool, confirm: (client: PoolClient) => Promise<boolean>): Promise<Hold> {
  let client: PoolClient | null = await lockedConnection(pool)
  let confirmedAt = clocks()
  let busy = false
  let released = false

  async function renew(): Promise<void> {
    const asked = clocks()
    try {
      client ??= await lockedConnection(pool)
      if (await confirm(client)) confirmedAt = asked
    } catch {
      client?.release(true)
      client = null
    }
    if (released) drop()
  }

  function drop(): void {
    client?.release(true)
    client = null
  }

  const timer = setInterval(() => {
    if (busy) return
    busy = true
    void renew().finally(() => (busy = false))
  }, RENEW_MILLISECONDS)
  timer.unref()

  return {
    held() {
      const now = clocks()
      // A machine that slept shows it on one clock, a clock that was set on the other.
      return (
        !released &&
        now.monotonic - confirmedAt.monotonic < LEASE_MILLISECONDS &&
        now.wall - confirmedAt.wall < LEASE_MILLISECONDS
      )
    },
    release() {
      released = true
      clearInterval(timer)
      if (!busy) drop()
    },
  }
}

async function lockedConnection(pool: Pool): Promise<PoolClient> {
  const client = await pool.connect().catch((error: unknown) => {
    throw storeError(error)
  })
  client.on('error', () => undefined)
  try {
    await client.query(
      `BEGIN; SET LOCAL lock_timeout = ${TAKE_OVER_MILLISECONDS}; SELECT pg_advisory_lock(${LOCK_KEY}); COMMIT`,
    )
    return client
  } catch (error) {
    client.release(true)
    const found = storeError(error)
    const waited = error instanceof Error && 'code' in error && error.code === '55P03'
    throw waited ? new KeywardError('store_in_use') : found
  }
}

function clocks(): { readonly monotonic: number; readonly wall: number } {
  return { monotonic: performance.now(), wall: Date.now() }
}
