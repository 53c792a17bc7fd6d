import type { KeyObject } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import { storeSchema } from '../stores/store.ts'
import type { StoredRow, StoreIdentity } from '../stores/store.ts'
import { BUCKET_TABLE, bucketOf, bucketRowId, emptyManifest, HEAD_ID, HEAD_TABLE, ROOT_TABLE } from './manifest.ts'
import type { HeadBody, Line, Manifest, Mark } from './manifest.ts'
import { isTableName } from './record-schemas.ts'
import { macHolds, tagOf, tampered } from './row-mac.ts'

/** Rows whose MACs are made before others may run: some milliseconds. */
const ROWS_PER_TURN = 1_000

export const REMOVED = 'it was removed'
export const ADDED = 'it was added'
export const REPLAYED = 'it is another writing of this row than the latest'
export const CHANGED = 'its MAC does not fit its content'

const lines: z.ZodType<readonly Line[]> = z.array(z.tuple([z.string(), z.int(), z.string()]))
const headBody: z.ZodType<HeadBody> = z.strictObject({
  schema: z.int(),
  storeId: z.string(),
  epoch: z.int().min(1),
  tables: z.array(z.tuple([z.string(), z.int(), z.int(), z.string()])),
  slots: z.array(z.tuple([z.string(), z.string()])),
})

export type RowsByTable = Map<string, Map<string, StoredRow>>

/**
 * Checks every row that a store gave against its MAC and against the listings above it, and returns
 * the manifest that later commits go on from. Throws `store_tampered`, naming table and row, at the
 * first row that was edited, added, removed, exchanged or put back from an earlier time.
 */
export function verifyRows(
  identity: StoreIdentity,
  key: KeyObject,
  rows: readonly StoredRow[],
): { manifest: Manifest; epoch: number } {
  const head = verifyHead(identity, key, rows)
  if (head.schema !== identity.schema) throw tampered('keyward', 'store', 'it names another schema')
  const grouped = groupRows(rows)
  verifyMacs(identity, key, rows)
  return compareListings(head, grouped, rows)
}

/** The same, and lets others run in between: for a server, which has more to do. The schema may have been raised since it was opened. */
export async function verifyRowsInTurns(
  identity: StoreIdentity,
  key: KeyObject,
  rows: readonly StoredRow[],
): Promise<{ epoch: number; schema: number }> {
  const head = verifyHead(identity, key, rows)
  const grouped = groupRows(rows)
  for (let at = 0; at < rows.length; at += ROWS_PER_TURN) {
    verifyMacs(identity, key, rows.slice(at, at + ROWS_PER_TURN))
    await nextTurn()
  }
  return { ...compareListings(head, grouped, rows), schema: head.schema }
}

function verifyMacs(identity: StoreIdentity, key: KeyObject, rows: readonly StoredRow[]): void {
  for (const row of rows) if (!macHolds(key, identity.storeId, row)) throw tampered(row.table, row.id, CHANGED)
}

function compareListings(
  head: HeadBody,
  grouped: RowsByTable,
  rows: readonly StoredRow[],
): { manifest: Manifest; epoch: number } {
  // Every commit writes the head, so a row from a later epoch means that the head is an earlier one.
  for (const row of rows) if (row.seq > head.epoch) throw tampered(HEAD_TABLE, HEAD_ID, REPLAYED)

  const manifest = emptyManifest()
  for (const [id, digest] of head.slots) manifest.slotDigests.set(id, digest)
  const counts = new Map<string, number>()
  for (const [table, count, seq, tag] of head.tables) {
    manifest.rootMarks.set(table, { seq, tag })
    counts.set(table, count)
  }
  const roots = grouped.get(ROOT_TABLE) ?? new Map<string, StoredRow>()
  compare(ROOT_TABLE, manifest.rootMarks, roots)

  const expectedBuckets = new Map<string, Mark>()
  for (const [table, root] of roots) {
    const bucketMarks = parseListing(root)
    manifest.tables.set(table, { count: counts.get(table) ?? 0, buckets: new Map(), bucketMarks })
    for (const [bucket, mark] of bucketMarks) expectedBuckets.set(bucketRowId(table, bucket), mark)
  }
  const buckets = grouped.get(BUCKET_TABLE) ?? new Map<string, StoredRow>()
  compare(BUCKET_TABLE, expectedBuckets, buckets)

  for (const [table, { bucketMarks, buckets: listings, count }] of manifest.tables) {
    const expected = new Map<string, Mark>()
    for (const bucket of bucketMarks.keys()) {
      const row = buckets.get(bucketRowId(table, bucket))
      if (row === undefined) throw tampered(BUCKET_TABLE, bucketRowId(table, bucket), REMOVED)
      const listing = parseListing(row)
      listings.set(bucket, listing)
      for (const [id, mark] of listing) {
        if (bucketOf(id) !== bucket) throw tampered(BUCKET_TABLE, row.id, CHANGED)
        expected.set(id, mark)
      }
    }
    compare(table, expected, grouped.get(table) ?? new Map<string, StoredRow>())
    if (expected.size !== count) throw tampered(ROOT_TABLE, table, 'its count is wrong')
  }
  for (const [table, rowsOfTable] of grouped) {
    if (!isTableName(table) || manifest.tables.has(table)) continue
    for (const id of rowsOfTable.keys()) throw tampered(table, id, ADDED)
  }
  return { manifest, epoch: head.epoch }
}

