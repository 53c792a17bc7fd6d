import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { BODY_FIRST_MAXIMUM_BYTES } from '../../../src/gateway/whole-body.ts'
import { answerWhenAsked, approvalsOf, problemOf, waiting } from './approving.ts'
import { startH2Upstream, type H2Upstream } from './h2-upstream.ts'
import { answerOf } from './h2-wire.ts'
import { eventually, openStage, type HeldOptions, type Stage } from './harness.ts'
import { codeOf, doors, requestFields, type Ask, type Held, type Login } from './requests.ts'
import { dialSocket, type Dialled } from './socket-client.ts'
import { startSocketService, type SocketService } from './socket-service.ts'
import { always, startUpstream, type Upstream } from './upstream.ts'
import { header } from './wire.ts'

/** A person is asked before a request goes out, whatever it speaks and however its body comes. */

let stage: Stage
let upstream: Upstream
let sockets: SocketService
let grpc: H2Upstream
const dialled: Dialled[] = []

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  sockets = await startSocketService({ onSocket: (socket) => socket.on('message', (data) => socket.send(data)) })
  grpc = await startH2Upstream((stream) =>
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '0' }, { endStream: true }),
  )
})
afterEach(() => {
  for (const { socket } of dialled.splice(0)) socket.terminate()
})
afterAll(async () => {
  await stage.close()
  await upstream.close()
  await sockets.close()
  await grpc.close()
})

let count = 0
async function place(wanted: Partial<HeldOptions> = {}): Promise<{ held: Held; login: Login; agent: string }> {
  count += 1
  const agent = `agent-${count}`
  const held = await stage.hold({
    id: `asked-${count}`,
    endpoint: upstream.origin,
    approve: 'always',
    ...wanted,
    agent,
  })
  return { held, agent, login: await stage.login(agent) }
}

const ask = ({ held, login }: { held: Held; login: Login }, more: Partial<Ask> = {}) =>
  stage.request({
    door: 'base-url',
    held,
    login,
    method: 'POST',
    ...more,
    headers: [['Authorization', `Bearer ${login.placeholder(held)}`], ...(more.headers ?? [])],
  })

test.each(doors)('a WebSocket is opened when a person has accepted it (%s)', async (door) => {
  const where = await place({ endpoint: sockets.origin, approve: 'destructive' })
  const one = await dialSocket(stage, door, where.held, where.login)
  dialled.push(one)
  const asked = await answerWhenAsked(stage, where)
  expect(asked.facts).toMatchObject({ method: 'GET', opensWebSocket: true, destructive: true })
  await one.open
  one.socket.send('hello')
  expect((await one.next()).data.toString()).toBe('hello')
  const { event } = await stage.journaled({ kind: 'intent', agent: where.agent })
  expect(event).toMatchObject({ approval: asked.id, upgrade: 'websocket' })

  const other = await dialSocket(stage, door, where.held, where.login)
  dialled.push(other)
  await Promise.all([expect(other.open).rejects.toThrow(/403/), answerWhenAsked(stage, where, 'refuse')])
})

test('a WebSocket that was opened without asking ends once a grant asks', async () => {
  const { held, login, agent } = await place({ endpoint: sockets.origin })
  const { grantId, agentId, credentialId } = held
  const grant = { agentId, credentialId, allow: ['*'], deny: [], limits: {}, expiresAt: null }
  await stage.app.grants.add(grant, 'test')
  await stage.app.grants.remove(grantId, 'test')
  const one = await dialSocket(stage, 'base-url', held, login)
  dialled.push(one)
  await one.open
  expect(approvalsOf(stage, { agent })).toEqual([])
  await stage.app.grants.add({ ...grant, approve: 'always' }, 'test')
  expect((await one.closed).code).not.toBe(1000)
})

test('a mutation is asked about, a query of the same grant is not', async () => {
  const where = await place({ approve: 'destructive', speaks: [{ path: '/graphql', language: 'graphql' }] })
  const send = (query: string) =>
    ask(where, {
      target: '/graphql',
      headers: [['Content-Type', 'application/json']],
      body: JSON.stringify({ query }),
    })
  expect((await send('{ viewer { login } }')).status).toBe(200)
  const [answer, asked] = await Promise.all([
    send('mutation { volumeDelete(id: 1) { id } }'),
    answerWhenAsked(stage, where),
  ])
  expect(answer.status).toBe(200)
  expect(asked.facts).toMatchObject({ operation: 'GRAPHQL mutation volumeDelete', destructive: true })
  expect(asked.facts.body.text).toContain('volumeDelete(id: 1)')
})

