import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import type { Json } from '../core/canonical-json.ts'
import { storeSchema } from '../stores/store.ts'
import type { NodeSeen, Store, StoredRow, StoreIdentity } from '../stores/store.ts'
import { fileRootKey, recordingAnchor, seededRandom } from './fixture.ts'
import { FOLLOW_MILLISECONDS, followStore, HASTENED_MILLISECONDS, LEASE_MILLISECONDS } from './follow.ts'
import { BUCKET_TABLE, bucketOf, bucketRowId, HEAD_ID, HEAD_TABLE, ROOT_TABLE } from './manifest.ts'
import { ANNOUNCE_MILLISECONDS, joinNodes, QUIET_MILLISECONDS } from './nodes.ts'
import { COMMIT_ATTEMPTS_MAXIMUM, keptCommit } from './records.ts'
import type { Change, Records } from './records.ts'
import { createVault, openVault } from './vault.ts'

/** What several nodes share: rows, and an epoch that decides who was first. */
interface Shared {
  identity: StoreIdentity | null
  epoch: number
  rows: Map<string, StoredRow>
  /** What every call throws, while it is set. */
  failure: KeywardError | null
  /** What the answer to a question for the epoch waits for. */
  wait: Promise<void>
  /** Whether it gives all rows, whatever it is asked for. */
  givesAll: boolean
}

const keyOf = (table: string, id: string): string => `${table} ${id}`

function storeOf(shared: Shared, node: string): Store {
  function reach(): void {
    if (shared.failure !== null) throw shared.failure
  }
  return {
    kind: 'memory',
    node,
    nodes: null,
    async identity() {
      return shared.identity
    },
    async initialise(identity) {
      shared.identity = identity
    },
    async epoch() {
      reach()
      await shared.wait
      return shared.epoch
    },
    async load() {
      return [...shared.rows.values()]
    },
    async changesSince(epoch) {
      reach()
      return [...shared.rows.values()].filter(({ seq }) => shared.givesAll || seq > epoch)
    },
    async commit({ expectedEpoch, put, remove, schema }) {
      reach()
      // Other nodes get their turn between asking and writing.
      await Promise.resolve()
      if (expectedEpoch !== shared.epoch) throw new KeywardError('store_conflict')
      for (const { table, id } of remove) shared.rows.delete(keyOf(table, id))
      for (const row of put) shared.rows.set(keyOf(row.table, row.id), row)
      shared.epoch += 1
      if (schema !== undefined && shared.identity !== null) shared.identity = { ...shared.identity, schema }
    },
    async close() {},
  }
}

const why = { actor: 'tester', action: 'test' }
const rootKey = fileRootKey('follow')
let vaults = 0

interface Node {
  readonly store: Store
  readonly records: Records
  readonly seen: Change[][]
}

/** One vault, and as many nodes on it. */
async function cluster(
  names: readonly string[],
  identity: StoreIdentity | null = null,
): Promise<{ shared: Shared; nodes: Node[]; join: (name: string) => Promise<Node> }> {
  const shared: Shared = {
    identity,
    epoch: 0,
    rows: new Map(),
    failure: null,
    wait: Promise.resolve(),
    givesAll: false,
  }
  vaults += 1
  const options = { rootKey, now: () => 1_750_000_000_000, random: seededRandom(`follow ${vaults}`) }
  async function enter(name: string): Promise<Node> {
    const store = storeOf(shared, name)
    const { records } =
      shared.epoch === 0 ? await createVault({ ...options, store }) : await openVault({ ...options, store })
    records.attach(recordingAnchor())
    const seen: Change[][] = []
    records.onCommit((changes) => void seen.push([...changes]))
    return { store, records, seen }
  }
  const nodes: Node[] = []
  for (const name of names) nodes.push(await enter(name))
  return { shared, nodes, join: enter }
}

const setting = (id: string, value: Json | null): Change =>
  value === null ? { table: 'setting', id, body: null } : { table: 'setting', id, body: { value } }

function contentOf(records: Records): string {
  const tables = (['environment', 'setting', 'agent', 'slot', 'term'] as const).map((table) =>
    [...records.all(table)].toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )
  return JSON.stringify([records.epoch, tables])
}

async function two(identity: StoreIdentity | null = null) {
  const { shared, nodes, join } = await cluster(['a', 'b'], identity)
  const [a, b] = nodes
  if (a === undefined || b === undefined) throw new Error('two nodes')
  return { shared, a, b, join }
}

