import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { RECORDED_PATH_CHARACTERS } from '../../src/gateway/record.ts'
import { attack, fronts } from './attack.ts'
import { ask, outcomeOf } from './asking.ts'

let stage: Stage
let upstream: Upstream
let echo: Held
let bot: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  echo = await stage.hold({
    id: 'echo',
    endpoint: upstream.origin,
    allow: ['GET /files/**'],
    deny: ['* /files/{name}/admin', '* /files/[placeholder]/**', '* /files/{a}/{b}/**'].filter(
      (text) => !text.includes('['),
    ),
  })
  bot = await stage.hold({
    id: 'bot',
    endpoint: upstream.origin,
    inject: [{ kind: 'path', template: '/bot{key}' }],
    allow: ['GET /bot{key}/getMe', 'GET /bot{key}/files/**'],
    deny: ['* /bot{key}/files/admin'],
  })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

attack('P11', 'a path longer than what is recorded is judged to its end', fronts, async (front) => {
  const long = 'a'.repeat(RECORDED_PATH_CHARACTERS + 100)
  const before = upstream.got.length
  const since = Date.now()
  expect(outcomeOf(await ask(stage, front, { held: echo, login, target: `/files/${long}/admin` }))).toBe(
    'operation_denied',
  )
  expect(upstream.got.length).toBe(before)
  const { event } = await stage.journaled({ kind: 'refusal', code: 'operation_denied', since })
  expect(String(event['path']).length).toBeLessThan(RECORDED_PATH_CHARACTERS + 100)
  expect(outcomeOf(await ask(stage, front, { held: echo, login, target: `/files/${long}` }))).toBe('answered 200')
  expect(upstream.got.at(-1)?.target).toBe(`/files/${long}`)
})

attack('P11', 'a path of which the journal hides a part is judged and sent as it is', fronts, async (front) => {
  const placeholder = login.placeholder(bot)
  const before = upstream.got.length
  for (const target of [
    `/bot${placeholder}/files/admin`,
    `/bot${placeholder}/deleteMe`,
    `/bot${placeholder}/files/${placeholder}/../admin`,
    `/bot${placeholder}`,
  ]) {
    const outcome = outcomeOf(await ask(stage, front, { held: bot, login, target, headers: [] }))
    expect(['operation_denied', 'operation_not_allowed', 'path_not_canonical'], `${target}: ${outcome}`).toContain(
      outcome,
    )
  }
  expect(upstream.got.length).toBe(before)
  const since = Date.now()
  const own = `/bot${placeholder}/files/x${placeholder}y`
  expect(outcomeOf(await ask(stage, front, { held: bot, login, target: own, headers: [] }))).toBe('answered 200')
  // Swapped in its place, once; what stands elsewhere in the path goes out as it was judged.
  expect(upstream.got.at(-1)?.target).toBe(`/bot${encodeURIComponent(bot.secret())}/files/x${placeholder}y`)
  const { event } = await stage.journaled({ kind: 'intent', since })
  expect(String(event['path'])).not.toContain(placeholder)
  expect(JSON.stringify(event)).not.toContain(bot.secret())
})

attack('P11', 'what the journal says was decided is what arrived', fronts, async (front) => {
  for (const target of ['/files/x', '/files/x%20y', '/files/%C3%A9', "/files/a:b@c!$&'()*+,=", '/files/x?secret=1']) {
    const since = Date.now()
    expect(outcomeOf(await ask(stage, front, { held: echo, login, target }))).toBe('answered 200')
    const got = upstream.got.at(-1)?.target ?? ''
    expect(got).toBe(target)
    expect((await stage.journaled({ kind: 'intent', since })).event['path']).toBe(got.split('?')[0])
  }
})
