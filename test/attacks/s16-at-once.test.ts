import { expect } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts, open } from './attack.ts'
import { usePlaces } from './place.ts'

const LIMIT = 3
const ASKED = 24
let now = 0
let most = 0

const places = usePlaces((_request, response) => {
  now += 1
  most = Math.max(most, now)
  setTimeout(() => {
    now -= 1
    response.end('ok')
  }, 30)
})

attack('S16', 'many calls at once never pass the limit that each of them is within', fronts, async (front) => {
  most = 0
  const where = await places.place({ limits: { concurrent: LIMIT } })
  const answers = await Promise.all(Array.from({ length: ASKED }, () => places.ask(front, where)))
  expect(most).toBeLessThanOrEqual(LIMIT)
  const passed = answers.filter(({ status }) => status === 200).length
  expect(passed).toBeGreaterThanOrEqual(1)
  for (const answer of answers) if (answer.status !== 200) expect(codeOf(answer)).toBe('concurrency_exceeded')
  // Each place is given back.
  for (let count = 0; count < LIMIT * 2; count += 1) expect((await places.ask(front, where)).status).toBe(200)
})

attack('S16', 'a rate is counted before the call, not after', fronts, async (front) => {
  const where = await places.place({ limits: { rate: { count: 5, perSeconds: 3_600 } } })
  const answers = await Promise.all(Array.from({ length: ASKED }, () => places.ask(front, where)))
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(5)
  expect(answers.filter((answer) => answer.status === 429 && codeOf(answer) === 'rate_exceeded')).toHaveLength(
    ASKED - 5,
  )
})

open('S16', 'many calls at once, each within a budget of money')
