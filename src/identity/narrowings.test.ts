import { createSecretKey, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createFakeRecords, fakeCredential, fakeEnvironments } from '../../test/fakes/records.ts'
import type { Caveat } from '../core/caveats.ts'
import { KeywardError } from '../core/errors.ts'
import { narrow } from '../core/narrowed-token.ts'
import { base62 } from '../core/placeholder.ts'
import type { SessionRecord } from '../core/records.ts'
import type { Change } from '../vault/records.ts'
import { createAgents } from './agents.ts'
import { createConditionReader } from './condition-reader.ts'
import { createGrants } from './grants.ts'
import {
  EXPIRED_NARROWING_KEPT_MILLISECONDS,
  NARROWING_RECORDS_MAXIMUM,
  NARROWINGS_PER_SESSION_MAXIMUM,
  WAITING_USES_MAXIMUM,
} from './narrowings.ts'
import { createSessions, type Caller } from './sessions.ts'

type Taken = Exclude<Caveat, { kind: 'narrowing' }>

function openHouse(
  records = createFakeRecords([...fakeEnvironments(), fakeCredential('openai'), fakeCredential('aws')]),
) {
  const clock = { now: 1_000_000 }
  const now = (): number => clock.now
  let serial = 0
  const newId = (): string => `id${(serial += 1)}`
  const agents = createAgents({ records, now, newId })
  const grants = createGrants({
    records,
    now,
    newId,
    operationsOf: () => [],
    languagesOf: () => [],
    conditionOf: createConditionReader('UTC'),
  })
  const keys = [1, 2, 3].map(() => createSecretKey(randomBytes(32)))
  const [tokenKey, sessionKey, key] = keys
  if (tokenKey === undefined || sessionKey === undefined || key === undefined) throw new Error('no keys')
  const open = () =>
    createSessions({
      records,
      tokenKey,
      sessionKey,
      signing: { key, signsWith: (credentialId) => credentialId === 'aws' },
      randomBytes,
      now,
      newId,
      credentialsOf: grants.credentialsOf,
      secretFieldsOf: () => ['key'],
      shapeOf: () => ({ prefix: 'key-', alphabet: base62, length: null }),
      isAlive: () => true,
      timer: () => () => undefined,
    })
  const sessions = open()
  const login = async () => {
    const { id: agentId } = await agents.add({ name: `agent-${newId()}`, environment: 'dev', owner: null }, 'test')
    const allow = { allow: ['*'], deny: [], limits: {}, expiresAt: null }
    for (const credentialId of ['openai', 'aws']) await grants.add({ agentId, credentialId, ...allow }, 'test')
    return sessions.issue({ agentId, ttlSeconds: 3600, egress: null, binding: { kind: 'unbound' } }, 'test')
  }
  return { records, clock, sessions, login, open }
}

const narrowed = (text: string, ...caveats: readonly Taken[]) => narrow(text, caveats, randomBytes(12))
const refusalOf = (found: object): unknown => ('refusal' in found ? found.refusal : null)

function callerOf(found: Caller | object): Caller {
  if (!('sessionId' in found)) throw new Error('It is refused.')
  return found
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof KeywardError ? error.code : String(error)),
  )
}

test('a narrowed token is a caller of its session, to whom less is left; another server knows it too', async () => {
  const { sessions, login, open } = openHouse()
  const session = await login()
  const { token, id } = narrowed(session.token, { kind: 'credentials', names: ['openai'] })
  const caller = sessions.byToken(token)
  expect(caller).toMatchObject({ sessionId: session.id, egress: 'deny', narrowed: { id } })
  expect(sessions.byToken(session.token)).toMatchObject({ egress: 'open', narrowed: null })
  expect(sessions.byToken(token)).toBe(caller)
  expect(open().byToken(token)).toMatchObject({ sessionId: session.id, narrowed: { id } })
  const other = openHouse()
  await other.login()
  expect(refusalOf(other.sessions.byToken(token))).toBe('token_invalid')
  expect(refusalOf(sessions.byToken(narrowed(session.token, { kind: 'expires', at: 1_000_000 }).token))).toBe(
    'narrowed_expired',
  )
})

