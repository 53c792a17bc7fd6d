import { freshRate, takeRate, type RateState } from '../core/rate.ts'

/** Refusals a minute to one session; and to all callers together whom nobody could identify: they share the loopback address. */
export const REFUSALS_LIMIT = { count: 600, perSeconds: 60 } as const
/** Sessions whose refusals are counted; the one refused longest ago is forgotten first. */
export const COUNTED_MAXIMUM = 10_000

/**
 * Bounds what refused callers can make Keyward write down: beyond the limit a failed attempt is answered
 * shortly, and only the first of them gets an entry. Requests that are allowed never come here.
 */
export interface RefusalLimits {
  /** `sessionId` null: a stranger. Seconds to wait, or null while there is room; `firstBeyond` is true once for each time that the limit is reached. */
  refuse(sessionId: string | null): { readonly retryAfterSeconds: number; readonly firstBeyond: boolean } | null
}

export function createRefusalLimits(options: { readonly now: () => number }): RefusalLimits {
  const counted = new Map<string | null, { rate: RateState; beyond: boolean }>()
  return {
    refuse(sessionId) {
      const known = counted.get(sessionId) ?? { rate: freshRate, beyond: false }
      counted.delete(sessionId)
      const oldest = counted.keys().next()
      if (counted.size >= COUNTED_MAXIMUM && !oldest.done) counted.delete(oldest.value)
      const taken = takeRate(known.rate, REFUSALS_LIMIT, options.now())
      counted.set(sessionId, { rate: taken.state, beyond: !taken.taken })
      return taken.taken ? null : { retryAfterSeconds: taken.retryAfterSeconds, firstBeyond: !known.beyond }
    },
  }
}
