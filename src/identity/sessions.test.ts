import { createSecretKey, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createFakeRecords, fakeCredential, fakeEnvironments } from '../../test/fakes/records.ts'
import { KeywardError } from '../core/errors.ts'
import { base62, looksLikePlaceholder, looksLikeSessionToken } from '../core/placeholder.ts'
import type { SessionBinding, SessionRecord } from '../core/records.ts'
import type { Change } from '../vault/records.ts'
import { createAgents } from './agents.ts'
import { createEnvironments } from './environments.ts'
import { createConditionReader } from './condition-reader.ts'
import { createGrants } from './grants.ts'
import { createSessions } from './sessions.ts'
import {
  maximumEndedSessions,
  maximumLiveSessions,
  maximumPlaceholders,
  maximumPlaceholdersPerSession,
} from './session-state.ts'

const hour = 3600
const unbound: SessionBinding = { kind: 'unbound' }

function createHouse(
  first: readonly Change[] = [...fakeEnvironments(), fakeCredential('openai'), fakeCredential('aws')],
) {
  const records = createFakeRecords(first)
  const clock = { now: 1_000_000 }
  const timers: { at: number; run: () => void }[] = []
  const dead = new Set<number>()
  let serial = 0
  const newId = (): string => `id${(serial += 1)}`
  const now = (): number => clock.now
  const agents = createAgents({ records, now, newId })
  const environments = createEnvironments({ records, now })
  const grants = createGrants({
    records,
    now,
    newId,
    operationsOf: () => [],
    languagesOf: () => [],
    conditionOf: createConditionReader('UTC'),
  })
  const tokenKey = createSecretKey(randomBytes(32))
  const sessionKey = createSecretKey(randomBytes(32))
  const signingKey = createSecretKey(randomBytes(32))
  const open = () =>
    createSessions({
      records,
      tokenKey,
      sessionKey,
      signing: { key: signingKey, signsWith: (credentialId, field) => credentialId === 'aws' && field === 'secret' },
      randomBytes,
      now,
      newId,
      credentialsOf: grants.credentialsOf,
      secretFieldsOf: (credentialId) => (credentialId === 'aws' ? ['id', 'secret'] : ['key']),
      shapeOf: (_, field) => ({ prefix: `${field}-`, alphabet: base62, length: field === 'id' ? 20 : null }),
      isAlive: (binding) => binding.kind !== 'process' || !dead.has(binding.processId),
      timer: (afterMilliseconds, run) => {
        const entry = { at: clock.now + afterMilliseconds, run }
        timers.push(entry)
        return () => void (timers.includes(entry) && timers.splice(timers.indexOf(entry), 1))
      },
    })
  const sessions = open()
  const ended: string[] = []
  sessions.onEnd((id) => ended.push(id))
  /** Lets time pass, timers going off on the way. */
  const pass = (milliseconds: number): void => {
    const until = clock.now + milliseconds
    for (;;) {
      const next = timers.toSorted((left, right) => left.at - right.at)[0]
      if (next === undefined || next.at > until) break
      timers.splice(timers.indexOf(next), 1)
      clock.now = Math.max(clock.now, next.at)
      next.run()
    }
    clock.now = until
  }
  const login = async (credentials: readonly string[] = ['openai', 'aws'], ttlSeconds = hour, binding = unbound) => {
    const { id: agentId } = await agents.add({ name: `agent-${newId()}`, environment: 'dev', owner: null }, 'test')
    const allow = { allow: ['*'], deny: [], limits: {}, expiresAt: null }
    for (const credentialId of credentials) await grants.add({ agentId, credentialId, ...allow }, 'test')
    const session = await sessions.issue({ agentId, ttlSeconds, egress: null, binding }, 'test')
    return { agentId, session }
  }
  return { records, clock, timers, dead, agents, environments, grants, sessions, ended, pass, login, open }
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof KeywardError ? error.code : `not a KeywardError: ${String(error)}`),
  )
}

