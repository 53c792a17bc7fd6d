import { enterConcurrent, freshRate, leaveConcurrent, takeRate, type RateState } from '../core/rate.ts'
import type { GrantRecord } from '../core/records.ts'
import type { Hold, HoldQuestion, Ledger, Usage } from '../ledger/ledger.ts'
import { isRefusal, type Refusal } from './refusal.ts'

/** Grants whose counters are in memory; an idle one is forgotten first and starts afresh. */
export const COUNTERS_MAXIMUM = 100_000

interface Counters {
  rate: RateState
  inFlight: number
}

/** Holds the rate, the concurrency and the money of one request: all of them, or none and a refusal. */
export interface Holds {
  take(grant: string, limits: GrantRecord['limits'], question: HoldQuestion): TakenHold | Refusal
}

export interface TakenHold {
  settle(usage: Usage | null): ReturnType<Hold['settle']>
}

export function createHolds(options: { ledger: Ledger; now: () => number }): Holds {
  const counters = new Map<string, Counters>()

  function countersOf(grant: string): Counters {
    const known = counters.get(grant)
    if (known !== undefined) return known
    if (counters.size >= COUNTERS_MAXIMUM) {
      for (const [id, candidate] of counters) {
        if (candidate.inFlight > 0) continue
        counters.delete(id)
        break
      }
    }
    const fresh: Counters = { rate: freshRate, inFlight: 0 }
    counters.set(grant, fresh)
    return fresh
  }

  return {
    take(grant, limits, question) {
      const limited = limits.rate !== undefined || limits.concurrent !== undefined
      const counter = limited ? countersOf(grant) : null
      const entered = counter === null ? 0 : enterConcurrent(counter.inFlight, limits.concurrent)
      if (entered === null) return { refusal: 'concurrency_exceeded', rule: grant, retryAfterSeconds: 1 }
      const rate =
        counter === null || limits.rate === undefined ? null : takeRate(counter.rate, limits.rate, options.now())
      if (rate !== null && !rate.taken)
        return { refusal: 'rate_exceeded', rule: grant, retryAfterSeconds: rate.retryAfterSeconds }
      const hold = options.ledger.hold(question)
      if (isRefusal(hold)) return hold
      if (counter !== null) {
        counter.inFlight = entered
        if (rate !== null) counter.rate = rate.state
      }
      let settled = false
      return {
        settle(usage) {
          if (!settled && counter !== null) counter.inFlight = leaveConcurrent(counter.inFlight)
          settled = true
          return hold.settle(usage)
        },
      }
    },
  }
}
