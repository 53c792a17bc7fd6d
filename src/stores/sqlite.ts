import { chmodSync, closeSync, lstatSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { SQLOutputValue } from 'node:sqlite'
import { KeywardError } from '../core/errors.ts'
import { knownIdentity } from './store.ts'
import type { Store, StoreBatch, StoredRow, StoreIdentity } from './store.ts'

/** SQLite result codes (https://www.sqlite.org/rescode.html), primary part. */
const BUSY = 5
const LOCKED = 6
const reasons: ReadonlyMap<number, string> = new Map([
  [8, 'It can only be read.'],
  [10, 'Its disk fails.'],
  [13, 'Its disk is full.'],
])

const createTables = `
  CREATE TABLE keyward (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store_id TEXT NOT NULL, schema INTEGER NOT NULL, epoch INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE record (
    tbl TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, mac BLOB NOT NULL,
    PRIMARY KEY (tbl, id)
  ) STRICT;`

/**
 * A store in one SQLite file, held exclusively by this process: a second opener gets `home_in_use`.
 * Write-ahead log with synchronous=FULL, so a commit that has resolved is on disk. The file has mode
 * 0600, and SQLite gives the log beside it the same. A file that is not Keyward's is left as it was.
 */
export async function openSqliteStore(path: string): Promise<Store> {
  createPrivately(path)
  const database = guarded(() => new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: false }))
  try {
    return guarded(() => prepare(database, path))
  } catch (error) {
    database.close()
    throw error
  }
}

function prepare(database: DatabaseSync, path: string): Store {
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON')
  // Reading first, writing later: whatever is in the file decides whether it may be written at all.
  const marker = readMarker(database)
  if (marker !== null) chmodSync(path, 0o600)
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  // In exclusive mode the lock that this takes is kept until the database is closed.
  database.exec('BEGIN EXCLUSIVE; COMMIT')
  return sqliteStore(database, [path, `${path}-wal`])
}

function sqliteStore(database: DatabaseSync, paths: readonly string[]): Store {
  let initialised = readMarker(database) !== null
  const stillThere = filesAsOpened(paths)

  function transaction(work: () => void): void {
    stillThere()
    database.exec('BEGIN IMMEDIATE')
    try {
      work()
      database.exec('COMMIT')
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
  }

  function write(batch: StoreBatch): void {
    const moved = database
      .prepare('UPDATE keyward SET epoch = epoch + 1 WHERE epoch = ?')
      .run(batch.expectedEpoch).changes
    if (moved !== 1) throw new KeywardError('store_conflict', 'The store is at another epoch.')
    if (batch.schema !== undefined) database.prepare('UPDATE keyward SET schema = ?').run(batch.schema)
    const remove = database.prepare('DELETE FROM record WHERE tbl = ? AND id = ?')
    for (const { table, id } of batch.remove) remove.run(table, id)
    writeRows(batch.put)
  }

  function writeRows(rows: readonly StoredRow[]): void {
    const put = database.prepare(
      `INSERT INTO record (tbl, id, seq, body, mac) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (tbl, id) DO UPDATE SET seq = excluded.seq, body = excluded.body, mac = excluded.mac`,
    )
    for (const { table, id, seq, body, mac } of rows) put.run(table, id, seq, body, mac)
  }

  function rowsAfter(epoch: number): StoredRow[] {
    if (!initialised) return []
    return guarded(() => {
      const rows: StoredRow[] = []
      const found = database.prepare('SELECT tbl, id, seq, body, mac FROM record WHERE seq > ?').iterate(epoch)
      for (const row of found) rows.push(rowOf(row))
      return rows
    })
  }

  return {
    kind: 'sqlite',
    node: null,
    nodes: null,
    async identity() {
      return guarded(() => readMarker(database))
    },
    async initialise(identity, content = { epoch: 0, rows: [] }) {
      guarded(() =>
        transaction(() => {
          if (!isEmpty(database)) throw new KeywardError('store_conflict', 'The store is not empty.')
          database.exec(createTables)
          database
            .prepare('INSERT INTO keyward (one, store_id, schema, epoch) VALUES (1, ?, ?, ?)')
            .run(identity.storeId, identity.schema, content.epoch)
          writeRows(content.rows)
        }),
      )
      initialised = true
    },
    load: async () => rowsAfter(-1),
    changesSince: async (epoch) => rowsAfter(epoch),
    async epoch() {
      const row = guarded(() => (initialised ? database.prepare('SELECT epoch FROM keyward').get() : undefined))
      const epoch = row?.['epoch']
      return typeof epoch === 'number' ? epoch : 0
    },
    async commit(batch) {
      if (!initialised) throw new KeywardError('store_conflict', 'The store has not been initialised.')
      guarded(() => transaction(() => write(batch)))
    },
    async close() {
      if (database.isOpen) database.close()
    },
  }
}

/**
 * A database that was removed or replaced while it was open takes writes as before, and they are gone
 * with the process: a suspension that nobody finds again. Gives a check that throws instead.
 */
function filesAsOpened(paths: readonly string[]): () => void {
  const identityOf = (path: string): string | null => {
    const found = lstatSync(path, { throwIfNoEntry: false, bigint: true })
    return found === undefined ? null : `${found.dev}:${found.ino}`
  }
  const opened = paths.map((path) => ({ path, identity: identityOf(path) }))
  return () => {
    for (const { path, identity } of opened) {
      if (identity !== null && identityOf(path) !== identity)
        throw new KeywardError('store_unreadable', 'The database was removed or replaced while it was in use.')
    }
  }
}

/** The file is made here, because SQLite would make it with the mode that the umask leaves. */
function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw unreadable(error)
    if (!lstatSync(path).isFile()) throw new KeywardError('store_unreadable', 'It is not a regular file.')
  }
}

