import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { ask, outcomeOf } from './asking.ts'

let stage: Stage
let upstream: Upstream
let hub: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  hub = await stage.hold({
    id: 'hub',
    endpoint: upstream.origin,
    allow: ['GET /repos/acme/**', 'POST /repos/acme/{repo}/issues', 'GET /buckets/acme-logs/{object}', 'GET /users/me'],
    deny: ['* /repos/acme/{repo}/secrets/**'],
  })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

/** Things of others, or of the owner in another way, at the very host that is allowed. */
const foreign: readonly [method: string, target: string][] = [
  ['GET', '/repos/evil/loot'],
  ['POST', '/repos/evil/loot/issues'],
  ['GET', '/repos/ACME/x'],
  ['GET', '/repos/acme2/x'],
  ['GET', '/repos/acm'],
  ['GET', '/repos/acme.evil/x'],
  ['GET', '/repos/acme/../evil/x'],
  ['GET', '/repos/acme/%2e%2e/evil/x'],
  ['GET', '/repos/acme/x/..%2f..%2fevil'],
  ['GET', '/repos/acme%2f..%2fevil/x'],
  ['GET', '/repos//acme/x'],
  ['GET', '/./repos/acme/x'],
  ['GET', '/repos/acme;/../evil/x'],
  ['GET', '/repos/evil?x=/repos/acme/'],
  ['GET', '/?/repos/acme/x'],
  ['GET', '/repos'],
  ['GET', '/gists'],
  ['POST', '/gists'],
  ['PUT', '/repos/acme/x/contents/y'],
  ['POST', '/repos/acme/x/forks'],
  ['PATCH', '/repos/acme/x'],
  ['DELETE', '/repos/acme/x'],
  ['GET', '/repos/acme/x/secrets/y'],
  ['GET', '/repos/acme/x/Secrets/y'],
  ['GET', '/repos/acme/x/secrets/'],
  ['GET', '/buckets/evil-logs/x'],
  ['PUT', '/buckets/acme-logs/x'],
  ['GET', '/buckets/acme-logs/a/b'],
  ['GET', '/users/other'],
]

attack('D15', 'a grant for one owner reaches nothing of another', fronts, async (front) => {
  const before = upstream.got.length
  for (const [method, target] of foreign) {
    const outcome = outcomeOf(await ask(stage, front, { held: hub, login, method, target }))
    expect(
      ['operation_not_allowed', 'operation_denied', 'path_not_canonical'],
      `${method} ${target}: ${outcome}`,
    ).toContain(outcome)
  }
  expect(upstream.got.length).toBe(before)
})

attack('D15', 'what is the owner’s own is reached, and no further', fronts, async (front) => {
  for (const target of ['/repos/acme/x', '/repos/acme/x/pulls/1', '/buckets/acme-logs/x', '/users/me'])
    expect(outcomeOf(await ask(stage, front, { held: hub, login, target })), target).toBe('answered 200')
  const before = upstream.got.length
  // A query that some service would read as the owner, and a header as another bucket, change no decision.
  for (const target of ['/repos/evil/x?owner=acme', '/repos/evil/x?path=/repos/acme/x'])
    expect(outcomeOf(await ask(stage, front, { held: hub, login, target }))).toBe('operation_not_allowed')
  expect(upstream.got.length).toBe(before)
})
