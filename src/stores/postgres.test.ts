import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPostgres, withoutPostgres } from '../../test/postgres-server.ts'
import type { PostgresServer } from '../../test/postgres-server.ts'
import { storeCases } from './conformance.ts'
import type { StoreHarness } from './conformance.ts'
import { readPostgresUrl } from './postgres-address.ts'
import { openPostgresStore } from './postgres.ts'

describe.skipIf(withoutPostgres)('conformance of the PostgreSQL store', () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server.close())

  const harness: StoreHarness = {
    place: () => server.database(),
    open: (place) => openPostgresStore(readPostgresUrl(place)),
    occupy: async (place) => void (await server.run('CREATE TABLE customers (name text)', place)),
    setSchema: async (place, schema) => void (await server.run(`UPDATE keyward SET schema = ${schema}`, place)),
  }

  test.each(storeCases)('$name', ({ run }) => run(harness))
})

void expect