/** The same, begun by the first release. */
const former = () => two({ storeId: 'former', schema: 1 })

describe('nodes on one store', () => {
  test('each takes in what the other did: rows that are new, other, or gone', async () => {
    const { a, b } = await two()
    await a.records.commit([setting('one', 1), setting('two', 2)], why)
    await a.records.commit([setting('one', 11), setting('two', null)], why)
    expect(b.records.get('setting', 'one')).toBeUndefined()
    await b.records.refresh()
    expect(b.records.get('setting', 'one')).toEqual({ value: 11 })
    expect(b.records.get('setting', 'two')).toBeUndefined()
    expect(contentOf(b.records)).toBe(contentOf(a.records))
    await a.records.commit([setting('one', null)], why)
    b.seen.length = 0
    await b.records.refresh()
    expect(b.seen).toEqual([expect.arrayContaining([setting('one', null)])])
    expect(contentOf(b.records)).toBe(contentOf(a.records))
    b.seen.length = 0
    await b.records.refresh()
    expect(b.seen).toEqual([])
  })

  test('a change that came second is worked out again from what is there then', async () => {
    const { a, b, join } = await two()
    const countUp = (node: Node) => (): Change[] => {
      const value = node.records.get('setting', 'count')?.value
      return [setting('count', (typeof value === 'number' ? value : 0) + 1)]
    }
    const rounds = 15
    await Promise.all(
      [a, b].flatMap((node) => Array.from({ length: rounds }, () => node.records.commit(countUp(node), why))),
    )
    await a.records.refresh()
    await b.records.refresh()
    expect(a.records.get('setting', 'count')).toEqual({ value: 2 * rounds })
    expect(contentOf(a.records)).toBe(contentOf(b.records))
    expect(contentOf((await join('c')).records)).toBe(contentOf(a.records))
  })

  test('one that was only possible before is refused then', async () => {
    const { a, b } = await two()
    await a.records.commit([setting('seat', 'a')], why)
    const take = (): Change[] => {
      if (b.records.get('setting', 'seat') !== undefined) throw new KeywardError('already_exists')
      return [setting('seat', 'b')]
    }
    await expect(b.records.commit(take, why)).rejects.toMatchObject({ code: 'already_exists' })
    expect(b.records.get('setting', 'seat')).toEqual({ value: 'a' })
  })

  test('one that always comes second gives up after so many times', async () => {
    const { shared, a } = await two()
    let asked = 0
    const alwaysSecond = (): Change[] => {
      asked += 1
      // As if another node had just committed something that this one may not see.
      shared.epoch += 1
      return [setting('one', asked)]
    }
    await expect(a.records.commit(alwaysSecond, why)).rejects.toMatchObject({ code: 'store_conflict' })
    expect(asked).toBe(COMMIT_ATTEMPTS_MAXIMUM)
    expect(a.records.get('setting', 'one')).toBeUndefined()
  })

  test('the store remembers the last commit of each node', async () => {
    const { a, b } = await two()
    await a.records.commit([setting('one', 1)], why)
    const lastOfA = a.records.epoch
    await b.records.commit([setting('one', 2)], why)
    expect([keptCommit(b.records, 'a'), keptCommit(b.records, 'b')]).toEqual([lastOfA, b.records.epoch])
    expect(keptCommit(b.records, 'c')).toBeNull()
  })

  test('whatever two nodes do, they end up with the same as one who opens the store', async () => {
    const change = fc.record({
      node: fc.nat({ max: 1 }),
      set: fc.uniqueArray(fc.tuple(fc.nat({ max: 30 }), fc.integer()), { selector: ([id]) => id, maxLength: 6 }),
      drop: fc.uniqueArray(fc.nat({ max: 30 }), { maxLength: 4 }),
      refresh: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 12 }), async (changes) => {
        const { a, b, join } = await two()
        for (const { node, set, drop, refresh } of changes) {
          const { records } = node === 0 ? a : b
          await records.commit(() => {
            const put = set.map(([id, value]) => setting(`s${id}`, value))
            const gone = drop
              .filter((id) => !set.some(([other]) => other === id) && records.get('setting', `s${id}`) !== undefined)
              .map((id) => setting(`s${id}`, null))
            return [...put, ...gone]
          }, why)
          if (refresh) await (node === 0 ? b : a).records.refresh()
        }
        await a.records.refresh()
        await b.records.refresh()
        const opened = contentOf((await join('c')).records)
        expect(contentOf(a.records)).toBe(opened)
        expect(contentOf(b.records)).toBe(opened)
      }),
      { numRuns: 60 },
    )
  })
})

