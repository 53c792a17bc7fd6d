import { spawn, spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { Client } from 'pg'
import { test } from 'vitest'

/** Where Debian and others keep the server's programs, which are seldom on the PATH. */
const VERSIONS = '/usr/lib/postgresql'
const READY_MILLISECONDS = 30_000

/** The folder with `initdb` and `postgres`, or null where this machine has none. */
export const postgresPrograms: string | null = findPrograms()

/** For `describe.skipIf`. Where the tests of every peer are wanted (CI), missing is a failure. */
export const withoutPostgres = postgresPrograms === null
if (withoutPostgres) {
  test.skipIf(process.env['CI'] === undefined)('PostgreSQL is not installed here: its tests are skipped', () => {
    throw new Error('Install the package postgresql; .ci/run does so.')
  })
}

/** A throw-away server on loopback and on a Unix socket. */
export interface PostgresServer {
  /** Holds the data, the Unix socket and what a test puts beside. */
  readonly folder: string
  readonly port: number
  readonly password: string
  /** A database of its own with nothing in it; gives its URL. */
  database(): Promise<string>
  /** The URL of a database with other words than those of `database`. */
  url(
    name: string,
    words?: { readonly user?: string; readonly password?: string; readonly port?: number; readonly query?: string },
  ): string
  /** Statements as the superuser: in the database of the URL, or in the server's own. */
  run(sql: string, url?: string): Promise<Record<string, unknown>[]>
  stop(how?: 'fast' | 'immediate'): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

/** `settings`: lines of postgresql.conf beside those below. Without fsync, so a crash of the machine is not tried. `tls`: PEM texts. */
export async function startPostgres(
  settings: readonly string[] = [],
  tls: { readonly cert: string; readonly key: string } | null = null,
): Promise<PostgresServer> {
  if (postgresPrograms === null) throw new Error('There is no PostgreSQL here.')
  const programs = postgresPrograms
  // It refuses to run as root.
  const identity = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const folder = mkdtempSync('/tmp/keyward-postgres-')
  if (identity.uid !== undefined) chownSync(folder, identity.uid, identity.gid)
  const data = join(folder, 'data')
  const password = `made-for-a-test-${process.pid}`
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password, { mode: 0o644 })
  const made = spawnSync(
    join(programs, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8', '--locale=C', '-N'],
    { ...identity, cwd: folder, encoding: 'utf8' },
  )
  if (made.status !== 0) throw new Error(`initdb ended with ${String(made.status)}: ${made.stderr}`)
  const port = await freePort()
  const lines = [
    `listen_addresses = '127.0.0.1'`,
    `port = ${port}`,
    `unix_socket_directories = '${folder}'`,
    'fsync = off',
    'shared_buffers = 16MB',
    'max_connections = 40',
    ...settings,
  ]
  if (tls !== null) {
    for (const [name, text] of [['server.crt', tls.cert] as const, ['server.key', tls.key] as const]) {
      writeFileSync(join(data, name), text, { mode: 0o600 })
      if (identity.uid !== undefined) chownSync(join(data, name), identity.uid, identity.gid)
    }
    lines.push('ssl = on')
  }
  writeFileSync(join(data, 'postgresql.auto.conf'), `${lines.join('\n')}\n`)
  let server: ReturnType<typeof spawn> | null = null
  let databases = 0
  let said = ''

  const url: PostgresServer['url'] = (name, words = {}) =>
    `postgres://${words.user ?? 'postgres'}:${words.password ?? password}@127.0.0.1:${words.port ?? port}/${name}${words.query ?? ''}`

  async function run(sql: string, at = url('postgres')): Promise<Record<string, unknown>[]> {
    const client = new Client({ connectionString: at, ssl: false })
    await client.connect()
    try {
      const result = await client.query(sql)
      return Array.isArray(result) ? [] : result.rows
    } finally {
      await client.end()
    }
  }

  const handle: PostgresServer = {
    folder,
    port,
    password,
    url,
    run,
    async database() {
      databases += 1
      const name = `test_${databases}`
      await run(`CREATE DATABASE ${name}`)
      return url(name)
    },
    async start() {
      said = ''
      const child = spawn(join(programs, 'postgres'), ['-D', data], { ...identity, cwd: folder })
      server = child
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (chunk: Buffer) => (said += chunk.toString()))
      const deadline = Date.now() + READY_MILLISECONDS
      for (;;) {
        if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}: ${said}`)
        try {
          await run('SELECT 1')
          return
        } catch (error) {
          if (Date.now() > deadline) throw new Error(`postgres was not ready in time: ${said}`, { cause: error })
          await wait(50)
        }
      }
    },
    async stop(how = 'fast') {
      const child = server
      if (child === null || child.exitCode !== null) return
      const ended = new Promise((done) => child.once('exit', done))
      child.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT')
      await ended
      server = null
    },
    async close() {
      await handle.stop('immediate')
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  try {
    await handle.start()
  } catch (error) {
    await handle.close()
    throw error
  }
  return handle
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  await new Promise((done) => server.close(done))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

function findPrograms(): string | null {
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS).toSorted((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...versions.map((version) => join(VERSIONS, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
  ]
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres'))) ?? null
}

/** A hot standby of a server, which follows it until it is promoted. */
export interface Standby {
  /** The URL of a database, as the server itself gives it, at the standby. */
  at(url: string): string
  /** Lets it go on by itself, from what it has got. */
  promote(): Promise<void>
  /** Stops and goes on with taking in what the server writes. */
  lag(isLagging: boolean): Promise<void>
  close(): Promise<void>
}

export async function startStandby(of: PostgresServer): Promise<Standby> {
  if (postgresPrograms === null) throw new Error('There is no PostgreSQL here.')
  const programs = postgresPrograms
  const identity = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const data = join(of.folder, `standby-${randomUUID()}`)
  const copied = spawnSync(
    join(programs, 'pg_basebackup'),
    ['-D', data, '-R', '-X', 'stream', '-c', 'fast', '-d', of.url('postgres')],
    {
      ...identity,
      cwd: of.folder,
      encoding: 'utf8',
    },
  )
  if (copied.status !== 0) throw new Error(`pg_basebackup ended with ${String(copied.status)}: ${copied.stderr}`)
  const port = await freePort()
  const child = spawn(join(programs, 'postgres'), ['-D', data, '-p', String(port)], {
    ...identity,
    cwd: of.folder,
    stdio: 'ignore',
  })
  const at = (url: string): string => {
    const there = new URL(url)
    there.port = String(port)
    return there.href
  }
  const admin = at(of.url('postgres'))
  const deadline = Date.now() + READY_MILLISECONDS
  for (;;) {
    try {
      await of.run('SELECT 1', admin)
      break
    } catch (error) {
      if (Date.now() > deadline || child.exitCode !== null)
        throw new Error('the standby was not ready in time', { cause: error })
      await wait(50)
    }
  }
  return {
    at,
    promote: async () => void (await of.run('SELECT pg_promote()', admin)),
    lag: async (isLagging) => void (await of.run(`SELECT pg_wal_replay_${isLagging ? 'pause' : 'resume'}()`, admin)),
    async close() {
      const ended = new Promise((done) => child.once('exit', done))
      child.kill('SIGQUIT')
      await ended
    },
  }
}