test('a session has a token and a placeholder for every secret field of every granted credential', async () => {
  const { sessions, login } = createHouse()
  const { agentId, session } = await login()
  expect(looksLikeSessionToken(session.token)).toBe(true)
  expect(session.placeholders.map(({ credentialId, field }) => `${credentialId}.${field}`)).toEqual([
    'aws.id',
    'aws.secret',
    'openai.key',
  ])
  expect(sessions.byToken(session.token)).toMatchObject({
    sessionId: session.id,
    agentId,
    environment: 'dev',
    egress: 'open',
  })
  for (const { text, credentialId, field } of session.placeholders) {
    expect(looksLikePlaceholder(text)).toBe(true)
    const caller = { sessionId: session.id, agentId, credentialId, field, short: field === 'id' }
    expect(sessions.byPlaceholder(text)).toMatchObject(caller)
  }
})

test('the store and its journal hold neither token nor placeholder', async () => {
  const { records, login } = createHouse()
  const { session } = await login()
  const kept = JSON.stringify([records.log, [...records.all('session')]])
  for (const text of [session.token, ...session.placeholders.map(({ text }) => text)]) expect(kept).not.toContain(text)
})

test('a placeholder that is signed with can be made again, and only it, and only for its session', async () => {
  const { sessions, records, login, open } = createHouse()
  const [one, two] = [await login(), await login()]
  const textOf = ({ session }: typeof one, field: string) =>
    session.placeholders.find((placeholder) => placeholder.field === field)?.text
  for (const { session } of [one, two]) {
    const again = sessions.signingPlaceholder({ sessionId: session.id, narrowed: null, credentialId: 'aws' }, 'secret')
    expect(again).toBe(textOf({ agentId: '', session }, 'secret'))
    expect(sessions.signingPlaceholder({ sessionId: session.id, narrowed: null, credentialId: 'aws' }, 'id')).toBeNull()
    expect(
      sessions.signingPlaceholder({ sessionId: session.id, narrowed: null, credentialId: 'openai' }, 'key'),
    ).toBeNull()
    expect(
      sessions.signingPlaceholder({ sessionId: session.id, narrowed: null, credentialId: 'other' }, 'secret'),
    ).toBeNull()
  }
  expect(sessions.signingPlaceholder({ sessionId: 'nobody', narrowed: null, credentialId: 'aws' }, 'secret')).toBeNull()
  expect(textOf(one, 'secret')).not.toBe(textOf(two, 'secret'))
  // A server that has been started again has the same key, and so has another node.
  expect(open().signingPlaceholder({ sessionId: one.session.id, narrowed: null, credentialId: 'aws' }, 'secret')).toBe(
    textOf(one, 'secret'),
  )
  const record = records.get('session', one.session.id)
  expect(JSON.stringify(record)).not.toContain(textOf(one, 'secret'))
})

test('what nobody issued opens nothing, and never asks the store', async () => {
  const { sessions, records, login } = createHouse()
  const { session } = await login()
  const foreign = (await createHouse().login()).session
  const commits = records.log.length
  const last = session.token.at(-1) === 'a' ? 'b' : 'a'
  for (const text of [
    '',
    'kws_',
    foreign.token,
    session.token.slice(0, -1) + last,
    session.token.slice(1),
    `${session.token} `,
  ]) {
    expect(sessions.byToken(text)).toMatchObject({ refusal: 'token_invalid' })
  }
  expect(sessions.byPlaceholder(foreign.placeholders[0]?.text ?? '')).toMatchObject({ refusal: 'token_invalid' })
  expect(sessions.byPlaceholder('not one of ours')).toBeNull()
  expect(sessions.byToken(session.placeholders[0]?.text ?? '')).toMatchObject({ refusal: 'token_invalid' })
  expect(records.log.length).toBe(commits)
})