const follow = (node: Node) => followStore({ ...node, onError: () => undefined, onFollowed: () => undefined })

describe('what is taken in is verified as at opening', () => {
  const id = 'victim'
  const bucketId = bucketRowId('setting', bucketOf(id))

  /** A store in which `a` has written, removed and written again, and `b` has seen the first half of it. */
  async function prepared() {
    const { shared, a, b, join } = await two()
    await a.records.commit([setting(id, 1), setting('other', 1), setting('steady', 1)], why)
    await b.records.refresh()
    const early = new Map(shared.rows)
    const earlyEpoch = shared.epoch
    await a.records.commit([setting(id, 2)], why)
    const middle = new Map(shared.rows)
    await a.records.commit([setting(id, 3), setting('other', null)], why)
    return { shared, b, join, early, earlyEpoch, middle }
  }
  type Prepared = Awaited<ReturnType<typeof prepared>>

  const row = (from: ReadonlyMap<string, StoredRow>, table: string, of: string): StoredRow => {
    const found = from.get(keyOf(table, of))
    if (found === undefined) throw new Error(`no row ${table} ${of}`)
    return found
  }
  const put = (shared: Shared, one: StoredRow): void => void shared.rows.set(keyOf(one.table, one.id), one)

  const places = [
    ['setting', id],
    [BUCKET_TABLE, bucketId],
    [ROOT_TABLE, 'setting'],
    [HEAD_TABLE, HEAD_ID],
  ] as const

  const attacks: [string, (state: Prepared) => void][] = [
    ...places.flatMap(([table, of]): [string, (state: Prepared) => void][] => [
      [
        `${table} edited`,
        ({ shared }) => {
          const one = row(shared.rows, table, of)
          put(shared, { ...one, body: one.body.replace(/\d/, (digit) => String((Number(digit) + 1) % 10)) })
        },
      ],
      [`${table} removed`, ({ shared }) => void shared.rows.delete(keyOf(table, of))],
      [`${table} as it was in between`, ({ shared, middle }) => put(shared, row(middle, table, of))],
      [`${table} as it was before`, ({ shared, early }) => put(shared, row(early, table, of))],
      [
        `${table} with a later sequence`,
        ({ shared }) => put(shared, { ...row(shared.rows, table, of), seq: shared.epoch + 1 }),
      ],
    ]),
    [
      'a removed row put back, with a new sequence',
      ({ shared, early }) => put(shared, { ...row(early, 'setting', 'other'), seq: shared.epoch }),
    ],
    ['a row under another id', ({ shared }) => put(shared, { ...row(shared.rows, 'setting', id), id: 'stranger' })],
    ['a table that nobody knows', ({ shared }) => put(shared, { ...row(shared.rows, 'setting', id), table: 'x' })],
    [
      'everything of one table as it was in between',
      ({ shared, middle }) => {
        for (const one of middle.values()) if (one.table === 'setting' || one.id.startsWith('setting')) put(shared, one)
      },
    ],
    [
      'the whole of it as it was before, the epoch too',
      ({ shared, early, earlyEpoch }) => {
        shared.rows = new Map(early)
        shared.epoch = earlyEpoch - 1
      },
    ],
  ]
  describe.each([
    ['that gives what it is asked for', false],
    ['that gives all it has', true],
  ] as const)('by a store %s', (_how, givesAll) => {
    test.each(attacks)('%s: refused, nothing of it taken in', async (_name, attack) => {
      const state = await prepared()
      const { shared, b } = state
      const before = contentOf(b.records)
      shared.givesAll = givesAll
      attack(state)
      await expect(follow(b)).rejects.toMatchObject({
        code: expect.stringMatching(/^store_(?:tampered|rolled_back)$/),
      })
      expect(contentOf(b.records)).toBe(before)
    })

    test('without an attack it is taken in', async () => {
      const { shared, b } = await prepared()
      shared.givesAll = givesAll
      const lease = await follow(b)
      lease.close()
      expect(b.records.get('setting', id)).toEqual({ value: 3 })
      expect(b.records.get('setting', 'other')).toBeUndefined()
    })
  })

  test('a removed row that a store gives along is refused', async () => {
    const { shared, b, early } = await prepared()
    shared.givesAll = true
    put(shared, row(early, 'setting', 'other'))
    await expect(follow(b)).rejects.toMatchObject({
      code: 'store_tampered',
      detail: expect.stringMatching(/Table setting, row other/),
    })
  })

  test('another history from an earlier day, carried on past what this node saw, is refused', async () => {
    const { shared, b, join, early, earlyEpoch } = await prepared()
    await b.records.refresh()
    const before = contentOf(b.records)
    shared.rows = new Map(early)
    shared.epoch = earlyEpoch
    const { records } = await join('c')
    await records.commit([setting('other', null)], why)
    while (shared.epoch <= b.records.epoch) await records.commit([setting('steady', shared.epoch)], why)
    await expect(follow(b)).rejects.toMatchObject({ code: 'store_tampered' })
    expect(contentOf(b.records)).toBe(before)
  })

  test('the head that is known already is no news', async () => {
    const { shared, b } = await prepared()
    await b.records.refresh()
    shared.givesAll = true
    await expect(b.records.refresh()).rejects.toMatchObject({ code: 'store_rolled_back' })
  })

  test.each<[string, (state: Prepared) => void]>([
    ['an epoch without rows', ({ shared }) => void (shared.epoch += 1)],
    ['all rows as they were in between, the epoch kept', ({ shared, middle }) => void (shared.rows = new Map(middle))],
  ])('%s: the rows are true ones and taken in, and there is no lease', async (_name, attack) => {
    const state = await prepared()
    attack(state)
    await expect(follow(state.b)).rejects.toMatchObject({
      code: 'store_tampered',
    })
  })

  test('a removed row put back as it was is older than what is asked for: not acted on, and refused at the next opening', async () => {
    const { shared, b, join, early } = await prepared()
    put(shared, row(early, 'setting', 'other'))
    await b.records.refresh()
    expect(b.records.get('setting', 'other')).toBeUndefined()
    await expect(join('c')).rejects.toMatchObject({
      code: 'store_tampered',
      detail: expect.stringMatching(/Table setting, row other/),
    })
  })
})

