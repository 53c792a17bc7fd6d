import { expect } from 'vitest'
import { madeUp } from '../e2e/gateway/harness.ts'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

attack(
  'I5',
  'a key of the agent’s own in the place of the placeholder is refused, and repeated nowhere',
  fronts,
  async (front) => {
    const where = await places.place()
    const own = `live_${madeUp()}`
    const before = places.upstream.received().length
    for (const value of [`Bearer ${own}`, `bearer   ${own}`]) {
      const answer = await places.ask(front, where, { headers: [['Authorization', value]] })
      expect(codeOf(answer)).toBe('placeholder_required')
      expect(answer.rawHead + answer.body.toString()).not.toContain(own)
    }
    expect(places.upstream.received().length).toBe(before)
    const written = JSON.stringify(await places.stage.entries({ kind: 'refusal', agent: where.agent }))
    if (front.door !== 'base-url') expect(written).toContain('placeholder_required')
    expect(JSON.stringify(await places.stage.entries({}))).not.toContain(own)
  },
)

attack('I5', 'a key of the agent’s own under another scheme is refused as well', fronts, async (front) => {
  const two = await places.place({ inject: [{ kind: 'header', name: 'x-api-key' }, { kind: 'bearer' }] })
  const own = `live_${madeUp()}`
  const before = places.upstream.received().length
  for (const where of [await places.place(), two]) {
    for (const value of [own, `token ${own}`, `Basic ${Buffer.from(`x:${own}`).toString('base64')}`]) {
      expect(codeOf(await places.ask(front, where, { headers: [['Authorization', value]] }))).toBe(
        'placeholder_required',
      )
    }
  }
  // Beside a placeholder in the service's other place it would go out too.
  const headers = [
    ['X-Api-Key', two.login.placeholder(two.held)],
    ['Authorization', `Basic ${Buffer.from(`x:${own}`).toString('base64')}`],
  ] as const
  expect(codeOf(await places.ask(front, two, { headers }))).toBe('placeholder_required')
  expect(places.upstream.received().length).toBe(before)
})

attack('I5', 'a key of the agent’s own beside its placeholder is refused', fronts, async (front) => {
  const where = await places.place()
  const placeholder = `Bearer ${where.login.placeholder(where.held)}`
  const own = `Bearer live_${madeUp()}`
  const before = places.upstream.received().length
  for (const pair of [
    [placeholder, own],
    [own, placeholder],
  ] as const) {
    const answer = await places.ask(front, where, { headers: pair.map((value) => ['Authorization', value] as const) })
    expect(codeOf(answer)).toBe('placeholder_ambiguous')
  }
  expect(places.upstream.received().length).toBe(before)
})
