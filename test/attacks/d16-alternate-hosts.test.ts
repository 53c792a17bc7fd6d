import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { requestBytes, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { services } from '../../src/services/index.ts'
import { attack, inside } from './attack.ts'
import { bearer, expectNothingOf, outcomeOf, textForward, tunnelled } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let upstream: Upstream
let outside: Upstream
let mail: Held
let login: Login

const listed = ['mail.cloud.test', 'www.cloud.test', 'eu.region.cloud.test', 'us.region.cloud.test']

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  outside = await startUpstream(always(200, {}, 'outside'))
  mail = await stage.hold({
    id: 'mail',
    endpoint: upstream.origin,
    hosts: ['mail.cloud.test', 'www.cloud.test', '*.region.cloud.test'],
    allow: ['GET /**'],
    deny: ['* /send/**'],
  })
  login = await stage.login('triage')
  for (const host of ['cloud.test', 'drive.cloud.test', 'a.mail.cloud.test', 'region.cloud.test', 'cloud.example.net'])
    stage.names.set(host, [PUBLIC])
  for (const port of [80, 443]) internet.route(PUBLIC, port, outside.port)
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
  await outside.close()
  internet.close()
})

attack('D16', 'wherever the credential goes, the same policy goes', textForward, async (front) => {
  for (const host of listed) {
    const through = async (method: string, target: string): Promise<string> => {
      const wire = await stage.open(front.door, host, login)
      wire.write(
        requestBytes(stage, {
          door: front.door,
          held: { id: 'mail', host },
          login,
          method,
          target,
          headers: [bearer(login, mail)],
        }),
      )
      const outcome = outcomeOf(await wire.answer())
      wire.close()
      return outcome
    }
    const before = upstream.got.length
    expect(await through('GET', '/send/x'), host).toBe('operation_denied')
    expect(await through('POST', '/messages'), host).toBe('operation_not_allowed')
    expect(upstream.got.length).toBe(before)
    expect(await through('GET', '/messages'), host).toBe('answered 200')
    expect(upstream.got.at(-1)?.headers).toMatchObject({ host, authorization: `Bearer ${mail.secret()}` })
  }
})

attack('D16', 'a host of the same provider that is not listed is not reached at all', textForward, async (front) => {
  const before = internet.dialledBeside(stage.port).length
  for (const host of [
    'cloud.test',
    'drive.cloud.test',
    'a.mail.cloud.test',
    'region.cloud.test',
    'a.b.region.cloud.test',
  ]) {
    const outcome =
      front.door === 'tunnel'
        ? await tunnelled(stage, `${host}:443`, login)
        : outcomeOf(
            await stage.request({
              door: 'absolute',
              held: { id: 'mail', host },
              login,
              headers: [bearer(login, mail)],
            }),
          )
    expect(outcome, host).toBe('host_sibling')
  }
  expect(internet.dialledBeside(stage.port).length).toBe(before)
  expectNothingOf(mail, outside.received())
})

attack('D16', 'no shipped service lists a host twice or that of another with the same place', inside, () => {
  const owners = new Map<string, string>()
  for (const { id, hosts } of services)
    for (const host of hosts) {
      expect(owners.get(host), host).toBeUndefined()
      owners.set(host, id)
    }
  expect(owners.size).toBeGreaterThan(5)
})