test('revoking, suspending and expiry bite at once and end the session once', async () => {
  const { sessions, ended, pass, login } = createHouse()
  const [first, second, third] = [await login(), await login(), await login()]
  await sessions.revoke(first.session.id, 'test')
  await sessions.revoke(first.session.id, 'test')
  expect(sessions.byToken(first.session.token)).toMatchObject({ refusal: 'session_revoked' })
  expect(sessions.byPlaceholder(first.session.placeholders[0]?.text ?? '')).toMatchObject({
    refusal: 'session_revoked',
  })
  await sessions.suspend(second.session.id, 'test')
  await sessions.suspend(second.session.id, 'test')
  expect(sessions.byToken(second.session.token)).toMatchObject({ refusal: 'session_suspended' })
  expect(ended).toEqual([first.session.id, second.session.id])
  await sessions.resume(second.session.id, 'test')
  expect(sessions.byToken(second.session.token)).toMatchObject({ sessionId: second.session.id })
  expect(sessions.live({ sessionId: second.session.id, narrowed: null })).toBe(sessions.byToken(second.session.token))
  pass(hour * 1000 - 1)
  expect(ended).toHaveLength(2)
  pass(1)
  expect(ended.slice(2).toSorted()).toEqual([second.session.id, third.session.id].toSorted())
  expect(sessions.byToken(third.session.token)).toMatchObject({ refusal: 'session_expired' })
  expect(sessions.live({ sessionId: third.session.id, narrowed: null })).toMatchObject({ refusal: 'session_expired' })
  expect(sessions.live({ sessionId: 'nobody', narrowed: null })).toMatchObject({ refusal: 'token_invalid' })
  expect(await codeOf(sessions.resume(first.session.id, 'test'))).toBe('session_revoked')
  expect(await codeOf(sessions.extend(third.session.id, hour, 'test'))).toBe('session_expired')
  expect(ended).toHaveLength(4)
})

test('a look-up after the end says so even before the timer, and a clock that steps back revives nothing', async () => {
  const { sessions, clock, ended, login } = createHouse()
  const { session } = await login()
  clock.now += hour * 1000
  expect(sessions.byToken(session.token)).toMatchObject({ refusal: 'session_expired' })
  clock.now -= hour * 1000
  expect(sessions.byToken(session.token)).toMatchObject({ refusal: 'session_expired' })
  expect(ended).toEqual([session.id])
})

test('an agent suspended, resumed or removed takes its sessions along, whoever commits it', async () => {
  const { sessions, agents, records, ended, login } = createHouse()
  const { agentId, session } = await login()
  const record = agents.get(agentId)
  if (record === undefined) throw new Error('the agent is there')
  const changes: Change[] = [{ table: 'agent', id: agentId, body: { ...record, state: 'suspended' } }]
  await records.commit(changes, { actor: 'elsewhere', action: 'incident' })
  expect(sessions.byToken(session.token)).toMatchObject({ refusal: 'agent_suspended' })
  expect(ended).toEqual([session.id])
  expect(await codeOf(sessions.issue({ agentId, ttlSeconds: hour, egress: null, binding: unbound }, 'test'))).toBe(
    'agent_suspended',
  )
  await agents.resume(agentId, 'test')
  expect(sessions.byToken(session.token)).toMatchObject({ agentId })
  await agents.remove(agentId, 'test')
  expect(sessions.byToken(session.token)).toMatchObject({ refusal: 'session_revoked' })
  expect(ended).toEqual([session.id, session.id])
})

test('a renewal that comes with a revocation never undoes it', async () => {
  const { sessions, login } = createHouse()
  const { session } = await login()
  const results = await Promise.allSettled([
    sessions.revoke(session.id, 'test'),
    sessions.extend(session.id, hour, 'test'),
    sessions.resume(session.id, 'test'),
  ])
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
  expect(sessions.byToken(session.token)).toMatchObject({ refusal: 'session_revoked' })
})

test('extending keeps the texts and never shortens', async () => {
  const { sessions, clock, pass, login } = createHouse()
  const { session } = await login(['openai'], 2 * hour)
  expect(await sessions.extend(session.id, hour, 'test')).toEqual({ expiresAt: session.expiresAt })
  pass(hour * 1000)
  expect(await sessions.extend(session.id, 12 * hour, 'test')).toEqual({ expiresAt: clock.now + 12 * hour * 1000 })
  pass(11 * hour * 1000)
  expect(sessions.byToken(session.token)).toMatchObject({ sessionId: session.id })
})

