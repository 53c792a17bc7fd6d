import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { KeywardError } from '../../src/core/errors.ts'
import { parseService } from '../../src/services/definition.ts'
import { attack, inside, fronts } from './attack.ts'
import { ask, outcomeOf } from './asking.ts'

let stage: Stage
let upstream: Upstream
let echo: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin, allow: ['GET /only'] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const empty = [
  '',
  ' ',
  '\t',
  '\n',
  'GET',
  'GET ',
  ' /x',
  'GET  /x',
  '/x',
  ' * ',
  '**',
  '***',
  'GET **',
  'GET *',
  '*/x',
  'GET /x ',
  'GET /x\n',
  '[] /x',
  'GET,POST /x',
  'get /x',
  'GET /**/x',
  'GET /a**',
  'GET /{}',
  'GET //x',
  'GET /../x',
  'GET /x?y',
  '.*',
  'a..b',
  '*.*',
]

async function codeOfAdding(allow: readonly string[], deny: readonly string[] = []): Promise<string> {
  try {
    await stage.app.grants.add(
      {
        agentId: echo.agentId,
        credentialId: echo.credentialId,
        allow: [...allow],
        deny: [...deny],
        limits: {},
        expiresAt: null,
      },
      'test',
    )
    return 'accepted'
  } catch (error) {
    return error instanceof KeywardError ? error.code : String(error)
  }
}

attack('P12', 'a grant with nothing in it, or with an empty pattern, is an error', inside, async () => {
  expect(await codeOfAdding([])).toBe('usage')
  expect(await codeOfAdding([], ['*'])).toBe('usage')
  for (const pattern of empty) {
    expect(await codeOfAdding([pattern]), JSON.stringify(pattern)).toBe('usage')
    expect(await codeOfAdding(['GET /only', pattern]), JSON.stringify(pattern)).toBe('usage')
    expect(await codeOfAdding(['GET /only'], [pattern]), JSON.stringify(pattern)).toBe('usage')
  }
  expect(stage.app.grants.list().length).toBe(1)
})

attack('P12', 'a service without hosts, places or with empty ones is an error', inside, () => {
  for (const text of [
    'hosts: []\ninject: { kind: bearer }',
    'hosts: [""]\ninject: { kind: bearer }',
    'hosts: ["*"]\ninject: { kind: bearer }',
    'hosts: ["*.test"]\ninject: { kind: bearer }',
    'hosts: [a.example.test]\ninject: []',
    'hosts: [a.example.test]\ninject: { kind: bearer }\nsealed: [""]',
    'hosts: [a.example.test]\ninject: { kind: bearer }\nfields: {}',
    'hosts: [a.example.test]\ninject: { kind: bearer }\noperations: [{ name: "", match: "GET /x" }]',
    'hosts: [a.example.test]\ninject: { kind: bearer }\noperations: [{ name: x, match: "" }]',
  ])
    expect(() => parseService(`id: mine\n${text}\n`, () => '', []), text).toThrow(/./)
})

attack('P12', 'after all that was refused, the grant is as wide as before', fronts, async (front) => {
  for (const pattern of empty.slice(0, 8)) await codeOfAdding([pattern])
  const before = upstream.got.length
  for (const [method, target] of [
    ['GET', '/'],
    ['GET', '/other'],
    ['POST', '/only'],
    ['DELETE', '/only'],
    ['GET', '/only/x'],
  ] as const)
    expect(outcomeOf(await ask(stage, front, { held: echo, login, method, target })), `${method} ${target}`).toBe(
      'operation_not_allowed',
    )
  expect(upstream.got.length).toBe(before)
  expect(outcomeOf(await ask(stage, front, { held: echo, login, target: '/only' }))).toBe('answered 200')
})
