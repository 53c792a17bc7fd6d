import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { codeOf, connectHead, type Held, type Login } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { ask, bearer, outcomeOf } from './asking.ts'
import { openInternet, PUBLIC, SECOND_PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let api: Held
let login: Login

const HOST = 'mixed.example.test'
const UNLISTED = 'mixed.example.net'

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  api = await stage.hold({ id: 'api', hosts: [HOST] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  internet.close()
})

const answers: readonly string[][] = [
  [PUBLIC, '10.0.0.1'],
  ['10.0.0.1', PUBLIC],
  [PUBLIC, SECOND_PUBLIC, '169.254.169.254'],
  [PUBLIC, '::1'],
  ['2606:4700::1111', 'fd00:ec2::254'],
  [PUBLIC, '64:ff9b::a9fe:a9fe'],
  [PUBLIC, '0.0.0.0'],
  [],
  Array.from({ length: 33 }, (_, i) => `93.184.216.${i}`),
]

attack('D4', 'one address that may not be dialled refuses the whole name', fronts, async (front) => {
  for (const addresses of answers) {
    stage.names.set(HOST, [addresses])
    stage.names.set(UNLISTED, [addresses])
    const before = internet.dialledBeside(stage.port).length
    const answer =
      front.door === 'absolute'
        ? await stage.request({
            door: 'absolute',
            protocol: front.protocol,
            held: { id: 'x', host: UNLISTED },
            login,
            headers: [bearer(login, api)],
          })
        : await ask(stage, front, { held: api, login })
    expect(outcomeOf(answer), addresses.join()).toBe('host_refused')
    if (front.door === 'tunnel') {
      const wire = await stage.dial()
      wire.write(connectHead(`${UNLISTED}:443`, login.token))
      expect(codeOf(await wire.answer())).toBe('host_refused')
    }
    expect(internet.dialledBeside(stage.port).length).toBe(before)
  }
})