test('the time of life and the binding have bounds', async () => {
  const { sessions, login } = createHouse()
  const { agentId } = await login()
  for (const ttlSeconds of [0, -1, 899, 43_201, 1e12, Number.NaN, 1000.5]) {
    expect(await codeOf(sessions.issue({ agentId, ttlSeconds, egress: null, binding: unbound }, 'test'))).toBe('usage')
  }
  for (const binding of [
    { processId: 0, startTicks: '1' },
    { processId: 1.5, startTicks: '1' },
    { processId: 1, startTicks: 'x' },
  ]) {
    const asked = { agentId, ttlSeconds: hour, egress: null, binding: { kind: 'process' as const, ...binding } }
    expect(await codeOf(sessions.issue(asked, 'test'))).toBe('usage')
  }
  expect(
    await codeOf(sessions.issue({ agentId: 'nobody', ttlSeconds: hour, egress: null, binding: unbound }, 'test')),
  ).toBe('not_found')
})

test('a session never has more egress than its environment, now or later', async () => {
  const { sessions, environments, agents, login } = createHouse()
  const { session } = await login()
  await environments.setEgress('dev', 'deny', 'test')
  expect(sessions.byToken(session.token)).toMatchObject({ egress: 'deny' })
  expect(sessions.byPlaceholder(session.placeholders[0]?.text ?? '')).toMatchObject({ egress: 'deny' })
  await environments.setEgress('dev', 'open', 'test')
  expect(sessions.byToken(session.token)).toMatchObject({ egress: 'open' })
  const { id: agentId } = await agents.add({ name: 'billing', environment: 'prod', owner: null }, 'test')
  expect(await codeOf(sessions.issue({ agentId, ttlSeconds: hour, egress: 'open', binding: unbound }, 'test'))).toBe(
    'usage',
  )
})

test('a session whose process is gone ends with the next sweep, even when the store fails', async () => {
  const { sessions, records, dead, ended, login } = createHouse()
  const { session } = await login(['openai'], hour, { kind: 'process', processId: 42, startTicks: '7' })
  await sessions.sweep()
  expect(ended).toEqual([])
  dead.add(42)
  records.failWith(new KeywardError('journal_unwritable'))
  expect(await codeOf(sessions.sweep())).toBe('journal_unwritable')
  expect(sessions.byToken(session.token)).toMatchObject({ refusal: 'session_revoked' })
  records.failWith(null)
  await sessions.sweep()
  expect(sessions.get(session.id)).toMatchObject({ state: 'revoked' })
  expect(ended).toEqual([session.id])
})

test('what is over is forgotten after a day, not before', async () => {
  const { sessions, records, pass, login } = createHouse()
  const [revoked, expired, live] = [await login(), await login(), await login([], 12 * hour)]
  await sessions.revoke(revoked.session.id, 'test')
  pass(24 * hour * 1000 - 1)
  await sessions.sweep()
  expect(sessions.byToken(revoked.session.token)).toMatchObject({ refusal: 'session_revoked' })
  pass(1)
  await sessions.sweep()
  expect(sessions.byToken(revoked.session.token)).toMatchObject({ refusal: 'token_invalid' })
  expect(sessions.byPlaceholder(revoked.session.placeholders[0]?.text ?? '')).toMatchObject({
    refusal: 'token_invalid',
  })
  expect(sessions.byToken(expired.session.token)).toMatchObject({ refusal: 'session_expired' })
  pass(hour * 1000)
  await sessions.sweep()
  expect([...records.all('session').keys()]).toEqual([live.session.id])
})

test('a restart knows every session again', async () => {
  const { sessions, open, login } = createHouse()
  const [first, second] = [await login(), await login()]
  await sessions.revoke(second.session.id, 'test')
  const again = open()
  expect(again.byToken(first.session.token)).toEqual(sessions.byToken(first.session.token))
  expect(again.byPlaceholder(first.session.placeholders[0]?.text ?? '')).toMatchObject({ sessionId: first.session.id })
  expect(again.byToken(second.session.token)).toMatchObject({ refusal: 'session_revoked' })
})

