import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, openStage, type Stage } from './harness.ts'
import { codeOf, doors, type Ask, type Held, type Login } from './requests.ts'
import { always, startUpstream, type Upstream } from './upstream.ts'

let stage: Stage
let upstream: Upstream

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const speaks = [
  { path: '/graphql', language: 'graphql' },
  { path: '/mcp', language: 'json-rpc' },
] as const

const tool = (name: string): object => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } })

async function ask(held: Held, login: Login, body: unknown, wanted: Partial<Ask> = {}): Promise<string> {
  const answer = await stage.request({
    door: 'base-url',
    held,
    login,
    method: 'POST',
    target: '/mcp',
    headers: [
      ['Authorization', `Bearer ${login.placeholder(held)}`],
      ['Content-Type', 'application/json'],
    ],
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    ...wanted,
  })
  return answer.status === 200 ? 'ok' : codeOf(answer)
}

test('a batch takes of the rate as much as it has calls, and one that is refused takes nothing', async () => {
  const held = await stage.hold({
    id: 'rated',
    endpoint: upstream.origin,
    speaks,
    allow: ['RPC tools/call *'],
    deny: ['RPC tools/call delete'],
    limits: { rate: { count: 5, perSeconds: 3600 } },
  })
  const login = await stage.login('triage')
  expect(await ask(held, login, [tool('a'), tool('a'), tool('b')])).toBe('ok')
  expect(await ask(held, login, [tool('a'), tool('a'), tool('a')])).toBe('rate_exceeded')
  expect(await ask(held, login, [tool('a'), tool('delete')])).toBe('operation_denied')
  expect(await ask(held, login, [tool('a'), tool('a')])).toBe('ok')
  expect(await ask(held, login, tool('a'))).toBe('rate_exceeded')
})

test('the journal names the calls, by the names of their operations, and holds no placeholder', async () => {
  const held = await stage.hold({
    id: 'named',
    endpoint: upstream.origin,
    speaks,
    operations: [{ name: 'volumes.delete', match: 'RPC tools/call delete_volume', destructive: true }],
    allow: ['volumes.delete', 'GRAPHQL query *', 'RPC ping'],
  })
  const login = await stage.login('triage')
  for (const door of doors) {
    expect(await ask(held, login, [tool('delete_volume'), { jsonrpc: '2.0', method: 'ping' }], { door })).toBe('ok')
    expect((await stage.journaled({ kind: 'intent', service: 'named' })).event).toMatchObject({
      operation: 'volumes.delete, RPC ping',
      rule: 'RPC ping, volumes.delete',
      method: 'POST',
      path: '/mcp',
    })
  }
  const placeholder = login.placeholder(held)
  expect(await ask(held, login, tool(placeholder))).toBe('operation_not_allowed')
  expect(await ask(held, login, tool(held.secret()))).toBe('operation_not_allowed')
  expect(await ask(held, login, { jsonrpc: '2.0', method: placeholder })).toBe('operation_not_allowed')
  const entries = JSON.stringify(await stage.entries({ service: 'named' }))
  expect(entries).toContain('RPC tools/call [placeholder]')
  expect(entries).not.toContain(placeholder)
  expect(entries).not.toContain(held.secret())
  const many = `{ ${Array.from({ length: 300 }, (_, index) => `field${index}`).join(' ')} }`
  expect(await ask(held, login, { query: many }, { target: '/graphql' })).toBe('ok')
  const { operation } = (await stage.journaled({ kind: 'intent', service: 'named' })).event
  // All of them: an agent that chose what is left out could hide the one that counts.
  expect(operation).toMatch(/^GRAPHQL query field0, .*, GRAPHQL query field299$/)
  const tooMany = `{ ${Array.from({ length: 90 }, (_, index) => `${'f'.repeat(200)}${index}`).join(' ')} }`
  expect(await ask(held, login, { query: tooMany }, { target: '/graphql' })).toBe('operation_unreadable')
})

