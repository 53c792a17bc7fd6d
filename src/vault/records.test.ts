import { afterAll, describe, expect, test } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import { storeSchema } from '../stores/store.ts'
import type { Store } from '../stores/store.ts'
import { vaultFolder } from './fixture.ts'
import { checkEpoch, createRecords } from './records.ts'
import type { Change } from './records.ts'
import { deriveKey } from './sealing.ts'

const home = vaultFolder('records')
afterAll(() => home.remove())

const why = { actor: 'test', action: 'try' }
function setting(id: string, value: unknown): Change {
  return { table: 'setting', id, body: { value } }
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => null,
    (error: unknown) => error,
  )
}

describe('a commit', () => {
  test('is journaled, stored, remembered and journaled again, in this order', async () => {
    const { records, path } = await home.create()
    const order: string[] = []
    records.attach({
      async intent({ epoch, rows, actor, action, detail }) {
        order.push(
          `intent ${epoch} ${rows.join()} ${actor} ${action} ${JSON.stringify(detail)} ${records.get('setting', 'a') === undefined}`,
        )
      },
      async applied({ epoch }) {
        order.push(`applied ${epoch} ${JSON.stringify(records.get('setting', 'a'))}`)
      },
    })
    records.onCommit((changes, epoch) => order.push(`changed ${epoch} ${changes.length} ${records.epoch}`))
    await records.commit([setting('a', 1)], { ...why, detail: { x: 1 } })
    expect(order).toEqual(['intent 2 setting/a test try {"x":1} true', 'changed 2 1 2', 'applied 2 {"value":1}'])
    await records.close()
    const again = await home.openAt(path)
    expect(again.records.get('setting', 'a')).toEqual({ value: 1 })
    expect(again.records.epoch).toBe(2)
    await again.records.close()
  })

  test('changes nothing when the journal refuses the intent', async () => {
    const { records } = await home.create()
    records.attach({
      intent: () => Promise.reject(new KeywardError('journal_unwritable')),
      applied: async () => undefined,
    })
    expect(await failureOf(records.commit([setting('a', 1)], why))).toMatchObject({ code: 'journal_unwritable' })
    expect(records.get('setting', 'a')).toBeUndefined()
    expect(records.epoch).toBe(1)
    await records.close()
  })

  test('changes nothing in memory when the store refuses, and the next one is made', async () => {
    let fails = false
    const rows: unknown[] = []
    const store: Store = {
      kind: 'test',
      node: null,
      nodes: null,
      changesSince: async () => [],
      identity: async () => null,
      initialise: async () => undefined,
      epoch: async () => 0,
      load: async () => [],
      async commit({ put }) {
        if (fails) throw new KeywardError('store_conflict')
        rows.push(...put)
      },
      close: async () => undefined,
    }
    const identity = { storeId: 's', schema: storeSchema }
    const records = await createRecords({ store, identity, key: deriveKey(home.random(32), 'rows') }, [setting('a', 0)])
    records.attach({ intent: async () => undefined, applied: async () => undefined })
    fails = true
    expect(await failureOf(records.commit([setting('a', 1), setting('b', 1)], why))).toMatchObject({
      code: 'store_conflict',
    })
    expect([records.get('setting', 'a'), records.get('setting', 'b'), records.epoch]).toEqual([
      { value: 0 },
      undefined,
      1,
    ])
    fails = false
    await records.commit([setting('a', 2)], why)
    expect([records.get('setting', 'a'), records.epoch]).toEqual([{ value: 2 }, 2])
  })

  test('needs a journal', async () => {
    const { records, path } = await home.create()
    await records.close()
    expect(await failureOf(records.commit([setting('a', 1)], why))).toMatchObject({ code: 'internal' })
    const again = await home.openAt(path)
    await again.records.close()
  })

  test('that is worked out in its turn sees what those before it did', async () => {
    const { records } = await home.create()
    await records.commit([setting('count', 0)], why)
    const add = () => [setting('count', Number(records.get('setting', 'count')?.value) + 1)]
    await Promise.all(Array.from({ length: 50 }, () => records.commit(add, why)))
    expect(records.get('setting', 'count')).toEqual({ value: 50 })
    const refused = records.commit(() => {
      throw new KeywardError('still_in_use')
    }, why)
    expect(await failureOf(refused)).toMatchObject({ code: 'still_in_use' })
    expect(records.epoch).toBe(52)
    await records.close()
  })

  test('refuses odd ids, wrong shapes, a row twice and the removal of nothing, before it journals', async () => {
    const { records, anchor } = await home.create()
    const wrong: Record<string, Change[]> = {
      usage: [setting('a b', 1)],
      internal: [setting('a', Number.NaN)],
      not_found: [{ table: 'setting', id: 'never', body: null }],
    }
    for (const [code, changes] of Object.entries(wrong)) {
      expect(await failureOf(records.commit(changes, why))).toMatchObject({ code })
    }
    expect(await failureOf(records.commit([setting('a', 1), setting('a', 2)], why))).toMatchObject({ code: 'internal' })
    expect(anchor.entries).toEqual([])
    await records.close()
  })

  test('keeps a copy of its own, frozen to the bottom', async () => {
    const { records } = await home.create()
    const mine = { deep: { list: [1] }, gone: undefined }
    await records.commit([setting('a', mine)], why)
    mine.deep.list.push(2)
    const kept = records.get('setting', 'a')
    expect(kept).toEqual({ value: { deep: { list: [1] } } })
    expect(() => Object.assign(Object(kept?.value).deep.list, [9])).toThrow(TypeError)
    await records.close()
  })
})

