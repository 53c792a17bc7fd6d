import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFakeRecords, fakeCredential, fakeEnvironments } from '../../test/fakes/records.ts'
import { KeywardError } from '../core/errors.ts'
import type { Change } from '../vault/records.ts'
import { createAgents } from './agents.ts'
import { createEnvironments } from './environments.ts'
import { CONDITION_MAXIMUM_LENGTH } from '../core/condition-language.ts'
import { decide } from '../core/policy.ts'
import { createConditionReader } from './condition-reader.ts'
import { createGrants, maximumCompiledPairs } from './grants.ts'

const operations = [
  { name: 'issues.list', match: 'GET /issues' },
  { name: 'issues.create', match: 'POST /issues' },
]
const everything = { allow: ['*'], deny: [], limits: {}, expiresAt: null }

function createHouse() {
  const records = createFakeRecords([
    ...fakeEnvironments(),
    fakeCredential('github'),
    fakeCredential('openai'),
    fakeCredential('live', 'prod'),
  ])
  let serial = 0
  const newId = (): string => `id${String((serial += 1)).padStart(4, '0')}`
  const now = (): number => 1_000
  return {
    records,
    agents: createAgents({ records, now, newId }),
    environments: createEnvironments({ records, now }),
    grants: createGrants({
      records,
      now,
      newId,
      operationsOf: (id) => (id === 'github' ? operations : []),
      languagesOf: (id) => (id === 'openai' ? ['graphql'] : []),
      conditionOf: createConditionReader('UTC'),
    }),
    reopen: () =>
      createGrants({
        records,
        now,
        newId,
        operationsOf: () => operations,
        languagesOf: () => [],
        conditionOf: createConditionReader('UTC'),
      }),
  }
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof KeywardError ? error.code : `not a KeywardError: ${String(error)}`),
  )
}

test('agents are added, found, listed, suspended and removed', async () => {
  const { agents, records } = createHouse()
  const { id } = await agents.add({ name: 'triage', environment: 'dev', owner: 'ada@example.test' }, 'ada')
  const other = await agents.add({ name: 'triage', environment: 'prod', owner: null }, 'ada')
  expect(agents.find('dev', 'triage')).toMatchObject({ id, record: { state: 'active', owner: 'ada@example.test' } })
  expect(agents.find('staging', 'triage')).toBeUndefined()
  expect(agents.list().map((agent) => agent.id)).toEqual([id, other.id])
  expect(agents.list('prod').map((agent) => agent.id)).toEqual([other.id])
  await agents.suspend(id, 'ada')
  expect(agents.get(id)?.state).toBe('suspended')
  await agents.resume(id, 'ada')
  expect(agents.get(id)?.state).toBe('active')
  await agents.remove(id, 'ada')
  expect(agents.get(id)).toBeUndefined()
  expect(agents.find('dev', 'triage')).toBeUndefined()
  const actions = records.log.map(({ why }) => why.action)
  expect(actions).toEqual(['agent.add', 'agent.add', 'agent.suspend', 'agent.resume', 'agent.remove'])
  for (const promise of [agents.suspend(id, 'ada'), agents.resume(id, 'ada'), agents.remove(id, 'ada')]) {
    expect(await codeOf(promise)).toBe('not_found')
  }
})

test('a name is taken once in an environment, also by two who ask at the same time', async () => {
  const { agents } = createHouse()
  const wanted = { name: 'triage', environment: 'dev', owner: null }
  const codes = await Promise.all([codeOf(agents.add(wanted, 'ada')), codeOf(agents.add(wanted, 'bob'))])
  expect(codes).toEqual(['none', 'already_exists'])
  expect(await codeOf(agents.add({ ...wanted, environment: 'nowhere' }, 'ada'))).toBe('not_found')
})

