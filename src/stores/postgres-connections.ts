import { readFileSync } from 'node:fs'
import { Pool } from 'pg'
import type { PoolClient } from 'pg'
import { KeywardError } from '../core/errors.ts'
import type { PostgresAddress } from './postgres-address.ts'

/** One that keeps the hold on the database, one that reads and writes. */
export const DATABASE_CONNECTIONS_MAXIMUM = 2

export interface PostgresTimeouts {
  readonly connectMilliseconds: number
  /** For one statement, kept by the server; also for a lock that it waits for. */
  readonly statementMilliseconds: number
  /** For the answer to one statement, kept here for a server that is gone without a word; later than its own, which says more. */
  readonly answerMilliseconds: number
}
export const postgresTimeouts: PostgresTimeouts = {
  connectMilliseconds: 5_000,
  statementMilliseconds: 10_000,
  answerMilliseconds: 12_000,
}
export const AUTHORITY_MAXIMUM_BYTES = 1024 * 1024
/** So that the server notices within about ten seconds when this machine is gone, and frees what it held. */
const serverKeepAlive = '-c tcp_keepalives_idle=4 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3'

/**
 * Connections with every setting given, so that none comes from PG* variables or ~/.pgpass. A commit
 * waits for the server's disk whatever the database's own default is, and names are looked up among
 * the server's own alone.
 */
export function openConnections(address: PostgresAddress, timeouts: PostgresTimeouts): Pool {
  const { host, port, user, database, password, tls } = address
  const pool = new Pool({
    host,
    port,
    user,
    database,
    password: () => password.revealText(),
    ssl: tls === null ? false : { rejectUnauthorized: true, minVersion: 'TLSv1.2', ...authority(tls.authorityFile) },
    max: DATABASE_CONNECTIONS_MAXIMUM,
    connectionTimeoutMillis: timeouts.connectMilliseconds,
    idleTimeoutMillis: 0,
    statement_timeout: timeouts.statementMilliseconds,
    lock_timeout: timeouts.statementMilliseconds,
    idle_in_transaction_session_timeout: timeouts.statementMilliseconds,
    query_timeout: timeouts.answerMilliseconds,
    keepAlive: true,
    application_name: 'keyward',
    options: `-c synchronous_commit=on -c search_path=pg_catalog ${serverKeepAlive}`,
  })
  // An idle connection that breaks is replaced when the next one is wanted; unheard, the event ends the process.
  pool.on('error', () => undefined)
  return pool
}

/** Lends a connection. One on which anything failed is closed: what its transaction did is undone by that. */
export async function withConnection<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  // The statement under way fails with the same error.
  const ignore = (): void => undefined
  client.on('error', ignore)
  try {
    const result = await work(client)
    client.off('error', ignore)
    client.release()
    return result
  } catch (error) {
    client.release(true)
    throw error
  }
}

function authority(file: string | null): { ca?: string } {
  if (file === null) return {}
  try {
    const bytes = readFileSync(file)
    if (bytes.byteLength <= AUTHORITY_MAXIMUM_BYTES) return { ca: bytes.toString('latin1') }
  } catch {
    // Said below, like a file that is no certificate.
  }
  throw new KeywardError('config_invalid', 'The file that KEYWARD_DATABASE_URL names as sslrootcert cannot be read.')
}
