import { copyFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TableName } from '../core/records.ts'
import { vaultFolder } from './fixture.ts'
import { BUCKET_TABLE, bucketOf, bucketRowId, HEAD_TABLE, ROOT_TABLE } from './manifest.ts'
import { tableNames } from './record-schemas.ts'
import type { Change, Records } from './records.ts'

const home = vaultFolder('tampering')
afterAll(() => home.remove())

interface RawRow {
  tbl: string
  id: string
  seq: number
  body: string
  mac: Uint8Array
}

/** For each table: a row that was written twice, another, and one that was removed. */
interface Specimen {
  readonly written: string
  readonly other: string
  readonly removed: string
}

const specimens = new Map<TableName, Specimen>()
let path = ''
let early: RawRow[] = []
let late: RawRow[] = []
let copies = 0

function rawRows(at: string): RawRow[] {
  const database = new DatabaseSync(at)
  const rows: RawRow[] = []
  for (const { tbl, id, seq, body, mac } of database.prepare('SELECT * FROM record').all()) {
    if (typeof tbl !== 'string' || typeof id !== 'string' || typeof seq !== 'number' || typeof body !== 'string')
      continue
    if (mac instanceof Uint8Array) rows.push({ tbl, id, seq, body, mac })
  }
  database.close()
  return rows
}

function find(rows: readonly RawRow[], tbl: string, id: string): RawRow {
  const found = rows.find((row) => row.tbl === tbl && row.id === id)
  if (found === undefined) throw new Error(`no row ${tbl} ${id}`)
  return found
}

function put(database: DatabaseSync, row: RawRow): void {
  database
    .prepare('INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?)')
    .run(row.tbl, row.id, row.seq, row.body, row.mac)
}

/** What the vault says after somebody has worked on a copy of its database. */
async function after(work: (database: DatabaseSync) => void): Promise<{ code: unknown; detail: unknown } | null> {
  copies += 1
  const copy = home.path(`copy-${copies}.db`)
  copyFileSync(path, copy)
  const database = new DatabaseSync(copy)
  work(database)
  database.close()
  return home.refusal(copy)
}

function naming(table: string, id: string) {
  return { code: 'store_tampered', detail: expect.stringContaining(`Table ${table}, row ${id}:`) }
}

/** A body that table accepts. */
function sample<T extends TableName>(table: T, createdAt: number): Change {
  const id = 'x'
  const named = { name: 'n', environment: 'dev', owner: null, state: 'active', createdAt } as const
  const bodies: { [K in TableName]: Change<K> } = {
    environment: { table: 'environment', id, body: { name: 'x', egress: 'deny', createdAt } },
    service: { table: 'service', id, body: { definition: { id: 'x' }, createdAt } },
    credential: { table: 'credential', id, body: { ...named, service: 's', sensitivity: 'low' } },
    version: {
      table: 'version',
      id,
      body: {
        credentialId: 'x',
        number: 1,
        state: 'revoked',
        publicFields: {},
        sealedFields: {},
        wrappedKey: '',
        term: 't',
        fingerprints: {},
        createdAt,
      },
    },
    agent: { table: 'agent', id, body: named },
    approval: {
      table: 'approval',
      id,
      body: {
        node: 'n',
        environment: 'dev',
        hash: 'h',
        sealed: { sealedFields: {}, wrappedKey: '', term: 't' },
        journaled: {},
        askedAt: createdAt,
        heldUntil: createdAt,
        expiresAt: createdAt,
        answer: null,
      },
    },
    grant: {
      table: 'grant',
      id,
      body: { agentId: 'x', credentialId: 'x', allow: ['*'], deny: [], limits: {}, expiresAt: null, createdAt },
    },
    session: {
      table: 'session',
      id,
      body: {
        agentId: 'x',
        environment: 'dev',
        tokenHash: 'h',
        placeholders: [],
        egress: 'deny',
        binding: { kind: 'unbound' },
        state: 'active',
        createdAt,
        expiresAt: createdAt,
      },
    },
    narrowing: {
      table: 'narrowing',
      id,
      body: { sessionId: 'x', chain: null, prefixes: [id], placeholders: [], used: 0, state: 'active', createdAt },
    },
    person: { table: 'person', id, body: { name: 'x', role: 'viewer', groups: ['*'], createdAt } },
    login: {
      table: 'login',
      id,
      body: { personId: null, tokenHash: 'h', how: 'link', createdAt, expiresAt: createdAt },
    },
    enrolment: {
      table: 'enrolment',
      id,
      body: { agentId: 'x', secretHash: 'h', usedAt: null, createdAt, expiresAt: createdAt },
    },
    trust: { table: 'trust', id, body: { kind: 'certificate', agentId: 'x', spiffe: 'spiffe://x/y', createdAt } },
    slot: { table: 'slot', id, body: { kind: 'file', wrapped: '', createdAt } },
    term: { table: 'term', id, body: { purpose: 'seal', wrapped: '', state: 'retired', createdAt } },
    setting: { table: 'setting', id, body: { value: createdAt } },
  }
  return bodies[table]
}