describe('the lease', () => {
  const clocks = { monotonic: 0, wall: 0 }
  beforeEach(() => {
    Object.assign(clocks, { monotonic: 1_000, wall: 1_750_000_000_000 })
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  })
  afterEach(() => vi.useRealTimers())

  async function pass(milliseconds: number): Promise<void> {
    clocks.monotonic += milliseconds
    clocks.wall += milliseconds
    await vi.advanceTimersByTimeAsync(milliseconds)
    await settled()
  }

  async function following() {
    const { shared, a, b } = await two()
    const failures: unknown[] = []
    const followed: number[] = []
    const onError = (error: unknown): void => void failures.push(error)
    const onFollowed = (epoch: number): void => void followed.push(epoch)
    return {
      shared,
      a,
      b,
      failures,
      followed,
      lease: await followStore({ ...b, onError, onFollowed, clocks: () => ({ ...clocks }) }),
    }
  }

  /** The same with a store that gives hints, on timers of the machine. */
  async function hinted() {
    const { shared, a, b } = await two()
    let asked = 0
    let hint = (): void => undefined
    const store: Store = {
      ...b.store,
      epoch: () => {
        asked += 1
        return b.store.epoch()
      },
      nodes: {
        announce: async () => undefined,
        list: async () => [],
        forget: async () => false,
        onHint: (listener) => void (hint = listener),
      },
    }
    const lease = await followStore({
      store,
      records: b.records,
      onError: () => undefined,
      onFollowed: () => undefined,
      clocks: () => ({ ...clocks }),
    })
    return { shared, a, b, lease, hint: () => hint(), asked: () => asked }
  }
  const moment = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds))

  test('a hint brings the next round forward, and nothing else: what is taken in is asked for and verified', async () => {
    const { shared, a, b, lease, hint } = await hinted()
    await a.records.commit([setting('one', 1)], why)
    expect(b.records.get('setting', 'one')).toBeUndefined()
    hint()
    await moment(3 * HASTENED_MILLISECONDS)
    expect(b.records.get('setting', 'one')).toEqual({ value: 1 })
    // A hint renews nothing that asking does not.
    shared.failure = new KeywardError('store_unavailable')
    clocks.monotonic += LEASE_MILLISECONDS
    hint()
    await moment(3 * HASTENED_MILLISECONDS)
    expect(lease.held()).toBe(false)
    lease.close()
  })

  test('any number of hints ask no more often than they may, and one during a round is not lost', async () => {
    const { shared, a, b, lease, hint, asked } = await hinted()
    const before = asked()
    for (let at = 0; at < 10_000; at += 1) hint()
    await moment(3 * HASTENED_MILLISECONDS)
    expect(asked() - before).toBe(1)
    const answer = Promise.withResolvers<void>()
    shared.wait = answer.promise
    hint()
    await moment(2 * HASTENED_MILLISECONDS)
    await a.records.commit([setting('one', 1)], why)
    hint()
    shared.wait = Promise.resolve()
    answer.resolve()
    await moment(4 * HASTENED_MILLISECONDS)
    expect(b.records.get('setting', 'one')).toEqual({ value: 1 })
    lease.close()
    hint()
    const after = asked()
    await moment(3 * HASTENED_MILLISECONDS)
    expect(asked()).toBe(after)
  })

  test('what another node does is known after one round, and the lease is kept by it', async () => {
    const { a, b, followed, lease } = await following()
    await a.records.commit([setting('one', 1)], why)
    await pass(FOLLOW_MILLISECONDS)
    expect(followed).toEqual([a.records.epoch])
    expect(b.records.get('setting', 'one')).toEqual({ value: 1 })
    for (let round = 0; round < 20; round += 1) {
      await pass(FOLLOW_MILLISECONDS)
      expect(lease.held()).toBe(true)
    }
    lease.close()
    expect(lease.held()).toBe(false)
  })

  test('out of reach it runs out after a second, and comes back with the store; the failure is told once', async () => {
    const { shared, failures, lease } = await following()
    shared.failure = new KeywardError('store_unavailable')
    await pass(LEASE_MILLISECONDS - 1)
    expect(lease.held()).toBe(true)
    await pass(1)
    expect(lease.held()).toBe(false)
    await pass(10 * FOLLOW_MILLISECONDS)
    expect(lease.held()).toBe(false)
    expect(failures).toHaveLength(1)
    shared.failure = null
    await pass(FOLLOW_MILLISECONDS)
    expect(lease.held()).toBe(true)
    lease.close()
  })

  test('changes of its own that wait do not keep it from what another node did', async () => {
    const { shared, a, b, lease } = await following()
    const gates = Array.from({ length: 3 }, () => Promise.withResolvers<void>())
    let at = 0
    b.records.attach({ intent: () => gates[at++]?.promise ?? Promise.resolve(), applied: async () => undefined })
    await a.records.commit(
      [setting('of a', 1)].map((one) => ({ ...one, id: 'of-a' })),
      why,
    )
    const mine = [1, 2].map((value) => b.records.commit([setting('mine', value)], why))
    await pass(FOLLOW_MILLISECONDS)
    // The first has lost, takes in what `a` did, and waits for its journal again.
    gates[0]?.resolve()
    await settled()
    expect(b.records.get('setting', 'of-a')).toEqual({ value: 1 })
    await pass(LEASE_MILLISECONDS - FOLLOW_MILLISECONDS)
    expect(lease.held()).toBe(true)
    for (const gate of gates) gate.resolve()
    await Promise.all(mine)
    expect(shared.epoch).toBe(b.records.epoch)
    lease.close()
  })

  test('it counts from when the store was asked, not from when it answered', async () => {
    const { shared, lease } = await following()
    const answer = Promise.withResolvers<void>()
    shared.wait = answer.promise
    await pass(LEASE_MILLISECONDS)
    expect(lease.held()).toBe(false)
    await pass(LEASE_MILLISECONDS)
    answer.resolve()
    await settled()
    expect(lease.held()).toBe(false)
    lease.close()
  })

  test('rows that do not verify end it, until they do', async () => {
    const { shared, a, b, failures, lease } = await following()
    await a.records.commit([setting('one', 1)], why)
    const genuine = shared.rows.get(keyOf('setting', 'one'))
    if (genuine === undefined) throw new Error('no row')
    shared.rows.set(keyOf('setting', 'one'), { ...genuine, body: '{"value":2}' })
    await pass(LEASE_MILLISECONDS)
    expect(lease.held()).toBe(false)
    expect(b.records.get('setting', 'one')).toBeUndefined()
    expect(failures).toEqual([expect.objectContaining({ code: 'store_tampered' })])
    shared.rows.set(keyOf('setting', 'one'), genuine)
    await pass(FOLLOW_MILLISECONDS)
    expect(lease.held()).toBe(true)
    lease.close()
  })

  test.each(['monotonic', 'wall'] as const)('a leap of the %s clock alone ends it', async (which) => {
    const { lease } = await following()
    clocks[which] += LEASE_MILLISECONDS
    expect(lease.held()).toBe(false)
    await pass(FOLLOW_MILLISECONDS)
    expect(lease.held()).toBe(true)
    lease.close()
  })

  test('a store that nobody shares is always held', async () => {
    const { b } = await two()
    const lease = await followStore({
      store: { ...b.store, node: null },
      records: b.records,
      onError: () => undefined,
      onFollowed: () => undefined,
    })
    expect(lease.held()).toBe(true)
  })
})

