import { afterAll, expect } from 'vitest'
import {
  attackFromInside,
  excusedUncontained,
  expectedIn,
  removeTrial,
  skipped,
} from '../../src/containment/trial/ordinary-user.ts'
import { attack, inside } from './attack.ts'

/**
 * Every way past the gateway and into Keyward that the trial knows, tried by a program that `run` would have
 * started, as an ordinary user. Where containment cannot be had the row is not held, and says why.
 */
afterAll(removeTrial)

attack('I17', 'the attempts are real: uncontained they succeed', inside, async () => {
  expect(skipped).toBe('')
  const { open, closed } = await attackFromInside('none')
  expect(closed.filter((name) => !excusedUncontained.includes(name))).toEqual([])
  expect(open.length).toBeGreaterThan(60)
})

for (const mode of ['files', 'full'] as const) {
  attack('I17', `contained with ${mode}, nothing is reached beyond what is said to be open`, inside, async () => {
    expect(skipped).toBe('')
    const { open } = await attackFromInside(mode)
    const { must, may } = expectedIn(mode)
    expect(open.filter((name) => !may.includes(name))).toEqual(must)
  })
}
