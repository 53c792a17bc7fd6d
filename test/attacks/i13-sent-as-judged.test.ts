import { expect } from 'vitest'
import { attack, fronts } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

attack('I13', 'what is written down and judged is what arrives', fronts, async (front) => {
  const where = await places.place({ allow: ['POST /orders/{id}'] })
  const body = JSON.stringify({ amount: 1 })
  const answer = await places.ask(front, where, { method: 'POST', target: '/orders/7?dry=no', body })
  expect(answer.status).toBe(200)
  const got = places.upstream.got.at(-1)
  expect([got?.method, got?.target, got?.body.toString()]).toEqual(['POST', '/orders/7?dry=no', body])
  const { event } = await places.stage.journaled({ kind: 'intent', agent: where.agent })
  expect(event).toMatchObject({ method: 'POST', path: '/orders/7', rule: 'POST /orders/{id}' })
})