describe('a condition on a commit', () => {
  const isAt = (records: Records, epoch: number | undefined) => () => {
    if (records.writtenAt('setting', 'one') !== epoch) throw new KeywardError('precondition_failed')
  }

  test('holds in its turn, whatever waited before it', async () => {
    const { a } = await two()
    await a.records.commit([setting('one', 1)], why)
    const read = a.records.writtenAt('setting', 'one')
    const both = await Promise.allSettled(
      [2, 3].map((value) =>
        a.records.provided(isAt(a.records, read), () => a.records.commit([setting('one', value)], why)),
      ),
    )
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(a.records.get('setting', 'one')).toEqual({ value: 2 })
  })

  test('holds against another node that was quicker: the turn comes again, and the condition with it', async () => {
    const { shared, a, b } = await two()
    await a.records.commit([setting('one', 1)], why)
    await b.records.refresh()
    const read = b.records.writtenAt('setting', 'one')
    await a.records.commit([setting('one', 2)], why)
    const late = b.records.provided(isAt(b.records, read), () => b.records.commit([setting('one', 3)], why))
    await expect(late).rejects.toMatchObject({ code: 'precondition_failed' })
    expect(b.records.get('setting', 'one')).toEqual({ value: 2 })
    expect(shared.epoch).toBe(a.records.epoch)
  })

  test('is for the first commit of the work alone, and for nobody else’s', async () => {
    const { a } = await two()
    await a.records.commit([setting('one', 1)], why)
    const read = a.records.writtenAt('setting', 'one')
    await a.records.provided(isAt(a.records, read), async () => {
      await a.records.commit([setting('one', 2)], why)
      await a.records.commit([setting('one', 3)], why)
    })
    await a.records.commit([setting('one', 4)], why)
    expect(a.records.get('setting', 'one')).toEqual({ value: 4 })
  })
})

