import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { Secret } from '../../core/secret.ts'
import { sampleService, vaultFolder } from '../../vault/fixture.ts'
import type { Change, Records } from '../../vault/records.ts'
import { policyOver } from './fixture.ts'

const home = vaultFolder('policy-round-trip')
afterAll(() => home.remove())

/** Texts that YAML reads as something else when they are not quoted. */
const troublesome = [
  'yes',
  'null',
  '1e3',
  '0x1f',
  '2030-01-01',
  '- a',
  'a: b',
  '# not',
  '*star',
  '&and',
  '!tag',
  '~',
  '"',
  "it's",
  '| x',
  '%',
  '@at',
]
const text = fc
  .oneof(fc.constantFrom(...troublesome), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }))
  .filter((one) => one === one.trim() && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(one) && one.isWellFormed())
const name = fc.stringMatching(/^[a-z0-9](?:[a-z0-9_-]{0,8}[a-z0-9])?$/)
const owner = fc.option(text)
const state = fc.constantFrom('active', 'suspended')
const pattern = fc.oneof(
  fc.constant('*'),
  fc
    .tuple(
      fc.constantFrom('GET', '*', 'DELETE'),
      fc.array(fc.constantFrom('a', '{x}', 'b-c'), { minLength: 1, maxLength: 3 }),
    )
    .map(([method, parts]) => `${method} /${parts.join('/')}`),
)
const patterns = (minLength: number) =>
  fc.uniqueArray(pattern, { minLength, maxLength: 4 }).map((list) => list.toSorted())
const perSeconds = fc.constantFrom(1, 60, 3_600, 86_400)
const limits = fc.record(
  {
    rate: fc.record({ count: fc.integer({ min: 1, max: 1_000_000 }), perSeconds }),
    concurrent: fc.integer({ min: 1, max: 100_000 }),
  },
  { requiredKeys: [] },
)
const expiresAt = fc.option(fc.integer({ min: 1, max: 4_000_000_000_000 }))
const services = fc.uniqueArray(
  fc.record({
    id: name.filter((one) => /^[a-z][a-z0-9-]*$/.test(one)),
    name: text,
    variables: fc.constantFrom(
      { fields: {} },
      { fields: { key: ['A_KEY', 'B_KEY'] } },
      { fields: { key: ['A_KEY'] }, baseUrl: ['A_URL'], basePath: '/v1' },
    ),
    encodedSlash: fc.boolean(),
    sealed: patterns(0).map((list) => list.filter((one) => one !== '*')),
  }),
  { maxLength: 3, selector: ({ id }) => id },
)
const states = fc.record({
  environments: fc.uniqueArray(fc.record({ name, egress: fc.constantFrom('open', 'deny') }), {
    maxLength: 3,
    selector: (one) => one.name,
  }),
  services,
  things: fc.uniqueArray(
    fc.record({
      name,
      owner,
      state,
      sensitivity: fc.constantFrom('high', 'medium', 'low'),
      place: fc.nat(),
      to: fc.nat(),
    }),
    {
      maxLength: 5,
      selector: (one) => one.name,
    },
  ),
  grants: fc.array(
    fc.record(
      {
        agent: fc.nat(),
        credential: fc.nat(),
        allow: patterns(1),
        deny: patterns(0),
        limits,
        when: fc.constantFrom('true', 'hour(now) >= 7 && request.body.model in ["a"]', 'request.method == "it\'s"'),
        approve: fc.constantFrom('destructive', 'always'),
        expiresAt,
      },
      { requiredKeys: ['agent', 'credential', 'allow', 'deny', 'limits', 'expiresAt'] },
    ),
    { maxLength: 6 },
  ),
})