test('a name is never a path, an option or anything else that is not a plain name', async () => {
  const { agents, environments } = createHouse()
  const bad = [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    'a\\b',
    '-a',
    'a-',
    '.a',
    'a.',
    'a..b',
    'A',
    'ä',
    'a b',
    'a\n',
    'a\0',
    'x'.repeat(64),
  ]
  for (const name of bad) {
    expect(await codeOf(agents.add({ name, environment: 'dev', owner: null }, 'ada')), name).toBe('usage')
    expect(await codeOf(environments.add({ name, egress: 'deny' }, 'ada')), name).toBe('usage')
  }
  for (const name of ['a', '7', 'a.b-c_d', 'x'.repeat(63)]) {
    expect(await codeOf(agents.add({ name, environment: 'dev', owner: null }, 'ada')), name).toBe('none')
  }
  for (const owner of ['', ' a', 'a\u202eb', 'a\n', 'x'.repeat(255)]) {
    expect(await codeOf(agents.add({ name: 'owned', environment: 'dev', owner }, 'ada'))).toBe('usage')
  }
})

test('removing an agent removes its grants', async () => {
  const { agents, grants, records } = createHouse()
  const [first, second] = [
    await agents.add({ name: 'first', environment: 'dev', owner: null }, 'ada'),
    await agents.add({ name: 'second', environment: 'dev', owner: null }, 'ada'),
  ]
  await grants.add({ agentId: first.id, credentialId: 'github', ...everything }, 'ada')
  const kept = await grants.add({ agentId: second.id, credentialId: 'github', ...everything }, 'ada')
  await agents.remove(first.id, 'ada')
  expect([...records.all('grant').keys()]).toEqual([kept.id])
  expect(grants.of(first.id, 'github')).toEqual([])
  expect(grants.credentialsOf(first.id)).toEqual([])
})

test('grants are kept in step with every commit, and a restart compiles the same', async () => {
  const { agents, grants, reopen } = createHouse()
  const { id: agentId } = await agents.add({ name: 'triage', environment: 'dev', owner: null }, 'ada')
  const request = { method: 'POST', target: '/issues', operation: 'issues.create', now: 2_000 }
  const verdict = (from = grants): boolean => decide({ ...request, grants: from.of(agentId, 'github') }).allow
  expect(verdict()).toBe(false)
  const { id } = await grants.add({ agentId, credentialId: 'github', ...everything }, 'ada')
  expect(verdict()).toBe(true)
  expect(grants.of(agentId, 'github')).toBe(grants.of(agentId, 'github'))
  const deny = await grants.add({ agentId, credentialId: 'github', ...everything, deny: ['issues.create'] }, 'ada')
  expect(verdict()).toBe(false)
  expect(verdict(reopen())).toBe(false)
  expect(grants.credentialsOf(agentId)).toEqual(['github'])
  expect(grants.list({ agentId }).map((grant) => grant.id)).toEqual([id, deny.id])
  expect(grants.list({ credentialId: 'openai' })).toEqual([])
  await grants.remove(deny.id, 'ada')
  expect(verdict()).toBe(true)
  await grants.remove(id, 'ada')
  expect(verdict()).toBe(false)
  expect(await codeOf(grants.remove(id, 'ada'))).toBe('not_found')
})

test('a condition is checked when it is written, kept as it is, and another one is another revision', async () => {
  const { agents, grants, reopen } = createHouse()
  const { id: agentId } = await agents.add({ name: 'triage', environment: 'dev', owner: null }, 'ada')
  const grant = { agentId, credentialId: 'github', ...everything }
  expect(await codeOf(grants.add({ ...grant, when: 'request.body.a ==' }, 'ada'))).toBe('condition_invalid')
  expect(await codeOf(grants.add({ ...grant, when: 'x'.repeat(CONDITION_MAXIMUM_LENGTH + 1) }, 'ada'))).toBe(
    'condition_invalid',
  )
  const { id } = await grants.add({ ...grant, when: ' hour(now) >= 7\n' }, 'ada')
  expect(grants.list({ agentId })[0]?.record).toMatchObject({ when: 'hour(now) >= 7' })
  const before = grants.revisionOf(agentId, 'github')
  expect(reopen().revisionOf(agentId, 'github')).toBe(before)
  expect(reopen().of(agentId, 'github')[0]?.when).not.toBeNull()
  await grants.remove(id, 'ada')
  await grants.add({ ...grant, when: 'hour(now) >= 8' }, 'ada')
  expect(grants.revisionOf(agentId, 'github')).not.toBe(before)
})

