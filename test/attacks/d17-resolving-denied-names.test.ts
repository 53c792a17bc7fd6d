import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { ask, bearer, outcomeOf, tunnelled } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let api: Held
let closed: Login
let login: Login
const asked: string[] = []

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage({
    resolve: (host) => {
      asked.push(host)
      return Promise.resolve([{ address: PUBLIC, family: 4 }])
    },
  })
  api = await stage.hold({ id: 'api', hosts: ['api.pay.test'], allow: ['GET /open'] })
  closed = await stage.login('triage', { egress: 'deny' })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  internet.close()
})

/** A name that carries something out, if anybody asks for it. */
const carrier = (): string => `${randomBytes(20).toString('hex')}.evil.test`

attack('D17', 'a name that may not be reached is never asked for', fronts, async (front) => {
  for (const host of [
    carrier(),
    'x.api.pay.test',
    `${randomBytes(8).toString('hex')}.pay.test`,
    'localhost',
    'metadata.google.internal',
  ]) {
    const who = host.endsWith('pay.test') ? login : closed
    if (front.door === 'base-url') {
      const headers = [['Host', host] as const, bearer(who, api)]
      const outcome = outcomeOf(await ask(stage, front, { held: api, login: who, headers, target: '/denied' }))
      expect(['host_mismatch', 'operation_not_allowed', 'token_missing'], `${host}: ${outcome}`).toContain(outcome)
    } else if (front.door === 'absolute') {
      const outcome = outcomeOf(
        await stage.request({
          door: 'absolute',
          protocol: front.protocol,
          held: { id: 'x', host },
          login: who,
          headers: [bearer(who, api)],
        }),
      )
      expect(['host_not_listed', 'host_sibling'], `${host}: ${outcome}`).toContain(outcome)
    } else {
      for (const port of [80, 443, 53]) {
        const outcome = await tunnelled(stage, `${host}:${port}`, who)
        expect(['host_not_listed', 'host_sibling', 'port_refused'], `${host}:${port}: ${outcome}`).toContain(outcome)
      }
    }
  }
  expect(asked).toEqual([])
})

attack('D17', 'a request that policy refuses asks for no name', fronts, async (front) => {
  if (front.door !== 'absolute')
    expect(outcomeOf(await ask(stage, front, { held: api, login, target: '/closed' }))).toBe('operation_not_allowed')
  else expect(outcomeOf(await ask(stage, front, { held: api, login, target: '/open' }))).toBe('cleartext_refused')
  // Without a session nobody is asked for anything.
  for (const port of [80, 443]) {
    const nobody: Login = { ...login, token: 'kws_nobody' }
    if (front.door === 'tunnel') expect(await tunnelled(stage, `${carrier()}:${port}`, nobody)).toBe('token_invalid')
  }
  expect(asked).toEqual([])
})

attack(
  'D17',
  'a name that may be reached is asked for once',
  fronts.filter(({ door }) => door === 'absolute'),
  async (front) => {
    await stage.request({
      door: 'absolute',
      protocol: front.protocol,
      held: { id: 'x', host: 'open.example.net' },
      login,
    })
    expect(asked.splice(0)).toEqual(['open.example.net'])
  },
)
