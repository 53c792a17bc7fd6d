import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack } from './attack.ts'
import { bearer, expectNothingOf, outcomeOf, textAbsolute, textForward, tunnelled } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let upstream: Upstream
let attacker: Upstream
let api: Held
let closed: Login
let login: Login

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  attacker = await startUpstream(always(200, {}, 'mine'))
  api = await stage.hold({ id: 'api', endpoint: upstream.origin, hosts: ['api.pay.test', '*.store.pay.test'] })
  closed = await stage.login('triage', { egress: 'deny' })
  login = await stage.login('triage')
  for (const port of [80, 443]) internet.route(PUBLIC, port, attacker.port)
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
  await attacker.close()
  internet.close()
})

const lookalikes = [
  'api.pay.test.evil.com',
  'evilapi.pay.test',
  'api.pay.test.',
  'api.pay.testx',
  'xapi.pay.test',
  'api-pay.test',
  'apixpay.test',
  'pay.test',
  'api.api.pay.test',
  'a.api.pay.test',
  'api.pay.tes',
  'pi.pay.test',
  'api.pay.test.evil.test',
  '127.0.0.1.evil.test',
  'api.pay.com',
  'store.pay.test',
  'a.b.store.pay.test',
  'evilstore.pay.test',
  'a.store.pay.test.evil.com',
  'a.evilstore.pay.test',
  '-a.store.pay.test',
  'a-.store.pay.test',
  'a_b.store.pay.test',
  '_.store.pay.test',
  '*.store.pay.test',
  '%2a.store.pay.test',
  '.store.pay.test',
  'a..store.pay.test',
  'xn--80ak6aa92e.pay.test',
] as const

attack('D12', 'hosts that only look listed are not', textForward, async (front) => {
  for (const host of lookalikes) {
    if (host === 'api.pay.test.') continue
    stage.names.set(host, [PUBLIC])
    const before = [upstream.received().length, internet.dialledBeside(stage.port).length]
    const outcome =
      front.door === 'tunnel'
        ? await tunnelled(stage, `${host}:443`, closed)
        : outcomeOf(
            await stage.request({
              door: 'absolute',
              held: { id: 'x', host },
              login: closed,
              headers: [bearer(closed, api)],
            }),
          )
    expect(['host_not_listed', 'host_sibling', 'request_malformed'], `${host}: ${outcome}`).toContain(outcome)
    expect([upstream.received().length, internet.dialledBeside(stage.port).length]).toEqual(before)
  }
})

attack('D12', 'where other hosts may be reached, a look-alike gets no credential', textAbsolute, async () => {
  let reached = 0
  for (const host of lookalikes) {
    if (host === 'api.pay.test.') continue
    const outcome = outcomeOf(
      await stage.request({ door: 'absolute', held: { id: 'x', host }, login, headers: [bearer(login, api)] }),
    )
    if (outcome === 'answered 200') reached += 1
    else expect(['host_sibling', 'request_malformed'], `${host}: ${outcome}`).toContain(outcome)
  }
  expect(reached).toBeGreaterThan(2)
  expect(attacker.got.length).toBe(reached)
  expectNothingOf(api, attacker.received())
  expect(upstream.received().length).toBe(0)
})

attack('D12', 'one label under a wildcard is listed, and the host itself', textAbsolute, async () => {
  for (const host of ['a.store.pay.test', 'a-b.store.pay.test', 'api.pay.test'])
    expect(
      outcomeOf(
        await stage.request({ door: 'absolute', held: { id: 'x', host }, login, headers: [bearer(login, api)] }),
      ),
      host,
    ).toBe('answered 200')
  expect(upstream.received().includes(api.secret())).toBe(true)
})
