import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkRate, enterConcurrent, formatRate, freshRate, leaveConcurrent, parseRate, takeRate } from './rate.ts'
import type { RateLimit, RateState } from './rate.ts'

test('rates are read and written', () => {
  expect(['5/s', '60/min', '1000/hour', '10/day'].map(parseRate)).toEqual([
    { count: 5, perSeconds: 1 },
    { count: 60, perSeconds: 60 },
    { count: 1000, perSeconds: 3600 },
    { count: 10, perSeconds: 86_400 },
  ])
  expect(parseRate('7/minute')).toEqual(parseRate('7/min'))
  for (const text of ['5/s', '60/min', '1000/hour', '10/day']) expect(formatRate(parseRate(text))).toBe(text)
})

test('anything else is refused', () => {
  for (const text of [
    '',
    '60',
    '60/',
    '/min',
    '0/min',
    '-1/min',
    '1.5/s',
    '1e3/s',
    '60 / min',
    '60/week',
    '60/MIN',
    '05/s',
    '9999999999/s',
    '99999999999/s',
    '60/min ',
  ]) {
    expect(() => parseRate(text), text).toThrow('A rate is')
  }
  for (const rate of [
    { count: Number.NaN, perSeconds: 60 },
    { count: 1, perSeconds: 7 },
    { count: 0, perSeconds: 1 },
  ]) {
    expect(() => checkRate(rate)).toThrow('A rate is')
  }
})

/** Takes at each of the times (ms); gives the times at which it succeeded. */
function run(limit: RateLimit, times: readonly number[]): { taken: number[]; state: RateState } {
  let state = freshRate
  const taken: number[] = []
  for (const time of times) {
    const answer = takeRate(state, limit, time)
    state = answer.state
    if (answer.taken) taken.push(time)
  }
  return { taken, state }
}

const limits = fc.record({ count: fc.integer({ min: 1, max: 20 }), perSeconds: fc.constantFrom(1, 60, 3600) })

test('no window ever sees more than the limit', () => {
  fc.assert(
    fc.property(
      limits,
      fc.array(fc.integer({ min: 0, max: 900 }), { maxLength: 200 }),
      fc.nat(1e9),
      (limit, gaps, start) => {
        let time = start
        const { taken } = run(
          limit,
          gaps.map((gap) => (time += gap * limit.perSeconds)),
        )
        for (const [index, at] of taken.entries()) {
          const later = taken[index + limit.count]
          if (later !== undefined) expect(later - at).toBeGreaterThan(limit.perSeconds * 1000)
        }
      },
    ),
    { numRuns: 500 },
  )
})

test('a burst up to the limit passes, the next one is told when to come back, and then passes', () => {
  fc.assert(
    fc.property(limits, fc.nat(2e12), (limit, now) => {
      const { taken, state } = run(
        limit,
        Array.from({ length: limit.count }, () => now),
      )
      expect(taken).toHaveLength(limit.count)
      const refused = takeRate(state, limit, now)
      if (refused.taken) throw new Error('the limit is reached')
      expect(refused.retryAfterSeconds).toBeGreaterThanOrEqual(1)
      expect(refused.retryAfterSeconds).toBeLessThanOrEqual(Math.ceil(limit.perSeconds * (61 / 60)) + 1)
      expect(takeRate(refused.state, limit, now + refused.retryAfterSeconds * 1000).taken).toBe(true)
    }),
  )
})

test('a steady caller below the limit is never refused', () => {
  const limit = { count: 60, perSeconds: 60 }
  const times = Array.from({ length: 1000 }, (_, index) => index * 1100)
  expect(run(limit, times).taken).toHaveLength(1000)
})

test('the state stays small, and a refused one costs nothing', () => {
  const limit = { count: 1_000_000, perSeconds: 86_400 }
  const { state } = run(
    limit,
    Array.from({ length: 5000 }, (_, index) => index * 100_000),
  )
  expect(state.past.length).toBeLessThanOrEqual(60)
  const full = run({ count: 1, perSeconds: 60 }, [0, 1, 2, 3]).state
  expect(full.taken + full.pastTaken).toBe(1)
})

test('a clock that steps back gives nothing for free; far back it starts afresh', () => {
  const limit = { count: 1, perSeconds: 60 }
  const { state } = run(limit, [10_000_000])
  expect(takeRate(state, limit, 9_990_000).taken).toBe(false)
  expect(takeRate(state, limit, 0).taken).toBe(true)
})

test('as many are in flight as the limit says', () => {
  expect(enterConcurrent(0, undefined)).toBe(1)
  expect(enterConcurrent(7, 8)).toBe(8)
  expect(enterConcurrent(8, 8)).toBeNull()
  expect(leaveConcurrent(8)).toBe(7)
  expect(leaveConcurrent(0)).toBe(0)
})
