import { createHash } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { canonicalJson } from '../core/canonical-json.ts'
import type { StoredRow } from '../stores/store.ts'
import { tagOf, withMac } from './row-mac.ts'

/** Tables of the manifest itself, beside those of `core/records.ts`. */
export const BUCKET_TABLE = '_bucket'
export const ROOT_TABLE = '_root'
export const HEAD_TABLE = '_head'
export const HEAD_ID = 'head'

/** What a listing knows of one row: the epoch of its last writing, and the first bytes of its MAC. */
export interface Mark {
  readonly seq: number
  readonly tag: string
}

/** A line of a listing as it is written: id, seq, tag. */
export type Line = readonly [id: string, seq: number, tag: string]

export interface TableManifest {
  count: number
  /** Bucket name to the marks of its rows. Only buckets that hold something. */
  readonly buckets: Map<string, ReadonlyMap<string, Mark>>
  /** Bucket name to the mark of the bucket's own row. */
  readonly bucketMarks: Map<string, Mark>
}

/**
 * Which rows exist, in which writing. A table's rows are spread over at most 256 buckets by a hash of
 * their id; a bucket row lists its rows, a root row lists a table's buckets, and the head row lists
 * the roots and carries the epoch. Every one has a MAC, so one row put back, taken out or exchanged
 * contradicts the listing above it.
 */
export interface Manifest {
  readonly tables: Map<string, TableManifest>
  readonly rootMarks: Map<string, Mark>
  /** Slot id to the SHA-256 of its body: lets a changed slot be told from a wrong root key before any key is known. */
  readonly slotDigests: Map<string, string>
}

export interface HeadBody {
  readonly schema: number
  readonly storeId: string
  readonly epoch: number
  readonly tables: readonly (readonly [table: string, count: number, seq: number, tag: string])[]
  readonly slots: readonly (readonly [id: string, digest: string])[]
}

export interface RowChange {
  readonly table: string
  readonly id: string
  /** Canonical JSON, or null to remove the row. */
  readonly body: string | null
}

interface Signer {
  readonly key: KeyObject
  readonly storeId: string
  readonly schema: number
}

export function emptyManifest(): Manifest {
  return { tables: new Map(), rootMarks: new Map(), slotDigests: new Map() }
}

export function bucketOf(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 2)
}

export function bucketRowId(table: string, bucket: string): string {
  return `${table}/${bucket}`
}

export function bodyDigest(body: string): string {
  return createHash('sha256').update(body).digest('base64url')
}

/**
 * The rows that a commit must write: the changed ones, their buckets, the roots of their tables and
 * the head. Nothing of the manifest changes until `accept` is called, after the store has them.
 */
export function stageCommit(
  manifest: Manifest,
  signer: Signer,
  epoch: number,
  changes: readonly RowChange[],
): { put: StoredRow[]; remove: { table: string; id: string }[]; accept: () => void } {
  const put: StoredRow[] = []
  const remove: { table: string; id: string }[] = []
  const staged: Manifest = {
    tables: new Map(manifest.tables),
    rootMarks: new Map(manifest.rootMarks),
    slotDigests: new Map(manifest.slotDigests),
  }
  function sign(table: string, id: string, body: string): Mark {
    const row = withMac(signer.key, signer.storeId, { table, id, seq: epoch, body })
    put.push(row)
    return { seq: epoch, tag: tagOf(row.mac) }
  }

  for (const [table, ofTable] of byTable(changes)) {
    const before = manifest.tables.get(table)
    const after: TableManifest = {
      count: before?.count ?? 0,
      buckets: new Map(before?.buckets),
      bucketMarks: new Map(before?.bucketMarks),
    }
    const touched = new Map<string, Map<string, Mark>>()
    for (const { id, body } of ofTable) {
      const bucket = bucketOf(id)
      const marks = touched.get(bucket) ?? new Map(after.buckets.get(bucket))
      touched.set(bucket, marks)
      if (body === null) {
        if (marks.delete(id)) after.count -= 1
        remove.push({ table, id })
        if (table === 'slot') staged.slotDigests.delete(id)
      } else {
        if (!marks.has(id)) after.count += 1
        marks.set(id, sign(table, id, body))
        if (table === 'slot') staged.slotDigests.set(id, bodyDigest(body))
      }
    }
    for (const [bucket, marks] of touched) {
      const id = bucketRowId(table, bucket)
      if (marks.size === 0) {
        after.buckets.delete(bucket)
        if (after.bucketMarks.delete(bucket)) remove.push({ table: BUCKET_TABLE, id })
      } else {
        after.buckets.set(bucket, marks)
        after.bucketMarks.set(bucket, sign(BUCKET_TABLE, id, canonicalJson(linesOf(marks))))
      }
    }
    staged.tables.set(table, after)
    staged.rootMarks.set(table, sign(ROOT_TABLE, table, canonicalJson(linesOf(after.bucketMarks))))
  }
  sign(HEAD_TABLE, HEAD_ID, canonicalJson({ ...headOf(staged, signer, epoch) }))

  return {
    put,
    remove,
    accept() {
      for (const [table, next] of staged.tables) manifest.tables.set(table, next)
      for (const [table, mark] of staged.rootMarks) manifest.rootMarks.set(table, mark)
      manifest.slotDigests.clear()
      for (const [id, digest] of staged.slotDigests) manifest.slotDigests.set(id, digest)
    },
  }
}

function headOf(manifest: Manifest, { storeId, schema }: Signer, epoch: number): HeadBody {
  const tables = [...manifest.rootMarks]
    .map(([table, { seq, tag }]) => [table, manifest.tables.get(table)?.count ?? 0, seq, tag] as const)
    .toSorted(byId)
  return { schema, storeId, epoch, tables, slots: [...manifest.slotDigests].toSorted(byId) }
}

/** Lines of a listing, in the order of their ids by UTF-16 code unit. */
export function linesOf(marks: ReadonlyMap<string, Mark>): Line[] {
  const lines: Line[] = []
  for (const [id, { seq, tag }] of marks) lines.push([id, seq, tag])
  return lines.toSorted(byId)
}

function byId(a: readonly [string, ...unknown[]], b: readonly [string, ...unknown[]]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0
}

function byTable(changes: readonly RowChange[]): Map<string, RowChange[]> {
  const grouped = new Map<string, RowChange[]>()
  for (const change of changes) {
    const group = grouped.get(change.table)
    if (group === undefined) grouped.set(change.table, [change])
    else group.push(change)
  }
  return grouped
}
