import { encodeCaveat, type Caveat } from '../core/caveats.ts'
import { KeywardError, type ErrorCode } from '../core/errors.ts'
import { locatorInId, readNarrowedToken, verifyNarrowed } from '../core/narrowed-token.ts'
import { narrowingOf, type Narrowing } from '../core/narrowing.ts'
import type { NarrowingRecord, SessionRecord } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'
import type { Draw } from './draw-placeholders.ts'
import type { Caller, Refused, SessionIndex } from './session-index.ts'
import { maximumPlaceholders } from './session-state.ts'
import type { IssuedPlaceholder } from './sessions.ts'

/** Narrowings of one session of which something has to be remembered. */
export const NARROWINGS_PER_SESSION_MAXIMUM = 1_000
/** Of all sessions. */
export const NARROWING_RECORDS_MAXIMUM = 20_000
/** Narrowed tokens whose signatures are known to be right. */
export const VERIFIED_TOKENS_MAXIMUM = 2_000
/** Uses that may wait to be written down. */
export const WAITING_USES_MAXIMUM = 1_000
/** Uses that are written down together. */
export const USES_PER_COMMIT_MAXIMUM = 256
/** How long the record of a narrowing stays that has expired: a clock that is set back by less brings nothing back. */
export const EXPIRED_NARROWING_KEPT_MILLISECONDS = 10 * 60_000

/** What a narrowed session gets to work with. Asked again, it gets the same texts. */
export interface RegisteredNarrowing {
  readonly id: string
  readonly sessionId: string
  readonly agent: string
  readonly environment: string
  readonly egress: 'open' | 'deny'
  readonly placeholders: readonly IssuedPlaceholder[]
  readonly expiresAt: number
}

export interface NarrowingSummary {
  readonly id: string
  /** What it was narrowed from, where that is known; null: the session itself. */
  readonly parent: string | null
  readonly state: 'active' | 'revoked' | 'expired'
  readonly caveats: readonly Caveat[]
  readonly placeholders: number
  readonly used: number
  readonly createdAt: number
}

export interface UseRefused {
  readonly refusal: ErrorCode
  readonly rule?: string
  readonly retryAfterSeconds?: number
}

export interface Narrowings {
  /** Who presents this narrowed token. */
  byToken(text: string): Caller | Refused
  /** Placeholders of its own for a narrowed session. Throws what `byToken` refuses with, and `overloaded`. */
  register(text: string): Promise<RegisteredNarrowing>
  /** Counts one request, where a caveat counts them: of none, or of all. Null: it may. Throws what the commit throws. */
  use(caller: Caller): Promise<UseRefused | null> | null
  /** Ends a narrowing and all that come from it; it need not have been shown before. Throws `not_found`. */
  revoke(id: string, actor: string): Promise<void>
  ofSession(sessionId: string): readonly NarrowingSummary[]
  /** Removals of what is not needed any more. */
  stale(endedSessions: readonly string[]): readonly Change[]
}

export interface NarrowingParts {
  readonly records: Records
  readonly index: SessionIndex
  readonly draw: Draw
  /** The session's own token, made again; null where it was drawn by chance. */
  readonly tokenOf: (sessionId: string) => string | null
  readonly fieldsOf: (agentId: string) => readonly { readonly credentialId: string; readonly field: string }[]
  readonly now: () => number
}

interface Waiting {
  readonly caller: Caller
  readonly answer: (refused: UseRefused | null) => void
  readonly fail: (error: unknown) => void
}