test('a condition on record that cannot be read allows nothing, and what its grant denies stays denied', async () => {
  const { records, agents, grants } = createHouse()
  const { id: agentId } = await agents.add({ name: 'triage', environment: 'dev', owner: null }, 'ada')
  const body = { agentId, credentialId: 'github', ...everything, deny: ['DELETE /**'], when: 'of.another.release()' }
  await records.commit([{ table: 'grant', id: 'strange', body: { ...body, createdAt: 1 } }], {
    actor: 'ada',
    action: 'grant.add',
  })
  const asked = { target: '/a', operation: null, grants: grants.of(agentId, 'github'), now: 1 }
  expect(decide({ method: 'GET', ...asked })).toMatchObject({ allow: false, code: 'condition_not_met' })
  expect(decide({ method: 'DELETE', ...asked })).toMatchObject({ allow: false, code: 'operation_denied' })
})

test('a grant that asks a person is kept as such, one that does not as before, and the revision tells them apart', async () => {
  const { agents, grants, reopen } = createHouse()
  const { id: agentId } = await agents.add({ name: 'triage', environment: 'dev', owner: null }, 'ada')
  const revision = () => grants.revisionOf(agentId, 'github')
  const none = revision()
  const plain = await grants.add({ agentId, credentialId: 'github', ...everything }, 'ada')
  const one = revision()
  const asking = await grants.add({ agentId, credentialId: 'github', ...everything, approve: 'always' }, 'ada')
  const both = revision()
  const record = (id: string) => grants.list({ agentId }).find((grant) => grant.id === id)?.record
  expect(record(plain.id)).not.toHaveProperty('approve')
  expect(record(asking.id)).toMatchObject({ approve: 'always' })
  expect(
    reopen()
      .of(agentId, 'github')
      .some(({ asks }) => asks?.which === 'always'),
  ).toBe(true)
  expect(reopen().revisionOf(agentId, 'github')).toBe(both)
  expect(new Set([none, one, both]).size).toBe(3)
  await grants.remove(asking.id, 'ada')
  expect(revision()).toBe(one)
})

test('a grant never crosses environments and never hangs on nothing', async () => {
  const { agents, grants } = createHouse()
  const { id: agentId } = await agents.add({ name: 'triage', environment: 'dev', owner: null }, 'ada')
  expect(await codeOf(grants.add({ agentId, credentialId: 'live', ...everything }, 'ada'))).toBe('environment_mismatch')
  expect(await codeOf(grants.add({ agentId, credentialId: 'gone', ...everything }, 'ada'))).toBe('not_found')
  expect(await codeOf(grants.add({ agentId: 'gone', credentialId: 'github', ...everything }, 'ada'))).toBe('not_found')
  const results = await Promise.all([
    codeOf(agents.remove(agentId, 'ada')),
    codeOf(grants.add({ agentId, credentialId: 'github', ...everything }, 'ada')),
  ])
  expect(results).toEqual(['none', 'not_found'])
})

test('a grant that says nothing or something impossible is refused', async () => {
  const { agents, grants } = createHouse()
  const { id: agentId } = await agents.add({ name: 'triage', environment: 'dev', owner: null }, 'ada')
  const bad = [
    { allow: [] },
    { allow: ['GET'] },
    { deny: ['GET /a/../b'] },
    { allow: ['issue.*'] },
    { deny: ['issues.crate'] },
    { expiresAt: 1_000 },
    { expiresAt: Number.NaN },
    { limits: { concurrent: 0 } },
    { limits: { concurrent: 1.5 } },
    { limits: { rate: { count: 0, perSeconds: 60 } } },
    { limits: { rate: { count: 1, perSeconds: 61 } } },
  ]
  for (const part of bad) {
    const grant = { agentId, credentialId: 'github', ...everything, ...part }
    expect(await codeOf(grants.add(grant, 'ada')), JSON.stringify(part)).toBe('usage')
  }
  await expect(
    grants.add({ agentId, credentialId: 'openai', ...everything, allow: ['chat.*'] }, 'ada'),
  ).rejects.toThrow('chat.*')
  const good = { agentId, credentialId: 'github', ...everything, allow: ['issues.*', 'GET /b', 'GET /b'] }
  const { id } = await grants.add({ ...good, limits: { rate: { count: 60, perSeconds: 60 }, concurrent: 8 } }, 'ada')
  expect(grants.list().find((grant) => grant.id === id)?.record.allow).toEqual(['GET /b', 'issues.*'])
})

