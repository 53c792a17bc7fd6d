import { describe, expect, test } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import { storeCases } from './conformance.ts'
import type { StoreHarness } from './conformance.ts'
import { storeSchema } from './store.ts'
import type { Store, StoredRow, StoreIdentity } from './store.ts'

/** A store in memory, with one thing wrong at a time: what the suite must notice. */
const faults = [
  'loses the last row of a batch',
  'loses a row after the next commit',
  'ignores the expected epoch',
  'writes before it looks at the epoch',
  'applies half of a broken batch',
  'removes nothing',
  'forgets on reopening',
  'forgets the epoch on reopening',
  'mangles bytes',
  'cuts text at NUL',
  'folds the case of ids',
  'keeps the caller’s bytes',
  'cuts the sequence to 32 bits',
  'does not move the epoch for an empty batch',
  'initialises twice',
  'takes over a foreign place',
  'opens a later schema',
  'gives old rows as changes',
  'leaves out a change',
  'begins without its content',
  'begins with its content at epoch 0',
  'begins a second time where there was content',
  'is marked before its content is there',
  'does not raise the schema',
  'raises the schema before it looks at the epoch',
  'opens an earlier schema than it reads',
] as const
type Fault = (typeof faults)[number]

interface Disk {
  identity: StoreIdentity | null
  foreign: boolean
  epoch: number
  rows: Map<string, StoredRow>
}

function memoryHarness(fault: Fault | null): StoreHarness {
  const disks = new Map<string, Disk>()
  function diskOf(place: string): Disk {
    const disk = disks.get(place) ?? { identity: null, foreign: false, epoch: 0, rows: new Map<string, StoredRow>() }
    disks.set(place, disk)
    return disk
  }
  return {
    async place() {
      return `place ${disks.size}`
    },
    async open(place) {
      const disk = diskOf(place)
      if (fault === 'forgets on reopening') disk.rows = new Map()
      if (fault === 'forgets the epoch on reopening') disk.epoch = 0
      return memoryStore(disk, fault)
    },
    async occupy(place) {
      diskOf(place).foreign = true
    },
    async setSchema(place, schema) {
      const disk = diskOf(place)
      if (disk.identity !== null) disk.identity = { ...disk.identity, schema }
    },
  }
}

function memoryStore(disk: Disk, fault: Fault | null): Store {
  function keyOf(table: string, id: string): string {
    return JSON.stringify([table, fault === 'folds the case of ids' ? id.toLowerCase() : id])
  }
  function kept(row: StoredRow): StoredRow {
    const { table, id, seq, body } = row
    if (fault === 'keeps the caller’s bytes') return { table, id, seq, body, mac: row.mac }
    const mac = Uint8Array.from(row.mac)
    if (fault === 'mangles bytes') return { table, id, seq, body, mac: Buffer.from(Buffer.from(mac).toString('utf8')) }
    if (fault === 'cuts text at NUL')
      return { table, id: id.split('\0')[0] ?? '', seq, body: body.split('\0')[0] ?? '', mac }
    if (fault === 'cuts the sequence to 32 bits') return { table, id, seq: seq | 0, body, mac }
    return { table, id, seq, body, mac }
  }
  return {
    kind: 'memory',
    node: null,
    nodes: null,
    async identity() {
      if (disk.foreign && fault !== 'takes over a foreign place') throw new KeywardError('store_foreign')
      if (disk.identity !== null && disk.identity.schema > storeSchema && fault !== 'opens a later schema') {
        throw new KeywardError('store_newer')
      }
      if (disk.identity !== null && disk.identity.schema < 1 && fault !== 'opens an earlier schema than it reads')
        throw new KeywardError('store_older')
      return disk.identity
    },
    async initialise(identity, content = { epoch: 0, rows: [] }) {
      const isAgain = fault === 'begins a second time where there was content' && content.rows.length > 0
      if (disk.identity !== null && fault !== 'initialises twice' && !isAgain) throw new KeywardError('store_conflict')
      if (fault === 'is marked before its content is there') disk.identity = identity
      const rows = fault === 'begins without its content' ? [] : content.rows
      disk.rows = new Map(rows.map((row) => [keyOf(row.table, row.id), kept(row)]))
      disk.epoch = fault === 'begins with its content at epoch 0' ? 0 : content.epoch
      disk.identity = identity
    },
    async epoch() {
      return disk.epoch
    },
    async load() {
      return [...disk.rows.values()]
    },
    async commit({ expectedEpoch, put, remove, schema }) {
      const rows = new Map(disk.rows)
      if (schema !== undefined && disk.identity !== null && fault === 'raises the schema before it looks at the epoch')
        disk.identity = { ...disk.identity, schema }
      if (fault === 'loses a row after the next commit') rows.delete([...rows.keys()][0] ?? '')
      if (fault !== 'removes nothing') for (const { table, id } of remove) rows.delete(keyOf(table, id))
      if (fault === 'writes before it looks at the epoch') disk.rows = rows
      for (const row of fault === 'loses the last row of a batch' ? put.slice(0, -1) : put) {
        rows.set(keyOf(row.table, row.id), kept(row))
        if (fault === 'applies half of a broken batch') disk.rows = rows
      }
      if (expectedEpoch !== disk.epoch && fault !== 'ignores the expected epoch')
        throw new KeywardError('store_conflict')
      disk.rows = rows
      if (schema !== undefined && disk.identity !== null && fault !== 'does not raise the schema')
        disk.identity = { ...disk.identity, schema }
      const isIdle = fault === 'does not move the epoch for an empty batch' && put.length + remove.length === 0
      if (!isIdle) disk.epoch += 1
    },
    async changesSince(epoch) {
      const changed = [...disk.rows.values()].filter(
        ({ seq }) => seq > epoch || (fault === 'gives old rows as changes' && seq === epoch),
      )
      return fault === 'leaves out a change' ? changed.slice(1) : changed
    },
    async close() {},
  }
}

async function failuresOf(fault: Fault | null): Promise<string[]> {
  const failed: string[] = []
  for (const { name, run } of storeCases) {
    try {
      await run(memoryHarness(fault))
    } catch {
      failed.push(name)
    }
  }
  return failed
}

describe('the suite that every store must pass', () => {
  test('passes a store that is right', async () => {
    expect(await failuresOf(null)).toEqual([])
  })

  test.each(faults)('fails a store that %s', async (fault) => {
    expect(await failuresOf(fault)).not.toEqual([])
  })
})