/**
 * The head row as it stands there, unproven, or null where there is no readable one. Good for choosing
 * which slots to try and for naming the row that was changed before any key is known, and for nothing else.
 */
export function unprovenHead(rows: readonly StoredRow[]): HeadBody | null {
  const head = rows.find(({ table, id }) => table === HEAD_TABLE && id === HEAD_ID)
  return head === undefined ? null : parseHead(head)
}

/** The head row, proven. Throws `store_newer` where another node has raised the schema above what this program knows. */
export function verifyHead(identity: StoreIdentity, key: KeyObject, rows: readonly StoredRow[]): HeadBody {
  const row = rows.find(({ table, id }) => table === HEAD_TABLE && id === HEAD_ID)
  if (row === undefined) throw tampered(HEAD_TABLE, HEAD_ID, REMOVED)
  const head = parseHead(row)
  if (head === null) throw tampered(HEAD_TABLE, HEAD_ID, CHANGED)
  if (!macHolds(key, identity.storeId, row) || row.seq !== head.epoch) throw tampered(HEAD_TABLE, HEAD_ID, CHANGED)
  if (head.schema < identity.schema) throw tampered('keyward', 'store', 'it names another schema')
  if (head.schema > storeSchema)
    throw new KeywardError('store_newer', `It was raised to schema ${head.schema}; this program knows ${storeSchema}.`)
  return head
}

export function groupRows(rows: readonly StoredRow[]): RowsByTable {
  const grouped: RowsByTable = new Map()
  for (const row of rows) {
    const { table, id } = row
    const known = isTableName(table) || table === BUCKET_TABLE || table === ROOT_TABLE
    if (!known && !(table === HEAD_TABLE && id === HEAD_ID)) throw tampered(table, id, ADDED)
    let ofTable = grouped.get(table)
    if (ofTable === undefined) grouped.set(table, (ofTable = new Map()))
    if (ofTable.has(id)) throw tampered(table, id, 'it is there twice')
    ofTable.set(id, row)
  }
  return grouped
}

function compare(table: string, expected: ReadonlyMap<string, Mark>, actual: ReadonlyMap<string, StoredRow>): void {
  for (const [id, { seq, mac }] of actual) {
    const mark = expected.get(id)
    if (mark === undefined) throw tampered(table, id, ADDED)
    if (mark.seq !== seq || mark.tag !== tagOf(mac)) throw tampered(table, id, REPLAYED)
  }
  for (const id of expected.keys()) if (!actual.has(id)) throw tampered(table, id, REMOVED)
}

export function parseListing(row: StoredRow): Map<string, Mark> {
  const parsed = lines.safeParse(parseJson(row.body))
  if (!parsed.success) throw tampered(row.table, row.id, CHANGED)
  return new Map(parsed.data.map(([id, seq, tag]) => [id, { seq, tag }]))
}

function parseHead(row: StoredRow): HeadBody | null {
  const parsed = headBody.safeParse(parseJson(row.body))
  return parsed.success ? parsed.data : null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