test('the store has nothing from which a narrowed token could be made or its signature be found', async () => {
  const { sessions, records, login } = openHouse()
  const session = await login()
  const { token } = narrowed(session.token, { kind: 'uses', count: 2 })
  const { placeholders } = await sessions.narrowings.register(token)
  const kept = JSON.stringify([records.log, [...records.all('session')], [...records.all('narrowing')]])
  const signature = Buffer.from(token.slice(4, -6), 'base64url').subarray(-32)
  for (const text of [session.token, session.token.slice(4, -6), token, ...placeholders.map(({ text: one }) => one)])
    expect(kept).not.toContain(text)
  for (const encoding of ['hex', 'base64', 'base64url'] as const)
    expect(kept).not.toContain(signature.toString(encoding))
})

test('placeholders of a narrowing: asked again they are the same, they know whose they are, and they end with it', async () => {
  const { sessions, login, open } = openHouse()
  const session = await login()
  const parent = narrowed(session.token, { kind: 'credentials', names: ['openai', 'aws'] })
  const child = narrowed(parent.token, { kind: 'credentials', names: ['openai'] })
  const [first, again] = [
    await sessions.narrowings.register(child.token),
    await sessions.narrowings.register(child.token),
  ]
  expect(again).toEqual(first)
  expect(first.placeholders.map(({ credentialId }) => credentialId)).toEqual(['openai'])
  const text = first.placeholders[0]?.text ?? ''
  expect(sessions.byPlaceholder(text)).toMatchObject({ credentialId: 'openai', narrowed: { id: child.id } })
  expect(open().byPlaceholder(text)).toMatchObject({ sessionId: session.id, narrowed: { id: child.id } })
  // One that is signed with is made again for the narrowing, not for the session.
  const wide = await sessions.narrowings.register(parent.token)
  const aws = wide.placeholders.find(({ credentialId }) => credentialId === 'aws')?.text ?? ''
  const owner = sessions.byPlaceholder(aws)
  if (owner === null || 'refusal' in owner) throw new Error('It is refused.')
  expect(sessions.signingPlaceholder(owner, 'key')).toBe(aws)
  expect(sessions.signingPlaceholder({ ...owner, narrowed: null }, 'key')).not.toBe(aws)
  const ended: string[] = []
  sessions.onNarrowingEnd((id) => ended.push(id))
  await sessions.revoke(parent.id, 'test')
  await sessions.revoke(parent.id, 'test')
  expect(ended).toEqual([parent.id])
  for (const one of [text, aws]) expect(refusalOf(sessions.byPlaceholder(one) ?? {})).toBe('narrowed_revoked')
  for (const one of [parent, child]) expect(refusalOf(sessions.byToken(one.token))).toBe('narrowed_revoked')
  expect(refusalOf(sessions.byToken(session.token))).toBeNull()
  expect(await codeOf(sessions.narrowings.register(child.token))).toBe('narrowed_revoked')
  expect(refusalOf(open().byPlaceholder(text) ?? {})).toBe('narrowed_revoked')
})

test('a narrowing that was never shown can be revoked by its id alone; siblings and the session go on', async () => {
  const { sessions, login } = openHouse()
  const session = await login()
  const [one, two] = [1, 2].map(() => narrowed(session.token, { kind: 'credentials', names: ['openai'] }))
  await sessions.revoke(one?.id ?? '', 'test')
  expect(refusalOf(sessions.byToken(one?.token ?? ''))).toBe('narrowed_revoked')
  expect(refusalOf(sessions.byToken(two?.token ?? ''))).toBeNull()
  expect(await codeOf(sessions.revoke('0'.repeat(32), 'test'))).toBe('not_found')
  await sessions.revoke(session.id, 'test')
  expect(refusalOf(sessions.byToken(two?.token ?? ''))).toBe('session_revoked')
})

test('uses are counted for every beginning of the chain, exactly, however many ask at once, and over a restart', async () => {
  const { sessions, login, open } = openHouse()
  const session = await login()
  const parent = narrowed(session.token, { kind: 'uses', count: 10 })
  const children = [1, 2].map(() => narrowed(parent.token, { kind: 'uses', count: 8 }))
  const callers = children.map(({ token }) => callerOf(sessions.byToken(token)))
  const asked = await Promise.all(
    Array.from({ length: 50 }, (_, at) => sessions.narrowings.use(callers[at % 2] ?? callerOf({}))),
  )
  expect(asked.filter((one) => one === null)).toHaveLength(10)
  expect(asked.find((one) => one !== null)).toEqual({ refusal: 'narrowed_used_up', rule: parent.id })
  const later = open()
  const own = callerOf(later.byToken(parent.token))
  expect(await later.narrowings.use(own)).toMatchObject({ refusal: 'narrowed_used_up' })
  const used = later.narrowings.ofSession(session.id).map(({ id, used: count }) => [id, count])
  expect(Object.fromEntries(used)[parent.id]).toBe(10)
  expect(later.narrowings.use(callerOf(later.byToken(session.token)))).toBeNull()
})

