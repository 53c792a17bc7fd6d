import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFakeRecords, fakeCredential, fakeEnvironments } from '../../../test/fakes/records.ts'
import { sampleService } from '../../vault/fixture.ts'
import type { Change } from '../../vault/records.ts'
import { known } from './fixture.ts'
import { planPolicy } from './plan.ts'
import { managedSetting } from './present.ts'
import { readPolicyFiles } from './read.ts'

const own = { ...sampleService('echo', { key: 'secret' }), operations: [{ name: 'old.list', match: 'GET /old' }] }
const agentRow: Change = {
  table: 'agent',
  id: 'a1',
  body: { name: 'triage', environment: 'dev', owner: null, state: 'suspended', createdAt: 0 },
}
const terms = { agentId: 'a1', credentialId: 'key', deny: [], limits: {}, createdAt: 1_000 }
const rows: Change[] = [
  ...fakeEnvironments(),
  { table: 'service', id: 'echo', body: { definition: own, createdAt: 0 } },
  fakeCredential('key'),
  agentRow,
  { table: 'grant', id: 'g1', body: { ...terms, allow: ['old.list'], expiresAt: 1_000 + 86_400_000 } },
  { table: 'grant', id: 'g2', body: { ...terms, allow: ['GET /x'], expiresAt: null } },
]

async function planOf(documents: readonly string[], options: { prune?: boolean; managed?: readonly string[] } = {}) {
  const managed: Change = { table: 'setting', id: managedSetting, body: { value: options.managed ?? [] } }
  const text = documents.join('\n---\n')
  const { wanted, problems } = await readPolicyFiles([{ path: 'a', text }], known, () => Promise.resolve())
  expect(problems).toEqual([])
  return planPolicy(wanted, createFakeRecords([...rows, managed]), { prune: options.prune ?? false, builtIn: known })
}

const agent = 'kind: agent\nname: triage'
const credential = 'kind: credential\nname: key\nservice: echo\nsensitivity: medium'
const grant = (more: string): string => `kind: grant\nagent: triage\ncredential: key\n${more}`
const service = (operation: string): string =>
  `kind: service\nid: echo\nname: echo\nhosts: [echo.example.test]\ninject: { kind: bearer }\noperations: [{ name: ${operation}, match: GET /old }]`

const told = ({ steps }: Awaited<ReturnType<typeof planOf>>): string[] =>
  steps.map(({ action, present }) => `${action} ${present?.rowId ?? 'new'}`)

test('the order of documents means nothing', async () => {
  const documents = [
    agent,
    credential,
    grant('allow: [old.list]\nexpires: 1d'),
    grant('allow: ["GET /y"]'),
    grant('allow: ["GET /z"]'),
    'kind: environment\nname: dev\negress: open',
  ]
  const expected = ['keep dev', 'keep key', 'keep a1', 'keep g1', 'change g2', 'create new']
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray(documents, { minLength: documents.length }), async (shuffled) => {
      expect(told(await planOf(shuffled))).toEqual(expected)
    }),
  )
})

test('a count of days is counted from when the grant was made, a state that is left open stays', async () => {
  expect(told(await planOf([grant('allow: [old.list]\nexpires: 1d'), agent]))).toEqual(['keep a1', 'keep g1'])
  const { steps } = await planOf([grant('allow: [old.list]\nexpires: 2d'), `${agent}\nowner: ada`])
  expect(steps.map(({ differences }) => differences)).toEqual([
    [{ member: 'owner', before: null, after: 'ada' }],
    [{ member: 'expires', before: '1970-01-02T00:00:01.000Z', after: '2d' }],
  ])
})

test('a credential keeps its service', async () => {
  const { problems } = await planOf([credential.replace('service: echo', 'service: store')])
  expect(problems.map(({ code }) => code)).toContain('policy_conflict')
})

test('a service that is changed must still fit the grants that no file describes', async () => {
  expect((await planOf([service('old.list')])).problems).toEqual([])
  const { problems } = await planOf([service('new.list')])
  expect(problems).toMatchObject([
    { code: 'still_in_use', message: expect.stringContaining('no operation "old.list"') },
  ])
  expect((await planOf([service('new.list'), grant('allow: [new.list]'), grant('allow: ["*"]')])).problems).toEqual([])
})

test.each([
  ['a credential without its environment', 'kind: credential\nname: x\nservice: store\nenvironment: nowhere'],
  ['a credential without its service', 'kind: credential\nname: x\nservice: nothing'],
  ['a source for a field that there is not', 'kind: credential\nname: x\nservice: store\nfrom: { pem: "@x" }'],
  ['an agent without its environment', 'kind: agent\nname: x\nenvironment: nowhere'],
  ['a grant without its agent', 'kind: grant\nagent: x\ncredential: key\nallow: ["*"]'],
  ['a grant without its credential', 'kind: grant\nagent: triage\ncredential: x\nallow: ["*"]'],
  ['a grant across environments', 'kind: grant\nagent: triage\ncredential: key\nenvironment: prod\nallow: ["*"]'],
])('%s is dangling, with its place', async (_what, document) => {
  const { problems } = await planOf([agent, document])
  expect(problems[0]).toMatchObject({ code: 'policy_dangling', place: { file: 'a', line: 4 } })
})

test('prune takes what files described, and is refused while something else needs it', async () => {
  const managed = ['agent/a1', 'credential/key', 'environment/prod', 'environment/dev']
  const plan = await planOf([], { prune: true, managed })
  expect(told(plan)).toEqual(['remove a1', 'remove key', 'remove prod', 'remove dev'])
  // Two grants need both; dev goes together with all that is in it.
  expect(plan.problems.map(({ code }) => code)).toEqual(Array.from({ length: 4 }, () => 'still_in_use'))
  const whole = await planOf([], { prune: true, managed: [...managed, 'grant/g1', 'grant/g2'] })
  expect(whole.problems).toEqual([])
  expect(whole.managed).toEqual([])
  expect((await planOf([], { prune: true, managed: ['environment/dev'] })).problems).toHaveLength(2)
  expect((await planOf([], { managed })).steps, 'without prune nothing goes').toEqual([])
})
