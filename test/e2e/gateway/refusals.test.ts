import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { madeUp, openStage, type Stage } from './harness.ts'
import {
  codeOf,
  doors,
  proxyCredentials,
  requestBytes,
  type Ask,
  type Door,
  type Held,
  type Login,
} from './requests.ts'
import { always, startUpstream, type Upstream } from './upstream.ts'
import { header, type Answer } from './wire.ts'

/** Every no of the gateway: its code, its form, what it keeps to itself, what the journal says, and that the service heard nothing. */

let stage: Stage
let upstream: Upstream
let echo: Held
let keyed: Held
let login: Login
const sockets: Stage[] = []

beforeAll(async () => {
  stage = await openStage()
  sockets.push(stage)
  upstream = await startUpstream(always(200, {}, 'never'))
  echo = await stage.hold({
    id: 'echo',
    endpoint: upstream.origin,
    allow: ['GET /v1/**', 'things.*', 'GET /tokens'],
    deny: ['GET /v1/secret/**'],
    operations: [{ name: 'things.make', match: 'POST /v1/things' }],
    sealed: ['* /tokens'],
  })
  keyed = await stage.hold({
    id: 'keyed',
    endpoint: upstream.origin,
    inject: [
      { kind: 'header', name: 'x-api-key' },
      { kind: 'query', name: 'key' },
    ],
  })
  login = await stage.login('triage')
})

afterAll(async () => {
  for (const one of sockets) await one.close()
  await upstream.close()
})

interface Expected {
  readonly code: string
  readonly status: number
  /** The one whom the journal names; null where nobody was identified. */
  readonly agent?: string | null
  /** What must not come back. */
  readonly hidden?: readonly string[]
}

