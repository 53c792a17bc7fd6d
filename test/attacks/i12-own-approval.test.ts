import { expect } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

attack('I12', 'an agent cannot allow itself what it was refused', fronts, async (front) => {
  const where = await places.place({ allow: ['GET /read'] })
  const before = places.upstream.received().length
  const wanted = { method: 'DELETE', target: '/thing' }
  for (const extra of [
    [],
    ['Keyward-Approve', 'yes'],
    ['Keyward-Approval', where.held.grantId],
    ['X-Approved-By', 'operator'],
  ]) {
    const [name, value] = extra
    const answer = await places.ask(front, where, {
      ...wanted,
      headers: [
        ['Authorization', `Bearer ${where.login.placeholder(where.held)}`],
        ...(name === undefined || value === undefined ? [] : [[name, value] as const]),
      ],
    })
    expect(codeOf(answer)).toBe('operation_not_allowed')
    // Nothing in the refusal is a link or a token by which to approve.
    expect(answer.body.toString()).not.toMatch(/https?:\/\/(?!docs\.)|kws_|token=/)
  }
  expect(places.upstream.received().length).toBe(before)
})
