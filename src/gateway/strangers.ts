import { freshRate, takeRate, type RateState } from '../core/rate.ts'

/** Refusals a minute to callers whom nobody could identify, all of them together: they share the loopback address. */
export const STRANGERS_LIMIT = { count: 600, perSeconds: 60 } as const

/**
 * Bounds what strangers can make Keyward do: beyond the limit a failed attempt is answered shortly and
 * no longer written down one by one. A caller with a valid session never comes here.
 */
export interface Strangers {
  /** Seconds to wait, or null while there is room. `firstBeyond` is true once for each time that the limit is reached. */
  refuse(): { readonly retryAfterSeconds: number; readonly firstBeyond: boolean } | null
}

export function createStrangers(options: { readonly now: () => number }): Strangers {
  let state: RateState = freshRate
  let beyond = false
  return {
    refuse() {
      const taken = takeRate(state, STRANGERS_LIMIT, options.now())
      state = taken.state
      const firstBeyond = !taken.taken && !beyond
      beyond = !taken.taken
      return taken.taken ? null : { retryAfterSeconds: taken.retryAfterSeconds, firstBeyond }
    },
  }
}