async function refused(ask: Ask, expected: Expected): Promise<Answer> {
  const before = upstream.received().length
  const since = Date.now()
  const answer = await stage.request(ask)
  expect(answer.body.toString()).toMatch(/^\{/)
  expect({ code: codeOf(answer), status: answer.status }).toEqual({ code: expected.code, status: expected.status })
  const text = answer.rawHead + answer.body.toString()
  for (const secret of [echo.secret(), keyed.secret(), ...(expected.hidden ?? [])]) expect(text).not.toContain(secret)
  expect(upstream.received().length, 'bytes that reached the service').toBe(before)
  const entry = await stage.journaled({ kind: 'refusal', code: expected.code, since })
  expect(entry.event['agent'] ?? null).toBe(expected.agent === undefined ? 'triage' : expected.agent)
  const line = JSON.stringify(entry)
  for (const secret of [echo.secret(), keyed.secret(), ...(expected.hidden ?? [])]) expect(line).not.toContain(secret)
  return answer
}

const bearer = (text: string) => ['Authorization', `Bearer ${text}`] as const

describe.each(doors)('%s: who is calling', (door) => {
  test('a key of the agent’s own instead of a placeholder', async () => {
    const own = madeUp()
    await refused(
      { door, held: echo, login, target: '/v1/a', headers: [bearer(own)] },
      { code: 'placeholder_required', status: 401, agent: door === 'base-url' ? null : 'triage', hidden: [own] },
    )
  })

  test('a placeholder with one character changed', async () => {
    const placeholder = login.placeholder(echo)
    const wrong = placeholder.slice(0, -1) + (placeholder.endsWith('a') ? 'b' : 'a')
    await refused(
      { door, held: echo, login, target: '/v1/a', headers: [bearer(wrong)] },
      { code: 'token_invalid', status: 401, agent: door === 'base-url' ? null : 'triage', hidden: [wrong] },
    )
  })

  test('the session token in the place of the key', async () => {
    await refused(
      { door, held: echo, login, target: '/v1/a', headers: [bearer(login.token)] },
      {
        code: 'placeholder_required',
        status: 401,
        agent: door === 'base-url' ? null : 'triage',
        hidden: [login.token],
      },
    )
  })

  test('the placeholder of another service', async () => {
    const other = login.placeholder(keyed)
    await refused(
      { door, held: echo, login, target: '/v1/a', headers: [bearer(other)] },
      { code: 'placeholder_elsewhere', status: 403, hidden: [other] },
    )
  })

  test('a well-made placeholder that nobody was given', async () => {
    const foreign = await openStage()
    sockets.push(foreign)
    const there = await foreign.hold({ id: 'echo', endpoint: upstream.origin })
    const unknown = (await foreign.login('triage')).placeholder(there)
    await refused(
      { door, held: echo, login, target: '/v1/a', headers: [bearer(unknown)] },
      { code: 'token_invalid', status: 401, agent: door === 'base-url' ? null : 'triage', hidden: [unknown] },
    )
  })

  test('two credentials in one place, or in two', async () => {
    await refused(
      {
        door,
        held: echo,
        login,
        target: '/v1/a',
        headers: [bearer(login.placeholder(echo)), bearer(login.placeholder(echo))],
      },
      { code: 'placeholder_ambiguous', status: 400, agent: door === 'base-url' ? null : 'triage' },
    )
    const placeholder = login.placeholder(keyed)
    const twice = {
      door,
      held: keyed,
      login,
      target: `/v1/a?key=${placeholder}`,
      headers: [['X-Api-Key', placeholder]],
    } as const
    await refused(twice, {
      code: 'placeholder_ambiguous',
      status: 400,
      agent: door === 'base-url' ? null : 'triage',
      hidden: [placeholder],
    })
    const inQuery = { door, held: keyed, login, target: `/v1/a?key=${placeholder}&KEY=${placeholder}` } as const
    await refused(inQuery, {
      code: 'placeholder_ambiguous',
      status: 400,
      agent: door === 'base-url' ? null : 'triage',
      hidden: [placeholder],
    })
  })
})

describe.each(['absolute', 'tunnel'] as const)('%s: the session of the proxy', (door) => {
  test('the placeholder of another session', async () => {
    const other = (await stage.login('triage')).placeholder(echo)
    await refused(
      { door, held: echo, login, target: '/v1/a', headers: [bearer(other)] },
      { code: 'placeholder_foreign', status: 403, hidden: [other] },
    )
  })
})

describe('the proxy credentials of the absolute form', () => {
  const ask = (value: string | null): Ask => ({
    door: 'absolute',
    held: echo,
    target: '/v1/a',
    ...(value === null ? {} : { headers: [['Proxy-Authorization', value]] }),
  })

  test('none', async () => {
    const answer = await refused(ask(null), { code: 'token_missing', status: 407, agent: null })
    expect(header(answer, 'proxy-authenticate')).toMatch(/^Basic /)
  })

  test.each([
    ['an unknown scheme', 'Negotiate abc'],
    ['no token of ours', proxyCredentials(madeUp())],
    ['an empty one', ''],
    ['a longer one than is read', `Basic ${'A'.repeat(4_000)}`],
    ['base64 that is none', 'Basic *****'],
  ])('%s', async (_name, value) => {
    await refused(ask(value), { code: 'token_invalid', status: 401, agent: null, hidden: value === '' ? [] : [value] })
  })

  test('a token with a wrong character', async () => {
    const wrong = `${login.token.slice(0, -1)}${login.token.endsWith('0') ? '1' : '0'}`
    await refused(ask(proxyCredentials(wrong)), { code: 'token_invalid', status: 401, agent: null, hidden: [wrong] })
  })

  test('either half of Basic, and Bearer, prove a session', async () => {
    for (const value of [
      proxyCredentials(login.token),
      `Basic ${Buffer.from(`${login.token}:`).toString('base64')}`,
      `Basic ${Buffer.from(login.token).toString('base64')}`,
      `bearer ${login.token}`,
    ]) {
      expect((await stage.request(ask(value))).status).toBe(200)
    }
  })
})

describe('base URL: where it goes', () => {
  const at = async (target: string, expected: Expected, headers: Ask['headers'] = []): Promise<void> => {
    const wire = await stage.dial()
    const since = Date.now()
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
    wire.write(
      `GET ${target} HTTP/1.1\r\n${/host:/i.test(lines) ? '' : `Host: 127.0.0.1:${stage.port}\r\n`}${lines}\r\n`,
    )
    const answer = await wire.answer()
    expect({ code: codeOf(answer), status: answer.status }).toEqual({ code: expected.code, status: expected.status })
    await stage.journaled({ kind: 'refusal', code: expected.code, since })
    wire.close()
  }

  test('an unknown service', () => at('/s/nowhere/v1', { code: 'service_unknown', status: 404 }))
  test('no service at all', () => at('/', { code: 'service_unknown', status: 404 }))
  test('a service without a placeholder', () => at('/s/echo/v1/a', { code: 'token_missing', status: 407 }))
  test.each(['evil.example.test', `evil.example.test:7071`, '10.0.0.1', 'localhost.evil.example.test'])(
    'another Host, as a rebound name would send: %s',
    (host) =>
      at('/s/echo/v1/a', { code: 'host_mismatch', status: 421 }, [['Host', host], bearer(login.placeholder(echo))]),
  )

  test.each(['localhost', 'LOCALHOST:1', '127.0.0.1', '[::1]:99'])('its own names are good: %s', async (host) => {
    expect(
      (
        await stage.request({
          door: 'base-url',
          held: echo,
          login,
          target: '/v1/a',
          headers: [['Host', host], bearer(login.placeholder(echo))],
        })
      ).status,
    ).toBe(200)
  })
})

describe.each(doors)('%s: whether it may', (door) => {
  const may = (target: string, expected: Expected, rest: Partial<Ask> = {}): Promise<Answer> =>
    refused({ door, held: echo, login, target, headers: [bearer(login.placeholder(echo))], ...rest }, expected)

  test('an operation that no grant allows', () => may('/v2/a', { code: 'operation_not_allowed', status: 403 }))
  test('a method that no grant allows', () =>
    may('/v1/a', { code: 'operation_not_allowed', status: 403 }, { method: 'DELETE' }))
  test('an operation that a grant denies, with the rule', async () => {
    const answer = await may('/v1/secret/x', { code: 'operation_denied', status: 403 })
    expect(JSON.parse(answer.body.toString())).toMatchObject({ rule: 'GET /v1/secret/**' })
  })
  test('an operation that hands out credentials', () => may('/tokens', { code: 'operation_sealed', status: 403 }))
})

test('the refusal of a HEAD has no body and says why in its header', async () => {
  for (const door of doors) {
    const answer = await stage.request({
      door,
      held: echo,
      login,
      method: 'HEAD',
      target: '/v1/secret/x',
      headers: [bearer(login.placeholder(echo))],
    })
    expect(answer.status).toBe(403)
    expect(header(answer, 'keyward-error')).toBe('operation_denied')
  }
})

describe('grants', () => {
  const ask = (door: Door, held: Held, who: Login): Ask => ({
    door,
    held,
    login: who,
    target: '/',
    headers: [bearer(who.placeholder(held))],
  })

  test('an expired one', async () => {
    const held = await stage.hold({
      id: 'brief',
      endpoint: upstream.origin,
      agent: 'brief',
      expiresAt: stage.app.now() + 60_000,
    })
    const who = await stage.login('brief')
    expect((await stage.request(ask('base-url', held, who))).status).toBe(200)
    stage.advance(61_000)
    for (const door of doors)
      await refused(ask(door, held, who), { code: 'grant_expired', status: 403, agent: 'brief' })
  })

  test('none any more', async () => {
    const held = await stage.hold({ id: 'gone', endpoint: upstream.origin, agent: 'gone' })
    const who = await stage.login('gone')
    const request = ask('base-url', held, who)
    const bytes = requestBytes(stage, request)
    await stage.app.grants.remove(held.grantId, 'test')
    for (const door of doors)
      await refused({ ...ask(door, held, who) }, { code: 'grant_missing', status: 403, agent: 'gone' })
    expect(bytes.length).toBeGreaterThan(0)
  })

  test('the rate', async () => {
    const held = await stage.hold({
      id: 'rated',
      endpoint: upstream.origin,
      agent: 'rated',
      limits: { rate: { count: 2, perSeconds: 60 } },
    })
    const who = await stage.login('rated')
    for (const _ of [1, 2]) expect((await stage.request(ask('base-url', held, who))).status).toBe(200)
    for (const door of doors) {
      const answer = await refused(ask(door, held, who), { code: 'rate_exceeded', status: 429, agent: 'rated' })
      expect(Number(header(answer, 'retry-after'))).toBeGreaterThan(0)
      expect(Number(header(answer, 'retry-after'))).toBeLessThanOrEqual(61)
    }
    stage.advance(62_000)
    expect((await stage.request(ask('base-url', held, who))).status).toBe(200)
  })

  test('the concurrency, which is free again afterwards', async () => {
    const waiting: (() => void)[] = []
    const slow = await startUpstream((_request, response) => void waiting.push(() => response.end('done')))
    const held = await stage.hold({ id: 'narrow', endpoint: slow.origin, agent: 'narrow', limits: { concurrent: 1 } })
    const who = await stage.login('narrow')
    const first = stage.request(ask('base-url', held, who))
    await expect.poll(() => waiting.length).toBe(1)
    for (const door of doors)
      await refused(ask(door, held, who), { code: 'concurrency_exceeded', status: 429, agent: 'narrow' })
    waiting[0]?.()
    expect((await first).status).toBe(200)
    const again = stage.request(ask('tunnel', held, who))
    await expect.poll(() => waiting.length).toBe(2)
    waiting[1]?.()
    expect((await again).status).toBe(200)
    await slow.close()
  })
})

describe('credentials', () => {
  test('a suspended one, and one that lacks a field', async () => {
    const held = await stage.hold({ id: 'asleep', endpoint: upstream.origin, agent: 'asleep' })
    const who = await stage.login('asleep')
    await stage.app.credentials.suspend(held.credentialId, 'test')
    for (const door of doors)
      await refused(
        { door, held, login: who, headers: [bearer(who.placeholder(held))] },
        { code: 'credential_suspended', status: 403, agent: 'asleep' },
      )
    await stage.app.credentials.resume(held.credentialId, 'test')
    const row = stage.app.records.get('service', 'asleep')?.definition
    const definition = {
      ...(typeof row === 'object' ? row : {}),
      fields: { key: 'secret', more: 'secret' },
      inject: [{ kind: 'basic', userField: 'more', passwordField: 'key' }],
    }
    await stage.app.records.commit([{ table: 'service', id: 'asleep', body: { definition, createdAt: 1 } }], {
      actor: 'test',
      action: 'service.set',
    })
    for (const door of doors) {
      const value = Buffer.from(`any:${who.placeholder(held)}`).toString('base64')
      const answer = await stage.request({ door, held, login: who, headers: [['Authorization', `Basic ${value}`]] })
      expect(codeOf(answer)).toBe('field_missing')
      expect((await stage.journaled({ kind: 'outcome', code: 'field_missing' })).event['agent']).toBe('asleep')
    }
  })

  test('two that fit, and no placeholder to choose', async () => {
    const held = await stage.hold({ id: 'double', endpoint: upstream.origin, agent: 'double' })
    const { Secret } = await import('../../../src/core/secret.ts')
    const second = await stage.app.credentials.add(
      {
        name: 'double-2',
        environment: 'dev',
        service: 'double',
        fields: { key: new Secret('key', Buffer.from(madeUp())) },
        owner: null,
        sensitivity: 'low',
      },
      'test',
    )
    await stage.app.grants.add(
      { agentId: held.agentId, credentialId: second.id, allow: ['*'], deny: [], limits: {}, expiresAt: null },
      'test',
    )
    const who = await stage.login('double')
    for (const door of ['absolute', 'tunnel'] as const)
      await refused({ door, held, login: who }, { code: 'credential_ambiguous', status: 409, agent: 'double' })
  })

  test('none in the agent’s environment: a placeholder never leaves its own', async () => {
    const held = await stage.hold({ id: 'away', endpoint: upstream.origin, environment: 'prod', agent: 'away' })
    const prod = await stage.login('away', { environment: 'prod' })
    for (const door of ['absolute'] as const) {
      // In dev nobody guards this host; it shares its domain with one that is guarded.
      await refused(
        { door, held, login, headers: [bearer(prod.placeholder(held))] },
        { code: 'host_sibling', status: 403, hidden: [prod.placeholder(held)] },
      )
    }
    const answer = await stage.request({
      door: 'absolute',
      held: echo,
      login: prod,
      target: '/v1/a',
      headers: [bearer(login.placeholder(echo))],
    })
    expect(codeOf(answer)).toBe('host_not_listed')
  })
})
