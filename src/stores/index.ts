import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import { lockHome } from './home-lock.ts'
import type { PostgresAddress } from './postgres-address.ts'
import { openSqliteStore } from './sqlite.ts'
import type { Store } from './store.ts'

/** Where a home's records are: in a PostgreSQL database, or (null) in SQLite in the home itself. */
export interface StorePlace {
  readonly home: string
  /** Name of this node, which no other has that uses the same database. */
  readonly node: string
  readonly database: PostgresAddress | null
}

/** The SQLite file of a home. */
export function databaseFile(home: string): string {
  return join(home, 'keyward.db')
}

/**
 * Opens the store of a home; the home is for this process alone. Throws `home_in_use`, `store_in_use`, or what
 * the driver throws; `config_invalid` where a home with a database of its own is given another.
 */
export async function openStore({ home, node, database }: StorePlace): Promise<Store> {
  const lock = join(home, 'keyward.lock')
  if (database === null) {
    // A fresh vault beside the journal of another one would open neither of the two.
    if (existsSync(lock) && !existsSync(databaseFile(home)))
      throw new KeywardError('config_invalid', 'This home is served on PostgreSQL: set KEYWARD_DATABASE_URL.')
    return openSqliteStore(databaseFile(home))
  }
  if (existsSync(databaseFile(home))) {
    throw new KeywardError(
      'config_invalid',
      'KEYWARD_DATABASE_URL is set, and the home holds a database of its own (keyward.db): use another home.',
    )
  }
  const unlock = lockHome(lock)
  try {
    // Loaded here, because a home with SQLite starts sooner without it.
    const { openPostgresStore } = await import('./postgres.ts')
    const store = await openPostgresStore(database, node)
    return { ...store, close: () => store.close().finally(unlock) }
  } catch (error) {
    unlock()
    throw error
  }
}