export function createNarrowings(parts: NarrowingParts): Narrowings {
  const { records, index, now } = parts
  const verified = new Map<string, { readonly sessionId: string; readonly narrowing: Narrowing }>()
  let waiting: Waiting[] = []
  let isWriting = false

  function read(text: string): { sessionId: string; narrowing: Narrowing } | Refused {
    const known = verified.get(text)
    if (known !== undefined) return known
    let token: ReturnType<typeof readNarrowedToken>
    try {
      token = readNarrowedToken(text)
    } catch (error) {
      if (error instanceof KeywardError && error.code === 'caveat_unknown')
        return { refusal: error.code, ...(error.detail === undefined ? {} : { detail: error.detail }) }
      return { refusal: 'token_invalid' }
    }
    const sessionId = index.idByLocator(token.locator)
    const root = sessionId === undefined ? null : parts.tokenOf(sessionId)
    const ids = root === null ? null : verifyNarrowed(token, root)
    if (ids === null || sessionId === undefined) return { refusal: 'token_invalid' }
    const narrowing = narrowingOf(
      ids,
      token.caveats.map(({ caveat }) => caveat),
    )
    if (verified.size >= VERIFIED_TOKENS_MAXIMUM) verified.clear()
    const made = { sessionId, narrowing }
    verified.set(text, made)
    return made
  }

  function byToken(text: string): Caller | Refused {
    const found = read(text)
    return 'refusal' in found ? found : index.byNarrowing(found.sessionId, found.narrowing)
  }

  /** The record of the beginning of `narrowing` that ends with `id`. Throws `overloaded`. */
  function recordOf(sessionId: string, narrowing: Narrowing, id: string): NarrowingRecord {
    const known = records.get('narrowing', id)
    if (known !== undefined) return known
    if (
      index.narrowings.idsOf(sessionId).size >= NARROWINGS_PER_SESSION_MAXIMUM ||
      index.narrowings.size >= NARROWING_RECORDS_MAXIMUM
    )
      throw new KeywardError(
        'overloaded',
        `At most ${NARROWINGS_PER_SESSION_MAXIMUM} narrowings of a session, and ${NARROWING_RECORDS_MAXIMUM} in all, can be remembered.`,
      )
    const length = narrowing.ids.indexOf(id) + 1
    return {
      sessionId,
      chain: Buffer.concat(narrowing.caveats.slice(0, length).map(encodeCaveat)).toString('base64url'),
      prefixes: narrowing.ids.slice(0, length),
      placeholders: [],
      used: 0,
      state: 'active',
      createdAt: now(),
    }
  }

  /** What one use would write, on top of `rows`, or why it may not be. */
  function taking(
    { sessionId, narrowed }: Caller,
    rows: ReadonlyMap<string, NarrowingRecord>,
  ): Map<string, NarrowingRecord> | UseRefused {
    const taken = new Map<string, NarrowingRecord>()
    if (narrowed === null) return taken
    for (const { id, count } of narrowed.counted) {
      let row: NarrowingRecord
      try {
        row = taken.get(id) ?? rows.get(id) ?? recordOf(sessionId, narrowed, id)
      } catch (error) {
        if (error instanceof KeywardError) return { refusal: error.code, retryAfterSeconds: 60 }
        throw error
      }
      if (row.used >= count) return { refusal: 'narrowed_used_up', rule: id }
      taken.set(id, { ...row, used: row.used + 1 })
    }
    return taken
  }

  async function writeUses(): Promise<void> {
    isWriting = true
    while (waiting.length > 0) {
      const batch = waiting.slice(0, USES_PER_COMMIT_MAXIMUM)
      waiting = waiting.slice(USES_PER_COMMIT_MAXIMUM)
      let answers: (UseRefused | null)[] = []
      // Worked out anew where another node was quicker: what it counted is counted.
      const changes = (): Change[] => {
        answers = []
        const rows = new Map<string, NarrowingRecord>()
        for (const { caller } of batch) {
          const live = index.byCaller(caller)
          const found = 'refusal' in live ? live : taking(caller, rows)
          if ('refusal' in found) answers.push(found)
          else {
            for (const [id, row] of found) rows.set(id, row)
            answers.push(null)
          }
        }
        return [...rows].map(([id, body]): Change => ({ table: 'narrowing', id, body }))
      }
      const sessions = [...new Set(batch.map(({ caller }) => caller.sessionId))]
      try {
        // oxlint-disable-next-line no-await-in-loop -- what has come meanwhile is written together
        await records.commit(changes, { actor: 'keyward', action: 'narrowing.use', detail: { sessions } })
        batch.forEach(({ answer }, place) => answer(answers[place] ?? null))
      } catch (error) {
        for (const { fail } of batch) fail(error)
      }
    }
    isWriting = false
  }

  return {
    byToken,

    async register(text) {
      const caller = byToken(text)
      if ('refusal' in caller) throw new KeywardError(caller.refusal, caller.detail)
      const { narrowed, sessionId } = caller
      if (narrowed === null) throw new KeywardError('internal', 'A narrowed token has no narrowing.')
      const wanted = parts
        .fieldsOf(caller.agentId)
        .filter(({ credentialId }) => narrowed.hasCredential(records.get('credential', credentialId)?.name ?? ''))
      const changes = (): Change[] => {
        const live = index.byCaller(caller)
        if ('refusal' in live) throw new KeywardError(live.refusal)
        const row = recordOf(sessionId, narrowed, narrowed.id)
        const lacking = wanted.filter(
          ({ credentialId, field }) =>
            !row.placeholders.some((one) => one.credentialId === credentialId && one.field === field),
        )
        if (index.placeholderCount + lacking.length > maximumPlaceholders)
          throw new KeywardError('overloaded', `There are at most ${maximumPlaceholders} placeholders.`)
        const taken = new Set<string>()
        const drawn = lacking.map(
          ({ credentialId, field }) => parts.draw.fresh(narrowed.id, credentialId, field, taken).record,
        )
        if (drawn.length === 0 && records.get('narrowing', narrowed.id) !== undefined) return []
        const body = { ...row, placeholders: [...row.placeholders, ...drawn] }
        return [{ table: 'narrowing', id: narrowed.id, body }]
      }
      const isComplete = (): boolean => {
        const row = records.get('narrowing', narrowed.id)
        return wanted.every(({ credentialId, field }) =>
          row?.placeholders.some((one) => one.credentialId === credentialId && one.field === field),
        )
      }
      if (!isComplete() || records.get('narrowing', narrowed.id) === undefined) {
        const detail = { session: sessionId, narrowing: narrowed.id, agent: caller.agent }
        await records.commit(changes, { actor: `agent:${caller.agent}`, action: 'narrowing.register', detail })
      }
      const held = records.get('narrowing', narrowed.id)?.placeholders ?? []
      const placeholders = held.flatMap((record): IssuedPlaceholder[] => {
        const again = parts.draw.again(narrowed.id, record)
        return again === null ? [] : [{ credentialId: record.credentialId, field: record.field, text: again }]
      })
      const ends = records.get('session', sessionId)?.expiresAt ?? 0
      return {
        id: narrowed.id,
        sessionId,
        agent: caller.agent,
        environment: caller.environment,
        egress: caller.egress,
        placeholders,
        expiresAt: Math.min(ends, narrowed.expiresAt ?? Infinity),
      }
    },

    use(caller) {
      const { narrowed } = caller
      if (narrowed === null || narrowed.counted.length === 0) return null
      // What memory knows to be used up costs no commit, however often it is tried.
      const found = taking(caller, new Map())
      if ('refusal' in found) return Promise.resolve(found)
      if (waiting.length >= WAITING_USES_MAXIMUM)
        return Promise.resolve({ refusal: 'overloaded', retryAfterSeconds: 1 })
      const { promise, resolve, reject } = Promise.withResolvers<UseRefused | null>()
      waiting.push({ caller, answer: resolve, fail: reject })
      if (!isWriting) void writeUses()
      return promise
    },

    async revoke(id, actor) {
      const sessionId = records.get('narrowing', id)?.sessionId ?? index.idByLocator(locatorInId(id) ?? '')
      const session: SessionRecord | undefined = sessionId === undefined ? undefined : records.get('session', sessionId)
      if (sessionId === undefined || session === undefined)
        throw new KeywardError('not_found', 'No session and no narrowing of a session has this id.')
      const changes = (): Change[] => {
        const fresh = { sessionId, chain: null, prefixes: [id], placeholders: [], used: 0, createdAt: now() }
        return [{ table: 'narrowing', id, body: { ...(records.get('narrowing', id) ?? fresh), state: 'revoked' } }]
      }
      const agent = records.get('agent', session.agentId)?.name ?? session.agentId
      await records.commit(changes, {
        actor,
        action: 'session.revoke',
        detail: { session: sessionId, narrowing: id, agent },
      })
    },

    ofSession: (sessionId) =>
      [...index.narrowings.idsOf(sessionId)]
        .flatMap((id): NarrowingSummary[] => {
          const record = records.get('narrowing', id)
          return record === undefined ? [] : [summaryOf(id, record, index)]
        })
        .toSorted((left, right) => left.createdAt - right.createdAt || (left.id < right.id ? -1 : 1)),

    stale(endedSessions) {
      const gone = new Set(endedSessions)
      const limit = now() - EXPIRED_NARROWING_KEPT_MILLISECONDS
      return [...records.all('narrowing')].flatMap(([id, record]): Change[] => {
        const expiresAt = index.narrowings.of(id)?.expiresAt ?? null
        const isOver =
          gone.has(record.sessionId) ||
          records.get('session', record.sessionId) === undefined ||
          (expiresAt !== null && expiresAt <= limit)
        return isOver ? [{ table: 'narrowing', id, body: null }] : []
      })
    },
  }
}

function summaryOf(id: string, record: NarrowingRecord, index: SessionIndex): NarrowingSummary {
  const narrowing = index.narrowings.of(id)
  const refusal = narrowing === null ? 'narrowed_revoked' : index.narrowings.refusalOf(narrowing)
  const caveats = narrowing?.caveats ?? []
  const last = caveats.findLastIndex(({ kind }) => kind === 'narrowing')
  return {
    id,
    parent: last <= 0 ? null : (record.prefixes[last - 1] ?? null),
    state: refusal === null ? 'active' : refusal === 'narrowed_expired' ? 'expired' : 'revoked',
    caveats: caveats.slice(last + 1),
    placeholders: record.placeholders.length,
    used: record.used,
    createdAt: record.createdAt,
  }
}
