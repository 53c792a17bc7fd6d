import { expect } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces, type Placed } from './place.ts'

const places = usePlaces(undefined, { approvalWaitMilliseconds: 200 })

function beside({ held }: Placed, allow: readonly string[], more: { expiresAt?: number; approve?: 'always' } = {}) {
  const { agentId, credentialId } = held
  return places.stage.app.grants.add(
    { agentId, credentialId, allow, deny: [], limits: {}, expiresAt: null, ...more },
    'test',
  )
}

attack('I14', 'a narrow allow beside a grant that asks a person goes around nothing', fronts, async (front) => {
  const where = await places.place({ approve: 'always' })
  await beside(where, ['DELETE /repos/me/mine'])
  const before = places.upstream.got.length
  const ask = { method: 'DELETE', target: '/repos/me/mine' }
  expect(codeOf(await places.ask(front, where, ask))).toBe('approval_required')
  expect(places.upstream.got.length).toBe(before)
})

attack('I14', 'another spelling of what is asked about is asked about', fronts, async (front) => {
  const where = await places.place({ allow: ['POST /Orders/{id}'], approve: 'always' })
  await beside(where, ['*'])
  const before = places.upstream.got.length
  for (const target of ['/Orders/7', '/orders/7/', '/ORDERS/7'])
    expect(codeOf(await places.ask(front, where, { method: 'POST', target, body: '{}' })), target).toBe(
      'approval_required',
    )
  expect(places.upstream.got.length).toBe(before)
  expect((await places.ask(front, where, { target: '/elsewhere' })).status).toBe(200)
})

attack('I14', 'what is destructive is asked about under any spelling and unknown method', fronts, async (front) => {
  const operations = [
    { name: 'things.wipe', match: 'GET /wipe', destructive: true },
    { name: 'things.find', match: 'POST /find', destructive: false },
  ]
  const where = await places.place({ operations, approve: 'destructive' })
  const before = places.upstream.got.length
  for (const [method, target] of [
    ['GET', '/wipe'],
    ['GET', '/WIPE/'],
    ['POST', '/anything'],
    ['PROPFIND', '/anything'],
    ['DELETE', '/anything'],
  ] as const)
    expect(codeOf(await places.ask(front, where, { method, target })), `${method} ${target}`).toBe('approval_required')
  expect(places.upstream.got.length).toBe(before)
  for (const [method, target] of [
    ['GET', '/anything'],
    ['POST', '/find'],
  ] as const)
    expect((await places.ask(front, where, { method, target })).status, `${method} ${target}`).toBe(200)
})

attack('I14', 'a grant that asks and has expired asks still: time never widens', fronts, async (front) => {
  const where = await places.place()
  const { app } = places.stage
  await beside(where, ['POST /orders'], { approve: 'always', expiresAt: app.now() + 1_000 })
  places.stage.advance(2_000)
  expect(codeOf(await places.ask(front, where, { method: 'POST', target: '/orders' }))).toBe('approval_required')
})
