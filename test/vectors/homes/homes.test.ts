import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openApp } from '../../../src/app.ts'
import type { App, AppOptions } from '../../../src/app.ts'
import { ownersDoor } from '../../../src/api/caller.ts'
import { createControlApi } from '../../../src/api/control.ts'
import { originOf } from '../../../src/journal/checkpoint.ts'
import { verifyJournal } from '../../../src/journal/verify.ts'
import { readPostgresUrl } from '../../../src/stores/postgres-address.ts'
import { keptJournalHead } from '../../../src/vault/journal-head.ts'
import { startPostgres, withoutPostgres } from '../../postgres-server.ts'
import type { PostgresServer } from '../../postgres-server.ts'

/**
 * Homes that released programs made, opened by this one: `make.ts` beside it made them, by the code of those releases.
 * What they held is in `about.json`, as the old program told it.
 */

interface About {
  readonly madeAt: number
  readonly secrets: Record<string, Record<string, string>>
  readonly placeholder: readonly string[]
  readonly decisions: readonly { readonly method: string; readonly path: string; readonly code: string }[]
  readonly views: Record<'credentials' | 'agents' | 'grants' | 'sessions', readonly Record<string, unknown>[]>
}

const releases = readdirSync(import.meta.dirname, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
)
const folder = mkdtempSync(join(tmpdir(), 'keyward-old-homes-'))
let server: PostgresServer | null = null

beforeAll(async () => {
  if (!withoutPostgres) server = await startPostgres()
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await server?.close()
})

test('every release has its home', () => {
  expect(releases).toContain('0.1.0')
})

describe.each(releases)('a home of %s', (release) => {
  test('in SQLite', { timeout: 60_000 }, () => opensAsItWas(release, 'sqlite'))
  test.skipIf(withoutPostgres)('in PostgreSQL', { timeout: 60_000 }, () => opensAsItWas(release, 'postgres'))
})

async function opensAsItWas(release: string, kind: 'sqlite' | 'postgres'): Promise<void> {
  const from = join(import.meta.dirname, release, kind)
  const about: About = JSON.parse(readFileSync(join(from, 'about.json'), 'utf8'))
  const config = await unpack(from, kind, `${release}-${kind}`)
  // Soon after it was made: its session is alive.
  let clock = about.madeAt + 60_000
  const now = (): number => (clock += 1)
  const open = (): Promise<App> =>
    openApp({
      config,
      ephemeral: false,
      askPassphrase: null,
      onError: String,
      now,
      resolve: () => Promise.reject(new Error('no names')),
    })

  const entriesBefore = await sound(config.home, await open(), async (app) => {
    expect(app.created).toBe(false)
    await readsAsItWas(app, about)
    await decidesAsItDid(app, about)
    // And it goes on: written today, read at the next start.
    await app.agents.add({ name: 'of-today', environment: 'dev', owner: null }, 'test')
  })
  const entriesAfter = await sound(config.home, await open(), async (app) => {
    await readsAsItWas(app, about, ['of-today'])
    await decidesAsItDid(app, about)
    expect(app.agents.find('dev', 'of-today')).not.toBeNull()
  })
  expect(entriesAfter).toBeGreaterThan(entriesBefore)
}