test('what is used up costs no commit, and what was not written down was not allowed', async () => {
  const { sessions, login, records } = openHouse()
  const session = await login()
  const caller = callerOf(sessions.byToken(narrowed(session.token, { kind: 'uses', count: 1 }).token))
  records.failWith(new KeywardError('journal_unwritable'))
  expect(await codeOf(Promise.resolve(sessions.narrowings.use(caller)))).toBe('journal_unwritable')
  records.failWith(null)
  expect(await sessions.narrowings.use(caller)).toBeNull()
  const before = records.log.length
  for (let n = 0; n < 5; n += 1)
    expect(await sessions.narrowings.use(caller)).toMatchObject({ refusal: 'narrowed_used_up' })
  expect(records.log).toHaveLength(before)
})

test('what is remembered is bounded, and the operator can revoke beyond it', async () => {
  const { sessions, login, records, clock } = openHouse()
  const session = await login()
  const fill = (count: number, sessionId: string): Change[] =>
    Array.from({ length: count }, (_, at) => {
      const id = `${sessionId}-${at}`
      const body = {
        sessionId,
        chain: null,
        prefixes: [id],
        placeholders: [],
        used: 0,
        state: 'active' as const,
        createdAt: 0,
      }
      return { table: 'narrowing', id, body }
    })
  const why = { actor: 'test', action: 'fill' }
  await records.commit(fill(NARROWINGS_PER_SESSION_MAXIMUM, session.id), why)
  const { token, id } = narrowed(session.token, { kind: 'uses', count: 1 })
  const caller = callerOf(sessions.byToken(token))
  expect(await sessions.narrowings.use(caller)).toMatchObject({ refusal: 'overloaded' })
  expect(await codeOf(sessions.narrowings.register(token))).toBe('overloaded')
  await sessions.revoke(id, 'test')
  expect(refusalOf(sessions.byToken(token))).toBe('narrowed_revoked')
  const second = await login()
  await records.commit(fill(NARROWING_RECORDS_MAXIMUM - NARROWINGS_PER_SESSION_MAXIMUM, 'elsewhere'), why)
  expect(
    await sessions.narrowings.use(callerOf(sessions.byToken(narrowed(second.token, { kind: 'uses', count: 1 }).token))),
  ).toMatchObject({ refusal: 'overloaded' })
  // Those of sessions that are not on record any more go, and so do those whose time is over.
  await sessions.sweep()
  const brief = narrowed(second.token, { kind: 'expires', at: clock.now + 60_000 })
  await sessions.narrowings.register(brief.token)
  expect(records.get('narrowing', brief.id)).toBeDefined()
  clock.now += 60_000 + EXPIRED_NARROWING_KEPT_MILLISECONDS - 1
  await sessions.sweep()
  expect(records.get('narrowing', brief.id)).toBeDefined()
  clock.now += 1
  await sessions.sweep()
  expect(records.get('narrowing', brief.id)).toBeUndefined()
  clock.now += 30 * 3_600_000
  await sessions.sweep()
  expect(records.all('session').size + records.all('narrowing').size).toBe(0)
})

test('no more uses wait at once than the bound says', async () => {
  const { sessions, login } = openHouse()
  const session = await login()
  const caller = callerOf(sessions.byToken(narrowed(session.token, { kind: 'uses', count: 100_000 }).token))
  const asked = await Promise.all(
    Array.from({ length: WAITING_USES_MAXIMUM + 600 }, () => sessions.narrowings.use(caller)),
  )
  const refused = asked.filter((one) => one !== null)
  expect(refused.length).toBeGreaterThan(0)
  expect(refused.every((one) => one.refusal === 'overloaded')).toBe(true)
})

test('a session of an earlier release has a token that nothing can be narrowed from', async () => {
  const { sessions, login, records } = openHouse()
  const session = await login()
  const { chain: _, ...record } = records.get('session', session.id) ?? ({} as SessionRecord)
  await records.commit([{ table: 'session', id: session.id, body: null }], { actor: 'test', action: 'x' })
  await records.commit([{ table: 'session', id: session.id, body: record }], { actor: 'test', action: 'x' })
  expect(refusalOf(sessions.byToken(session.token))).toBeNull()
  expect(refusalOf(sessions.byToken(narrowed(session.token, { kind: 'uses', count: 1 }).token))).toBe('token_invalid')
})
