import { afterAll, beforeAll, expect } from 'vitest'
import { createAuthority } from '../fakes/authority.ts'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { requestBytes, type Held, type Login } from '../e2e/gateway/requests.ts'
import { startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { header } from '../e2e/gateway/wire.ts'
import { connectHead } from '../e2e/gateway/requests.ts'
import { wireOf } from '../e2e/gateway/wire.ts'
import { attack, fronts } from './attack.ts'
import { ask, bearer, expectNothingOf, outcomeOf } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let secure: Upstream
let clear: Upstream
let api: Held
let login: Login

const HOST = 'api.example.test'

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  const authority = await createAuthority()
  secure = await startUpstream(
    (_request, response) => {
      response.writeHead(302, { location: `http://${HOST}/v1` })
      response.end()
    },
    { leaf: await authority.issue([HOST]) },
  )
  clear = await startUpstream((_request, response) => response.end('in the clear'))
  api = await stage.hold({ id: 'api', hosts: [HOST], trust: authority.certificate })
  login = await stage.login('triage')
  stage.names.set(HOST, [PUBLIC])
  internet.route(PUBLIC, 443, secure.port)
  internet.route(PUBLIC, 80, clear.port)
})

afterAll(async () => {
  await stage.close()
  await secure.close()
  await clear.close()
  internet.close()
})

attack('D2', 'a redirect to http of the same host gets nothing, followed or not', fronts, async (front) => {
  if (front.door !== 'absolute') {
    const redirected = await ask(stage, front, { held: api, login, target: '/v1' })
    expect([redirected.status, header(redirected, 'location')]).toEqual([302, `http://${HOST}/v1`])
  }
  if (front.door === 'absolute') {
    expect(outcomeOf(await ask(stage, front, { held: api, login, target: '/v1' }))).toBe('cleartext_refused')
  }
  if (front.door === 'tunnel') {
    const wire = await stage.dial()
    wire.write(connectHead(`${HOST}:80`, login.token))
    expect((await wire.head()).status).toBe(200)
    const inner = wireOf(wire.socket)
    inner.write(requestBytes(stage, { door: 'tunnel', held: api, login, target: '/v1', headers: [bearer(login, api)] }))
    expect(outcomeOf(await inner.answer())).toBe('cleartext_refused')
    wire.close()
  }
  expect(internet.dialled.filter(({ host, port }) => host === PUBLIC && port !== 443)).toEqual([])
  expectNothingOf(api, clear.received())
  expect(clear.received().length).toBe(0)
})
