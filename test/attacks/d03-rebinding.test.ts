import { afterAll, beforeAll, expect } from 'vitest'
import { createAuthority } from '../fakes/authority.ts'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts, type Front } from './attack.ts'
import { ask, bearer, outcomeOf } from './asking.ts'
import { openInternet, PUBLIC, SECOND_PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let secure: Upstream
let clear: Upstream
let api: Held
let login: Login

const HOST = 'rebind.example.test'
const UNLISTED = 'rebind.example.net'

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  const authority = await createAuthority()
  const closing = { connection: 'close' }
  secure = await startUpstream((_request, response) => response.writeHead(200, closing).end('ok'), {
    leaf: await authority.issue([HOST]),
  })
  clear = await startUpstream((_request, response) => response.writeHead(200, closing).end('ok'))
  api = await stage.hold({ id: 'api', hosts: [HOST], trust: authority.certificate })
  login = await stage.login('triage')
  internet.route(PUBLIC, 443, secure.port)
  internet.route(PUBLIC, 80, clear.port)
})

afterAll(async () => {
  await stage.close()
  await secure.close()
  await clear.close()
  internet.close()
})

/** At the absolute form a service with TLS is refused anyway, so the name there is one that nobody lists. */
function askAgain(front: Front) {
  if (front.door !== 'absolute') return ask(stage, front, { held: api, login })
  return stage.request({
    door: 'absolute',
    protocol: front.protocol,
    held: { id: 'x', host: UNLISTED },
    login,
    headers: [bearer(login, api)],
  })
}

attack('D3', 'each connection goes to the address that was checked for it', fronts, async (front) => {
  const name = front.door === 'absolute' ? UNLISTED : HOST
  for (const [index, second] of ['169.254.169.254', '127.0.0.1', '10.0.0.1', 'fd00:ec2::254', '::1'].entries()) {
    // A name of its own for each pool, so that no connection is left from the one before.
    stage.names.set(name, [[PUBLIC], [second]])
    const before = internet.dialled.length
    const first = await askAgain(front)
    expect(outcomeOf(first), `turn ${index}`).toBe('answered 200')
    expect(outcomeOf(await askAgain(front))).toBe('host_refused')
    const hosts = internet.dialled.slice(before).filter(({ port }) => port !== stage.port)
    expect(hosts.map(({ host }) => host)).toEqual([PUBLIC])
  }
})

attack('D3', 'a name is resolved once for each connection, and never by the socket', fronts, async (front) => {
  const name = front.door === 'absolute' ? UNLISTED : HOST
  stage.names.set(name, [[PUBLIC], [SECOND_PUBLIC]])
  const before = internet.dialled.length
  expect(outcomeOf(await askAgain(front))).toBe('answered 200')
  const hosts = internet.dialled.slice(before).filter(({ port }) => port !== stage.port)
  expect(hosts.map(({ host }) => host)).toEqual([PUBLIC])
})
