import { enterConcurrent, freshRate, leaveConcurrent, takeRate, type RateState } from '../core/rate.ts'
import type { Share } from '../core/policy.ts'
import type { GrantRecord } from '../core/records.ts'
import type { Hold, HoldQuestion, Ledger, Usage } from '../ledger/ledger.ts'
import { isRefusal, type Refusal } from './refusal.ts'

/** Grants whose counters are in memory; an idle one is forgotten first and starts afresh. */
export const COUNTERS_MAXIMUM = 100_000

/** What one share would make of its counters. */
interface Taking {
  readonly counters: Counters
  readonly inFlight: number
  readonly rate: RateState
}

interface Counters {
  rate: RateState
  inFlight: number
}

/** Holds the rate, the concurrency and the money of one request: all of them, or none and a refusal. */
export interface Holds {
  take(grant: string, limits: GrantRecord['limits'], question: HoldQuestion): TakenHold | Refusal
  /** The same for a request of several calls, which takes of the limits of every grant that allows one of them. */
  takeAll(shares: readonly Share[], question: HoldQuestion): TakenHold | Refusal
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

  /** Null where nothing is counted. */
  function wouldTake({ grant, limits, count }: Share): Taking | Refusal | null {
    if (limits.rate === undefined && limits.concurrent === undefined) return null
    const its = countersOf(grant)
    const inFlight = enterConcurrent(its.inFlight, limits.concurrent)
    if (inFlight === null) return { refusal: 'concurrency_exceeded', rule: grant, retryAfterSeconds: 1 }
    if (limits.rate === undefined) return { counters: its, inFlight, rate: its.rate }
    const rate = takeRate(its.rate, limits.rate, options.now(), count)
    return rate.taken
      ? { counters: its, inFlight, rate: rate.state }
      : { refusal: 'rate_exceeded', rule: grant, retryAfterSeconds: rate.retryAfterSeconds }
  }

  return {
    takeAll(shares, question) {
      const takings: Taking[] = []
      for (const share of shares) {
        const taking = wouldTake(share)
        if (taking === null) continue
        if (isRefusal(taking)) return taking
        takings.push(taking)
      }
      const hold = options.ledger.hold(question)
      if (isRefusal(hold)) return hold
      for (const { counters: its, inFlight, rate } of takings) {
        its.inFlight = inFlight
        its.rate = rate
      }
      let settled = false
      return {
        settle(usage) {
          if (!settled) for (const { counters: its } of takings) its.inFlight = leaveConcurrent(its.inFlight)
          settled = true
          return hold.settle(usage)
        },
      }
    },
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
