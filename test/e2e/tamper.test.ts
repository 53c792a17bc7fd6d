import { chmodSync, existsSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { storeSchema } from '../../src/stores/store.ts'
import { openHouse, own, serviceYaml } from '../harness.ts'
import type { House, Outcome } from '../harness.ts'

/**
 * Promise 5 through the whole product: the store is untrusted. The server is stopped, its files are
 * changed as an intruder would who can write them but has no root key, and the next start must refuse.
 */

interface Row {
  readonly tbl: string
  readonly id: string
  readonly seq: number
  readonly body: string
  readonly mac: Uint8Array
}

let house: House
let database: string
let pristine: Buffer
/** Every row as it is, and as it was some changes earlier. */
let rows: readonly Row[] = []
let earlierRows: readonly Row[] = []
let earlierDatabase: Buffer

beforeAll(async () => {
  house = openHouse()
  database = join(house.home, 'keyward.db')
  const server = await house.up()
  await furnish()
  await server.stop()
  earlierDatabase = readFileSync(database)
  earlierRows = readRows()
  const again = await house.up()
  await changeEverything()
  await again.stop()
  pristine = readFileSync(database)
  rows = readRows()
})

afterAll(() => house.close())

async function furnish(): Promise<void> {
  const done = house.expectDone
  house.write('one.yaml', serviceYaml('one', 9))
  house.write('two.yaml', serviceYaml('two', 9))
  await done(['service', 'add', 'one.yaml'])
  await done(['service', 'add', 'two.yaml'])
  for (const name of ['first', 'second']) {
    await done(['credential', 'add', name, '--service', 'one', '--stdin'], { input: `${name}-value-of-a-test` })
  }
  for (const name of ['ada', 'bob']) await done(['agent', 'add', name])
  await done(['grant', 'add', '--agent', 'ada', '--credential', 'first', '--allow', '*'])
  await done(['grant', 'add', '--agent', 'bob', '--credential', 'second', '--allow', 'GET /**'])
  await done(['session', 'issue', '--agent', 'ada', '--json'])
  await done(['session', 'issue', '--agent', 'bob', '--json'])
}

/** One change that weakens nothing: an intruder would like each of them undone. */
async function changeEverything(): Promise<void> {
  const done = house.expectDone
  await done(['credential', 'suspend', 'first'])
  await done(['credential', 'set', 'second', '--stdin'], { input: 'a-newer-value-of-a-test' })
  await done(['agent', 'suspend', 'bob'])
  const sessions: { id: string }[] = JSON.parse(await done(['session', 'list', '--agent', 'ada', '--json']))
  await done(['session', 'revoke', sessions[0]?.id ?? ''])
  const grants: { id: string }[] = JSON.parse(await done(['grant', 'list', '--agent', 'bob', '--json']))
  await done(['grant', 'remove', grants[0]?.id ?? ''])
  await done(['service', 'remove', 'two'])
}

function readRows(): Row[] {
  const open = new DatabaseSync(database)
  try {
    return open
      .prepare('SELECT tbl, id, seq, body, mac FROM record ORDER BY tbl, id')
      .all()
      .flatMap((row) => {
        const { tbl, id, seq, body, mac } = row
        const sound =
          typeof tbl === 'string' &&
          typeof id === 'string' &&
          typeof seq === 'number' &&
          typeof body === 'string' &&
          mac instanceof Uint8Array
        return sound ? [{ tbl, id, seq, body, mac }] : []
      })
  } finally {
    open.close()
  }
}

/** Puts a database in place, lets `change` have it, and starts the server. */
async function startWith(content: Buffer, change: (open: DatabaseSync) => void = () => undefined): Promise<Outcome> {
  restore(content)
  const open = new DatabaseSync(database)
  change(open)
  open.close()
  for (const path of [database, `${database}-wal`, `${database}-shm`]) if (existsSync(path)) own(path)
  return house.keyward(['up'])
}

function restore(content: Buffer): void {
  for (const path of [database, `${database}-wal`, `${database}-shm`]) rmSync(path, { force: true })
  writeFileSync(database, content, { mode: 0o600 })
  own(database)
}

function write(open: DatabaseSync, { tbl, id, seq, body, mac }: Row): void {
  open
    .prepare('INSERT OR REPLACE INTO record (tbl, id, seq, body, mac) VALUES (?, ?, ?, ?, ?)')
    .run(tbl, id, seq, body, mac)
}

/** One clear refusal: code, exit 1, the next step, no trace of a stack. */
function expectRefusal({ code, out, err }: Outcome, title: string, ...named: readonly string[]): void {
  expect({ code, out }, err).toEqual({ code: 1, out: '' })
  expect(err).toContain(title)
  for (const name of named) expect(err).toContain(name)
  expect(err.trim().split('\n')).toHaveLength(2)
  expect(err).toMatch(/^next: \S/m)
  expect(err).not.toMatch(/^\s+at |\.ts:\d|node:internal/m)
}

const TAMPERED = 'A record was changed behind Keyward’s back.'
/** Another text of the same length that still is JSON wherever that is possible: a letter or digit moved on by one. */
function edited(body: string): string {
  const at = body.search(/[a-y1-8](?=[^"]*"[^"]*$)/)
  const place = at < 0 ? body.search(/[a-y0-8]/) : at
  return body.slice(0, place) + String.fromCharCode(body.charCodeAt(place) + 1) + body.slice(place + 1)
}

const tables = [
  'environment',
  'service',
  'credential',
  'version',
  'agent',
  'grant',
  'session',
  'setting',
  'slot',
  'term',
  '_bucket',
  '_root',
  '_head',
]

describe('one row of each table', () => {
  test('every table that Keyward fills is tried here', () => {
    expect([...new Set(rows.map((row) => row.tbl))].toSorted()).toEqual(tables.toSorted())
  })

  test.each(tables)('%s: edited', async (table) => {
    const row = rows.find((one) => one.tbl === table)
    if (row === undefined) throw new Error(`no row of ${table}`)
    const body = edited(row.body)
    expect(body).not.toBe(row.body)
    expectRefusal(await startWith(pristine, (open) => write(open, { ...row, body })), TAMPERED, table, row.id)
  })

  test.each(tables)('%s: deleted', async (table) => {
    const row = rows.find((one) => one.tbl === table)
    if (row === undefined) throw new Error(`no row of ${table}`)
    const outcome = await startWith(pristine, (open) =>
      open.prepare('DELETE FROM record WHERE tbl = ? AND id = ?').run(table, row.id),
    )
    expectRefusal(outcome, TAMPERED, table, row.id)
  })

  test.each(['service', 'credential', 'version', 'agent', 'grant', 'session', 'setting', '_bucket', '_root', '_head'])(
    '%s: an earlier writing put back',
    async (table) => {
      const old = earlierRows.find((one) => {
        const now = rows.find((row) => row.tbl === one.tbl && row.id === one.id)
        return one.tbl === table && (now === undefined || now.seq !== one.seq)
      })
      if (old === undefined) throw new Error(`no row of ${table} has changed`)
      expectRefusal(await startWith(pristine, (open) => write(open, old)), TAMPERED, table, old.id)
    },
  )

  test.each(['environment', 'slot', 'term'])(
    '%s: nothing earlier exists, because the row is written once; two of them exchanged',
    async (table) => {
      const [one, other] = rows.filter((row) => row.tbl === table)
      if (one === undefined) throw new Error(`no row of ${table}`)
      const stranger = other ?? { ...one, id: `${one.id}x` }
      const outcome = await startWith(pristine, (open) => {
        write(open, {
          ...one,
          body: stranger.body,
          mac: stranger.mac,
          seq: stranger.seq,
          id: other === undefined ? stranger.id : one.id,
        })
      })
      expectRefusal(outcome, TAMPERED, table)
    },
  )
})

describe('the whole', () => {
  test('every row of one table and its listings put back together', async () => {
    const outcome = await startWith(pristine, (open) => {
      open.exec("DELETE FROM record WHERE tbl = 'agent'")
      for (const row of earlierRows)
        if (
          row.tbl === 'agent' ||
          (row.tbl === '_bucket' && row.id.startsWith('agent/')) ||
          (row.tbl === '_root' && row.id === 'agent')
        )
          write(open, row)
    })
    expectRefusal(outcome, TAMPERED)
  })

  test('a row of an unknown table is added', async () => {
    const [row] = rows
    if (row === undefined) throw new Error('no row')
    expectRefusal(await startWith(pristine, (open) => write(open, { ...row, tbl: 'stranger' })), TAMPERED, 'stranger')
  })

  test('the store’s own name is changed', async () => {
    expectRefusal(await startWith(pristine, (open) => open.exec("UPDATE keyward SET store_id = 'another'")), 'keyward:')
  })

  test('the marker’s epoch, by which two writers are told apart, is changed', async () => {
    expectRefusal(
      await startWith(pristine, (open) => open.exec('UPDATE keyward SET epoch = epoch + 1')),
      TAMPERED,
      'keyward',
    )
  })

  test('the whole database is put back to an earlier day', async () => {
    expectRefusal(await startWith(earlierDatabase), 'The store is older than the journal says.')
  })

  test('a newer schema', async () => {
    expectRefusal(
      await startWith(pristine, (open) => open.exec(`UPDATE keyward SET schema = ${storeSchema + 1}`)),
      'The database was written by a newer Keyward.',
      String(storeSchema + 1),
    )
  })

  test('somebody else’s database is left as it is', async () => {
    rmSync(database)
    const open = new DatabaseSync(database)
    open.exec('CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES (1)')
    open.close()
    own(database)
    const before = readFileSync(database)
    expectRefusal(await house.keyward(['up']), 'The database belongs to something else.')
    expect(readFileSync(database)).toEqual(before)
  })

  test.each([
    ['noise', () => Buffer.alloc(8192, 'noise')],
    ['half of it', () => pristine.subarray(0, pristine.byteLength >> 1)],
    [
      'a page of zeros in the middle',
      () => Buffer.concat([pristine.subarray(0, 8192), Buffer.alloc(4096), pristine.subarray(12_288)]),
    ],
  ])('a corrupt file: %s', async (_name, content) => {
    restore(content())
    const outcome = await house.keyward(['up'])
    expectRefusal(outcome, 'keyward:')
    expect(outcome.err).toMatch(/The database cannot be read|A record was changed|belongs to something else/)
  })

  test('an unreadable file', async () => {
    restore(pristine)
    chmodSync(database, 0o000)
    expectRefusal(await house.keyward(['up']), 'The database cannot be read or written.')
  })
})

describe('the journal', () => {
  const folder = (): string => join(house.home, 'journal', 'node-1')
  let kept: Map<string, Buffer>

  function putBack(): void {
    for (const name of readdirSync(folder())) rmSync(join(folder(), name))
    for (const [name, bytes] of kept) {
      writeFileSync(join(folder(), name), bytes, { mode: 0o600 })
      own(join(folder(), name))
    }
    restore(pristine)
  }

  function firstSegment(): string {
    const name = readdirSync(folder())
      .toSorted()
      .find((one) => /\d/.test(one) && !one.includes('tree') && !one.includes('checkpoint'))
    return join(folder(), name ?? '')
  }

  beforeAll(() => {
    kept = new Map(readdirSync(folder()).map((name) => [name, readFileSync(join(folder(), name))]))
  })

  test('edited: verify names the entry', async () => {
    putBack()
    const path = firstSegment()
    const lines = readFileSync(path, 'utf8').split('\n')
    const victim = lines.findIndex((line) => line.includes('credential.suspend'))
    lines[victim] = (lines[victim] ?? '').replace('suspend', 'resumed')
    writeFileSync(path, lines.join('\n'))
    const { code, out } = await house.keyward(['journal', 'verify'])
    expect({ code, out }).toEqual({ code: 1, out: expect.stringContaining(`entry ${victim + 1} `) })
    expect(out).toContain('damaged')
  })

  test('truncated: verify says so, and a server does not go on from it', async () => {
    putBack()
    const path = firstSegment()
    const text = readFileSync(path, 'utf8')
    const lines = text.split('\n')
    truncateSync(path, Buffer.byteLength(lines.slice(0, lines.length >> 1).join('\n')) + 1)
    const { code, out } = await house.keyward(['journal', 'verify'])
    expect(code, out).toBe(1)
    expect(out).toContain('damaged')
    expectRefusal(await house.keyward(['up']), 'The journal does not verify.')
  })

  test('gone: a server does not begin a new one over an old store', async () => {
    putBack()
    for (const name of readdirSync(folder())) rmSync(join(folder(), name))
    expectRefusal(await house.keyward(['up']), 'The journal is older than a head of it that was kept elsewhere')
  })

  test('after all of it, the true files serve again and nothing is lost', async () => {
    putBack()
    const server = await house.up()
    const credentials: { name: string; state: string }[] = JSON.parse(
      await house.expectDone(['credential', 'list', '--json']),
    )
    expect(credentials.map(({ name, state }) => [name, state])).toEqual([
      ['first', 'suspended'],
      ['second', 'active'],
    ])
    expect((await house.keyward(['journal', 'verify'])).code).toBe(0)
    await server.stop()
  })
})
