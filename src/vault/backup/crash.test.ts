import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startPostgres, withoutPostgres } from '../../../test/postgres-server.ts'
import type { PostgresServer } from '../../../test/postgres-server.ts'
import { readPostgresUrl } from '../../stores/postgres-address.ts'
import { openPostgresStore } from '../../stores/postgres.ts'
import { openSqliteStore } from '../../stores/sqlite.ts'
import type { Store } from '../../stores/store.ts'
import { backupHomes, collect } from './fixture.ts'

const homes = backupHomes('crash')
const child = fileURLToPath(new URL('crash-child.ts', import.meta.url))
const file = join(homes.folder, 'backup')
const secret = randomBytes(24).toString('hex')
let credential = ''
let backup: Buffer = Buffer.alloc(0)
let server: PostgresServer | null = null

beforeAll(async () => {
  const home = await homes.open('origin')
  const about = { name: 'one', environment: 'dev', service: 'echo', owner: null, sensitivity: 'low' } as const
  credential = (await home.credentials.add({ ...about, fields: homes.secret(secret) }, 'ann')).id
  const { bytes } = await home.backups.make({ journal: true }, 'ann')
  backup = await collect(bytes)
  writeFileSync(file, backup)
  await home.close()
  if (!withoutPostgres) server = await startPostgres()
})
afterAll(async () => {
  homes.remove()
  await server?.close()
})

/** Kills a restore after each of its steps, and sees that the place is empty or restored, and nothing else. */
async function killAtEachStep(kind: 'sqlite' | 'postgres'): Promise<Map<string, 'empty' | 'restored'>> {
  const seen = new Map<string, 'empty' | 'restored'>()
  for (let step = 1; ; step += 1) {
    const name = `${kind}-${step}`
    const home = join(homes.folder, name)
    mkdirSync(home, { mode: 0o700 })
    const url = kind === 'postgres' ? ((await server?.database()) ?? '') : ''
    const open = (): Promise<Store> =>
      kind === 'sqlite' ? openSqliteStore(join(home, 'keyward.db')) : openPostgresStore(readPostgresUrl(url), 'node-1')
    const { stdout, stderr, signal } = spawnSync(process.execPath, [child, home, file, 'crash', String(step), url], {
      encoding: 'utf8',
    })
    if (stdout === 'done') return seen
    expect(signal, stderr).toBe('SIGKILL')
    const store = await open()
    const isEmpty = (await store.identity()) === null
    if (isEmpty) {
      expect(await store.load()).toEqual([])
      expect(existsSync(join(home, 'journal')), stdout).toBe(false)
      // Whoever tries again has what he would have had at once.
      await homes.restore(name, backup, { store })
    } else await store.close()
    seen.set(stdout, isEmpty ? 'empty' : 'restored')
    const back = await homes.open(name, { store: await open() })
    expect((await back.credentials.reveal(credential, 'key', 'ann')).revealText()).toBe(secret)
    expect(existsSync(join(home, 'restoring'))).toBe(false)
    await back.close()
    await (await homes.open(name, { store: await open() })).close()
  }
}

const expected = [
  ['staging made', 'empty'],
  ['id written', 'empty'],
  ['staged journal/node-1/checkpoints', 'empty'],
  ['staged journal/node-1/00000001.jsonl', 'empty'],
  ['journaled', 'empty'],
  ['staging synced', 'empty'],
  ['store written', 'restored'],
  ['journal in place', 'restored'],
]

test(
  'a restore into SQLite that is killed at any step leaves the place empty or restored',
  { timeout: 180_000 },
  async () => {
    expect([...(await killAtEachStep('sqlite'))]).toEqual(expected)
  },
)

test.skipIf(withoutPostgres)('and one into PostgreSQL', { timeout: 180_000 }, async () => {
  expect([...(await killAtEachStep('postgres'))]).toEqual(expected)
})