test('what needs no body is judged by its path, and what is elsewhere streams as before', async () => {
  const held = await stage.hold({
    id: 'plain',
    endpoint: upstream.origin,
    speaks,
    allow: ['GET /mcp', 'DELETE /mcp', 'POST /upload', 'GET /graphql'],
  })
  const login = await stage.login('triage')
  expect(await ask(held, login, undefined, { method: 'GET' })).toBe('ok')
  expect(await ask(held, login, undefined, { method: 'DELETE', target: '/mcp?sessionId=1' })).toBe('ok')
  expect(await ask(held, login, undefined, { method: 'GET', target: '/graphql' })).toBe('ok')
  expect(await ask(held, login, tool('a'), { method: 'DELETE' })).toBe('operation_unreadable')
  expect(await ask(held, login, 'not json', { target: '/upload' })).toBe('ok')
  expect(await ask(held, login, 'x'.repeat(3_000_000), { target: '/upload' })).toBe('ok')
  expect(await ask(held, login, '{"result":1}')).toBe('operation_unreadable')
})

test('a stored query beside its own text passes, and the place of the credential may be the query', async () => {
  const held = await stage.hold({
    id: 'keyed',
    endpoint: upstream.origin,
    speaks,
    inject: [{ kind: 'query', name: 'key' }],
    allow: ['GRAPHQL query viewer'],
  })
  const login = await stage.login('triage')
  const query = '{ viewer { id } }'
  const sha256Hash = createHash('sha256').update(query).digest('hex')
  const extensions = { persistedQuery: { version: 1, sha256Hash } }
  const headers = [['Content-Type', 'application/json; charset=utf-8']] as const
  const target = `/graphql?key=${login.placeholder(held)}`
  expect(await ask(held, login, { query, extensions }, { target, headers })).toBe('ok')
  expect(upstream.got.at(-1)?.target).toBe(`/graphql?key=${encodeURIComponent(held.secret())}`)
  expect(await ask(held, login, { query }, { target: `${target}&a=1`, headers })).toBe('operation_unreadable')
  const inQuery = `${target}&query=${encodeURIComponent(query)}`
  expect(await ask(held, login, undefined, { target: inQuery, headers: [], method: 'GET' })).toBe('ok')
})

test('what changes while the body is on its way counts', async () => {
  const held = await stage.hold({ id: 'late', endpoint: upstream.origin, speaks, allow: ['RPC *'] })
  const login = await stage.login('triage')
  const body = JSON.stringify(tool('a'))
  const wire = await stage.open('base-url', held.host, login)
  const head =
    `POST /s/late/mcp HTTP/1.1\r\nHost: 127.0.0.1:${stage.port}\r\nContent-Type: application/json\r\n` +
    `Authorization: Bearer ${login.placeholder(held)}\r\nContent-Length: ${body.length}\r\n\r\n`
  wire.write(head + body.slice(0, 5))
  await eventually(() => stage.app.inflight.countOf(login.id) === 1)
  await stage.app.grants.remove(held.grantId, 'test')
  wire.write(body.slice(5))
  expect(codeOf(await wire.answer({ method: 'POST' }))).toBe('grant_missing')
  wire.close()
})

test('an agent that goes away in the middle of its body leaves nothing behind', async () => {
  const held = await stage.hold({ id: 'gone', endpoint: upstream.origin, speaks, allow: ['RPC *'] })
  const login = await stage.login('triage')
  const before = upstream.got.length
  const wire = await stage.open('base-url', held.host, login)
  wire.write(
    `POST /s/gone/mcp HTTP/1.1\r\nHost: 127.0.0.1:${stage.port}\r\nContent-Type: application/json\r\n` +
      `Authorization: Bearer ${login.placeholder(held)}\r\nContent-Length: 1000\r\n\r\n{`,
  )
  await eventually(() => stage.app.inflight.countOf(login.id) === 1)
  wire.close()
  await eventually(() => stage.app.inflight.countOf(login.id) === 0)
  expect(upstream.got.length).toBe(before)
  expect(await stage.entries({ service: 'gone', kind: 'intent' })).toEqual([])
  expect(stage.errors).toEqual([])
})
