import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPostgres, withoutPostgres } from '../../../test/postgres-server.ts'
import type { PostgresServer } from '../../../test/postgres-server.ts'
import { readPostgresUrl } from '../../stores/postgres-address.ts'
import { openPostgresStore } from '../../stores/postgres.ts'
import { openSqliteStore } from '../../stores/sqlite.ts'
import type { Store } from '../../stores/store.ts'
import { backupHomes, collect } from './fixture.ts'

/** All but what a restore changes: sessions, settings, and the listings that name them. */
async function lasting(store: Store): Promise<string[]> {
  const rows = await store.load()
  await store.close()
  return rows
    .filter(({ table }) => !table.startsWith('_') && table !== 'session' && table !== 'setting')
    .map(({ table, id, seq, body, mac }) => JSON.stringify([table, id, seq, body, Buffer.from(mac).toString('hex')]))
    .toSorted()
}

describe.skipIf(withoutPostgres)('a home moves', () => {
  const homes = backupHomes('move')
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(async () => {
    homes.remove()
    await server.close()
  })

  test('from SQLite to PostgreSQL and back: the same bytes, the same secrets, and each next start holds', async () => {
    const secrets = new Map<string, string>()
    const laptop = await homes.open('laptop')
    const about = { environment: 'dev', service: 'echo', owner: null, sensitivity: 'low' } as const
    for (let count = 0; count < 20; count += 1) {
      const secret = randomBytes(20).toString('hex')
      const { id } = await laptop.credentials.add({ ...about, name: `c${count}`, fields: homes.secret(secret) }, 'ann')
      secrets.set(id, secret)
    }
    const down = await collect((await laptop.backups.make({ journal: true }, 'ann')).bytes)
    await laptop.close()

    const url = await server.database()
    const open = (): Promise<Store> => openPostgresStore(readPostgresUrl(url), 'node-1')
    await homes.restore('server', down, { store: await open() })
    const inSqlite = await lasting(await openSqliteStore(join(homes.folder, 'laptop', 'keyward.db')))
    expect(await lasting(await open())).toEqual(inSqlite)
    let up = Buffer.from([])
    for (const start of ['first', 'second']) {
      const home = await homes.open('server', { store: await open(), isShared: true })
      for (const [id, secret] of secrets)
        expect((await home.credentials.reveal(id, 'key', 'ann')).revealText(), start).toBe(secret)
      up = Buffer.from(await collect((await home.backups.make({ journal: true }, 'ann')).bytes))
      await home.close()
    }
    // What is not empty is left alone.
    await expect(homes.restore('another', down, { store: await open() })).rejects.toMatchObject({
      code: 'restore_occupied',
    })

    await homes.restore('laptop-again', up)
    expect(await lasting(await openSqliteStore(join(homes.folder, 'laptop-again', 'keyward.db')))).toEqual(inSqlite)
    for (const start of ['first', 'second']) {
      const home = await homes.open('laptop-again')
      for (const [id, secret] of secrets)
        expect((await home.credentials.reveal(id, 'key', 'ann')).revealText(), start).toBe(secret)
      await home.close()
    }
  })
})
