import { afterAll, expect, test } from 'vitest'
import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import { vaultFolder } from '../../vault/fixture.ts'
import { maximumPolicyChanges } from './changes.ts'
import { policyOver } from './fixture.ts'

const home = vaultFolder('policy-files')
afterAll(() => home.remove())

async function start() {
  const opened = await home.create()
  const over = policyOver(opened, home)
  const { policyFiles } = over
  async function run(text: string, options: { prune?: boolean; values?: Record<string, string> } = {}) {
    const wish = { files: [{ path: 'a.yaml', text }], prune: options.prune ?? false }
    const values = Object.fromEntries(
      Object.entries(options.values ?? {}).map(([name, value]) => [name, { key: Secret.fromText('key', value) }]),
    )
    return policyFiles.apply({ ...wish, digest: (await policyFiles.plan(wish)).digest, values }, 'ada')
  }
  return { ...opened, ...over, run }
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof KeywardError ? error.code : String(error)),
  )
}

const fresh = (): string => Buffer.from(home.random(20)).toString('hex')
const agent = (name: string, more = ''): string => `kind: agent\nname: ${name}\n${more}`
const credential = (name: string, more = ''): string => `kind: credential\nname: ${name}\nservice: store\n${more}`
const grant = (name: string, to: string, more = 'allow: ["*"]\n'): string =>
  `kind: grant\nagent: ${name}\ncredential: ${to}\n${more}`
const all = (...documents: string[]): string => documents.join('---\n')

test('one commit makes everything, with the values from where the documents say; applying again changes nothing', async () => {
  const { records, anchor, credentials, run, policyFiles } = await start()
  const text = all(
    agent('triage', 'environment: qa\n'),
    grant('triage', 'key', 'environment: qa\nallow: [things.list]\nexpires: 30d\n'),
    credential('key', 'environment: qa\nfrom: { key: env:STORE_KEY }\n'),
    'kind: environment\nname: qa\n',
  )
  const value = fresh()
  const before = records.epoch
  await run(text, { values: { 'qa/key': value } })
  expect(records.epoch).toBe(before + 1)
  expect(anchor.entries.filter(({ kind }) => kind === 'intent')).toHaveLength(1)
  const id = credentials.find('qa', 'key')?.id ?? ''
  const held = credentials.current(id).fields['key']
  expect(held instanceof Secret && held.revealText()).toBe(value)
  const [made] = records.all('grant').values()
  expect(made?.expiresAt).toBe((made?.createdAt ?? 0) + 30 * 86_400_000)

  const again = await run(text)
  expect(again.steps.map(({ action }) => action)).toEqual(['keep', 'keep', 'keep', 'keep'])
  expect(records.epoch).toBe(before + 1)
  expect(await policyFiles.export()).not.toContain(value)
})

test('a value that is not brought along stops everything', async () => {
  const { records, run } = await start()
  const epoch = records.epoch
  expect(await codeOf(run(all(agent('one'), credential('key', 'from: { key: env:STORE_KEY }\n'))))).toBe(
    'value_missing',
  )
  expect(records.epoch).toBe(epoch)
  expect(records.all('agent').size).toBe(0)
})

test('a credential without a source is made without a value, which is told every time', async () => {
  const { credentials, run } = await start()
  expect((await run(credential('key'))).pending).toEqual(['dev/key'])
  expect((await run(credential('key'))).pending).toEqual(['dev/key'])
  const id = credentials.find('dev', 'key')?.id ?? ''
  expect(() => credentials.current(id)).toThrow(/no current version/)
  await credentials.set(id, { key: Secret.fromText('key', fresh()) }, 'ada')
  expect((await run(credential('key'))).pending).toEqual([])
})

test('files never replace a value that is there', async () => {
  const { credentials, run } = await start()
  const text = credential('key', 'from: { key: env:STORE_KEY }\n')
  await run(text, { values: { 'dev/key': fresh() } })
  const plan = await run(text, { values: { 'dev/key': fresh() } })
  expect(plan.steps.map(({ action }) => action)).toEqual(['keep'])
  expect(credentials.list()[0]?.version).toBe(1)
})

