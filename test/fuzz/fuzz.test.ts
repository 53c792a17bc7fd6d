import { expect, test } from 'vitest'
import { escaped } from '../attacks/corpus/draft.ts'
import { attempt, targets } from './targets.ts'

/** A short run of `npm run fuzz` with a seed that stays the same, so that it says the same on every machine. */
const SEED = 1
const COUNT = 1_500

test.each(targets.map((target) => [target.name, target] as const))('%s', async (_name, target) => {
  for (let index = 0; index < COUNT; index++) {
    const violation = await attempt(target, SEED, index)
    if (violation !== null) expect.fail(`input ${index}: ${violation.what}\n${escaped(violation.bytes)}`)
  }
})
