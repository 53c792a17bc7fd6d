import type { Narrowing } from '../core/narrowing.ts'
import type { ErrorCode } from '../core/errors.ts'

/** Everything open at this moment, so that a suspension ends it at once instead of at its own leisure. */
export interface Inflight {
  readonly size: number
  /** Without tunnels, in which nothing may be going on. */
  readonly exchanges: number
  /** Of one session. */
  countOf(sessionId: string): number
  add(entry: InflightEntry): () => void
  /** Takes the place of a request before anything of it is open; gives how to leave it. What is then added for it is not counted again. */
  reserve(sessionId: string): () => void
  endWhere(matches: (entry: InflightEntry) => boolean, code: ErrorCode): number
}

export interface InflightEntry {
  readonly sessionId: string
  readonly agentId: string
  /** What is left of the session to whoever opened it; null: all of it. */
  readonly narrowed: Narrowing | null
  /** Null for a tunnel that carries no credential of its own. */
  readonly credentialId: string | null
  /** Of a connection that outlives the request it began with: the version of the credential that it was opened with. */
  readonly version?: number
  /** Its place was reserved, so it takes none of its own. */
  readonly reserved?: boolean
  end(code: ErrorCode): void
}

/** Exchanges and tunnels open at once. */
export const INFLIGHT_MAXIMUM = 20_000
/** The same for one session, so that one agent cannot take the places of all. */
export const SESSION_INFLIGHT_MAXIMUM = 2_000

interface Place {
  readonly entry: InflightEntry
  at: number
}

/**
 * The places are an array and not a Set: a Set that entries come to and go from all the time is built anew
 * every few dozen of them, and V8 keeps the old one, with all that it holds, until the next full collection.
 */
export function createInflight(): Inflight {
  const places: Place[] = []
  const bySession = new Map<string, number>()
  let counted = 0

  function enter(sessionId: string): void {
    counted += 1
    bySession.set(sessionId, (bySession.get(sessionId) ?? 0) + 1)
  }

  function leave(sessionId: string): void {
    counted -= 1
    const left = (bySession.get(sessionId) ?? 1) - 1
    if (left === 0) bySession.delete(sessionId)
    else bySession.set(sessionId, left)
  }

  function remove(place: Place): void {
    if (places[place.at] !== place) return
    const last = places.pop()
    if (last !== undefined && last !== place) {
      places[place.at] = last
      last.at = place.at
    }
    if (place.entry.reserved !== true) leave(place.entry.sessionId)
  }

  return {
    get size() {
      return counted
    },
    get exchanges() {
      const tunnels = places.filter(({ entry }) => entry.credentialId === null && entry.reserved !== true)
      return counted - tunnels.length
    },
    add(entry) {
      const place = { entry, at: places.length }
      places.push(place)
      if (entry.reserved !== true) enter(entry.sessionId)
      return () => remove(place)
    },
    reserve(sessionId) {
      let held = true
      enter(sessionId)
      return () => {
        if (held) leave(sessionId)
        held = false
      }
    },
    countOf: (sessionId) => bySession.get(sessionId) ?? 0,
    endWhere(matches, code) {
      // A WebSocket is told before the tunnel is gone that it runs through.
      const ended = places
        .filter(({ entry }) => matches(entry))
        .toSorted((left, right) => Number(left.entry.version === undefined) - Number(right.entry.version === undefined))
      let count = 0
      for (const place of ended) {
        // The end of another may have taken this one with it.
        if (places[place.at] !== place) continue
        remove(place)
        place.entry.end(code)
        count += 1
      }
      return count
    },
  }
}
