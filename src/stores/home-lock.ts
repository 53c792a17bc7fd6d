import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { KeywardError } from '../core/errors.ts'

/**
 * Holds a home whose database lies elsewhere: its journal and its sockets are for one process alone.
 * The lock is SQLite's on an empty file, so it ends with the process however that ends. Throws
 * `home_in_use`. Gives what lets go of it.
 */
export function lockHome(path: string): () => void {
  let database: DatabaseSync | null = null
  try {
    closeSync(openSync(path, 'a', 0o600))
    database = new DatabaseSync(path, { timeout: 0 })
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    database?.close()
    if (database !== null) throw new KeywardError('home_in_use', 'Its lock is held by another process.')
    throw new KeywardError('store_unreadable', 'The lock of the home cannot be opened.', { cause: error })
  }
  const held = database
  return () => held.close()
}
