import type { ErrorCode } from '../core/errors.ts'

/** Everything open at this moment, so that a suspension ends it at once instead of at its own leisure. */
export interface Inflight {
  readonly size: number
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

export function createInflight(): Inflight {
  const entries = new Set<InflightEntry>()
  return {
    get size() {
      return entries.size
    },
    add(entry) {
      entries.add(entry)
      return () => entries.delete(entry)
    },
    endWhere(matches, code) {
      let ended = 0
      for (const entry of entries) {
        if (!matches(entry)) continue
        entries.delete(entry)
        entry.end(code)
        ended += 1
      }
      return ended
    },
  }
}