test('one secret for two environments is refused, within one run too', async () => {
  const { records, run } = await start()
  const text = all(
    credential('key', 'from: { key: env:A }\n'),
    credential('key', 'environment: prod\nfrom: { key: env:A }\n'),
  )
  const value = fresh()
  expect(await codeOf(run(text, { values: { 'dev/key': value, 'prod/key': value } }))).toBe('secret_reused')
  expect(records.all('credential').size).toBe(0)
})

test('a plan that is not what was shown any more is refused', async () => {
  const { records, policyFiles, run } = await start()
  await run(all(agent('one'), agent('two')))
  const wish = { files: [{ path: 'a.yaml', text: agent('one', 'owner: ada@example.test\n') }], prune: true }
  const { digest } = await policyFiles.plan(wish)
  await run(all(agent('one', 'owner: eve@example.test\n'), agent('two')))
  expect(await codeOf(policyFiles.apply({ ...wish, digest, values: {} }, 'ada'))).toBe('plan_stale')
  expect([...records.all('agent').values()].map(({ owner }) => owner)).toEqual(['eve@example.test', null])
})

test('of two runs at once with the same plan one is done, and what the other showed is stale', async () => {
  const { policyFiles, records } = await start()
  const wish = { files: [{ path: 'a.yaml', text: agent('one') }], prune: false }
  const { digest } = await policyFiles.plan(wish)
  const both = [1, 2].map(() => codeOf(policyFiles.apply({ ...wish, digest, values: {} }, 'ada')))
  expect(await Promise.all(both)).toEqual(['none', 'plan_stale'])
  expect(records.all('agent').size).toBe(1)
})

test('prune removes what files described once; what was made by hand stays', async () => {
  const { records, run, credentials } = await start()
  await run(all(agent('one'), agent('two'), credential('key', 'from: { key: env:A }\n'), grant('one', 'key')), {
    values: { 'dev/key': fresh() },
  })
  await credentials.add(
    {
      name: 'own',
      environment: 'dev',
      service: 'store',
      owner: null,
      sensitivity: 'low',
      fields: { key: Secret.fromText('key', fresh()) },
    },
    'ada',
  )
  await run(agent('one'))
  expect(records.all('agent').size, 'without --prune nothing goes').toBe(2)
  const plan = await run(agent('one'), { prune: true })
  expect(plan.steps.map((step) => `${step.action} ${(step.wanted ?? step.present).key}`)).toEqual([
    'keep dev/one',
    'remove dev/one/key',
    'remove dev/two',
    'remove dev/key',
  ])
  expect(plan.steps.at(-1)?.differences, 'what a credential takes with it is said').toEqual([
    { member: 'versions', before: 1, after: null },
  ])
  expect([...records.all('credential').values()].map(({ name }) => name)).toEqual(['own'])
  expect(records.all('version').size).toBe(1)
})

test('what something outside of the files still needs is not pruned', async () => {
  const { records, run } = await start()
  await run(all(agent('one'), credential('key')))
  const find = (table: 'agent' | 'credential'): string => [...records.all(table).keys()][0] ?? ''
  const body = {
    agentId: find('agent'),
    credentialId: find('credential'),
    allow: ['*'],
    deny: [],
    limits: {},
    expiresAt: null,
    createdAt: 1,
  }
  await records.commit([{ table: 'grant', id: 'byhand', body }], { actor: 'ada', action: 'grant.add' })
  expect(await codeOf(run('', { prune: true }))).toBe('still_in_use')
  expect(records.all('credential').size).toBe(1)
  expect(records.all('agent').size).toBe(1)
})

test('more rows than one entry of the journal can name are refused, and nothing is done', async () => {
  const { records, run } = await start()
  for (const generation of [1, 2]) {
    const agents = Array.from({ length: maximumPolicyChanges / 2 + 1 }, (_, index) => agent(`g${generation}-${index}`))
    const ran = codeOf(run(all(...agents), { prune: true }))
    expect(await ran).toBe(generation === 1 ? 'none' : 'policy_too_large')
  }
  expect([...records.all('agent').values()].every(({ name }) => name.startsWith('g1-'))).toBe(true)
})