function rowsOf(drawn: typeof states extends fc.Arbitrary<infer T> ? T : never): Change[] {
  const builtIn = new Set(['dev', 'staging', 'prod', 'store', 'cloud'])
  const environments = drawn.environments.filter((one) => !builtIn.has(one.name))
  const own = drawn.services.filter(({ id }) => !builtIn.has(id))
  const places = ['dev', 'prod', ...environments.map((one) => one.name)]
  const opens = ['store', ...own.map(({ id }) => id)]
  const pick = <T>(list: readonly T[], at: number): T | undefined => list[at % Math.max(1, list.length)]
  const rows: Change[] = environments.map((body) => ({
    table: 'environment',
    id: body.name,
    body: { ...body, createdAt: 1 },
  }))
  for (const one of own) {
    const definition = { ...sampleService(one.id, { key: 'secret' }), ...one, source: 'a service file of the operator' }
    rows.push({ table: 'service', id: one.id, body: { definition, createdAt: 1 } })
  }
  for (const { name: called, owner: whose, state: standing, sensitivity, place, to } of drawn.things) {
    const environment = pick(places, place) ?? 'dev'
    const common = { name: called, environment, owner: whose, state: standing, createdAt: 1 } as const
    rows.push({ table: 'agent', id: `agent-${called}`, body: common })
    rows.push({
      table: 'credential',
      id: `credential-${called}`,
      body: { ...common, sensitivity, service: pick(opens, to) ?? 'store' },
    })
  }
  for (const [index, { agent, credential, ...terms }] of drawn.grants.entries()) {
    const from = pick(drawn.things, agent)
    const near = drawn.things.filter(
      (one) => from !== undefined && pick(places, one.place) === pick(places, from.place),
    )
    const to = pick(near, credential)
    if (from === undefined || to === undefined) continue
    const body = { ...terms, agentId: `agent-${from.name}`, credentialId: `credential-${to.name}`, createdAt: 1 }
    rows.push({ table: 'grant', id: `grant-${index}`, body })
  }
  return rows
}

/** What a home holds, without the ids and times at which it came. */
function meaningOf(records: Records): unknown {
  const bare = (record: { createdAt: number }): string => JSON.stringify({ ...record, createdAt: 0 })
  const grants = [...records.all('grant').values()].map(({ agentId, credentialId, ...terms }) => {
    const [agent, credential] = [records.get('agent', agentId), records.get('credential', credentialId)]
    return JSON.stringify([
      agent?.environment,
      agent?.name,
      credential?.environment,
      credential?.name,
      { ...terms, createdAt: 0 },
    ])
  })
  return [
    ...(['environment', 'service', 'credential', 'agent'] as const).map((table) =>
      [...records.all(table).values()].map(bare).toSorted(),
    ),
    [...new Set(grants)].toSorted(),
  ]
}

test(
  'export, apply to an empty home, export: the same bytes; and applying it where it came from changes nothing',
  { timeout: 60_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(states, async (drawn) => {
        const [from, to] = [await home.create(), await home.create()]
        try {
          await from.records.commit(rowsOf(drawn), { actor: 'ada', action: 'draw' })
          const [first, second] = [policyOver(from, home).policyFiles, policyOver(to, home).policyFiles]
          const wish = { files: [{ path: '-', text: await first.export() }], prune: false }
          const here = await first.plan(wish)
          expect(here.problems).toEqual([])
          expect(here.steps.filter(({ action }) => action !== 'keep')).toEqual([])
          const plan = await second.plan(wish)
          expect(plan.problems).toEqual([])
          await second.apply({ ...wish, digest: plan.digest, values: {} }, 'ada')
          expect(await second.export()).toBe(await first.export())
          // Not only what an export says: it could leave something out on both sides.
          expect(meaningOf(to.records)).toEqual(meaningOf(from.records))
          expect(plan.pending).toHaveLength(from.records.all('credential').size)
        } finally {
          await from.records.close()
          await to.records.close()
        }
      }),
      { numRuns: 40 },
    )
  },
)

test('no secret, no fingerprint and no sealed byte is in an export', async () => {
  const opened = await home.create()
  const { credentials, policyFiles } = policyOver(opened, home)
  const value = Buffer.from(home.random(20)).toString('hex')
  const fields = { key: Secret.fromText('key', value), account: Secret.fromText('account', 'acme') }
  await credentials.add(
    { name: 'key', environment: 'dev', service: 'cloud', owner: null, sensitivity: 'high', fields },
    'ada',
  )
  const exported = await policyFiles.export()
  expect(exported).toContain('name: key')
  const [version] = opened.records.all('version').values()
  for (const hidden of [value, version?.fingerprints['key'], version?.sealedFields['key'], version?.wrappedKey])
    expect(exported).not.toContain(hidden)
})
