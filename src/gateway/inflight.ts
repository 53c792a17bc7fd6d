import type { ErrorCode } from '../core/errors.ts'

/** Everything open at this moment, so that a suspension ends it at once instead of at its own leisure. */
export interface Inflight {
  readonly size: number
  /** Of one session. */
  countOf(sessionId: string): number
  add(entry: InflightEntry): () => void
  endWhere(matches: (entry: InflightEntry) => boolean, code: ErrorCode): number
}

export interface InflightEntry {
  readonly sessionId: string
  readonly agentId: string
  /** Null for a tunnel that carries no credential of its own. */
  readonly credentialId: string | null
  end(code: ErrorCode): void
}

/** Exchanges and tunnels open at once. */
export const INFLIGHT_MAXIMUM = 20_000
/** The same for one session, so that one agent cannot take the places of all. */
export const SESSION_INFLIGHT_MAXIMUM = 2_000

export function createInflight(): Inflight {
  const entries = new Set<InflightEntry>()
  const bySession = new Map<string, number>()

  function remove(entry: InflightEntry): void {
    if (!entries.delete(entry)) return
    const left = (bySession.get(entry.sessionId) ?? 1) - 1
    if (left === 0) bySession.delete(entry.sessionId)
    else bySession.set(entry.sessionId, left)
  }

  return {
    get size() {
      return entries.size
    },
    add(entry) {
      entries.add(entry)
      bySession.set(entry.sessionId, (bySession.get(entry.sessionId) ?? 0) + 1)
      return () => remove(entry)
    },
    countOf: (sessionId) => bySession.get(sessionId) ?? 0,
    endWhere(matches, code) {
      let ended = 0
      for (const entry of entries) {
        if (!matches(entry)) continue
        remove(entry)
        entry.end(code)
        ended += 1
      }
      return ended
    },
  }
}
