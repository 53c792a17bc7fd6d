import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Ledger } from '../ledger/ledger.ts'
import { createHolds, type TakenHold } from './hold.ts'
import { isRefusal } from './refusal.ts'

const question = { exchangeId: 'x', agentId: 'a', credentialId: 'c', service: 's', operation: null }
const free: Ledger = { hold: () => ({ settle: () => null }) }

test('never more in flight than allowed, never more in the time than allowed, and what ends makes room', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 6 }),
      fc.array(fc.oneof(fc.constant('take'), fc.constant('settle'), fc.constant('settle twice'), fc.constant('wait')), {
        maxLength: 60,
      }),
      (concurrent, rate, steps) => {
        let now = 1_000_000
        const holds = createHolds({ ledger: free, now: () => now })
        const open: TakenHold[] = []
        const takenAt: number[] = []
        for (const step of steps) {
          if (step === 'wait') now += 7_000
          else if (step === 'take') {
            const taken = holds.take('g', { concurrent, rate: { count: rate, perSeconds: 60 } }, question)
            if (isRefusal(taken)) {
              expect(taken.retryAfterSeconds).toBeGreaterThan(0)
              expect(open.length === concurrent ? taken.refusal : 'rate_exceeded').toBe(taken.refusal)
            } else {
              open.push(taken)
              takenAt.push(now)
            }
          } else {
            const one = open.shift()
            one?.settle(null)
            if (step === 'settle twice') one?.settle(null)
          }
          expect(open.length).toBeLessThanOrEqual(concurrent)
          expect(takenAt.filter((at) => at > now - 60_000).length).toBeLessThanOrEqual(rate)
        }
      },
    ),
  )
})

test('a ledger that refuses leaves rate and concurrency untouched', () => {
  let refuse = true
  const holds = createHolds({
    ledger: { hold: () => (refuse ? { refusal: 'overloaded', detail: 'x' } : { settle: () => null }) },
    now: () => 0,
  })
  const limits = { concurrent: 1, rate: { count: 1, perSeconds: 60 } }
  for (let count = 0; count < 5; count++)
    expect(holds.take('g', limits, question)).toMatchObject({ refusal: 'overloaded' })
  refuse = false
  expect(isRefusal(holds.take('g', limits, question))).toBe(false)
  expect(holds.take('g', limits, question)).toMatchObject({ refusal: 'concurrency_exceeded', rule: 'g' })
})

test('grants do not share their counters, and one without limits has none', () => {
  const holds = createHolds({ ledger: free, now: () => 0 })
  expect(isRefusal(holds.take('one', { concurrent: 1 }, question))).toBe(false)
  expect(isRefusal(holds.take('two', { concurrent: 1 }, question))).toBe(false)
  expect(isRefusal(holds.take('one', { concurrent: 1 }, question))).toBe(true)
  for (let count = 0; count < 1_000; count++) expect(isRefusal(holds.take('three', {}, question))).toBe(false)
})

test('a request of several calls takes of every grant as much as it allows calls, or of none', () => {
  const holds = createHolds({ ledger: free, now: () => 0 })
  const one = { grant: 'one', limits: { rate: { count: 5, perSeconds: 60 } } }
  const two = { grant: 'two', limits: { concurrent: 1 } }
  const taken = holds.takeAll(
    [
      { ...one, count: 2 },
      { ...two, count: 1 },
    ],
    question,
  )
  expect(isRefusal(taken)).toBe(false)
  expect(
    holds.takeAll(
      [
        { ...one, count: 2 },
        { ...two, count: 1 },
      ],
      question,
    ),
  ).toMatchObject({
    refusal: 'concurrency_exceeded',
    rule: 'two',
  })
  expect(holds.takeAll([{ ...one, count: 4 }], question)).toMatchObject({ refusal: 'rate_exceeded', rule: 'one' })
  // What was refused has taken nothing.
  expect(isRefusal(holds.takeAll([{ ...one, count: 3 }], question))).toBe(false)
  expect(holds.take('one', one.limits, question)).toMatchObject({ refusal: 'rate_exceeded' })
  if (!isRefusal(taken)) taken.settle(null)
  expect(isRefusal(holds.take('two', two.limits, question))).toBe(false)
  expect(isRefusal(holds.takeAll([{ grant: 'three', limits: {}, count: 1_000 }], question))).toBe(false)
})