test('the epochs of store and journal are compared', () => {
  const code = (storeEpoch: number, lastApplied: number | null, lastIntent: number | null) => {
    try {
      checkEpoch({ storeEpoch, lastApplied, lastIntent })
      return null
    } catch (error) {
      return error instanceof KeywardError ? error.code : error
    }
  }
  expect(code(1, null, null)).toBeNull()
  expect(code(7, 7, 7)).toBeNull()
  expect(code(7, 7, 8)).toBeNull()
  expect(code(8, 7, 8)).toBeNull()
  expect(code(6, 7, 7)).toBe('store_rolled_back')
  expect(code(6, 7, 8)).toBe('store_rolled_back')
  expect(code(9, 7, 8)).toBe('journal_damaged')
  expect(code(2, null, null)).toBe('journal_damaged')
})

test('100,000 rows open in seconds, and a commit among them writes a few', { timeout: 120_000 }, async () => {
  const { records, path } = await home.create()
  const grant = {
    agentId: 'a',
    credentialId: 'c',
    allow: ['issues.*', 'GET /repos/{owner}/{repo}/**'],
    deny: [],
    limits: {},
    expiresAt: null,
    createdAt: 1,
  }
  for (let from = 0; from < 100_000; from += 20_000) {
    await records.commit(
      Array.from(
        { length: 20_000 },
        (_, index) => ({ table: 'grant', id: `grant-${from + index}`, body: grant }) as const,
      ),
      why,
    )
  }
  await records.close()

  const openStarted = performance.now()
  const again = await home.openAt(path)
  const openMilliseconds = performance.now() - openStarted
  const commitStarted = performance.now()
  for (let index = 0; index < 20; index += 1) {
    await again.records.commit([{ table: 'grant', id: `grant-${index * 977}`, body: { ...grant, createdAt: 2 } }], why)
  }
  const commitMilliseconds = (performance.now() - commitStarted) / 20
  await again.records.close()
  console.log(`100,000 rows: open ${openMilliseconds.toFixed(0)} ms, one commit ${commitMilliseconds.toFixed(1)} ms`)
  expect(openMilliseconds).toBeLessThan(20_000)
  expect(commitMilliseconds).toBeLessThan(250)
})
