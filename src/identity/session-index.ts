import type { Narrowing } from '../core/narrowing.ts'
import type { PlaceholderRecord, SessionBinding, SessionRecord } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'
import type { ErrorCode } from '../core/errors.ts'
import { createNarrowingIndex, type NarrowingIndex } from './narrowing-index.ts'
import { isLive, refusalOf } from './session-state.ts'
import type { SessionRefusal } from './session-state.ts'

/** Who is calling. */
export interface Caller {
  readonly sessionId: string
  readonly agentId: string
  readonly agent: string
  readonly environment: string
  /** `open` only where session and environment both say so. */
  readonly egress: 'open' | 'deny'
  /** Where it may call from. */
  readonly binding: SessionBinding
  /** The thumbprint of the key that has to be proven with every use; null: none. */
  readonly jkt: string | null
  /** What is left of the session to this caller; null: all of it. */
  readonly narrowed: Narrowing | null
}

/** Who is calling, and what the placeholder stands for. */
export interface PlaceholderCaller extends Caller {
  readonly credentialId: string
  readonly field: string
  /** Too few random bits to stand alone: valid only where the session is proven otherwise. */
  readonly short: boolean
}

export interface Refused {
  readonly refusal: SessionRefusal | Extract<ErrorCode, 'narrowed_revoked' | 'narrowed_expired' | 'caveat_unknown'>
  readonly detail?: string
  /** Whose token or placeholder it was, where it is one that was issued. */
  readonly caller?: Caller
}

/** Runs `run` once, after a while, and must not keep the process alive. Gives back how to call it off. */
export type Timer = (afterMilliseconds: number, run: () => void) => () => void

/**
 * Every session on record, found by the hash of its token or of a placeholder. Built from the records
 * and kept in step by their commits, whoever makes them, before the commit resolves. A look-up is two
 * map look-ups and never waits.
 */
export interface SessionIndex {
  /** The same caller as of now. */
  byCaller(caller: Pick<Caller, 'sessionId' | 'narrowed'>): Caller | Refused
  byNarrowing(sessionId: string, narrowing: Narrowing): Caller | Refused
  /** The session that narrowed tokens name so. */
  idByLocator(locator: string): string | undefined
  readonly narrowings: NarrowingIndex
  byTokenHash(hash: string): Caller | Refused
  byPlaceholderHash(hash: string): PlaceholderCaller | Refused
  knowsPlaceholder(hash: string): boolean
  readonly placeholderCount: number
  countLive(): number
  /** Ends a session in memory at once, whatever becomes of the commit that records it. */
  end(sessionId: string): void
  /** Called once each time that a session stops being usable. */
  onEnd(listener: (sessionId: string) => void): void
  /** Finds the sessions that time has ended since. */
  checkExpiry(): void
  close(): void
}

interface Entry {
  readonly id: string
  record: SessionRecord
  /** Ended in memory, or seen expired: no later look at the clock brings it back. */
  over: SessionRefusal | null
  usable: boolean
  caller: Caller | null
}

interface Place {
  readonly entry: Entry
  readonly placeholder: PlaceholderRecord
  found: PlaceholderCaller | null
  /** The caller that `found` was made from. */
  from: Caller | null
}

/** A wall clock can step; the timer looks again at least this often. */
const longestWaitMilliseconds = 60_000
const unknown: Refused = Object.freeze({ refusal: 'token_invalid' })

