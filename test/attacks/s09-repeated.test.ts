import { expect } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { madeUp } from '../e2e/gateway/harness.ts'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts, open } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

attack(
  'S9',
  'a call that breaks is never sent a second time, on a new connection or a kept one',
  fronts,
  async (front) => {
    const where = await places.place()
    for (const method of ['POST', 'PUT', 'DELETE', 'GET']) {
      // So that a connection is kept.
      places.answerWith((_request, response) => void response.end('ok'))
      expect((await places.ask(front, where)).status).toBe(200)
      const before = places.upstream.got.length
      places.answerWith((request) => void request.socket.destroy())
      const body = method === 'GET' || method === 'DELETE' ? {} : { body: 'pay 10 to eve' }
      const answer = await places.ask(front, where, { method, target: '/orders', ...body })
      expect([codeOf(answer), answer.status]).toEqual(['upstream_broken', 502])
      expect(places.upstream.got.length - before, method).toBe(1)
    }
    places.answerWith((_request, response) => void response.end('ok'))
  },
)

attack('S9', 'a storm of 401 is passed on as it is, each asked once', fronts, async (front) => {
  const where = await places.place()
  places.answerWith((_request, response) => {
    response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' })
    response.end('no')
  })
  const before = places.upstream.got.length
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => places.ask(front, where, { method: 'POST', body: 'x' })),
  )
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 401))
  expect(places.upstream.got.length - before).toBe(answers.length)
  // The service's no is not Keyward's.
  for (const { headers } of answers) expect(headers.some(([name]) => name === 'keyward-error')).toBe(false)
  places.answerWith((_request, response) => void response.end('ok'))
})

attack(
  'S9',
  'a key replaced amid requests: every request carries one key, old or new, and the last the new one',
  fronts,
  async (front) => {
    const where = await places.place()
    const fresh = madeUp()
    const before = places.upstream.got.length
    const wave = (count: number) => Promise.all(Array.from({ length: count }, () => places.ask(front, where)))
    const first = wave(10)
    const set = places.stage.app.credentials.set(
      where.held.credentialId,
      { key: Secret.fromText('key', fresh) },
      'test',
    )
    const statuses = [...(await first), ...(await wave(10))].map(({ status }) => status)
    await set
    expect((await places.ask(front, where)).status).toBe(200)
    expect(statuses).toEqual(statuses.map(() => 200))
    const keys = places.upstream.got.slice(before).map(({ headers }) => headers.authorization)
    const [old, next] = [`Bearer ${where.held.secret()}`, `Bearer ${fresh}`]
    for (const key of keys) expect([old, next]).toContain(key)
    expect(keys.at(-1)).toBe(next)
  },
)

open('S9', 'a rotation at the vendor amid requests')
