import assert from 'node:assert/strict'
import { KeywardError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import { oldestStoreSchema, storeSchema } from './store.ts'
import type { Store, StoreBatch, StoredRow } from './store.ts'

/** What the suite needs of a driver. A place is whatever the driver opens: a path, an address. */
export interface StoreHarness {
  /** A place where nothing is yet. */
  place(): Promise<string>
  open(place: string): Promise<Store>
  /** Puts something that is not Keyward's into an empty place. */
  occupy(place: string): Promise<void>
  /** Changes the schema in the marker of a closed store. */
  setSchema(place: string, schema: number): Promise<void>
}

export interface StoreCase {
  readonly name: string
  run(harness: StoreHarness): Promise<void>
}

const identity = { storeId: 'store-of-the-suite', schema: storeSchema }
const oddIds = [
  ' ',
  "a'b",
  '%',
  '_',
  'A',
  'a',
  '1',
  '01',
  'a/b',
  'ünïcode',
  'ｆｕｌｌ',
  '🔑',
  'line\nbreak',
  'nul\u0000inside',
  'x'.repeat(4000),
]
const oddBodies = [
  '',
  '{}',
  '"\\u0000"',
  'nul\u0000inside',
  '\u2028',
  'ünï🔑',
  '\r\n',
  '  spaces  ',
  '0',
  'NULL',
  "';--",
  'x'.repeat(3_000_000),
]

/** What every store must do. Each case takes a place of its own and throws where the store fails it. */
export const storeCases: readonly StoreCase[] = [
  {
    name: 'an empty place has no identity and no rows, until it is initialised, once',
    async run(harness) {
      const place = await harness.place()
      await using(harness, place, async (store) => {
        assert.equal(await store.identity(), null)
        assert.deepEqual(await store.load(), [])
        await store.initialise(identity)
        assert.deepEqual(await store.identity(), identity)
        assert.deepEqual(await store.load(), [])
        await refuses('store_conflict', store.initialise({ ...identity, storeId: 'another' }))
        assert.deepEqual(await store.identity(), identity)
      })
      await using(harness, place, async (store) => {
        assert.deepEqual(await store.identity(), identity)
        await refuses('store_conflict', store.initialise(identity))
      })
    },
  },
  {
    name: 'an empty place is initialised as the store that held these rows, at their epoch, once',
    async run(harness) {
      const place = await harness.place()
      const rows = [...oddIds.map((id) => row('a', id, 7)), row('b', 'earlier', 2), row('c', 'large', 5)]
      const [first, ...rest] = rows
      assert.ok(first)
      await using(harness, place, async (store) => {
        await store.initialise(identity, { epoch: 7, rows })
        assert.deepEqual(await store.identity(), identity)
        assert.equal(await store.epoch(), 7)
        await holds(store, rows)
        assert.equal((await store.changesSince(5)).length, oddIds.length)
        await refuses('store_conflict', store.initialise(identity, { epoch: 9, rows: [row('d', 'other', 9)] }))
        await holds(store, rows)
      })
      await using(harness, place, async (store) => {
        assert.equal(await store.epoch(), 7)
        await holds(store, rows)
        await refuses('store_conflict', store.commit(batch(0, [row('a', 'late', 1)])))
        await store.commit(batch(7, [row('a', 'next', 8)], [first]))
        await holds(store, [...rest, row('a', 'next', 8)])
      })
    },
  },
  {
    name: 'a content that breaks half-way leaves the place empty',
    async run(harness) {
      const place = await harness.place()
      const rows = [row('a', '1', 3), brokenRow(3), row('a', '6', 3)]
      await using(harness, place, async (store) => {
        await assert.rejects(async () => store.initialise(identity, { epoch: 3, rows }))
        assert.equal(await store.identity(), null)
        assert.deepEqual(await store.load(), [])
      })
      await using(harness, place, async (store) => {
        assert.equal(await store.identity(), null)
        await store.initialise(identity, { epoch: 4, rows: [row('a', '1', 4)] })
        await holds(store, [row('a', '1', 4)])
      })
    },
  },
  {
    name: 'what is written is read, at once and after reopening',
    async run(harness) {
      const place = await harness.place()
      const rows = [row('a', '1', 1), row('a', '2', 1), row('b', '1', 1)]
      await started(harness, place, async (store) => {
        assert.equal(await store.epoch(), 0)
        await store.commit(batch(0, rows))
        await holds(store, rows)
        assert.equal(await store.epoch(), 1)
      })
      await using(harness, place, async (store) => {
        await holds(store, rows)
        assert.equal(await store.epoch(), 1)
      })
    },
  },
  {
    name: 'a row is replaced and removed, and removing what is not there is no fault',
    async run(harness) {
      const place = await harness.place()
      const replaced = { ...row('a', '1', 2), body: '{"new":true}' }
      await started(harness, place, async (store) => {
        await store.commit(batch(0, [row('a', '1', 1), row('a', '2', 1), row('b', '2', 1)]))
        await store.commit(
          batch(
            1,
            [replaced],
            [
              { table: 'a', id: '2' },
              { table: 'a', id: 'never' },
            ],
          ),
        )
        await holds(store, [replaced, row('b', '2', 1)])
      })
      await using(harness, place, (store) => holds(store, [replaced, row('b', '2', 1)]))
    },
  },
  {
    name: 'a commit at another epoch conflicts and changes nothing',
    async run(harness) {
      const place = await harness.place()
      const rows = [row('a', '1', 1), row('a', '2', 1)]
      await started(harness, place, async (store) => {
        await store.commit(batch(0, rows))
        for (const wrong of [0, 2, 7]) {
          const change = batch(wrong, [row('a', '1', 9), row('c', 'new', 9)], [{ table: 'a', id: '2' }])
          await refuses('store_conflict', store.commit(change))
          await holds(store, rows)
        }
        await store.commit(batch(1, [row('a', '3', 2)]))
        await holds(store, [...rows, row('a', '3', 2)])
      })
      await using(harness, place, async (store) => {
        await refuses('store_conflict', store.commit(batch(1, [row('a', '4', 2)])))
        await store.commit(batch(2, [row('a', '4', 3)]))
      })
    },
  },
  {
    name: 'of two commits at one epoch, one is made and one conflicts',
    async run(harness) {
      await started(harness, await harness.place(), async (store) => {
        const both = [store.commit(batch(0, [row('a', '1', 1)])), store.commit(batch(0, [row('a', '2', 1)]))]
        const made = (await Promise.allSettled(both)).filter(({ status }) => status === 'fulfilled')
        assert.equal(made.length, 1)
        assert.equal((await store.load()).length, 1)
      })
    },
  },
  {
    name: 'a batch that breaks half-way changes nothing, and the store goes on',
    async run(harness) {
      const place = await harness.place()
      const kept = [row('a', '1', 1), row('a', '2', 1)]
      await started(harness, place, async (store) => {
        await store.commit(batch(0, kept))
        const change = batch(
          1,
          [row('a', '1', 2), row('a', '4', 2), brokenRow(2), row('a', '6', 2)],
          [{ table: 'a', id: '2' }],
        )
        await assert.rejects(async () => store.commit(change))
        await holds(store, kept)
        await store.commit(batch(1, [row('a', '7', 2)]))
      })
      await using(harness, place, (store) => holds(store, [...kept, row('a', '7', 2)]))
    },
  },
  {
    name: 'an empty batch moves the epoch',
    async run(harness) {
      await started(harness, await harness.place(), async (store) => {
        await store.commit(batch(0, []))
        await refuses('store_conflict', store.commit(batch(0, [])))
        await store.commit(batch(1, []))
      })
    },
  },
  {
    name: 'odd ids stay apart and come back as they were',
    async run(harness) {
      const place = await harness.place()
      const rows = oddIds.map((id) => row('a', id, 1))
      await started(harness, place, async (store) => {
        await store.commit(batch(0, rows))
        await holds(store, rows)
      })
      const [first, ...rest] = rows
      assert.ok(first)
      await using(harness, place, async (store) => {
        await holds(store, rows)
        await store.commit(
          batch(
            1,
            [],
            rest.map(({ id }) => ({ table: 'a', id })),
          ),
        )
        await holds(store, [first])
      })
    },
  },
  {
    name: 'odd and large bodies come back as they were',
    async run(harness) {
      const place = await harness.place()
      const rows = oddBodies.map((body, index) => ({ ...row('a', `${index}`, 1), body }))
      await started(harness, place, (store) => store.commit(batch(0, rows)))
      await using(harness, place, (store) => holds(store, rows))
    },
  },
  {
    name: 'every byte of a MAC and every sequence comes back, and is the store’s own copy',
    async run(harness) {
      const place = await harness.place()
      const all = Uint8Array.from({ length: 256 }, (_, index) => index)
      const rows = [0, 32, 64, 96, 128, 160, 192, 224].map((at) => ({
        ...row('a', `${at}`, Number.MAX_SAFE_INTEGER - at),
        mac: all.slice(at, at + 32),
      }))
      await started(harness, place, async (store) => {
        const given = rows.map((each) => ({ ...each, mac: Uint8Array.from(each.mac) }))
        await store.commit(batch(0, given))
        for (const { mac } of given) mac.fill(7)
        await holds(store, rows)
      })
      await using(harness, place, (store) => holds(store, rows))
    },
  },
  {
    name: 'many rows in one batch',
    async run(harness) {
      const place = await harness.place()
      const rows = Array.from({ length: 3000 }, (_, index) => row(`t${index % 7}`, `${index}`, 1))
      await started(harness, place, (store) => store.commit(batch(0, rows)))
      await using(harness, place, (store) => holds(store, rows))
    },
  },
  {
    name: 'changes are the rows written after an epoch, each as it is now',
    async run(harness) {
      const place = await harness.place()
      const [one, two, three] = [row('a', '1', 1), row('a', '2', 2), row('b', '1', 3)]
      const again = { ...row('a', '1', 3), body: '{"again":true}' }
      await started(harness, place, async (store) => {
        assert.deepEqual(await store.changesSince(0), [])
        await store.commit(batch(0, [one]))
        await store.commit(batch(1, [two]))
        assert.deepEqual((await store.changesSince(1)).map(comparable), [two].map(comparable))
        await store.commit(batch(2, [again, three], [two]))
        const changed = (await store.changesSince(1)).map(comparable).toSorted()
        assert.deepEqual(changed, [again, three].map(comparable).toSorted())
        assert.deepEqual(await store.changesSince(3), [])
      })
      await using(harness, place, async (store) => assert.equal((await store.changesSince(2)).length, 2))
    },
  },
  {
    name: 'a place that holds something else is refused and left alone',
    async run(harness) {
      const place = await harness.place()
      await harness.occupy(place)
      for (const attempt of [1, 2]) {
        await refuses('store_foreign', identify(harness, place), `attempt ${attempt}`)
      }
    },
  },
  {
    name: 'a store of a later schema is refused, and opens again when the schema is back',
    async run(harness) {
      const place = await harness.place()
      await started(harness, place, (store) => store.commit(batch(0, [row('a', '1', 1)])))
      await harness.setSchema(place, storeSchema + 1)
      await refuses('store_newer', identify(harness, place))
      await harness.setSchema(place, oldestStoreSchema - 1)
      await refuses('store_older', identify(harness, place))
      await harness.setSchema(place, storeSchema)
      await using(harness, place, (store) => holds(store, [row('a', '1', 1)]))
    },
  },
  {
    name: 'a commit raises the schema, with its rows or not at all',
    async run(harness) {
      const place = await harness.place()
      const former = { ...identity, schema: oldestStoreSchema }
      await using(harness, place, async (store) => {
        await store.initialise(former)
        await store.commit(batch(0, [row('a', '1', 1)]))
        const raising = { ...batch(7, [row('a', '2', 8)]), schema: storeSchema }
        await refuses('store_conflict', store.commit(raising))
        assert.deepEqual(await store.identity(), former)
        await store.commit({ ...batch(1, [row('a', '2', 2)]), schema: storeSchema })
        assert.deepEqual(await store.identity(), identity)
        await store.commit(batch(2, [row('a', '3', 3)]))
      })
      await using(harness, place, async (store) => {
        assert.deepEqual(await store.identity(), identity)
        await holds(store, [row('a', '1', 1), row('a', '2', 2), row('a', '3', 3)])
      })
    },
  },
]

async function using(harness: StoreHarness, place: string, work: (store: Store) => Promise<void>): Promise<void> {
  const store = await harness.open(place)
  try {
    await work(store)
  } finally {
    await store.close()
  }
}

async function started(harness: StoreHarness, place: string, work: (store: Store) => Promise<void>): Promise<void> {
  await using(harness, place, async (store) => {
    await store.initialise(identity)
    await work(store)
  })
}

/** A driver may find out when opening or when asked who it is. */
async function identify(harness: StoreHarness, place: string): Promise<void> {
  await using(harness, place, async (store) => {
    await store.identity()
  })
}

async function refuses(code: ErrorCode, promise: Promise<unknown>, message?: string): Promise<void> {
  await assert.rejects(
    promise,
    (error) => error instanceof KeywardError && error.code === code,
    message ?? `expected ${code}`,
  )
}

async function holds(store: Store, expected: readonly StoredRow[]): Promise<void> {
  assert.deepEqual((await store.load()).map(comparable).toSorted(), expected.map(comparable).toSorted())
}

function comparable({ table, id, seq, body, mac }: StoredRow): string {
  return JSON.stringify([table, id, seq, body, Buffer.from(mac).toString('hex')])
}

function row(table: string, id: string, seq: number): StoredRow {
  return { table, id, seq, body: `{"of":${JSON.stringify(id.slice(0, 20))}}`, mac: new Uint8Array(32).fill(seq % 251) }
}

/** One that cannot be read to its end. */
function brokenRow(seq: number): StoredRow {
  return {
    ...row('a', '5', seq),
    get body(): string {
      throw new Error('this row cannot be read')
    },
  }
}

function batch(expectedEpoch: number, put: readonly StoredRow[], remove: StoreBatch['remove'] = []): StoreBatch {
  return { expectedEpoch, put, remove }
}