function readMarker(database: DatabaseSync): StoreIdentity | null {
  const marked = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'keyward'").get()
  if (marked === undefined) {
    if (!isEmpty(database))
      throw new KeywardError('store_foreign', 'It holds tables, and none of them is Keyward’s marker.')
    return null
  }
  let row: Record<string, SQLOutputValue> | undefined
  try {
    row = database.prepare('SELECT store_id, schema FROM keyward').get()
  } catch (error) {
    if (isBusy(error)) throw error
    throw new KeywardError('store_foreign', 'Its table named keyward is not Keyward’s marker.')
  }
  const { store_id: storeId, schema } = row ?? {}
  if (typeof storeId !== 'string' || typeof schema !== 'number') {
    throw new KeywardError('store_unreadable', 'The marker of the database is damaged.')
  }
  return knownIdentity({ storeId, schema })
}

function isEmpty(database: DatabaseSync): boolean {
  return database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined
}

function rowOf({ tbl, id, seq, body, mac }: Record<string, SQLOutputValue>): StoredRow {
  if (
    typeof tbl !== 'string' ||
    typeof id !== 'string' ||
    typeof seq !== 'number' ||
    typeof body !== 'string' ||
    !(mac instanceof Uint8Array)
  ) {
    throw new KeywardError('store_unreadable', 'A row of the database has the wrong types.')
  }
  return { table: tbl, id, seq, body, mac }
}

/** Gives every failure of SQLite a stable code; the text of a statement or a value is never in it. */
function guarded<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof KeywardError) throw error
    if (isBusy(error)) throw new KeywardError('home_in_use', 'Its database is locked by another process.')
    throw unreadable(error)
  }
}

function isBusy(error: unknown): boolean {
  const code = resultCode(error)
  return code === BUSY || code === LOCKED
}

function unreadable(error: unknown): KeywardError {
  const why = codeOf(error) ?? 'an unknown reason'
  const result = resultCode(error)
  const detail =
    (result === null ? undefined : reasons.get(result)) ??
    `The database answers ${result === null ? why : `SQLite error ${result}`}.`
  return new KeywardError('store_unreadable', detail, { cause: error })
}

function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null
}

function resultCode(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return null
  return error.errcode & 0xff
}
