import { expect, test } from 'vitest'
import { createRefusedRequests, REFUSED_AGENT_MAXIMUM, REFUSED_MAXIMUM } from './refused.ts'

const refused = (until = 1_000) => ({ id: 'a', rule: '*', until })

test('what was refused is found until its time is over, and only for its agent', () => {
  let at = 0
  const memory = createRefusedRequests(() => at)
  memory.remember('one', 'digest', refused())
  expect(memory.find('one', 'digest')).toEqual(refused())
  expect(memory.find('two', 'digest')).toBeUndefined()
  expect(memory.find('one', 'other')).toBeUndefined()
  at = 1_000
  expect(memory.find('one', 'digest')).toBeUndefined()
})

test('an agent beyond its bound forgets its own oldest, and nobody else’s', () => {
  const memory = createRefusedRequests(() => 0)
  memory.remember('quiet', 'kept', refused())
  for (let index = 0; index <= REFUSED_AGENT_MAXIMUM; index++) memory.remember('loud', `d${index}`, refused())
  expect(memory.find('loud', 'd0')).toBeUndefined()
  expect(memory.find('loud', 'd1')).toBeDefined()
  expect(memory.find('quiet', 'kept')).toBeDefined()
})

test('beyond the bound of all, whoever has most forgets', () => {
  const memory = createRefusedRequests(() => 0)
  memory.remember('quiet', 'kept', refused())
  const agents = Math.ceil(REFUSED_MAXIMUM / REFUSED_AGENT_MAXIMUM) + 1
  for (let agent = 0; agent < agents; agent++)
    for (let index = 0; index < REFUSED_AGENT_MAXIMUM; index++) memory.remember(`a${agent}`, `d${index}`, refused())
  expect(memory.find('quiet', 'kept')).toBeDefined()
  let kept = 1
  for (let agent = 0; agent < agents; agent++)
    for (let index = 0; index < REFUSED_AGENT_MAXIMUM; index++)
      if (memory.find(`a${agent}`, `d${index}`) !== undefined) kept += 1
  expect(kept).toBe(REFUSED_MAXIMUM)
})
