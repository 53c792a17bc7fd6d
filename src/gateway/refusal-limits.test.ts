import { expect, test } from 'vitest'
import { createRefusalLimits, REFUSALS_LIMIT } from './refusal-limits.ts'

test('each session and all strangers together have their own limit; the first refusal beyond it is marked, once', () => {
  let now = 1_000_000_000_000
  const limits = createRefusalLimits({ now: () => now })
  for (let count = 0; count < REFUSALS_LIMIT.count; count += 1) expect(limits.refuse('one')).toBeNull()
  expect(limits.refuse('one')).toMatchObject({ firstBeyond: true })
  expect(limits.refuse('one')).toMatchObject({ firstBeyond: false })
  expect(limits.refuse('two')).toBeNull()
  expect(limits.refuse(null)).toBeNull()
  now += 2 * REFUSALS_LIMIT.perSeconds * 1000
  expect(limits.refuse('one')).toBeNull()
})
