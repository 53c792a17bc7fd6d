import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Held, type Login, type Stage } from '../e2e/gateway/harness.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts, open } from './attack.ts'
import { ask, askRaw, outcomeOf, textFronts } from './asking.ts'

let stage: Stage
let upstream: Upstream
let api: Held
let rpc: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  api = await stage.hold({ id: 'api', endpoint: upstream.origin, allow: ['GET /**', 'POST /things'] })
  rpc = await stage.hold({
    id: 'rpc',
    endpoint: upstream.origin,
    allow: ['GET /**'],
    deny: ['POST /graphql', 'POST /rpc'],
  })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const overrides = [
  'X-HTTP-Method-Override',
  'X-HTTP-Method',
  'X-Method-Override',
  'x_http_method_override',
  'X-HTTP_Method-Override',
  'x-http-method-OVERRIDE',
  'X_METHOD_OVERRIDE',
  'X_HTTP_Method',
]

attack('P7', 'a header that names another method', textFronts, async (front) => {
  const before = upstream.received().length
  for (const name of overrides)
    for (const [method, value] of [
      ['GET', 'DELETE'],
      ['POST', 'PUT'],
      ['GET', 'get'],
      ['POST', ''],
    ] as const) {
      const lines = `${name}: ${value}\r\n${method === 'POST' ? 'Content-Length: 0\r\n' : ''}`
      const answer = await askRaw(stage, front, { held: api, login, method, target: '/things', lines })
      expect(outcomeOf(answer), name).toBe('method_refused')
    }
  expect(upstream.received().length).toBe(before)
})

attack('P7', 'a parameter that names another method', fronts, async (front) => {
  const before = upstream.received().length
  for (const query of [
    '_method=DELETE',
    'a=1&_method=PUT',
    '_Method=DELETE',
    '_METHOD=delete',
    '%5Fmethod=DELETE',
    '%5fMETHOD=DELETE',
    'a&_method=',
    '_method=GET',
  ])
    for (const method of ['GET', 'POST'])
      expect(
        outcomeOf(
          await ask(stage, front, {
            held: api,
            login,
            method,
            target: `/things?${query}`,
            ...(method === 'POST' ? { body: '' } : {}),
          }),
        ),
        query,
      ).toBe('method_refused')
  expect(upstream.received().length).toBe(before)
})

attack('P7', 'a mutation or a batch is the POST that it is', fronts, async (front) => {
  const before = upstream.received().length
  const mutation = JSON.stringify({ query: 'mutation { volumeDelete(id: "1") }' })
  const batch = JSON.stringify([
    { jsonrpc: '2.0', id: 1, method: 'tools/list' },
    { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'delete' } },
  ])
  for (const [target, body] of [
    ['/graphql', mutation],
    ['/rpc', batch],
    ['/things', mutation],
  ] as const) {
    const outcome = outcomeOf(
      await ask(stage, front, {
        held: rpc,
        login,
        method: 'POST',
        target,
        body,
        headers: [
          ['Authorization', `Bearer ${login.placeholder(rpc)}`],
          ['Content-Type', 'application/json'],
        ],
      }),
    )
    expect(['operation_denied', 'operation_not_allowed'], `${target}: ${outcome}`).toContain(outcome)
  }
  expect(upstream.received().length).toBe(before)
})

open(
  'P7',
  '_method in a form body; a GraphQL mutation where POST is allowed, or in the query of an allowed GET; a JSON-RPC batch with one denied call',
)
