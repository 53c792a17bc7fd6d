import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { proxyCredentials, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack } from './attack.ts'
import { bare, expectNothingOf, outcomeOf, secureInside, textAbsolute, textTunnel, tunnelled } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let upstream: Upstream
let attacker: Upstream
let echo: Held
let login: Login

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  attacker = await startUpstream(always(200, {}, 'mine'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  login = await stage.login('triage')
  for (const port of [80, 443]) internet.route(PUBLIC, port, attacker.port)
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
  await attacker.close()
  internet.close()
})

const inside = (host: string): string =>
  `GET / HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${login.placeholder(echo)}\r\n\r\n`

attack('D10', 'a tunnel to an address, with a listed host inside', textTunnel, async () => {
  for (const address of [PUBLIC, '[2606:4700::1111]'])
    expect(await tunnelled(stage, `${address}:80`, login, inside(echo.host))).toBe('host_mismatch')
  // TLS: neither the name of the service nor that of the address, which is no name, may stand in the greeting.
  for (const name of [echo.host, null]) expect(await secureInside(stage, `${PUBLIC}:443`, login, name)).toBeNull()
  expect(attacker.received().length).toBe(0)
  expect(upstream.received().length).toBe(0)
})

attack('D10', 'a tunnel to an address that names itself gets no credential', textTunnel, async () => {
  expect(await tunnelled(stage, `${PUBLIC}:80`, login, inside(PUBLIC))).toBe('answered 200')
  expect(attacker.received().length).toBeGreaterThan(0)
  expectNothingOf(echo, attacker.received())
})

attack('D10', 'an address in absolute form, with a listed Host', textAbsolute, async () => {
  const before = attacker.received().length
  const answer = await bare(
    stage,
    `GET http://${PUBLIC}/ HTTP/1.1\r\nHost: ${echo.host}\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\nAuthorization: Bearer ${login.placeholder(echo)}\r\n\r\n`,
  )
  expect(answer === null ? 'closed' : outcomeOf(answer)).toBe('host_mismatch')
  expect(attacker.received().length).toBe(before)
  expect(upstream.received().length).toBe(0)
})
