import { expect, test } from 'vitest'
import { containmentAvailable } from './probe.ts'

test.each(['files', 'full'] as const)('%s: the answer is remembered, and a no says what to do', (mode) => {
  const first = containmentAvailable(mode)
  expect(containmentAvailable(mode)).toBe(first)
  if (first.available) expect(first).toMatchObject({ missing: '', remedy: '' })
  else expect([first.missing, first.remedy]).toEqual([expect.stringMatching(/\.$/), expect.stringMatching(/\.$/)])
})