describe('the schema of the store', () => {
  test('is raised once, and the others go on with it', async () => {
    const { shared, a, b } = await former()
    await Promise.all([a.records.raise(storeSchema, why), b.records.raise(storeSchema, why)])
    await Promise.all([a.records.refresh(), b.records.refresh()])
    expect([a.records.schema, b.records.schema, shared.identity?.schema]).toEqual([
      storeSchema,
      storeSchema,
      storeSchema,
    ])
    expect(shared.epoch).toBe(2)
    await b.records.commit([setting('one', 1)], why)
    await a.records.refresh()
    expect(contentOf(a.records)).toBe(contentOf(b.records))
  })

  test('while it is not, what needs it is refused and nothing is journaled or written; then it is taken', async () => {
    const { shared, a } = await former()
    const anchor = recordingAnchor()
    a.records.attach(anchor)
    await expect(a.records.commit([setting('one', 1)], why)).rejects.toMatchObject({ code: 'schema_held' })
    expect([anchor.entries, shared.epoch]).toEqual([[], 1])
    await a.records.raise(storeSchema, why)
    await a.records.commit([setting('one', 1)], why)
    expect(anchor.entries.map(({ kind }) => kind)).toEqual(['intent', 'applied', 'intent', 'applied'])
  })

  test('one that this program does not know ends the lease, by its name, and no commit is made under it', async () => {
    const { shared, a, b } = await two()
    await a.records.raise(storeSchema + 1, why)
    const failures: unknown[] = []
    await expect(
      followStore({
        store: b.store,
        records: b.records,
        onError: (error) => failures.push(error),
        onFollowed: () => undefined,
      }),
    ).rejects.toMatchObject({ code: 'store_newer' })
    await expect(b.records.commit([setting('one', 1)], why)).rejects.toMatchObject({ code: 'store_newer' })
    expect(shared.epoch).toBe(2)
  })

  test('is never lower again', async () => {
    const { shared, a, b } = await former()
    const before = shared.rows.get(keyOf(HEAD_TABLE, HEAD_ID))
    await a.records.raise(storeSchema, why)
    await b.records.refresh()
    if (before === undefined) throw new Error('no head')
    shared.rows.set(keyOf(HEAD_TABLE, HEAD_ID), before)
    shared.givesAll = true
    await expect(b.records.refresh()).rejects.toMatchObject({ code: 'store_tampered' })
  })
})