async function populate(records: Records): Promise<void> {
  for (const table of tableNames) {
    if (table === 'term' || table === 'slot') continue
    const all = (['zz1', 'zz2', 'zz3'] as const).map((id) => ({ ...sample(table, 1), id }))
    await records.commit(all, { actor: 'test', action: 'fill' })
    specimens.set(table, { written: 'zz1', other: 'zz2', removed: 'zz3' })
  }
}

beforeAll(async () => {
  const { records, vault, path: made } = await home.create()
  path = made
  await populate(records)
  await vault.slots.addSlot(home.rootKey, 'test')
  const [slot = '', otherSlot = ''] = [...records.all('slot').keys()].toSorted()
  const third = { ...sample('slot', 1), id: 'zz3' }
  await records.commit([third], { actor: 'test', action: 'fill' })
  specimens.set('slot', { written: slot, other: otherSlot, removed: 'zz3' })
  const retired = [...records.all('term')].find(([, { purpose }]) => purpose === 'seal')?.[0] ?? ''
  await vault.rotateTerm('test')
  const terms = [...records.all('term').keys()].filter((id) => id !== retired)
  specimens.set('term', { written: terms[0] ?? '', other: terms[1] ?? '', removed: retired })
  await records.close()
  early = rawRows(path)

  const again = await home.openAt(path)
  for (const [table, { written, removed }] of specimens) {
    const changes: Change[] = [rewritten(again.records, table, written)]
    const removal = { ...sample(table, 1), id: removed, body: null }
    await again.records.commit([...changes, removal], { actor: 'test', action: 'change' })
  }
  await again.records.close()
  late = rawRows(path)
})

/** The same row with one member changed, so that it is written a second time. */
function rewritten(records: Records, table: TableName, id: string): Change {
  if (table === 'slot' || table === 'term') {
    const slot = records.get('slot', id)
    if (slot !== undefined) return { table: 'slot', id, body: { ...slot, createdAt: slot.createdAt + 1 } }
    const term = records.get('term', id)
    if (term !== undefined) return { table: 'term', id, body: { ...term, createdAt: term.createdAt + 1 } }
  }
  return { ...sample(table, 2), id }
}

function specimen(table: TableName): Specimen {
  const found = specimens.get(table)
  if (found === undefined) throw new Error(`no specimen of ${table}`)
  return found
}

test('the untouched database opens', async () => {
  expect(await after(() => undefined)).toBeNull()
})