/** Makes the old home anew from what is in the repository. */
async function unpack(from: string, kind: 'sqlite' | 'postgres', name: string): Promise<AppOptions['config']> {
  const home = join(folder, name)
  mkdirSync(home, { mode: 0o700 })
  mkdirSync(join(folder, `${name}.root`), { mode: 0o700 })
  const rootKeyFile = join(folder, `${name}.root`, 'key')
  writeFileSync(rootKeyFile, readFileSync(join(from, 'root-key')), { mode: 0o600 })
  cpSync(join(from, 'journal'), join(home, 'journal', 'node-1'), { recursive: true })
  for (const file of readdirSync(join(home, 'journal', 'node-1')))
    chmodSync(join(home, 'journal', 'node-1', file), 0o600)
  const statements = readFileSync(join(from, 'store.sql'), 'utf8')
  let url: string | null = null
  if (kind === 'sqlite') {
    const database = new DatabaseSync(join(home, 'keyward.db'))
    database.exec(`BEGIN; ${statements} COMMIT`)
    database.close()
  } else {
    url = (await server?.database()) ?? ''
    await server?.run(statements, url)
  }
  const { readConfig } = await import('../../../src/config.ts')
  const { config } = readConfig(
    {},
    {
      KEYWARD_HOME: home,
      KEYWARD_ROOT_KEY_FILE: rootKeyFile,
      KEYWARD_GATEWAY: '127.0.0.1:0',
      KEYWARD_NODE: 'node-1',
    },
  )
  return { ...config, database: url === null ? null : readPostgresUrl(url) }
}

/** Works with an open home and closes it; its journal must verify then. Gives the number of its entries. */
async function sound(home: string, app: App, work: (app: App) => Promise<void>): Promise<number> {
  try {
    await work(app)
    const anchor = keptJournalHead(app.records, 'node-1')
    expect(anchor).not.toBeNull()
  } finally {
    await app.close()
  }
  const directory = join(home, 'journal', 'node-1')
  expect(existsSync(directory)).toBe(true)
  const report = await verifyJournal({
    directory,
    publicKey: app.vault.journalKey().publicKey,
    origin: originOf('node-1'),
  })
  expect(report.problem).toBeNull()
  expect(report.provenTo).toBe(report.entries)
  return report.entries
}

async function readsAsItWas(app: App, about: About, newer: readonly string[] = []): Promise<void> {
  for (const { id, name } of about.views.credentials) {
    const expected = about.secrets[String(name)] ?? {}
    for (const [field, value] of Object.entries(expected)) {
      if (field === 'account') continue
      expect((await app.credentials.reveal(String(id), field, 'test')).revealText(), `${String(name)}.${field}`).toBe(
        value,
      )
    }
  }
  const api = createControlApi({ ...app, stop: () => undefined }, { door: ownersDoor('test') })
  const list = async (what: string): Promise<Record<string, unknown>[]> =>
    JSON.parse(await (await api.request(`http://keyward/${what}`)).text())
  for (const what of ['credentials', 'agents', 'grants', 'sessions'] as const) {
    const found = new Map((await list(what)).map((one) => [one['id'], one]))
    // What was told then is told now; what is told beside it since is free.
    for (const old of about.views[what]) expect(found.get(old['id']), `${what} ${String(old['id'])}`).toMatchObject(old)
    const others = [...found.values()].filter((one) => !newer.includes(String(one['name'])))
    expect(others).toHaveLength(about.views[what].length)
  }
}

/** The session that the old program issued, with the placeholder that it gave. */
async function decidesAsItDid(app: App, { decisions, placeholder }: About): Promise<void> {
  for (const { method, path, code } of decisions)
    expect(await codeOf(app.gatewayAddress, method, `/s/alpha${path}`, placeholder.join('')), `${method} ${path}`).toBe(
      code,
    )
  const stranger = placeholder.join('').replace(/.{8}$/, randomBytes(4).toString('hex'))
  expect(await codeOf(app.gatewayAddress, 'GET', '/s/alpha/things', stranger)).not.toBe('passed')
}

function codeOf(gateway: string, method: string, path: string, placeholder: string): Promise<string> {
  const [host, port] = gateway.split(':')
  return new Promise((done, failed) => {
    const headers = { authorization: `Bearer ${placeholder}` }
    request({ host, port, method, path, headers, agent: false }, (answer) => {
      let text = ''
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()))
      answer.on('end', () => done(answer.statusCode === 502 ? 'passed' : String(JSON.parse(text).code)))
    })
      .once('error', failed)
      .end()
  })
}