export function createSessionIndex({
  records,
  now,
  timer,
}: {
  records: Records
  now: () => number
  timer: Timer
}): SessionIndex {
  const entries = new Map<string, Entry>()
  const byToken = new Map<string, Entry>()
  const byPlaceholder = new Map<string, Place>()
  const byAgent = new Map<string, Set<Entry>>()
  const byLocator = new Map<string, string>()
  const narrowings = createNarrowingIndex({ records, now })
  const narrowedCallers = new WeakMap<Narrowing, { readonly from: Caller; readonly caller: Caller }>()
  const listeners: ((sessionId: string) => void)[] = []
  let wakeAt = Infinity
  let cancelTimer: () => void = () => undefined

  function refusal(entry: Entry): SessionRefusal | null {
    const why = entry.over ?? refusalOf(entry.record, records.get('agent', entry.record.agentId), now())
    if (why === 'session_expired') entry.over = why
    return why
  }

  function review(entry: Entry): SessionRefusal | null {
    const why = refusal(entry)
    const wasUsable = entry.usable
    entry.usable = why === null
    if (wasUsable && why !== null) for (const listener of listeners) listener(entry.id)
    return why
  }

  function callerOf(entry: Entry): Caller {
    return (entry.caller ??= Object.freeze({
      sessionId: entry.id,
      agentId: entry.record.agentId,
      agent: records.get('agent', entry.record.agentId)?.name ?? '',
      environment: entry.record.environment,
      egress: entry.record.egress === 'open' && egressOf(entry.record.environment) === 'open' ? 'open' : 'deny',
      binding: entry.record.binding,
      jkt: entry.record.jkt ?? null,
      narrowed: null,
    }))
  }

  function narrowedCaller(caller: Caller, narrowing: Narrowing): Caller {
    const known = narrowedCallers.get(narrowing)
    if (known?.from === caller) return known.caller
    const egress = narrowing.isClosed ? 'deny' : caller.egress
    const made = Object.freeze({ ...caller, egress, narrowed: narrowing } as const)
    narrowedCallers.set(narrowing, { from: caller, caller: made })
    return made
  }

  function egressOf(environment: string): 'open' | 'deny' {
    return records.get('environment', environment)?.egress ?? 'deny'
  }

  function put(id: string, record: SessionRecord): void {
    const known = entries.get(id)
    if (known !== undefined) {
      known.record = record
      known.caller = null
      review(known)
      if (isLive(record, now())) schedule(record.expiresAt)
      return
    }
    const entry: Entry = { id, record, over: null, usable: false, caller: null }
    entries.set(id, entry)
    byToken.set(record.tokenHash, entry)
    if (record.chain !== undefined) byLocator.set(record.chain.locator, id)
    for (const placeholder of record.placeholders) {
      byPlaceholder.set(placeholder.hash, { entry, placeholder, found: null, from: null })
    }
    const siblings = byAgent.get(record.agentId)
    if (siblings === undefined) byAgent.set(record.agentId, new Set([entry]))
    else siblings.add(entry)
    entry.usable = refusal(entry) === null
    if (isLive(record, now())) schedule(record.expiresAt)
  }

  function drop(id: string): void {
    const entry = entries.get(id)
    if (entry === undefined) return
    entry.over = 'session_revoked'
    review(entry)
    entries.delete(id)
    byToken.delete(entry.record.tokenHash)
    if (entry.record.chain !== undefined) byLocator.delete(entry.record.chain.locator)
    for (const { hash } of entry.record.placeholders) byPlaceholder.delete(hash)
    const siblings = byAgent.get(entry.record.agentId)
    siblings?.delete(entry)
    if (siblings?.size === 0) byAgent.delete(entry.record.agentId)
  }

  function schedule(at: number): void {
    if (at >= wakeAt) return
    cancelTimer()
    wakeAt = at
    cancelTimer = timer(Math.min(Math.max(0, at - now()), longestWaitMilliseconds), () => {
      wakeAt = Infinity
      checkExpiry()
    })
  }

  function checkExpiry(): void {
    let earliest = Infinity
    for (const entry of entries.values()) {
      review(entry)
      if (entry.over === null && entry.record.state !== 'revoked') earliest = Math.min(earliest, entry.record.expiresAt)
    }
    if (earliest < Infinity) schedule(earliest)
  }

  function follow(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.table === 'session') {
        if (change.body === null) drop(change.id)
        else put(change.id, change.body)
      } else if (change.table === 'agent') {
        for (const entry of byAgent.get(change.id) ?? []) {
          entry.caller = null
          review(entry)
        }
      } else if (change.table === 'environment') {
        for (const entry of entries.values()) if (entry.record.environment === change.id) entry.caller = null
      }
    }
  }

  for (const [id, record] of records.all('session')) put(id, record)
  records.onCommit(follow)

  function answer(entry: Entry | undefined): Caller | Refused {
    if (entry === undefined) return unknown
    const why = review(entry)
    return why === null ? callerOf(entry) : { refusal: why, caller: callerOf(entry) }
  }

  function byNarrowing(sessionId: string, narrowing: Narrowing): Caller | Refused {
    const whole = answer(entries.get(sessionId))
    if ('refusal' in whole) return whole
    const caller = narrowedCaller(whole, narrowing)
    const why = narrowings.refusalOf(narrowing)
    return why === null ? caller : { refusal: why, caller }
  }

  function byNarrowedHash(hash: string): PlaceholderCaller | Refused {
    const place = narrowings.byPlaceholderHash(hash)
    if (place === undefined) return unknown
    const caller = byNarrowing(place.sessionId, place.narrowing)
    if ('refusal' in caller) return caller
    const { credentialId, field, short } = place.placeholder
    return { ...caller, credentialId, field, short }
  }

  return {
    narrowings,
    byNarrowing,
    byCaller: ({ sessionId, narrowed }) =>
      narrowed === null ? answer(entries.get(sessionId)) : byNarrowing(sessionId, narrowed),
    idByLocator: (locator) => byLocator.get(locator),
    byTokenHash: (hash) => answer(byToken.get(hash)),

    byPlaceholderHash(hash) {
      const place = byPlaceholder.get(hash)
      if (place === undefined) return byNarrowedHash(hash)
      const why = review(place.entry)
      if (why !== null) return { refusal: why, caller: callerOf(place.entry) }
      const caller = callerOf(place.entry)
      if (place.found !== null && place.from === caller) return place.found
      const { credentialId, field, short } = place.placeholder
      place.from = caller
      return (place.found = Object.freeze({ ...caller, credentialId, field, short }))
    },

    knowsPlaceholder: (hash) => byPlaceholder.has(hash) || narrowings.byPlaceholderHash(hash) !== undefined,

    get placeholderCount() {
      return byPlaceholder.size + narrowings.placeholderCount
    },

    countLive() {
      const time = now()
      let count = 0
      for (const entry of entries.values()) if (entry.over === null && isLive(entry.record, time)) count += 1
      return count
    },

    end(sessionId) {
      const entry = entries.get(sessionId)
      if (entry === undefined) return
      entry.over ??= 'session_revoked'
      review(entry)
    },

    onEnd: (listener) => void listeners.push(listener),
    checkExpiry,
    close() {
      cancelTimer()
      wakeAt = -Infinity
    },
  }
}