describe('the nodes of a store', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
  afterEach(() => void vi.useRealTimers())
  const self = () => ({ version: '9.9.9', startedAt: 0, epoch: 1, leaseHeld: true })
  const seen = (name: string, schema: number, isLive = true): NodeSeen => ({ name, schema, isLive, said: null })

  /** A node at schema 1, the others that it sees, and a clock that `pass` moves. */
  async function joined(others: NodeSeen[]) {
    const { a, shared } = await former()
    let now = 0
    const told: unknown[] = []
    const failures: unknown[] = []
    const nodes = await joinNodes({
      store: {
        ...a.store,
        nodes: {
          announce: async (said) => void told.push(said),
          list: async () => others,
          forget: async () => false,
          onHint: () => undefined,
        },
      },
      records: a.records,
      name: 'a',
      self,
      onError: (error) => failures.push(error),
      monotonic: () => now,
    })
    async function pass(milliseconds: number): Promise<void> {
      for (let done = 0; done < milliseconds; done += ANNOUNCE_MILLISECONDS) {
        now += ANNOUNCE_MILLISECONDS
        vi.advanceTimersByTime(ANNOUNCE_MILLISECONDS)
        await settled()
      }
    }
    return { a, shared, nodes, told, failures, pass }
  }

  test('the schema is raised when for a while nobody was seen who does not know it', async () => {
    const others = [seen('old', 1)]
    const { a, nodes, told, pass } = await joined(others)
    await pass(3 * QUIET_MILLISECONDS)
    expect(a.records.schema).toBe(1)
    expect(told.length).toBeGreaterThan(3)
    others.length = 0
    others.push(seen('old', 1, false), seen('new', storeSchema))
    await pass(QUIET_MILLISECONDS - ANNOUNCE_MILLISECONDS)
    expect(a.records.schema).toBe(1)
    // It was only cut off.
    others[0] = seen('old', 1)
    await pass(ANNOUNCE_MILLISECONDS)
    others[0] = seen('old', 1, false)
    await pass(QUIET_MILLISECONDS - ANNOUNCE_MILLISECONDS)
    expect(a.records.schema).toBe(1)
    await pass(2 * ANNOUNCE_MILLISECONDS)
    expect(a.records.schema).toBe(storeSchema)
    nodes.close()
  })

  test('one that comes just then is not an error, and is waited for', async () => {
    const { a, shared, nodes, failures, pass } = await joined([])
    shared.failure = new KeywardError('schema_held')
    await pass(2 * QUIET_MILLISECONDS)
    expect([a.records.schema, failures]).toEqual([1, []])
    shared.failure = null
    await pass(2 * QUIET_MILLISECONDS)
    expect(a.records.schema).toBe(storeSchema)
    nodes.close()
  })

  test('what keeps it from being told is told once, and ends nothing', async () => {
    const { nodes, shared, failures, pass } = await joined([])
    shared.failure = new KeywardError('store_unavailable')
    await pass(2 * QUIET_MILLISECONDS)
    expect(failures).toHaveLength(1)
    nodes.close()
  })

  test('a store that nobody shares is raised at once', async () => {
    const { a } = await former()
    const nodes = await joinNodes({
      store: { ...a.store, nodes: null },
      records: a.records,
      name: 'a',
      self,
      onError: () => undefined,
      monotonic: () => 0,
    })
    expect(a.records.schema).toBe(storeSchema)
    expect(await nodes.list()).toEqual([expect.objectContaining({ name: 'a', isLive: true, schema: storeSchema })])
  })
})

/** Lets everything that waits on nothing but promises go on. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done))
}
