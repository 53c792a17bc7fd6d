import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { ask, askRaw, outcomeOf, textFronts } from './asking.ts'

let stage: Stage
let upstream: Upstream
let echo: Held
let keyed: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  keyed = await stage.hold({ id: 'keyed', endpoint: upstream.origin, inject: [{ kind: 'header', name: 'X-Api-Key' }] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const own = (held: Held): readonly (readonly [string, string])[] =>
  held === echo ? [['Authorization', `Bearer ${login.placeholder(echo)}`]] : [['X-Api-Key', login.placeholder(keyed)]]

attack('P5', 'a second credential, in whatever spelling, is refused', textFronts, async (front) => {
  const placeholder = { echo: login.placeholder(echo), keyed: login.placeholder(keyed) }
  const cases: readonly [Held, string][] = [
    [echo, `Authorization: Bearer ${placeholder.echo}\r\n`],
    [echo, `authorization: Bearer ${placeholder.echo}\r\n`],
    [echo, `AUTHORIZATION: Bearer x\r\n`],
    [echo, `aUtHoRiZaTiOn: Basic eDp4\r\n`],
    [echo, `Authorization:\r\n`],
    [keyed, `X-Api-Key: ${placeholder.keyed}\r\n`],
    [keyed, `x-api-key: x\r\n`],
    [keyed, `X-API-KEY: x\r\n`],
    [keyed, `x_api_key: x\r\n`],
    [keyed, `X_Api-Key: ${placeholder.keyed}\r\n`],
    [keyed, `x-api_key: x\r\n`],
  ]
  for (const [held, lines] of cases) {
    const before = upstream.received().length
    const outcome = outcomeOf(await askRaw(stage, front, { held, login, headers: own(held), lines }))
    expect(['placeholder_ambiguous', 'request_malformed'], `${JSON.stringify(lines)}: ${outcome}`).toContain(outcome)
    expect(upstream.received().length).toBe(before)
  }
})

attack('P5', 'Connection cannot take the credential out, nor the host or the length', textFronts, async (front) => {
  for (const held of [echo, keyed])
    for (const named of [
      'Authorization',
      'authorization, x-api-key',
      'close, Authorization, X-Api-Key',
      'Host',
      'Content-Length',
      'Transfer-Encoding',
      'Content-Type, Cookie',
      'X-API-KEY',
      ' authorization ',
      'Authorization\t,x-api-key',
      ', ,authorization',
      'keep-alive, X_Api_Key',
    ]) {
      const answer = await askRaw(stage, front, {
        held,
        login,
        method: 'POST',
        headers: [...own(held), ['Content-Type', 'text/plain'], ['Cookie', 'a=b']],
        lines: `Connection: ${named}\r\nContent-Length: 5\r\n`,
        body: 'hello',
      })
      expect(outcomeOf(answer), named).toBe('answered 200')
      const got = upstream.got.at(-1)
      const name = held === echo ? 'authorization' : 'x-api-key'
      expect(got?.headers[name], named).toBe(held === echo ? `Bearer ${held.secret()}` : held.secret())
      expect(got?.rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === name)).toHaveLength(1)
      expect(got?.headers).toMatchObject({ host: held.host, 'content-type': 'text/plain', cookie: 'a=b' })
      expect(got?.body.toString()).toBe('hello')
    }
})

attack('P5', 'the credential of the agent’s choice stands nowhere beside ours', textFronts, async (front) => {
  const answer = await askRaw(stage, front, {
    held: keyed,
    login,
    headers: own(keyed),
    lines: 'X-Authorization: Bearer x\r\nProxy-Authorization: Basic eDp4\r\n',
  }).catch(() => null)
  if (answer === null || outcomeOf(answer) !== 'answered 200') return
  expect(upstream.got.at(-1)?.headers['proxy-authorization']).toBeUndefined()
  expect(upstream.got.at(-1)?.headers['x-api-key']).toBe(keyed.secret())
})

attack(
  'P5',
  'a second credential over HTTP/2',
  fronts.filter(({ protocol }) => protocol === 'h2'),
  async (front) => {
    const before = upstream.received().length
    for (const [held, name, value] of [
      [echo, 'authorization', `Bearer ${login.placeholder(echo)}`],
      [echo, 'authorization', 'Bearer x'],
      [keyed, 'x-api-key', login.placeholder(keyed)],
      [keyed, 'x_api_key', 'x'],
      [keyed, 'x-api_key', login.placeholder(keyed)],
    ] as const) {
      const outcome = await ask(stage, front, { held, login, headers: [...own(held), [name, value]] }).then(
        outcomeOf,
        () => 'reset',
      )
      expect(['placeholder_ambiguous', 'request_malformed', 'reset'], `${name}: ${outcome}`).toContain(outcome)
    }
    expect(upstream.received().length).toBe(before)
  },
)
