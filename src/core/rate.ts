import { KeywardError } from './errors.ts'

/** At most `count` in any `perSeconds`. */
export interface RateLimit {
  readonly count: number
  readonly perSeconds: number
}

/**
 * How often something happened lately: whole slices (a sixtieth of the limit's time each) with what
 * was taken in them. Never more than 61 of them, whatever the limit.
 */
export interface RateState {
  readonly slice: number
  readonly taken: number
  /** Earlier slices, oldest first, and what they sum to. */
  readonly past: readonly { readonly slice: number; readonly taken: number }[]
  readonly pastTaken: number
}

export type RateAnswer =
  | { readonly taken: true; readonly state: RateState }
  | { readonly taken: false; readonly state: RateState; readonly retryAfterSeconds: number }

export const freshRate: RateState = { slice: 0, taken: 0, past: [], pastTaken: 0 }

const slicesPerWindow = 60
/** Most that a rate may count; above it a limit says nothing. */
export const maximumRateCount = 1_000_000_000
/** Most requests in flight that a grant may allow. */
export const maximumConcurrent = 100_000

const unitSeconds: ReadonlyMap<string, number> = new Map([
  ['s', 1],
  ['second', 1],
  ['min', 60],
  ['minute', 60],
  ['h', 3600],
  ['hour', 3600],
  ['d', 86_400],
  ['day', 86_400],
])

/** Reads `60/min`, `5/s`, `1000/hour`, `10/day`. Throws KeywardError `usage`. */
export function parseRate(text: string): RateLimit {
  const match = /^([1-9][0-9]{0,9})\/([a-z]+)$/.exec(text)
  const perSeconds = unitSeconds.get(match?.[2] ?? '')
  if (match === null || perSeconds === undefined) {
    throw new KeywardError('usage', 'A rate is written like 5/s, 60/min, 1000/hour or 10/day.')
  }
  return checkRate({ count: Number(match[1]), perSeconds })
}

export function formatRate(rate: RateLimit): string {
  for (const unit of ['s', 'min', 'hour', 'day']) {
    if (unitSeconds.get(unit) === rate.perSeconds) return `${rate.count}/${unit}`
  }
  return `${rate.count} in ${rate.perSeconds} s`
}

/** Throws KeywardError `usage` unless both are whole numbers within bounds. Gives the rate back. */
export function checkRate(rate: RateLimit): RateLimit {
  const known = [...unitSeconds.values()].includes(rate.perSeconds)
  if (!Number.isSafeInteger(rate.count) || rate.count < 1 || rate.count > maximumRateCount || !known) {
    throw new KeywardError('usage', `A rate is 1 to ${maximumRateCount} in a second, minute, hour or day.`)
  }
  return rate
}

/**
 * Takes `count`, if not more than `limit.count` are taken then in the time that ends now. Pure: the state to go
 * on with is in the answer. A slice counts until its last moment is out of the window, so no window
 * of that length ever sees more than `count`; the price is that a place may come free up to a
 * sixtieth of the window later than it could. A clock that steps back is taken to stand still; one
 * that steps back by more than a window starts afresh. `now` is in milliseconds.
 */
export function takeRate(state: RateState, limit: RateLimit, now: number, count = 1): RateAnswer {
  const windowMilliseconds = limit.perSeconds * 1000
  const slice = Math.floor((now * slicesPerWindow) / windowMilliseconds)
  const current = slice < state.slice - slicesPerWindow ? { ...freshRate, slice } : advance(state, slice)
  if (current.pastTaken + current.taken + count <= limit.count) {
    return { taken: true, state: { ...current, taken: current.taken + count } }
  }
  const freeSlice = sliceThatFrees(current, limit.count - count) + slicesPerWindow + 1
  const freeAt = Math.ceil((freeSlice * windowMilliseconds) / slicesPerWindow)
  return { taken: false, state: current, retryAfterSeconds: Math.max(1, Math.ceil((freeAt - now) / 1000)) }
}

function advance(state: RateState, slice: number): RateState {
  if (slice <= state.slice) return state
  const kept = state.taken > 0 ? [...state.past, { slice: state.slice, taken: state.taken }] : state.past
  const past = kept.filter((entry) => entry.slice >= slice - slicesPerWindow)
  return { slice, taken: 0, past, pastTaken: past.reduce((sum, entry) => sum + entry.taken, 0) }
}

/** The slice whose leaving brings the sum down to `count`, as far as any does. */
function sliceThatFrees(state: RateState, count: number): number {
  let sum = state.pastTaken + state.taken
  for (const entry of state.past) {
    sum -= entry.taken
    if (sum <= count) return entry.slice
  }
  return state.slice
}

/** One more in flight, or null where `limit` are in flight already. */
export function enterConcurrent(inFlight: number, limit: number | undefined): number | null {
  return limit !== undefined && inFlight >= limit ? null : inFlight + 1
}

export function leaveConcurrent(inFlight: number): number {
  return Math.max(0, inFlight - 1)
}