test('placeholders of a session and live sessions are bounded', async () => {
  const many = Array.from({ length: maximumPlaceholdersPerSession + 1 }, (_, index) => `credential-${index}`)
  const { login, sessions, records } = createHouse([...fakeEnvironments(), ...many.map((id) => fakeCredential(id))])
  expect((await login(many.slice(1))).session.placeholders).toHaveLength(maximumPlaceholdersPerSession)
  expect(await codeOf(login(many))).toBe('overloaded')

  const { agentId } = await login([])
  const row = (index: number): SessionRecord => ({
    agentId,
    environment: 'dev',
    tokenHash: `hash-${index}`,
    placeholders: [],
    egress: 'deny',
    binding: unbound,
    state: 'active',
    createdAt: 0,
    expiresAt: 1_000_000_000,
  })
  const fill = Array.from({ length: maximumLiveSessions - 2 }, (_, index): Change => ({
    table: 'session',
    id: `fill-${index}`,
    body: row(index),
  }))
  await records.commit(fill, { actor: 'test', action: 'fill' })
  expect(await codeOf(sessions.issue({ agentId, ttlSeconds: hour, egress: null, binding: unbound }, 'test'))).toBe(
    'overloaded',
  )
  await sessions.revoke('fill-0', 'test')
  expect(await codeOf(sessions.issue({ agentId, ttlSeconds: hour, egress: null, binding: unbound }, 'test'))).toBe(
    'none',
  )
})

test('placeholders of all sessions, and sessions that are over, are bounded', async () => {
  const { sessions, records, clock, login } = createHouse()
  const { agentId, session } = await login()
  const row = (index: number): SessionRecord => ({
    agentId,
    environment: 'dev',
    tokenHash: `hash-${index}`,
    placeholders: [],
    egress: 'deny',
    binding: unbound,
    state: 'revoked',
    createdAt: 0,
    expiresAt: clock.now - index,
  })
  const over = Array.from({ length: maximumEndedSessions + 2 }, (_, index): Change => ({
    table: 'session',
    id: `over-${index}`,
    body: row(index),
  }))
  await records.commit(over, { actor: 'test', action: 'fill' })
  await sessions.sweep()
  expect(records.all('session').size).toBe(maximumEndedSessions + 1)
  expect(sessions.live({ sessionId: session.id, narrowed: null })).toMatchObject({ agentId })
  expect(sessions.live({ sessionId: `over-${maximumEndedSessions}`, narrowed: null })).toMatchObject({
    refusal: 'token_invalid',
  })

  const placeholders = Array.from({ length: maximumPlaceholders - 4 }, (_, index) => {
    return { hash: `placeholder-${index}`, credentialId: 'openai', field: 'key', short: false }
  })
  const body: SessionRecord = { ...row(-1), state: 'active', placeholders }
  await records.commit([{ table: 'session', id: 'large', body }], { actor: 'test', action: 'fill' })
  expect(await codeOf(sessions.issue({ agentId, ttlSeconds: hour, egress: null, binding: unbound }, 'test'))).toBe(
    'overloaded',
  )
})

test('a closed house leaves no timer behind', async () => {
  const { sessions, timers, login } = createHouse()
  await login()
  expect(timers).toHaveLength(1)
  sessions.close()
  expect(timers).toHaveLength(0)
})

test('every change says who did it and what it was', async () => {
  const { sessions, records, login } = createHouse()
  const { session } = await login([])
  await sessions.extend(session.id, hour, 'ada')
  await sessions.suspend(session.id, 'ada')
  await sessions.resume(session.id, 'ada')
  await sessions.revoke(session.id, 'ada')
  const said = records.log.slice(-5).map(({ why }) => `${why.actor} ${why.action}`)
  expect(said).toEqual([
    'test session.issue',
    'ada session.extend',
    'ada session.suspend',
    'ada session.resume',
    'ada session.revoke',
  ])
})
