import { decodeCaveats } from '../core/caveats.ts'
import type { ErrorCode } from '../core/errors.ts'
import { narrowingOf, type Narrowing } from '../core/narrowing.ts'
import type { NarrowingRecord, PlaceholderRecord } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'

export type NarrowingRefusal = Extract<ErrorCode, 'narrowed_revoked' | 'narrowed_expired'>

/** What is on record of narrowings, kept in step by the commits of the records before they resolve. */
export interface NarrowingIndex {
  /** Why it opens nothing at this instant, or null. */
  refusalOf(narrowing: Narrowing): NarrowingRefusal | null
  byPlaceholderHash(hash: string): NarrowedPlace | undefined
  /** What the record of this id leaves; null: it has a caveat that is not known here, so it opens nothing. */
  of(id: string): Narrowing | null
  readonly placeholderCount: number
  readonly size: number
  idsOf(sessionId: string): ReadonlySet<string>
  /** Called once for each narrowing that is revoked. */
  onEnd(listener: (id: string) => void): void
}

/** A placeholder that was given to a narrowed session. */
export interface NarrowedPlace {
  readonly sessionId: string
  readonly narrowing: Narrowing
  readonly placeholder: PlaceholderRecord
}

const none: ReadonlySet<string> = new Set()

export function createNarrowingIndex({ records, now }: { records: Records; now: () => number }): NarrowingIndex {
  const known = new Map<string, { readonly record: NarrowingRecord; readonly narrowing: Narrowing | null }>()
  const revoked = new Set<string>()
  const bySession = new Map<string, Set<string>>()
  const byPlaceholder = new Map<string, NarrowedPlace>()
  const listeners: ((id: string) => void)[] = []

  function drop(id: string): void {
    const record = known.get(id)?.record
    if (record === undefined) return
    known.delete(id)
    revoked.delete(id)
    for (const { hash } of record.placeholders) byPlaceholder.delete(hash)
    const siblings = bySession.get(record.sessionId)
    siblings?.delete(id)
    if (siblings?.size === 0) bySession.delete(record.sessionId)
  }

  function put(id: string, record: NarrowingRecord): void {
    const wasRevoked = revoked.has(id)
    const before = known.get(id)
    const narrowing = before?.record.chain === record.chain ? before.narrowing : narrowingOfRecord(record)
    drop(id)
    known.set(id, { record, narrowing })
    const siblings = bySession.get(record.sessionId)
    if (siblings === undefined) bySession.set(record.sessionId, new Set([id]))
    else siblings.add(id)
    if (narrowing !== null) {
      for (const placeholder of record.placeholders)
        byPlaceholder.set(placeholder.hash, { sessionId: record.sessionId, narrowing, placeholder })
    }
    if (record.state !== 'revoked') return
    revoked.add(id)
    if (!wasRevoked) for (const listener of listeners) listener(id)
  }

  for (const [id, record] of records.all('narrowing')) put(id, record)
  records.onCommit((changes: readonly Change[]) => {
    for (const change of changes) {
      if (change.table !== 'narrowing') continue
      if (change.body === null) drop(change.id)
      else put(change.id, change.body)
    }
  })

  return {
    refusalOf(narrowing) {
      if (revoked.size > 0) for (const id of narrowing.ids) if (revoked.has(id)) return 'narrowed_revoked'
      return narrowing.expiresAt !== null && narrowing.expiresAt <= now() ? 'narrowed_expired' : null
    },
    byPlaceholderHash: (hash) => byPlaceholder.get(hash),
    of: (id) => known.get(id)?.narrowing ?? null,
    get placeholderCount() {
      return byPlaceholder.size
    },
    get size() {
      return known.size
    },
    idsOf: (sessionId) => bySession.get(sessionId) ?? none,
    onEnd: (listener) => void listeners.push(listener),
  }
}

/** Null where a node of a later release has written what is not known here. */
function narrowingOfRecord({ chain, prefixes }: NarrowingRecord): Narrowing | null {
  if (chain === null) return narrowingOf(prefixes, [])
  try {
    const caveats = decodeCaveats(Buffer.from(chain, 'base64url'))
    return narrowingOf(
      prefixes,
      caveats.map(({ caveat }) => caveat),
    )
  } catch {
    return null
  }
}
