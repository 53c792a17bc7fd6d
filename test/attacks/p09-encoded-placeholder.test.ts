import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { ask, outcomeOf } from './asking.ts'

let stage: Stage
let upstream: Upstream
let basic: Held
let queried: Held
let pathed: Held
let bearing: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  const endpoint = upstream.origin
  basic = await stage.hold({ id: 'basic', endpoint, inject: [{ kind: 'basic', user: 'x-access-token' }] })
  queried = await stage.hold({ id: 'queried', endpoint, inject: [{ kind: 'query', name: 'key' }] })
  pathed = await stage.hold({ id: 'pathed', endpoint, inject: [{ kind: 'path', template: '/bot{key}' }] })
  bearing = await stage.hold({ id: 'bearing', endpoint })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const base64 = (text: string): string => Buffer.from(text).toString('base64')

attack('P9', 'Basic: either half, any user, padded or not, is undone and written anew', fronts, async (front) => {
  const placeholder = login.placeholder(basic)
  const wanted = `Basic ${base64(`x-access-token:${basic.secret()}`)}`
  for (const value of [
    base64(`x-access-token:${placeholder}`),
    base64(`${placeholder}:`),
    base64(`${placeholder}:x`),
    base64(`anybody:${placeholder}`),
    base64(`:${placeholder}`),
    base64(`a:${placeholder}`).replace(/=+$/, ''),
    base64(`ab:${placeholder}`).replace(/=+$/, ''),
    base64(`abc:${placeholder}`),
  ]) {
    const answer = await ask(stage, front, { held: basic, login, headers: [['Authorization', `Basic ${value}`]] })
    expect(outcomeOf(answer), value).toBe('answered 200')
    expect(upstream.got.at(-1)?.headers.authorization).toBe(wanted)
  }
})

attack('P9', 'Basic that holds two, a damaged one or a coded one is refused', fronts, async (front) => {
  const placeholder = login.placeholder(basic)
  const before = upstream.received().length
  for (const value of [
    base64(`${placeholder}:${placeholder}`),
    base64(`x:${placeholder.slice(0, -1)}`),
    base64(`x:${base64(placeholder)}`),
    base64(base64(`x:${placeholder}`)),
    base64(`x:${placeholder}\n`),
    base64(`x:${placeholder}:y`),
    base64(`x:%${Buffer.from(placeholder).toString('hex')}`),
  ]) {
    const outcome = outcomeOf(
      await ask(stage, front, { held: basic, login, headers: [['Authorization', `Basic ${value}`]] }),
    )
    expect(['placeholder_ambiguous', 'token_invalid', 'placeholder_required'], `${value}: ${outcome}`).toContain(
      outcome,
    )
  }
  expect(upstream.received().length).toBe(before)
})

/** Every character as a percent escape, and every second one. */
const everyEscaped = (text: string): string =>
  [...text].map((letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`).join('')
const someEscaped = (text: string): string =>
  [...text].map((letter, index) => (index % 2 === 0 ? letter : `%${letter.charCodeAt(0).toString(16)}`)).join('')

attack('P9', 'a query with percent escapes is undone and written anew', fronts, async (front) => {
  const placeholder = login.placeholder(queried)
  for (const text of [placeholder, everyEscaped(placeholder), someEscaped(placeholder)])
    for (const name of ['key', '%6bey', 'k%65y', 'KEY']) {
      const answer = await ask(stage, front, {
        held: queried,
        login,
        target: `/v1?a=1&${name}=${text}&b=2`,
        headers: [],
      })
      expect(outcomeOf(answer), `${name}=${text}`).toBe('answered 200')
      const got = upstream.got.at(-1)?.target ?? ''
      expect(got).toBe(`/v1?a=1&key=${encodeURIComponent(queried.secret())}&b=2`)
    }
})

attack(
  'P9',
  'a path with needless escapes is refused, and so is a placeholder escaped twice',
  fronts,
  async (front) => {
    const before = upstream.received().length
    const cases: readonly [Held, string][] = [
      [pathed, `/bot${everyEscaped(login.placeholder(pathed))}/x`],
      [pathed, `/%62ot${login.placeholder(pathed)}/x`],
      [queried, `/v1?key=${everyEscaped(everyEscaped(login.placeholder(queried)))}`],
      [queried, `/v1?key=${base64(login.placeholder(queried))}`],
      [queried, `/v1?key=${login.placeholder(queried)}%00`],
      [queried, `/v1?key=%20${login.placeholder(queried)}`],
      [queried, `/v1?key=${login.placeholder(queried)}&k%65y=x`],
    ]
    for (const [held, target] of cases) {
      const outcome = outcomeOf(await ask(stage, front, { held, login, target, headers: [] }))
      expect(
        ['path_not_canonical', 'request_malformed', 'token_invalid', 'placeholder_required', 'placeholder_ambiguous'],
        `${target}: ${outcome}`,
      ).toContain(outcome)
    }
    expect(upstream.received().length).toBe(before)
  },
)

attack('P9', 'a header holds a placeholder as it is or none', fronts, async (front) => {
  const placeholder = login.placeholder(bearing)
  const before = upstream.received().length
  for (const value of [
    `Bearer ${base64(placeholder)}`,
    `Bearer ${everyEscaped(placeholder)}`,
    `Bearer "${placeholder}"`,
    `Bearer ${placeholder},${placeholder}`,
    `Bearer ${placeholder} ${placeholder}`,
    `Bearer ${[...placeholder].map((letter) => `\\u00${letter.charCodeAt(0).toString(16)}`).join('')}`,
    `Bearer ${placeholder.toUpperCase()}`,
    placeholder,
    `Token ${placeholder}`,
    `Basic ${base64(`x:${placeholder}`)}`,
    `Bearer`,
  ]) {
    const outcome = outcomeOf(await ask(stage, front, { held: bearing, login, headers: [['Authorization', value]] }))
    expect(
      ['token_invalid', 'placeholder_required', 'placeholder_ambiguous', 'token_missing', 'answered 200'],
      `${value}: ${outcome}`,
    ).toContain(outcome)
    // What is let through at a proxy door has had its own credential put in, and nothing of the agent's kept.
    if (outcome === 'answered 200')
      expect(upstream.got.at(-1)?.headers.authorization, value).toBe(`Bearer ${bearing.secret()}`)
  }
  const sent = upstream.received().subarray(before).toString('latin1')
  expect(sent.includes(placeholder)).toBe(false)
})
