import { createFakeRecords, fakeEnvironments } from '../test/fakes/records.ts'
import { decide, operationOf } from '../src/core/policy.ts'
import type { GrantRecord } from '../src/core/records.ts'
import { createConditionReader } from '../src/identity/condition-reader.ts'
import { createGrants } from '../src/identity/grants.ts'
import type { Grants } from '../src/identity/grants.ts'
import type { Change } from '../src/vault/records.ts'

/**
 * What one decision costs with ten grants in the system and with 100,000, in turns within one run.
 * `same`: the same ten agents call in both, as they do within any second; `all`: every agent in turn,
 * so that the large system is also read from memory that no cache holds. Prints nanoseconds of CPU
 * time and exits with 1 when `same` grows by more than a tenth. Run: `node bench/policy.ts`.
 */
const rounds = 21
const decisionsPerRound = 200_000
const largestRatio = 1.1

const operations = [
  { name: 'issues.list', match: 'GET /repos/{owner}/{repo}/issues' },
  { name: 'issues.create', match: 'POST /repos/{owner}/{repo}/issues' },
  { name: 'pulls.list', match: 'GET /repos/{owner}/{repo}/pulls' },
  { name: 'contents.get', match: 'GET /repos/{owner}/{repo}/contents/**' },
]

function agentOf(index: number): number {
  return Math.floor(index / 10)
}

/** Ten grants for each agent, and no two agents with the same rules. */
function createWorld(grantCount: number): Grants {
  const body = (index: number): GrantRecord => ({
    agentId: `agent-${agentOf(index)}`,
    credentialId: `credential-${index % 10}`,
    allow: [`GET /repos/{owner}/site-${agentOf(index)}/**`, 'issues.*'],
    deny: [`* /repos/{owner}/site-${agentOf(index)}/actions/secrets/**`],
    limits: {},
    expiresAt: null,
    createdAt: 0,
  })
  const rows = Array.from({ length: grantCount }, (_, index): Change => ({
    table: 'grant',
    id: `grant-${index}`,
    body: body(index),
  }))
  const records = createFakeRecords([...fakeEnvironments(), ...rows])
  let serial = 0
  const grants = createGrants({
    records,
    now: Date.now,
    newId: () => `id-${(serial += 1)}`,
    operationsOf: () => operations,
    languagesOf: () => [],
    conditionOf: createConditionReader('UTC'),
  })
  return grants
}

/** Nanoseconds of CPU time for one decision: found, named, decided. */
function measure(grants: Grants, pairs: readonly (readonly [string, string])[]): number {
  const before = process.cpuUsage()
  let allowed = 0
  for (let count = 0; count < decisionsPerRound; count += 1) {
    const [agentId, credentialId] = pairs[count % pairs.length] ?? ['', '']
    const operation = operationOf(operations, 'GET', '/repos/acme/site/issues')
    const target = '/repos/acme/site/issues?state=open'
    const decision = decide({ method: 'GET', target, operation, grants: grants.of(agentId, credentialId), now: 1 })
    if (decision.allow) allowed += 1
  }
  if (allowed !== decisionsPerRound) throw new Error('every request of this bench is allowed')
  const { user, system } = process.cpuUsage(before)
  return ((user + system) * 1000) / decisionsPerRound
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0
}

const few = createWorld(10)
const before = { at: performance.now(), bytes: process.memoryUsage().rss }
const many = createWorld(100_000)
const filled = { took: performance.now() - before.at, bytes: process.memoryUsage().rss - before.bytes }
const fewPairs = Array.from({ length: 10 }, (_, index) => ['agent-0', `credential-${index}`] as const)
const allPairs = Array.from(
  { length: 100_000 },
  (_, index) => [`agent-${(index * 7919) % 10_000}`, `credential-${index % 10}`] as const,
)

const results = { few: [] as number[], same: [] as number[], all: [] as number[] }
for (let round = 0; round < rounds; round += 1) {
  results.few.push(measure(few, fewPairs))
  results.same.push(measure(many, fewPairs))
  results.all.push(measure(many, allPairs))
}
const [fewCost, sameCost, allCost] = [median(results.few), median(results.same), median(results.all)]
const ratios = results.same.map((cost, round) => cost / (results.few[round] ?? cost))
const ratio = median(ratios)
console.log(`10 grants              ${fewCost.toFixed(0)} ns a decision`)
console.log(`100,000 grants, same   ${sameCost.toFixed(0)} ns a decision, ${ratio.toFixed(2)} times that of ten`)
console.log(
  `100,000 grants, all    ${allCost.toFixed(0)} ns a decision, +${((allCost - fewCost) / 1000).toFixed(2)} µs`,
)
console.log(
  `100,000 grants         ${(filled.took / 1000).toFixed(1)} s to make and index, ${Math.round(filled.bytes / 1_048_576)} MB with their records`,
)
process.exitCode = ratio <= largestRatio ? 0 : 1
