import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import { BODY_FIRST_MAXIMUM_BYTES } from '../../src/gateway/whole-body.ts'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { requestFields, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts, type Front } from './attack.ts'
import { ask, askRaw, bearer, outcomeOf, rawRequest, textFronts } from './asking.ts'

let stage: Stage
let upstream: Upstream
let api: Held
let rpc: Held
let graph: Held
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
  graph = await stage.hold({
    id: 'graph',
    endpoint: upstream.origin,
    speaks: [
      { path: '/graphql', language: 'graphql' },
      { path: '/rpc', language: 'json-rpc' },
    ],
    operations: [
      { name: 'volumes.delete', match: 'GRAPHQL mutation volumeDelete', destructive: true },
      { name: 'volumes.create', match: 'GRAPHQL mutation volumeCreate' },
    ],
    sealed: ['GRAPHQL field keys', 'RPC tools/call make_key'],
    allow: ['GET /**', 'POST /**', 'GRAPHQL query *', 'volumes.create', 'RPC tools/list', 'RPC tools/call *'],
    deny: ['volumes.delete', 'GRAPHQL field secretToken', 'RPC tools/call delete*'],
  })
})

// Each with a session of its own: refusals of one session are written down up to a bound.
beforeEach(async () => {
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

const json = 'application/json'

/** What becomes of a body at a path, as the agent of this front sends it. */
async function sent(
  front: Front,
  held: Held,
  body: string | Uint8Array,
  { target = '/graphql', type = json, method = 'POST', headers = [] }: SentOptions = {},
): Promise<string> {
  const answer = await ask(stage, front, {
    held,
    login,
    method,
    target,
    body,
    headers: [
      ['Authorization', `Bearer ${login.placeholder(held)}`],
      ...(type === null ? [] : [['Content-Type', type] as const]),
      ...headers,
    ],
  })
  return outcomeOf(answer)
}

interface SentOptions {
  readonly target?: string
  readonly type?: string | null
  readonly method?: string
  readonly headers?: readonly (readonly [string, string])[]
}

const graphql = (query: string, beside: object = {}): string => JSON.stringify({ query, ...beside })
const call = (method: string, params?: object): object => ({ jsonrpc: '2.0', id: 1, method, ...(params && { params }) })
const tool = (name: string): object => call('tools/call', { name, arguments: {} })

attack(
  'P7',
  'a mutation where its POST is allowed, and a query that names it in any writing',
  fronts,
  async (front) => {
    const before = upstream.got.length
    const denied: readonly [string, string][] = [
      [graphql('mutation { volumeDelete(id: "1") { id } }'), 'operation_denied'],
      [graphql('mutation { repoRename(id: "1") { id } }'), 'operation_not_allowed'],
      [graphql('mutation { volumeCreate: volumeDelete(id: "1") { id } }'), 'operation_denied'],
      [graphql('mutation { volumeCreate(id: "1") { id } volumeDelete(id: "2") { id } }'), 'operation_denied'],
      [graphql('mutation { ...F } fragment F on Mutation { ... { volumeDelete(id: 1) { id } } }'), 'operation_denied'],
      [
        graphql('mutation M($no: Boolean!) { volumeDelete @include(if: $no) { id } viewer @skip(if: $no) { id } }'),
        'operation_denied',
      ],
      [
        graphql('query A { viewer { id } } mutation B { volumeDelete { id } }', { operationName: 'B' }),
        'operation_denied',
      ],
      [`[${graphql('{ viewer { id } }')},${graphql('mutation { volumeDelete { id } }')}]`, 'operation_denied'],
      ['{"query":"mutation { volume\\u0044elete { id } }"}', 'operation_denied'],
      [graphql('{ viewer { id secretToken } }'), 'operation_denied'],
      [graphql('{ viewer { ...F } } fragment F on User { a: keys { value } }'), 'operation_sealed'],
      [graphql('subscription { volumeDeleted { id } }'), 'operation_not_allowed'],
    ]
    for (const [body, code] of denied) expect(await sent(front, graph, body), body).toBe(code)
    const document = 'mutation { volumeDelete { id } }'
    expect(await sent(front, graph, document, { type: 'application/graphql' })).toBe('operation_denied')
    expect(upstream.got.length).toBe(before)
    for (const body of [
      graphql('{ viewer { id } }'),
      graphql('mutation { volumeCreate(name: "volumeDelete") { id } } # volumeDelete'),
      graphql('query A { viewer { id } } mutation B { volumeDelete { id } }', {
        operationName: 'A',
        variables: { a: 1 },
      }),
    ]) {
      expect(await sent(front, graph, body), body).toBe('answered 200')
      expect(upstream.got.at(-1)?.body.toString()).toBe(body)
    }
  },
)
attack('P7', 'a mutation in the query of an allowed GET', fronts, async (front) => {
  const before = upstream.got.length
  const asked = async (target: string, method = 'GET'): Promise<string> =>
    outcomeOf(await ask(stage, front, { held: graph, login, method, target }))
  const query = (text: string): string => `/graphql?query=${encodeURIComponent(text)}`
  for (const [target, code] of [
    [query('mutation { volumeCreate { id } }'), 'method_refused'],
    [query('mutation { volumeDelete { id } }'), 'method_refused'],
    [query('{ viewer { secretToken } }'), 'operation_denied'],
    [query('{ viewer { keys { value } } }'), 'operation_sealed'],
    [query('subscription { volumeDeleted { id } }'), 'operation_not_allowed'],
    [`${query('query A { viewer { id } } mutation B { volumeDelete }')}&operationName=B`, 'method_refused'],
    [query('query A { viewer { id } } mutation B { volumeDelete }'), 'operation_unreadable'],
    [`${query('{ viewer { id } }')}&query=mutation{volumeDelete}`, 'operation_unreadable'],
    [
      `${query('{ viewer { id } }')}&variables=%7B%22a%22:%221;query=mutation{volumeDelete}%22%7D`,
      'operation_unreadable',
    ],
    [`${query('{ viewer { id } }')}&_json=x`, 'operation_unreadable'],
    [
      '/graphql?extensions=%7B%22persistedQuery%22:%7B%22version%22:1,%22sha256Hash%22:%22ab%22%7D%7D',
      'operation_unreadable',
    ],
    ['/graphql?id=42', 'operation_unreadable'],
    ['/GraphQL/?query=mutation%7BvolumeDelete%7D', 'method_refused'],
  ] as const)
    expect(await asked(target), target).toBe(code)
  expect(await asked(query('mutation { volumeDelete { id } }'), 'HEAD')).toContain('method_refused')
  expect(await asked(query('{ viewer { id } }'), 'DELETE')).toBe('method_refused')
  expect(upstream.got.length).toBe(before)
  const good = query('{ viewer { id } }')
  expect(await asked(good)).toBe('answered 200')
  expect(upstream.got.at(-1)?.target).toBe(good)
  expect(await asked('/graphql')).toBe('answered 200')
})

attack('P7', 'a JSON-RPC batch with one denied call', fronts, async (front) => {
  const before = upstream.got.length
  const rpcSent = (messages: unknown): Promise<string> =>
    sent(front, graph, typeof messages === 'string' ? messages : JSON.stringify(messages), { target: '/rpc' })
  for (const [messages, code] of [
    [[call('tools/list'), tool('delete')], 'operation_denied'],
    [[tool('search'), tool('delete_all')], 'operation_denied'],
    [tool('DELETE'), 'operation_denied'],
    [{ ...tool('delete'), id: undefined }, 'operation_denied'],
    [{ ...tool('delete'), method: 'Tools/Call' }, 'operation_denied'],
    [tool('make_key'), 'operation_sealed'],
    [[call('tools/list'), call('resources/read', { uri: 'file:///x' })], 'operation_not_allowed'],
    [[], 'operation_unreadable'],
    [[call('tools/list'), 1], 'operation_unreadable'],
    [[call('tools/list'), [tool('search')]], 'operation_unreadable'],
    [
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","n\\u0061me":"delete"}}',
      'operation_unreadable',
    ],
    [
      '{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call","params":{"name":"delete"}}',
      'operation_unreadable',
    ],
    ['{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"d\\u0065lete"}}', 'operation_denied'],
    [`${JSON.stringify(call('tools/list'))}\n${JSON.stringify(tool('delete'))}`, 'operation_unreadable'],
  ] as const)
    expect(await rpcSent(messages), JSON.stringify(messages)).toBe(code)
  for (const target of ['/rpc?method=tools/call', '/rpc?_json[][method]=x', '/rpc?params%5Bname%5D=delete'])
    expect(await sent(front, graph, JSON.stringify(tool('search')), { target }), target).toBe('operation_unreadable')
  expect(outcomeOf(await ask(stage, front, { held: graph, login, target: '/rpc?method=x' }))).toBe(
    'operation_unreadable',
  )
  expect(upstream.got.length).toBe(before)
  const batch = JSON.stringify([call('tools/list'), tool('search'), tool('list')])
  expect(await rpcSent(batch)).toBe('answered 200')
  expect(upstream.got.at(-1)?.body.toString()).toBe(batch)
  const intent = await stage.journaled({ kind: 'intent', service: 'graph' })
  expect(intent.event).toMatchObject({ operation: 'RPC tools/list, RPC tools/call search, RPC tools/call list' })
  expect(await rpcSent(tool('delete'))).toBe('operation_denied')
  expect((await stage.journaled({ kind: 'refusal', service: 'graph' })).event).toMatchObject({
    code: 'operation_denied',
    rule: 'RPC tools/call delete*',
    operation: 'RPC tools/call delete',
  })
})

attack('P7', 'a body that only the service can read', fronts, async (front) => {
  const before = upstream.got.length
  const query = graphql('{ viewer { id } }')
  const mutation = graphql('mutation { volumeDelete { id } }')
  for (const [body, options] of [
    [mutation, { type: 'text/plain' }],
    [mutation, { type: null }],
    [mutation, { type: 'application/json; charset=utf-16' }],
    ['query=mutation{volumeDelete}', { type: 'application/x-www-form-urlencoded' }],
    [
      '--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{}\r\n--b--',
      { type: 'multipart/form-data; boundary=b' },
    ],
    [gzipSync(mutation), { headers: [['Content-Encoding', 'gzip']] }],
    [mutation, { headers: [['Content-Encoding', 'br']] }],
    [query, { target: '/graphql?query=mutation%7BvolumeDelete%7D' }],
    [query, { target: '/graphql?_json=x' }],
    [`\uFEFF${query}`, {}],
    [Buffer.concat([Buffer.from(query.slice(0, -2)), Buffer.from([0xff]), Buffer.from('"}')]), {}],
    [`${query}x`, {}],
    ['', {}],
    ['{}', {}],
    ['{"query":1}', {}],
    ['{"query":"{ viewer { id } }","query":"mutation { volumeDelete }"}', {}],
    ['{"query":"{ viewer { id } }","Query":"mutation { volumeDelete }"}', {}],
    ['{"query":"{ viewer { id } }","_json":[{"query":"mutation { volumeDelete }"}]}', {}],
    ['{"query":"{ viewer(a: \\"\\uD800\\") { id } }"}', {}],
    ['{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}', {}],
    [graphql('{ viewer { id } }', { extensions: { persistedQuery: { version: 1, sha256Hash: 'ab' } } }), {}],
    ['{"id":"stored"}', {}],
    ['[]', {}],
    ['{"query":"{ viewer { id } } # \\r mutation { volumeDelete }"}', {}],
    ['{"query":"{ viewer(a: [\\"\\"\\"a\\"\\"\\"\\" ]) } ) \\"]) { id } }"}', {}],
  ] as const)
    expect(await sent(front, graph, body, options), String(body)).toBe('operation_unreadable')
  expect(await sent(front, graph, mutation, { method: 'PUT' })).toBe('operation_unreadable')
  expect(await sent(front, graph, mutation, { method: 'GET' })).toBe('operation_unreadable')
  expect(upstream.got.length).toBe(before)
})

/** The code with which a body in pieces is met whose length nobody announced; of an answer that is none, its status. */
async function streamed(front: Front, held: Held, pieces: readonly string[], lines = ''): Promise<string> {
  const headers = [bearer(login, held), ['Content-Type', json]] as const
  const wanted = { door: front.door, held, login, method: 'POST', target: '/graphql', headers }
  if (front.protocol === 'h2') {
    const wire = await stage.openH2(front.door, held.host, login)
    const stream = wire.stream(requestFields(stage, wanted), { endStream: false })
    const told = new Promise<string>((done, fail) => {
      stream.on('response', (told) => done(String(told['keyward-error'] ?? `answered ${told[':status']}`)))
      stream.once('close', () => fail(new Error('The stream was closed without an answer.')))
    })
    for (const piece of pieces) stream.write(piece)
    stream.end()
    return told.finally(() => wire.close())
  }
  const wire = await stage.open(front.door, held.host, login)
  const head = rawRequest(stage, front, { ...wanted, lines: `Transfer-Encoding: chunked\r\n${lines}` })
  wire.write(head)
  if (lines !== '') expect((await wire.head()).status).toBe(100)
  for (const piece of pieces) wire.write(`${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`)
  wire.write('0\r\n\r\n')
  const answer = await wire.answer({ method: 'POST' })
  wire.close()
  return outcomeOf(answer)
}

attack('P7', 'a mutation in a body that streams, or that is too long to be judged', fronts, async (front) => {
  const before = upstream.got.length
  const mutation = graphql('mutation { volumeDelete { id } }')
  const expecting = front.protocol === 'h2' ? '' : 'Expect: 100-continue\r\n'
  expect(await streamed(front, graph, [...mutation])).toBe('operation_denied')
  expect(await streamed(front, graph, [mutation], expecting)).toBe('operation_denied')
  const long = `{ viewer { id } } # ${'x'.repeat(BODY_FIRST_MAXIMUM_BYTES)}`
  expect(await streamed(front, graph, [graphql(long).slice(0, BODY_FIRST_MAXIMUM_BYTES), 'xx'])).toBe(
    'request_too_large',
  )
  if (front.protocol === 'http/1.1') expect(await sent(front, graph, graphql(long))).toBe('request_too_large')
  expect(upstream.got.length).toBe(before)
  const query = graphql('{ viewer { id } }', { variables: { text: 'x'.repeat(200_000) } })
  expect(await streamed(front, graph, [query.slice(0, 9), query.slice(9)], expecting)).toBe('answered 200')
  expect(upstream.got.at(-1)?.body.toString()).toBe(query)
  expect(upstream.got.at(-1)?.headers).toMatchObject({ 'content-length': String(query.length) })
})

attack('P7', 'a form of several parts that names another method', fronts, async (front) => {
  const before = upstream.got.length
  const type = 'multipart/form-data; boundary=b'
  const form = (name: string, ahead = 'x'): string =>
    `--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n${ahead}\r\n` +
    `--b\r\nContent-Disposition: form-data; name=${name}\r\n\r\nDELETE\r\n--b--\r\n`
  for (const [body, of] of [
    [form('"_method"'), type],
    [form('_method'), type],
    [form('"%5Fmethod"'), 'Multipart/Form-Data; boundary="b"'],
    [form('"_\\method"'), type],
    [form('"_method"'), 'multipart/mixed; boundary=b'],
  ] as const)
    expect(await sent(front, api, body, { target: '/things', type: of }), body).toBe('method_refused')
  for (const of of ['multipart/form-data', 'multipart/form-data; boundary=x; boundary=b', `${type}\\`])
    expect(await sent(front, api, form('"_method"'), { target: '/things', type: of }), of).toBe('request_malformed')
  expect(upstream.got.length).toBe(before)
  // Behind more than is read whole: the request is broken off, and no service has all of it.
  const far = await sent(front, api, form('"_method"', 'x'.repeat(200_000)), { target: '/things', type })
  expect(far).not.toBe('answered 200')
  expect(upstream.got.length).toBe(before)
  const upload = form('"file"; filename="_method"', `name="_method"${'\r\n-'.repeat(100_000)}`)
  expect(await sent(front, api, upload, { target: '/things', type })).toBe('answered 200')
  expect(upstream.got.at(-1)?.body.toString()).toBe(upload)
})

attack('P7', 'a WebSocket where what is said must be judged', textFronts, async (front) => {
  const lines =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
  const answer = await askRaw(stage, front, { held: graph, login, target: '/graphql', lines })
  expect(outcomeOf(answer)).toBe('upgrade_refused')
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
