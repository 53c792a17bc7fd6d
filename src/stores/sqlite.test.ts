import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, describe, expect, test } from 'vitest'
import { storeCases } from './conformance.ts'
import type { StoreHarness } from './conformance.ts'
import { openSqliteStore } from './sqlite.ts'
import { storeSchema } from './store.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-sqlite-'))
afterAll(() => rmSync(folder, { recursive: true }))

let places = 0
function newPlace(): string {
  places += 1
  return join(folder, `${places}.db`)
}

function edit(path: string, sql: string): void {
  const database = new DatabaseSync(path)
  database.exec(sql)
  database.close()
}

const harness: StoreHarness = {
  place: async () => newPlace(),
  open: openSqliteStore,
  occupy: async (place) => edit(place, 'CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES (1)'),
  setSchema: async (place, schema) => edit(place, `UPDATE keyward SET schema = ${schema}`),
}
const identity = { storeId: 'tested', schema: storeSchema }
const row = { table: 'a', id: '1', seq: 1, body: '{}', mac: new Uint8Array(32) }

describe('conformance of the SQLite store', () => {
  test.each(storeCases)('$name', ({ run }) => run(harness))
})

describe('the SQLite store', () => {
  test('file and log can be read by their owner alone, whatever the umask leaves or the file had', async () => {
    const path = newPlace()
    const before = process.umask(0)
    try {
      const store = await openSqliteStore(path)
      await store.initialise(identity)
      await store.commit({ expectedEpoch: 0, put: [row], remove: [] })
      expect(statSync(path).mode & 0o777).toBe(0o600)
      expect(statSync(`${path}-wal`).mode & 0o777).toBe(0o600)
      await store.close()
    } finally {
      process.umask(before)
    }
    chmodSync(path, 0o644)
    const again = await openSqliteStore(path)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await again.close()
  })

  test('a second opener is told that the home is in use, also before anything was initialised', async () => {
    const path = newPlace()
    const first = await openSqliteStore(path)
    await expect(openSqliteStore(path)).rejects.toMatchObject({ code: 'home_in_use' })
    await first.initialise(identity)
    await expect(openSqliteStore(path)).rejects.toMatchObject({ code: 'home_in_use' })
    await first.close()
    const second = await openSqliteStore(path)
    expect(await second.identity()).toEqual(identity)
    await second.close()
  })

  test('a foreign database keeps every byte', async () => {
    const path = newPlace()
    await harness.occupy(path)
    const before = readFileSync(path)
    await expect(openSqliteStore(path)).rejects.toMatchObject({ code: 'store_foreign' })
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  test('a table named keyward that is somebody else’s is foreign', async () => {
    const path = newPlace()
    edit(path, 'CREATE TABLE keyward (colour TEXT)')
    await expect(openSqliteStore(path)).rejects.toMatchObject({ code: 'store_foreign' })
  })

  test.each([
    [
      'text',
      (path: string) => writeFileSync(path, 'this is no database, and long enough to be looked at. '.repeat(40)),
    ],
    ['a folder', (path: string) => mkdirSync(path)],
    ['a link', (path: string) => symlinkSync('/dev/null', path)],
    ['a marker without a row', (path: string) => edit(path, 'CREATE TABLE keyward (one, store_id, schema, epoch)')],
  ])('%s in its place is unreadable', async (_, plant) => {
    const path = newPlace()
    plant(path)
    await expect(openSqliteStore(path)).rejects.toMatchObject({ code: 'store_unreadable' })
  })

  test('a folder that is not there is unreadable', async () => {
    await expect(openSqliteStore(join(folder, 'nowhere', 'x.db'))).rejects.toMatchObject({ code: 'store_unreadable' })
  })

  test('a file cut in half or overwritten in the middle is unreadable', async () => {
    for (const damage of ['cut', 'overwrite']) {
      const path = newPlace()
      const store = await openSqliteStore(path)
      await store.initialise(identity)
      const put = Array.from({ length: 500 }, (_, index) => ({ ...row, id: `${index}`, body: 'x'.repeat(500) }))
      await store.commit({ expectedEpoch: 0, put, remove: [] })
      await store.close()
      const size = statSync(path).size
      if (damage === 'cut') truncateSync(path, Math.floor(size / 2))
      else writeFileSync(path, readFileSync(path).fill(0xa5, 4096 * 3))
      const opening = openSqliteStore(path).then(async (opened) => {
        try {
          return await opened.load()
        } finally {
          await opened.close()
        }
      })
      await expect(opening, damage).rejects.toMatchObject({ code: 'store_unreadable' })
    }
  })
})
