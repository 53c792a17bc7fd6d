import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BODY_FIRST_MAXIMUM_BYTES } from '../../../src/gateway/whole-body.ts'
import { answerWhenAsked, waiting } from './approving.ts'
import { openStage, type HeldOptions, type Stage } from './harness.ts'
import { codeOf, doors, requestBytes, type Ask, type Held, type Login } from './requests.ts'
import { always, startUpstream, type Upstream } from './upstream.ts'

/** Grants with a condition, end to end: what is judged is what is sent, and when it is sent. */

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

let count = 0
async function place(wanted: Partial<HeldOptions>): Promise<{ held: Held; login: Login; agent: string }> {
  count += 1
  const agent = `agent-${count}`
  const held = await stage.hold({ id: `when-${count}`, endpoint: upstream.origin, ...wanted, agent })
  return { held, agent, login: await stage.login(agent) }
}

async function ask({ held, login }: { held: Held; login: Login }, body: string | null, more: Partial<Ask> = {}) {
  const answer = await stage.request({
    door: 'base-url',
    held,
    login,
    method: 'POST',
    target: '/v1/chat',
    ...(body === null ? {} : { body }),
    ...more,
    headers: [
      ['Authorization', `Bearer ${login.placeholder(held)}`],
      ...(more.headers ?? [['Content-Type', 'application/json']]),
    ],
  })
  return answer.status === 200 ? 'ok' : codeOf(answer)
}

const small = 'request.body.model in ["small", "smaller"]'

test.each(doors)(
  'a condition on the body is judged before anything leaves, and what was judged is what is sent (%s)',
  async (door) => {
    const where = await place({ when: small })
    const before = upstream.got.length
    expect(await ask(where, '{"model":"large"}', { door })).toBe('condition_not_met')
    expect(await ask(where, '{"model":"large","model":"small"}', { door })).toBe('condition_not_met')
    expect(await ask(where, '{}', { door })).toBe('condition_not_met')
    expect(await ask(where, null, { door })).toBe('condition_not_met')
    expect(upstream.got.length).toBe(before)
    const sent = ' {"model" :  "sm\\u0061ll"}\n'
    expect(await ask(where, sent, { door })).toBe('ok')
    expect(upstream.got.at(-1)?.body.toString()).toBe(sent)
    const { event } = await stage.journaled({ kind: 'refusal', agent: where.agent, code: 'condition_not_met' })
    expect(event).toMatchObject({ grant: where.held.grantId, rule: '*' })
  },
)

test('the refusal names the grant and what the condition met, and no value', async () => {
  const where = await place({ when: small })
  const answer = await stage.request({
    door: 'base-url',
    ...where,
    method: 'POST',
    body: '{"model":"very-large"}',
    headers: [
      ['Authorization', `Bearer ${where.login.placeholder(where.held)}`],
      ['Content-Type', 'application/json'],
    ],
  })
  const problem: unknown = JSON.parse(answer.body.toString())
  expect(problem).toMatchObject({
    code: 'condition_not_met',
    rule: '*',
    detail: `The condition of grant ${where.held.grantId} is false.`,
  })
  expect(answer.body.toString()).not.toContain('very-large')
})

test('a body that is compressed, of another type or too long is not read as the condition wants it', async () => {
  const where = await place({ when: small })
  const compressed = gzipSync('{"model":"small"}').toString('latin1')
  expect(
    await ask(where, compressed, {
      headers: [
        ['Content-Type', 'application/json'],
        ['Content-Encoding', 'gzip'],
      ],
    }),
  ).toBe('condition_not_met')
  expect(await ask(where, '{"model":"small"}', { headers: [['Content-Type', 'text/plain']] })).toBe('condition_not_met')
  expect(await ask(where, '{"model":"small"}', { headers: [] })).toBe('condition_not_met')
  const long = JSON.stringify({ model: 'small', input: 'x'.repeat(BODY_FIRST_MAXIMUM_BYTES) })
  expect(await ask(where, long)).toBe('condition_not_met')
})

test('forms are read as well, each parameter once', async () => {
  const where = await place({ when: 'request.body.amount == "5" && request.type.endsWith("urlencoded")' })
  const form = { headers: [['Content-Type', 'application/x-www-form-urlencoded']] as const }
  expect(await ask(where, 'amount=5&currency=eur', form)).toBe('ok')
  for (const body of [
    'amount=5&amount=500',
    'amount=5&amount[]=500',
    'amount=5;amount=500',
    'amount=5&Amount=500',
    'amount=%ff',
  ])
    expect(await ask(where, body, form), body).toBe('condition_not_met')
})

test('a grant without a condition that allows the request already has no body read', async () => {
  const where = await place({ when: small, allow: ['*'] })
  const { agentId, credentialId } = where.held
  await stage.app.grants.add(
    { agentId, credentialId, allow: ['POST /v1/chat'], deny: [], limits: { concurrent: 5 }, expiresAt: null },
    'test',
  )
  const long = 'x'.repeat(BODY_FIRST_MAXIMUM_BYTES + 1)
  expect(await ask(where, long)).toBe('ok')
  expect(await ask(where, long, { target: '/v1/other' })).toBe('condition_not_met')
})

test('time, age and address are looked at again after a person was asked', async () => {
  const where = await place({ when: 'session.age < 60 && source.address.inCidr("127.0.0.0/8")', approve: 'always' })
  const asking = ask(where, '{}')
  await waiting(stage, where)
  stage.advance(61_000)
  await answerWhenAsked(stage, where)
  expect(await asking).toBe('condition_not_met')
})

test('and again just before the credential leaves', async () => {
  const where = await place({ when: 'session.age < 60' })
  const before = upstream.got.length
  const wire = await stage.open('base-url', where.held.host, where.login)
  const head = requestBytes(stage, {
    door: 'base-url',
    ...where,
    method: 'POST',
    headers: [
      ['Authorization', `Bearer ${where.login.placeholder(where.held)}`],
      ['Content-Length', '2'],
    ],
  })
  wire.write(head)
  // It was allowed, and its body is still on the way.
  await stage.journaled({ kind: 'intent', agent: where.agent })
  stage.advance(61_000)
  wire.write('{}')
  expect(codeOf(await wire.answer())).toBe('condition_not_met')
  expect(upstream.got.length).toBe(before)
  wire.close()
})

test('the condition comes first, and a person is asked only about what it lets pass', async () => {
  const where = await place({ when: small, approve: 'always' })
  expect(await ask(where, '{"model":"large"}')).toBe('condition_not_met')
  expect(stage.app.approvals.list().filter(({ facts }) => facts.agent === where.agent)).toEqual([])
  const asking = ask(where, '{"model":"small"}')
  await answerWhenAsked(stage, where)
  expect(await asking).toBe('ok')
})

test('where the body says what is done, a condition reads the same body: the variables of GraphQL are in it', async () => {
  const where = await place({
    speaks: [{ path: '/graphql', language: 'graphql' }],
    allow: ['GRAPHQL mutation volumeDelete'],
    when: 'request.body.variables.id.startsWith("test-")',
  })
  const body = (id: string): string =>
    JSON.stringify({ query: 'mutation ($id: ID!) { volumeDelete(id: $id) }', variables: { id } })
  const target = { target: '/graphql' }
  expect(await ask(where, body('prod-1'), target)).toBe('condition_not_met')
  expect(await ask(where, body('test-1'), target)).toBe('ok')
})
