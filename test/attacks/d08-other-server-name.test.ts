import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack } from './attack.ts'
import { bearer, rawRequest, secureInside, textTunnel } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let upstream: Upstream
let outside: Upstream
let echo: Held
let login: Login

const names = [
  'other.example.test',
  'evil.example.net',
  'xecho.example.test',
  'echo.example.test.evil.test',
  '127.0.0.1x',
  'example.test',
]

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  outside = await startUpstream(always(200, {}, 'outside'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  await stage.hold({ id: 'other', endpoint: upstream.origin })
  login = await stage.login('triage')
  stage.names.set('outside.example.net', [PUBLIC])
  internet.route(PUBLIC, 443, outside.port)
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
  await outside.close()
  internet.close()
})

attack('D8', 'a tunnel to a service that asks for the certificate of another host', textTunnel, async (front) => {
  for (const name of names) {
    const before = upstream.received().length
    const since = Date.now()
    const wire = await secureInside(stage, `${echo.host}:443`, login, name)
    // Under TLS 1.3 a client may learn of the refusal only after it has written.
    if (wire !== null) {
      wire.write(rawRequest(stage, front, { held: echo, login, headers: [bearer(login, echo)] }))
      await expect(wire.answer(), name).rejects.toThrow(/ended/)
    }
    const { event } = await stage.journaled({ kind: 'refusal', code: 'host_mismatch', since })
    expect([event['agent'], event['host']]).toEqual(['triage', echo.host])
    expect(upstream.received().length).toBe(before)
  }
})

attack('D8', 'a tunnel that passes, with the server name of another host or none', textTunnel, async () => {
  for (const name of [...names, null]) {
    const since = Date.now()
    const before = internet.dialled.filter(({ host }) => host === PUBLIC).length
    const wire = await secureInside(stage, 'outside.example.net:443', login, name)
    expect(wire, String(name)).toBeNull()
    const { event } = await stage.journaled({ kind: 'refusal', code: 'host_mismatch', since })
    expect(event['host']).toBe('outside.example.net')
    expect(internet.dialled.filter(({ host }) => host === PUBLIC).length).toBe(before)
  }
  expect(outside.received().length).toBe(0)
})
