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
    '%5f%6d%65%74%68%6f%64=DELETE',
    'a=1;_method=DELETE',
    '.method=DELETE',
    '+%20_method=DELETE',
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

attack('P7', 'a form that names another method', fronts, async (front) => {
  const formed = (body: string, type: string | null) =>
    ask(stage, front, {
      held: api,
      login,
      method: 'POST',
      target: '/things',
      body,
      headers: [
        ['Authorization', `Bearer ${login.placeholder(api)}`],
        ...(type === null ? [] : [['Content-Type', type] as const]),
      ],
    })
  const form = 'application/x-www-form-urlencoded'
  const before = upstream.got.length
  for (const [body, type] of [
    ['_method=DELETE', form],
    ['title=x&_method=put', `${form}; charset=utf-8`],
    ['title=x&%5FMethod=PUT', 'Application/X-WWW-Form-Urlencoded'],
    ['title=x;_method=PUT', form],
    ['title=x&.method=PUT', form],
    ['_method=DELETE', null],
  ] as const)
    expect(outcomeOf(await formed(body, type)), body).toBe('method_refused')
  expect(upstream.got.length).toBe(before)
  // Behind more than is read whole: the request is broken off, and no service has all of it.
  const long = `title=${'x'.repeat(200_000)}`
  expect(outcomeOf(await formed(`${long}&_method=DELETE`, form))).not.toBe('answered 200')
  expect(upstream.got.slice(before).some(({ body }) => body.includes('_method'))).toBe(false)
  for (const [body, type] of [
    ['title=_method=DELETE&the_method=PUT', form],
    [long, form],
    ['{"_method":"DELETE"}', 'application/json'],
  ] as const)
    expect(outcomeOf(await formed(body, type)), body.slice(0, 40)).toBe('answered 200')
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
  '_method in a form of several parts (multipart/form-data); a GraphQL mutation where POST is allowed, or in the query of an allowed GET; a JSON-RPC batch with one denied call',
)
