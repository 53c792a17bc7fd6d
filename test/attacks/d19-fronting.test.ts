import { afterAll, beforeAll, expect } from 'vitest'
import { createAuthority } from '../fakes/authority.ts'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack } from './attack.ts'
import { bearer, outcomeOf, rawRequest, secureInside, textFronts, textTunnel } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
/** A CDN: one address and one certificate for two customers. */
let cdn: Upstream
let front: Held
let login: Login

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  const authority = await createAuthority()
  cdn = await startUpstream(always(200, {}, 'ok'), {
    leaf: await authority.issue(['front.cdn.test', 'hidden.example.net']),
  })
  front = await stage.hold({ id: 'front', hosts: ['front.cdn.test'], trust: authority.certificate })
  login = await stage.login('triage')
  for (const host of ['front.cdn.test', 'hidden.example.net']) stage.names.set(host, [PUBLIC])
  internet.route(PUBLIC, 443, cdn.port)
})

afterAll(async () => {
  await stage.close()
  await cdn.close()
  internet.close()
})

attack('D19', 'through the tunnel of the front, Host of the hidden one', textTunnel, async (at) => {
  for (const host of ['hidden.example.net', 'hidden.example.net:443', 'HIDDEN.example.net']) {
    const wire = await stage.open('tunnel', front.host, login)
    wire.write(rawRequest(stage, at, { held: front, login, headers: [['Host', host], bearer(login, front)] }))
    expect(outcomeOf(await wire.answer())).toBe('host_mismatch')
    wire.close()
  }
  expect(cdn.received().length).toBe(0)
})

attack(
  'D19',
  'the server name of the front in the tunnel of the hidden one, and the other way round',
  textTunnel,
  async () => {
    const before = internet.dialledBeside(stage.port).length
    expect(await secureInside(stage, 'hidden.example.net:443', login, 'front.cdn.test')).toBeNull()
    expect(await secureInside(stage, 'hidden.example.net:443', login, null)).toBeNull()
    const wire = await secureInside(stage, 'front.cdn.test:443', login, 'hidden.example.net')
    if (wire !== null) {
      wire.write('GET / HTTP/1.1\r\nHost: hidden.example.net\r\n\r\n')
      await expect(wire.answer()).rejects.toThrow(/ended/)
    }
    expect(internet.dialledBeside(stage.port).length).toBe(before)
  },
)

attack(
  'D19',
  'what goes out names one host three times: server name, certificate and Host',
  textFronts.filter(({ door }) => door !== 'absolute'),
  async (at) => {
    const wire = await stage.open(at.door, front.host, login)
    wire.write(rawRequest(stage, at, { held: front, login }))
    expect(outcomeOf(await wire.answer())).toBe('answered 200')
    wire.close()
    const got = cdn.got.at(-1)
    expect(got?.headers.host).toBe('front.cdn.test')
    const hosts = got?.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host')
    expect(hosts).toHaveLength(1)
  },
)
