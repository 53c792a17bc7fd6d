import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import type { StoredRow, StoreIdentity } from '../stores/store.ts'
import { BUCKET_TABLE, bucketOf, bucketRowId, emptyManifest, HEAD_TABLE, ROOT_TABLE } from './manifest.ts'
import type { Manifest, Mark, TableManifest } from './manifest.ts'
import { isTableName } from './record-schemas.ts'
import { macHolds, tagOf, tampered } from './row-mac.ts'
import { ADDED, CHANGED, groupRows, parseListing, REMOVED, REPLAYED, verifyHead } from './verify-rows.ts'
import type { RowsByTable } from './verify-rows.ts'

export interface VerifiedChanges {
  readonly manifest: Manifest
  readonly epoch: number
  readonly schema: number
  readonly changed: readonly StoredRow[]
  readonly removed: readonly { readonly table: string; readonly id: string }[]
}

/**
 * Takes the rows that were written after `epoch` for what follows on `known`: as strict as opening.
 * The new head is proven, and from it downwards every listing; a mark from before `epoch` must be the
 * one that is known, and one from after it must have its row among those given. A row that no listing
 * names is refused, and what the listings name no more was removed. The schema may have been raised.
 * Throws `store_tampered` or, for a head that is not newer, `store_rolled_back`.
 */
export function verifyChanges(
  identity: StoreIdentity,
  key: KeyObject,
  before: { readonly manifest: Manifest; readonly epoch: number },
  rows: readonly StoredRow[],
): VerifiedChanges {
  const head = verifyHead(identity, key, rows)
  const grouped = groupRows(rows)
  if (head.epoch <= before.epoch)
    throw new KeywardError('store_rolled_back', `It is at epoch ${head.epoch}; this node saw epoch ${before.epoch}.`)
  for (const row of rows) if (!macHolds(key, identity.storeId, row)) throw tampered(row.table, row.id, CHANGED)

  const manifest = emptyManifest()
  for (const [id, digest] of head.slots) manifest.slotDigests.set(id, digest)
  const removed: { table: string; id: string }[] = []
  for (const [table, count, seq, tag] of head.tables) {
    const known = before.manifest.tables.get(table)
    const mark = { seq, tag }
    manifest.rootMarks.set(table, mark)
    const root = rowOf(grouped, ROOT_TABLE, table, mark, before.manifest.rootMarks.get(table), before.epoch)
    const next = root === null ? known : followTable(table, root, known, grouped, before.epoch, removed)
    if (next === undefined) throw tampered(ROOT_TABLE, table, REMOVED)
    if (countOf(next) !== count) throw tampered(ROOT_TABLE, table, 'its count is wrong')
    manifest.tables.set(table, { ...next, count })
  }
  for (const table of before.manifest.tables.keys())
    if (!manifest.tables.has(table)) throw tampered(ROOT_TABLE, table, REMOVED)
  for (const row of rows) refuseUnlisted(row, manifest)
  return {
    manifest,
    epoch: head.epoch,
    schema: head.schema,
    changed: rows.filter(({ table }) => isTableName(table)),
    removed,
  }
}

/** One table from its new root downwards. Adds what is listed no more to `removed`. */
function followTable(
  table: string,
  root: StoredRow,
  known: TableManifest | undefined,
  grouped: RowsByTable,
  epoch: number,
  removed: { table: string; id: string }[],
): TableManifest {
  const bucketMarks = parseListing(root)
  const buckets = new Map<string, ReadonlyMap<string, Mark>>()
  for (const [bucket, mark] of bucketMarks) {
    const old = known?.buckets.get(bucket)
    const row = rowOf(grouped, BUCKET_TABLE, bucketRowId(table, bucket), mark, known?.bucketMarks.get(bucket), epoch)
    const listing = row === null ? old : parseListing(row)
    if (listing === undefined) throw tampered(BUCKET_TABLE, bucketRowId(table, bucket), REMOVED)
    buckets.set(bucket, listing)
    if (row === null) continue
    for (const [id, one] of listing) {
      if (bucketOf(id) !== bucket) throw tampered(BUCKET_TABLE, row.id, CHANGED)
      rowOf(grouped, table, id, one, old?.get(id), epoch)
    }
  }
  for (const [bucket, listing] of known?.buckets ?? [])
    for (const id of listing.keys()) if (buckets.get(bucket)?.has(id) !== true) removed.push({ table, id })
  return { count: 0, buckets, bucketMarks }
}

/** The row that a mark stands for, where it is new; null where it is the one that is known already. That it is the right one is seen at the end. */
function rowOf(
  grouped: RowsByTable,
  table: string,
  id: string,
  mark: Mark,
  known: Mark | undefined,
  epoch: number,
): StoredRow | null {
  if (mark.seq <= epoch) {
    if (known?.seq !== mark.seq || known.tag !== mark.tag) throw tampered(table, id, REPLAYED)
    return null
  }
  const row = grouped.get(table)?.get(id)
  if (row === undefined) throw tampered(table, id, REMOVED)
  return row
}

/** Every row must be the very one that its listing names. */
function refuseUnlisted({ table, id, seq, mac }: StoredRow, manifest: Manifest): void {
  if (table === HEAD_TABLE) return
  const mark =
    table === ROOT_TABLE
      ? manifest.rootMarks.get(id)
      : table === BUCKET_TABLE
        ? manifest.tables.get(id.slice(0, -3))?.bucketMarks.get(id.slice(-2))
        : manifest.tables.get(table)?.buckets.get(bucketOf(id))?.get(id)
  if (mark === undefined) throw tampered(table, id, ADDED)
  if (mark.seq !== seq || mark.tag !== tagOf(mac)) throw tampered(table, id, REPLAYED)
}

function countOf({ buckets }: TableManifest): number {
  let count = 0
  for (const listing of buckets.values()) count += listing.size
  return count
}
