import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { ask, bearer, outcomeOf, textFronts, textTunnel, tunnelled } from './asking.ts'

let stage: Stage
let upstream: Upstream
let other: Upstream
let echo: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  other = await startUpstream(always(200, {}, 'other'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  await stage.hold({ id: 'other', endpoint: other.origin })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
  await other.close()
})

/** Hosts that are not the one of the connection, or are it in two readings. */
const hosts = [
  'other.example.test',
  'evil.example.net',
  'echo.example.test:8443',
  'echo.example.test:80',
  'echo.example.test.evil.test',
  'xecho.example.test',
  'localhost:1',
  '169.254.169.254',
  'echo.example.test@other.example.test',
  'echo.example.test,other.example.test',
  'echo.example.test other.example.test',
  '',
]

attack('D7', 'Host of another service, of nobody, or in two readings', textFronts, async (front) => {
  for (const host of hosts) {
    // A base URL goes to the gateway itself, whatever the port in front of it.
    if (front.door === 'base-url' && host.startsWith('localhost')) continue
    if (front.door === 'absolute' && host === 'echo.example.test:80') continue
    const before = [upstream.received().length, other.received().length]
    const answer = await ask(stage, front, { held: echo, login, headers: [['Host', host], bearer(login, echo)] })
    expect(['host_mismatch', 'request_malformed'], `${host}: ${outcomeOf(answer)}`).toContain(outcomeOf(answer))
    expect([upstream.received().length, other.received().length]).toEqual(before)
  }
})

attack('D7', 'the second request of a connection cannot change the host either', textFronts, async (front) => {
  const wire = await stage.open(front.door, echo.host, login)
  const line = { 'base-url': '/s/echo/', absolute: `http://${echo.host}/`, tunnel: '/' }[front.door]
  const own = front.door === 'base-url' ? `127.0.0.1:${stage.port}` : echo.host
  const proof = `Proxy-Authorization: Bearer ${login.token}\r\n`
  const one = (host: string): string =>
    `GET ${line} HTTP/1.1\r\nHost: ${host}\r\n${front.door === 'absolute' ? proof : ''}Authorization: Bearer ${login.placeholder(echo)}\r\n\r\n`
  wire.write(one(own))
  expect((await wire.answer()).status).toBe(200)
  const before = other.received().length
  wire.write(one('other.example.test'))
  expect(outcomeOf(await wire.answer())).toBe('host_mismatch')
  expect(other.received().length).toBe(before)
  wire.close()
})

attack('D7', 'a tunnel in the clear to one host, Host of another', textTunnel, async () => {
  const inside = `GET / HTTP/1.1\r\nHost: other.example.test\r\nAuthorization: Bearer ${login.placeholder(echo)}\r\n\r\n`
  expect(await tunnelled(stage, 'echo.example.test:80', login, inside)).toBe('host_mismatch')
})

const h2Fronts = fronts.filter(({ protocol }) => protocol === 'h2')

attack('D7', 'Host beside :authority of another', h2Fronts, async (front) => {
  const own = front.door === 'base-url' ? `127.0.0.1:${stage.port}` : echo.host
  for (const host of hosts.filter((text) => text !== '')) {
    for (const [authority, beside] of [
      [own, host],
      [host, own],
    ]) {
      const before = [upstream.received().length, other.received().length]
      const headers = [[':authority', authority ?? ''] as const, ['host', beside ?? ''] as const, bearer(login, echo)]
      const outcome = await ask(stage, front, { held: echo, login, headers }).then(outcomeOf, () => 'reset')
      if (outcome === 'answered 200' && /[@, ]/.test(beside ?? '')) {
        // The library drops a field that is not well-formed before anybody could have read it.
        expect(authority).toBe(own)
        expect(upstream.got.at(-1)?.headers.host).toBe(echo.host)
        expect(other.received().length).toBe(before[1])
        continue
      }
      expect(['request_malformed', 'reset'], `${authority} beside ${beside}: ${outcome}`).toContain(outcome)
      expect([upstream.received().length, other.received().length]).toEqual(before)
    }
  }
})

attack(
  'D7',
  ':authority of another host than the tunnel',
  h2Fronts.filter(({ door }) => door === 'tunnel'),
  async (front) => {
    for (const name of [':authority', 'host'])
      for (const host of hosts) {
        const before = [upstream.received().length, other.received().length]
        const answer = ask(stage, front, { held: echo, login, headers: [[name, host], bearer(login, echo)] })
        const outcome = await answer.then(outcomeOf, () => 'reset')
        expect(['host_mismatch', 'request_malformed', 'reset'], `${name} ${host}: ${outcome}`).toContain(outcome)
        expect([upstream.received().length, other.received().length]).toEqual(before)
      }
  },
)
