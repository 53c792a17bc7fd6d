import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { madeUp } from '../e2e/gateway/harness.ts'
import { attack, inside } from './attack.ts'
import { makeHome } from './home.ts'

const home = makeHome()
const kept = `${home.home}.kept`
const earlier = `${home.home}.earlier`
afterAll(() => {
  home.remove()
})

const ids: string[] = []

beforeAll(async () => {
  const app = await home.open()
  for (const name of ['first', 'second']) {
    const fields = { key: Secret.fromText('key', madeUp()) }
    const wanted = { name, environment: 'dev', service: 'openai', fields, owner: null, sensitivity: 'low' } as const
    ids.push((await app.credentials.add(wanted, 'test')).id)
  }
  await app.close()
  copyFileSync(home.database, earlier)
  const again = await home.open()
  await again.credentials.suspend(ids[0] ?? '', 'test')
  await again.close()
  execFileSync('cp', ['-a', home.home, kept])
})

/** Puts the home back as it was, lets the intruder work on it, and opens it. */
async function after(work: () => void): Promise<string | null> {
  rmSync(home.home, { recursive: true, force: true })
  execFileSync('cp', ['-a', kept, home.home])
  work()
  return home.refusal()
}

function inDatabase(work: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(home.database)
  work(database)
  database.close()
}

attack('S4', 'untouched it opens', inside, async () => {
  expect(await after(() => undefined)).toBeNull()
})

attack('S4', 'one bit of any row turned over', inside, async () => {
  const rows: { tbl: string; id: string }[] = []
  inDatabase((database) => {
    for (const { tbl, id } of database.prepare('SELECT tbl, id FROM record').all())
      if (typeof tbl === 'string' && typeof id === 'string') rows.push({ tbl, id })
  })
  expect(rows.length).toBeGreaterThan(10)
  for (const { tbl, id } of rows.filter(({ tbl: table }) =>
    ['version', 'credential', 'slot', 'term'].includes(table),
  )) {
    const code = await after(() =>
      inDatabase((database) => {
        const row = database.prepare('SELECT body FROM record WHERE tbl = ? AND id = ?').get(tbl, id)
        const bytes = Buffer.from(String(row?.['body']))
        const at = Math.floor(bytes.length / 2)
        bytes[at] = (bytes[at] ?? 0) ^ 1
        database.prepare('UPDATE record SET body = ? WHERE tbl = ? AND id = ?').run(bytes.toString('latin1'), tbl, id)
      }),
    )
    // Of the rows that open the vault, the cipher speaks first.
    expect(['store_tampered', 'root_key_wrong', 'vault_damaged'], `${tbl} ${id}`).toContain(code)
  }
})

attack('S4', 'the sealed values of two credentials exchanged, rows and all', inside, async () => {
  const code = await after(() =>
    inDatabase((database) => {
      const rows = database.prepare("SELECT id, body FROM record WHERE tbl = 'version'").all()
      const [one, two] = rows
      const put = database.prepare("UPDATE record SET body = ? WHERE tbl = 'version' AND id = ?")
      put.run(two?.['body'] ?? '', one?.['id'] ?? '')
      put.run(one?.['body'] ?? '', two?.['id'] ?? '')
    }),
  )
  expect(code).toBe('store_tampered')
})

attack('S4', 'even with a valid MAC a sealed value opens only in its own place', inside, async () => {
  await after(() => undefined)
  const app = await home.open()
  try {
    const [one, two] = [...app.records.all('version')]
    if (one === undefined || two === undefined) throw new Error('there are two versions')
    const sealed = ([, body]: typeof one) => ({
      sealedFields: body.sealedFields,
      wrappedKey: body.wrappedKey,
      term: body.term,
    })
    await app.records.commit(
      [
        { table: 'version', id: one[0], body: { ...one[1], ...sealed(two) } },
        { table: 'version', id: two[0], body: { ...two[1], ...sealed(one) } },
      ],
      { actor: 'test', action: 'test.swap' },
    )
    await app.credentials.resume(ids[0] ?? '', 'test')
    for (const id of ids)
      expect(() => app.credentials.current(id)).toThrow(expect.objectContaining({ code: 'vault_damaged' }))
  } finally {
    await app.close()
  }
})

attack('S4', 'the whole database as it was before the suspension', inside, async () => {
  expect(await after(() => copyFileSync(earlier, home.database))).toBe('store_rolled_back')
})

attack('S4', 'a file that was cut, emptied, replaced by noise or taken away', inside, async () => {
  const whole = readFileSync(home.database).length
  for (const length of [whole - 4_096, Math.floor(whole / 2), 100]) {
    const code = await after(() => truncateSync(home.database, length))
    expect(['store_unreadable', 'store_tampered', 'store_foreign'], String(length)).toContain(code)
  }
  expect(await after(() => writeFileSync(home.database, Buffer.alloc(8_192, 0x5a)))).toBe('store_unreadable')
  for (const gone of [() => truncateSync(home.database, 0), () => rmSync(home.database)])
    expect(['store_rolled_back', 'journal_damaged', 'journal_rolled_back'], 'gone').toContain(await after(gone))
})