test('environments are added, set and removed, but not while in use', async () => {
  const { agents, environments } = createHouse()
  await environments.add({ name: 'lab', egress: 'open' }, 'ada')
  expect(await codeOf(environments.add({ name: 'lab', egress: 'open' }, 'ada'))).toBe('already_exists')
  expect(environments.list().map(({ name }) => name)).toEqual(['dev', 'lab', 'prod', 'staging'])
  await environments.setEgress('lab', 'deny', 'ada')
  expect(environments.find('lab')?.egress).toBe('deny')
  const { id } = await agents.add({ name: 'triage', environment: 'lab', owner: null }, 'ada')
  expect(await codeOf(environments.remove('lab', 'ada'))).toBe('still_in_use')
  expect(await codeOf(environments.remove('prod', 'ada'))).toBe('still_in_use')
  await agents.remove(id, 'ada')
  await environments.remove('lab', 'ada')
  expect(environments.find('lab')).toBeUndefined()
  expect(await codeOf(environments.remove('lab', 'ada'))).toBe('not_found')
  expect(await codeOf(environments.setEgress('lab', 'open', 'ada'))).toBe('not_found')
})

test('as many pairs stay compiled as the bound says, and the others are compiled again', async () => {
  const { records, grants } = createHouse()
  const row = { credentialId: 'openai', ...everything, createdAt: 0 }
  const rows = Array.from({ length: maximumCompiledPairs + 1 }, (_, index): Change => {
    return { table: 'grant', id: `g${index}`, body: { agentId: `a${index}`, ...row } }
  })
  await records.commit(rows, { actor: 'test', action: 'fill' })
  const first = grants.of('a0', 'openai')
  for (let index = 1; index < maximumCompiledPairs; index += 1) grants.of(`a${index}`, 'openai')
  expect(grants.of('a0', 'openai')).toBe(first)
  grants.of(`a${maximumCompiledPairs}`, 'openai')
  expect(grants.of('a0', 'openai')).not.toBe(first)
  expect(grants.of('a0', 'openai').map(({ id }) => id)).toEqual(['g0'])
})

test('whatever is added and removed, the index finds what the records hold', async () => {
  const step = fc.tuple(fc.constantFrom('add', 'remove'), fc.nat(2), fc.constantFrom('github', 'openai'))
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const { agents, grants, records } = createHouse()
      const ids: string[] = []
      for (const name of ['a', 'b', 'c'])
        ids.push((await agents.add({ name, environment: 'dev', owner: null }, 'ada')).id)
      for (const [what, who, credentialId] of steps) {
        const agentId = ids[who] ?? ''
        const last = grants.list({ agentId, credentialId }).at(-1)
        if (what === 'add') await grants.add({ agentId, credentialId, ...everything }, 'ada')
        else if (last !== undefined) await grants.remove(last.id, 'ada')
        const found = ids.flatMap((agent) =>
          grants.credentialsOf(agent).flatMap((one) => grants.of(agent, one).map(({ id }) => id)),
        )
        expect(found.toSorted()).toEqual([...records.all('grant').keys()].toSorted())
      }
    }),
    { numRuns: 50 },
  )
})

test('a pattern for calls is refused where no body is read for any', async () => {
  const { agents, grants } = createHouse()
  const { id: agentId } = await agents.add({ name: 'triage', environment: 'dev', owner: null }, 'ada')
  const give = (credentialId: string, rules: object): Promise<string> =>
    codeOf(grants.add({ ...everything, agentId, credentialId, ...rules }, 'ada'))
  expect(await give('github', { deny: ['GRAPHQL mutation *'] })).toBe('usage')
  expect(await give('github', { allow: ['RPC *'] })).toBe('usage')
  expect(await give('openai', { deny: ['RPC *'] })).toBe('usage')
  expect(await give('openai', { allow: ['GRAPHQL query *'], deny: ['GRAPHQL field secret'] })).toBe('none')
  expect(await give('openai', { allow: ['GRAPHQL field secret'] })).toBe('usage')
})