test('a tool is asked about', async () => {
  const where = await place({ approve: 'destructive', speaks: [{ path: '/mcp', language: 'json-rpc' }] })
  const [answer, asked] = await Promise.all([
    ask(where, {
      target: '/mcp',
      headers: [['Content-Type', 'application/json']],
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'wipe' } }),
    }),
    answerWhenAsked(stage, where),
  ])
  expect([answer.status, asked.facts.operation]).toEqual([200, 'RPC tools/call wipe'])
})

test('a body in pieces is read to its end and sent as it was shown', async () => {
  const where = await place()
  const [answer, asked] = await Promise.all([
    ask(where, { headers: [['Transfer-Encoding', 'chunked']], body: '3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n' }),
    answerWhenAsked(stage, where),
  ])
  expect([answer.status, asked.facts.body]).toMatchObject([200, { bytes: 7, text: 'abcdefg', cut: false }])
  expect(upstream.got.at(-1)?.body.toString()).toBe('abcdefg')
})

test('a body that is too long to be read first is refused, and nobody is asked', async () => {
  const where = await place()
  const long = 'x'.repeat(BODY_FIRST_MAXIMUM_BYTES + 1)
  expect(codeOf(await ask(where, { headers: [['Content-Length', String(long.length)]] }))).toBe('request_too_large')
  const chunk = `${long.length.toString(16)}\r\n${long}\r\n0\r\n\r\n`
  expect(codeOf(await ask(where, { headers: [['Transfer-Encoding', 'chunked']], body: chunk }))).toBe(
    'request_too_large',
  )
  expect(approvalsOf(stage, where)).toEqual([])
})

test('a long body is shown in part, and says so', async () => {
  const where = await place()
  const body = `${'a'.repeat(100_000)} the end`
  const [answer, asked] = await Promise.all([ask(where, { body }), answerWhenAsked(stage, where)])
  expect(answer.status).toBe(200)
  expect(asked.facts.body).toMatchObject({ bytes: body.length, cut: true })
  expect(asked.facts.body.text).toMatch(/^a+ \[…\d+ characters left out…\] a+ the end$/)
  expect(upstream.got.at(-1)?.body.toString()).toBe(body)
})

test('waiting takes nothing of the limits, and a limit does not use an answer up', async () => {
  const where = await place({ limits: { concurrent: 1, rate: { count: 2, perSeconds: 3_600 } } })
  let answered = 0
  const held = ['/1', '/2', '/3'].map((target) => ask(where, { target }).finally(() => void (answered += 1)))
  await eventually(() => approvalsOf(stage, where).length === held.length)
  for (const [at, { id }] of approvalsOf(stage, where).entries()) {
    await stage.app.approvals.answer(id, 'accept', 'operator:person')
    await eventually(() => answered > at)
  }
  const codes = (await Promise.all(held)).map((answer) => (answer.status === 200 ? 'ok' : codeOf(answer)))
  expect(codes.toSorted()).toEqual(['ok', 'ok', 'rate_exceeded'])
  expect(approvalsOf(stage, where)).toMatchObject([{ state: 'accepted', held: false }])
})

test('gRPC: one message is asked about, a stream is refused with its own code', async () => {
  const where = await place({ endpoint: grpc.origin, http2: true })
  const message = Buffer.from([0, 0, 0, 0, 3, 97, 98, 99])
  const wanted: Ask = {
    door: 'base-url',
    protocol: 'h2',
    held: where.held,
    login: where.login,
    method: 'POST',
    target: '/a.B/Call',
    headers: [
      ['authorization', `Bearer ${where.login.placeholder(where.held)}`],
      ['content-type', 'application/grpc'],
    ],
  }
  const [answer, asked] = await Promise.all([
    stage.request({ ...wanted, body: message }),
    answerWhenAsked(stage, where),
  ])
  expect([header(answer, 'grpc-status'), asked.facts.body.bytes]).toEqual(['0', 8])
  const two = await stage.request({ ...wanted, body: Buffer.concat([message, message]) })
  expect([header(two, 'grpc-status'), header(two, 'keyward-error')]).toEqual(['3', 'approval_streamed'])
  const wire = await stage.openH2('base-url', where.held.host, where.login)
  const open = wire.stream(requestFields(stage, wanted), { endStream: false })
  open.write(message)
  expect(header(await answerOf(open), 'keyward-error')).toBe('approval_streamed')
  wire.close()
})

test('a refusal names the approval in the problem, and the journal names it in the entry', async () => {
  const where = await place()
  const held = ask(where)
  const { id } = await waiting(stage, where)
  await stage.app.approvals.answer(id, 'refuse', 'operator:person')
  const answer = await held
  expect(problemOf(answer)).toMatchObject({ code: 'approval_refused', approval: id, rule: '*' })
  expect(header(answer, 'x-should-retry')).toBe('false')
  const { event } = await stage.journaled({ kind: 'refusal', code: 'approval_refused' })
  expect(event).toMatchObject({ approval: id, agent: where.agent, rule: '*' })
})