describe.each(tableNames)('one row of the table %s', (table) => {
  test('edited in any column is refused', async () => {
    const { written } = specimen(table)
    const row = find(late, table, written)
    const edited: RawRow[] = [
      { ...row, body: row.body.replace('{', '{ ') },
      { ...row, body: row.body.replace(/\d(?=\D*$)/, '9') },
      { ...row, body: 'no JSON' },
      { ...row, seq: row.seq - 1 },
      { ...row, seq: row.seq + 1 },
      { ...row, mac: Uint8Array.from(row.mac).toReversed() },
      { ...row, mac: row.mac.subarray(0, 31) },
    ]
    for (const changed of edited) {
      expect(await after((database) => put(database, changed))).toEqual(naming(table, written))
    }
  })

  test('removed is refused', async () => {
    for (const id of [specimen(table).written, specimen(table).other]) {
      const refusal = await after((database) =>
        database.prepare('DELETE FROM record WHERE tbl = ? AND id = ?').run(table, id),
      )
      expect(refusal).toEqual(naming(table, id))
    }
  })

  test('added is refused, whether copied from another or brought back', async () => {
    const { written, removed } = specimen(table)
    const copied = { ...find(late, table, written), id: 'zzz' }
    expect(await after((database) => put(database, copied))).toEqual(naming(table, 'zzz'))
    const back = find(early, table, removed)
    expect(await after((database) => put(database, back))).toEqual(naming(table, removed))
  })

  test('exchanged with another is refused', async () => {
    const { written, other } = specimen(table)
    const one = find(late, table, written)
    const two = find(late, table, other)
    const refusal = await after((database) => {
      put(database, { ...one, id: other })
      put(database, { ...two, id: written })
    })
    expect([naming(table, written), naming(table, other)]).toContainEqual(refusal)
  })

  test('put back as it was before is refused', async () => {
    const { written } = specimen(table)
    const before = find(early, table, written)
    expect(before.body).not.toBe(find(late, table, written).body)
    expect(await after((database) => put(database, before))).toEqual(naming(table, written))
  })
})

describe('one row of the manifest', () => {
  const rowsOfManifest = () =>
    [
      [HEAD_TABLE, 'head'],
      [ROOT_TABLE, 'grant'],
      [BUCKET_TABLE, bucketRowId('grant', bucketOf('zz1'))],
    ] as const

  test('edited, removed, added or put back is refused', async () => {
    for (const [table, id] of rowsOfManifest()) {
      const row = find(late, table, id)
      for (const changed of [
        { ...row, body: `${row.body} ` },
        { ...row, body: '[]' },
        { ...row, seq: row.seq + 1 },
      ]) {
        expect(await after((database) => put(database, changed))).toEqual(naming(table, id))
      }
      const remove = (database: DatabaseSync) =>
        database.prepare('DELETE FROM record WHERE tbl = ? AND id = ?').run(table, id)
      expect(await after(remove)).toEqual(naming(table, id))
      expect(await after((database) => put(database, { ...row, id: 'zzz' }))).toEqual(naming(table, 'zzz'))
      expect(await after((database) => put(database, find(early, table, id)))).toEqual(naming(table, id))
    }
  })

  test('exchanged with another is refused', async () => {
    const pairs = [
      [ROOT_TABLE, 'grant', 'agent'],
      [BUCKET_TABLE, bucketRowId('grant', bucketOf('zz1')), bucketRowId('agent', bucketOf('zz1'))],
    ] as const
    for (const [table, one, two] of pairs) {
      const refusal = await after((database) => {
        put(database, { ...find(late, table, one), id: two })
        put(database, { ...find(late, table, two), id: one })
      })
      expect([naming(table, one), naming(table, two)]).toContainEqual(refusal)
    }
  })
})

test('a row in a table that Keyward does not have is refused', async () => {
  const row = { ...find(late, 'grant', 'zz1'), tbl: 'invented' }
  expect(await after((database) => put(database, row))).toEqual(naming('invented', 'zz1'))
})

test('a changed marker is refused', async () => {
  const renamed = await after((database) => database.exec("UPDATE keyward SET store_id = 'another'"))
  expect(renamed).toEqual(naming('keyward', 'store'))
  // To a schema that is read, too: the head says which it is.
  expect(await after((database) => database.exec('UPDATE keyward SET schema = 1'))).toEqual(naming('keyward', 'store'))
})

test('an id of the attacker’s is printed harmlessly', async () => {
  const row = { ...find(late, 'grant', 'zz1'), id: `\u001b[31m\n${'long'.repeat(100)}` }
  const refusal = await after((database) => put(database, row))
  expect(refusal?.code).toBe('store_tampered')
  expect(String(refusal?.detail)).toMatch(/^[\x20-\x7e]{1,200}$/)
})

test('a whole earlier database opens, and its epoch gives it away', async () => {
  expect(find(early, HEAD_TABLE, 'head').seq).toBeLessThan(find(late, HEAD_TABLE, 'head').seq)
  const refusal = await after((database) => {
    database.exec('DELETE FROM record')
    for (const row of early) put(database, row)
    database.prepare('UPDATE keyward SET epoch = ?').run(find(early, HEAD_TABLE, 'head').seq)
  })
  expect(refusal).toBeNull()
})
