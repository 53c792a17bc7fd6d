import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { ask, expectNothingOf, outcomeOf } from './asking.ts'

let stage: Stage
let upstream: Upstream
let login: Login
const held: Held[] = []

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  const endpoint = upstream.origin
  held.push(
    await stage.hold({ id: 'bearing', endpoint }),
    await stage.hold({ id: 'basic', endpoint, inject: [{ kind: 'basic', user: 'any' }] }),
    await stage.hold({ id: 'keyed', endpoint, inject: [{ kind: 'header', name: 'X-Api-Key' }] }),
    await stage.hold({ id: 'queried', endpoint, inject: [{ kind: 'query', name: 'key' }] }),
    await stage.hold({ id: 'pathed', endpoint, inject: [{ kind: 'path', template: '/bot{key}' }] }),
    await stage.hold({
      id: 'pair',
      endpoint,
      fields: { user: 'secret', key: 'secret' },
      inject: [{ kind: 'query', name: 'user', field: 'user' }],
    }),
  )
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

/** Puts a text where the service expects its credential. */
function placed(service: Held, text: string): { target: string; headers: [string, string][] } {
  switch (service.id) {
    case 'basic':
      return { target: '/', headers: [['Authorization', `Basic ${Buffer.from(`any:${text}`).toString('base64')}`]] }
    case 'keyed':
      return { target: '/', headers: [['X-Api-Key', text]] }
    case 'pair':
      return { target: `/?user=${encodeURIComponent(text)}`, headers: [] }
    case 'queried':
      return { target: `/?key=${encodeURIComponent(text)}`, headers: [] }
    case 'pathed':
      return { target: `/bot${text}/x`, headers: [] }
    default:
      return { target: '/', headers: [['Authorization', `Bearer ${text}`]] }
  }
}

attack('D21', 'the placeholder of one service opens no other', fronts, async (front) => {
  const received = upstream.received().length
  for (const service of held) {
    for (const other of held) {
      if (service === other) continue
      const { target, headers } = placed(service, login.placeholder(other))
      const outcome = outcomeOf(await ask(stage, front, { held: service, login, target, headers }))
      expect(outcome, `that of ${other.id} at ${service.id}`).toBe('placeholder_elsewhere')
    }
  }
  expect(upstream.received().length).toBe(received)
})

attack('D21', 'nor does the placeholder of another field', fronts, async (front) => {
  const pair = held.at(-1)
  if (pair === undefined) throw new Error('There is no service.')
  const { target, headers } = placed(pair, login.placeholder(pair, 'key'))
  expect(outcomeOf(await ask(stage, front, { held: pair, login, target, headers }))).toBe('placeholder_elsewhere')
})

attack('D21', 'in its own place each is good, and beside it the others stay what they are', fronts, async (front) => {
  for (const service of held) {
    const other = held.find((candidate) => candidate !== service)
    if (other === undefined) throw new Error('There is no other service.')
    const field = service.id === 'pair' ? 'user' : 'key'
    const { target, headers } = placed(service, login.placeholder(service, field))
    const answer = await ask(stage, front, {
      held: service,
      login,
      target,
      headers: [...headers, ['X-Other', login.placeholder(other)]],
    })
    expect(outcomeOf(answer), service.id).toBe('answered 200')
    const got = upstream.got.at(-1)
    expect(got?.headers['x-other']).toBe(login.placeholder(other))
    expectNothingOf(other, JSON.stringify([got?.target, got?.rawHeaders]))
  }
})
