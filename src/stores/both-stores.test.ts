import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPostgres, withoutPostgres } from '../../test/postgres-server.ts'
import type { PostgresServer } from '../../test/postgres-server.ts'
import { KeywardError } from '../core/errors.ts'
import { readPostgresUrl } from './postgres-address.ts'
import { openPostgresStore } from './postgres.ts'
import { openSqliteStore } from './sqlite.ts'
import { storeSchema } from './store.ts'
import type { Store, StoreBatch } from './store.ts'

const RUNS = 40

/** Any text that can be written down: a lone half of a pair has no UTF-8. */
const text = fc.oneof(
  fc.constantFrom('', 'a', 'A', '\0', '%', "'", 'ü', '🔑'),
  fc.string({ unit: 'binary', maxLength: 60 }),
)
const table = fc.oneof({ weight: 5, arbitrary: fc.constantFrom('a', 'b') }, { weight: 1, arbitrary: text })
const place = fc.record({ table, id: text })
const row = fc.record({
  table,
  id: text,
  seq: fc.maxSafeNat(),
  body: fc.oneof(text, fc.string({ unit: 'binary', maxLength: 5_000 })),
  mac: fc.uint8Array({ minLength: 32, maxLength: 32 }),
})
const keyOf = (one: { readonly table: string; readonly id: string }): string => JSON.stringify([one.table, one.id])

const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      /** Added to the epoch that is right. */
      offset: fc.oneof(
        { weight: 4, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: -2, max: 2 }) },
      ),
      put: fc.uniqueArray(row, { selector: keyOf, maxLength: 8 }),
      remove: fc.uniqueArray(place, { selector: keyOf, maxLength: 4 }),
      /** Rows written before that are removed or replaced, by their order. */
      again: fc.array(fc.nat({ max: 20 }), { maxLength: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('initialise' as const),
      storeId: fc.uuid(),
      content: fc.option(fc.record({ epoch: fc.nat(), rows: fc.uniqueArray(row, { selector: keyOf, maxLength: 8 }) }), {
        nil: undefined,
      }),
    }),
  },
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

/** What can be known of a store, in an order of its own. */
async function stateOf(store: Store): Promise<unknown> {
  const rows = await store.load()
  return {
    identity: await store.identity(),
    epoch: await store.epoch(),
    rows: rows.map(({ mac, ...rest }) => JSON.stringify({ ...rest, mac: Buffer.from(mac).toString('hex') })).toSorted(),
  }
}

async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'done'
  } catch (error) {
    if (error instanceof KeywardError) return error.code
    throw error
  }
}

/** Every outcome and every state between the operations. */
async function play(open: () => Promise<Store>, operations: readonly Operation[]): Promise<unknown[]> {
  const seen: unknown[] = []
  let store = await open()
  try {
    const written: { table: string; id: string }[] = []
    for (const one of operations) {
      if (one.kind === 'reopen') {
        await store.close()
        store = await open()
      } else if (one.kind === 'initialise') {
        seen.push(await outcomeOf(store.initialise({ storeId: one.storeId, schema: storeSchema }, one.content)))
      } else {
        const chosen = one.again.flatMap((at) => written[at] ?? [])
        const put = [...one.put]
        for (const { table: of, id } of chosen.slice(0, 2))
          if (!put.some((each) => keyOf(each) === keyOf({ table: of, id })))
            put.push({ table: of, id, seq: 7, body: 'again', mac: new Uint8Array(32).fill(7) })
        const remove = [...one.remove, ...chosen.slice(2)]
        const batch: StoreBatch = { expectedEpoch: (await store.epoch()) + one.offset, put, remove }
        const outcome = await outcomeOf(store.commit(batch))
        if (outcome === 'done') written.push(...put)
        seen.push(outcome)
      }
      seen.push(await stateOf(store))
    }
  } finally {
    await store.close()
  }
  return seen
}

describe.skipIf(withoutPostgres)('SQLite and PostgreSQL', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-both-'))
  let server: PostgresServer
  let files = 0
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(async () => {
    rmSync(folder, { recursive: true })
    await server.close()
  })

  test('the same operations give the same answers', async () => {
    const outcomes = new Set<unknown>()
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 12 }), fc.boolean(), async (drawn, early) => {
        const first: Operation = { kind: 'initialise', storeId: 'drawn', content: undefined }
        const operations: Operation[] = early ? drawn : [first, ...drawn]
        files += 1
        const path = join(folder, `${files}.db`)
        const url = readPostgresUrl(await server.database())
        const [sqlite, postgres] = [
          await play(() => openSqliteStore(path), operations),
          await play(() => openPostgresStore(url, 'drawn'), operations),
        ]
        for (const one of sqlite) if (typeof one === 'string') outcomes.add(one)
        expect(postgres).toEqual(sqlite)
      }),
      { numRuns: RUNS },
    )
    // What was drawn has tried both ways that a commit can go.
    expect([...outcomes].toSorted()).toEqual(['done', 'store_conflict'])
  })
})
