import { appendFileSync, cpSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { App, AppOptions } from '../../src/app.ts'
import { KeywardError } from '../../src/core/errors.ts'
import { checkpointKey, verifierKeyOf } from '../../src/journal/checkpoint.ts'
import { keptJournalHead } from '../../src/vault/journal-head.ts'
import { makeHome } from '../attacks/home.ts'
import type { Home } from '../attacks/home.ts'
import { startWitness } from '../witness-server.ts'

/** Heads of the journal outside of it: in the store, and with a witness. */

let home: Home
let folder: string
let witnessFile: string

beforeEach(() => {
  home = makeHome()
  folder = dirname(home.home)
  witnessFile = join(folder, 'witness')
})

afterEach(() => home.remove())

const config = (): AppOptions['config'] => ({
  home: home.home,
  rootKeyFile: join(folder, 'root', 'key'),
  rootKey: { kind: 'file', shown: 'file', path: join(folder, 'root', 'key'), orPassphrase: false },
  passphraseFile: null,
  gateway: { host: '127.0.0.1', port: 0 },
  monitor: null,
  oidcIssuer: null,
  oidcClientId: null,
  oidcClaim: 'email',
  oidcAuthorityFile: null,
  listen: null,
  listenName: null,
  tlsCertificateFile: null,
  tlsKeyFile: null,
  tlsClientAuthorityFile: null,
  database: null,
  node: 'test',
  witnessFile,
  witnessUrl: null,
  witnessKey: null,
  journalShip: null,
  journalShipTokenFile: null,
  strictJournal: false,
  timeZone: 'UTC',
  approvalWaitMilliseconds: 60_000,
})

const open = (more: Partial<AppOptions> = {}): Promise<App> => home.open({ config: config(), ...more })

async function refusal(options: Partial<AppOptions> = {}): Promise<string | null> {
  try {
    await (await open(options)).close()
    return null
  } catch (error) {
    if (error instanceof KeywardError) return error.code
    throw error
  }
}

async function work(name: string): Promise<void> {
  const app = await open()
  await app.agents.add({ name, environment: 'dev', owner: null }, 'test')
  await app.close()
}

const copyTo = (name: string): void => cpSync(home.home, join(folder, name), { recursive: true })

function putBack(name: string, what: string): void {
  rmSync(join(home.home, what), { recursive: true, force: true })
  cpSync(join(folder, name, what), join(home.home, what), { recursive: true })
}

test('a journal older than the head in the store is rolled back, by name; its true files serve again', async () => {
  await work('one')
  copyTo('earlier')
  await work('two')
  copyTo('now')
  putBack('earlier', 'journal')
  expect(await refusal()).toBe('journal_rolled_back')
  putBack('now', 'journal')
  expect(await refusal()).toBeNull()
})

test('a whole home put back is found by the witness, which only grows', async () => {
  await work('one')
  copyTo('earlier')
  await work('two')
  const seen = readFileSync(witnessFile, 'utf8')
  for (const name of ['keyward.db-wal', 'keyward.db-shm']) rmSync(join(home.home, name), { force: true })
  putBack('earlier', 'journal')
  putBack('earlier', 'keyward.db')
  expect(await refusal()).toBe('journal_rolled_back')
  expect(readFileSync(witnessFile, 'utf8')).toBe(seen)
  // Without the witness nobody knows: that is what it is for.
  expect(await refusal({ config: { ...config(), witnessFile: null } })).toBeNull()
})

test('a line of the witness that was never finished is passed over and ended', async () => {
  await work('one')
  appendFileSync(witnessFile, '"keyward/test\\n12')
  await work('two')
  const lines = readFileSync(witnessFile, 'utf8').trimEnd().split('\n')
  expect(lines).toHaveLength(3)
  expect(JSON.parse(lines.at(-1) ?? '')).toMatch(/^keyward\/test\n\d+\n/)
})

test('a witness that another key signed is not believed, and one that cannot be read is told', async () => {
  await work('one')
  const other = makeHome()
  const app = await other
    .open({
      config: {
        ...config(),
        home: other.home,
        rootKey: { kind: 'file', shown: 'file', path: join(dirname(other.home), 'root', 'key'), orPassphrase: false },
      },
    })
    .catch((error: unknown) => error)
  expect(app).toMatchObject({ code: 'config_invalid' })
  other.remove()
  expect(await refusal({ config: { ...config(), witnessFile: folder } })).toBe('config_invalid')
})

test('an honest restore: accepted once, sessions end, the journal says so, and what follows is held to it', async () => {
  await work('one')
  copyTo('earlier')
  const app = await open()
  const agentId = app.agents.find('dev', 'one')?.id ?? ''
  await app.sessions.issue({ agentId, ttlSeconds: 900, binding: { kind: 'unbound' }, egress: 'deny' }, 'test')
  expect(app.records.all('session').size).toBe(1)
  await app.close()
  putBack('earlier', 'journal')
  expect(await refusal()).toBe('journal_rolled_back')
  const accepted = await open({ acceptRollback: true })
  expect(accepted.records.all('session').size).toBe(0)
  expect(keptJournalHead(accepted.records, 'test')?.size).toBeLessThan(accepted.journal.size)
  await accepted.close()
  const text = readFileSync(join(home.journal, '00000001.jsonl'), 'utf8')
  expect(text).toContain('journal.accept_rollback')
  expect(existsSync(home.database)).toBe(true)
})

test('a witness elsewhere: a whole home put back does not start, and one that is gone does not stop a start', async () => {
  const server = await startWitness()
  const witnessed = { config: { ...config(), witnessFile: null, witnessUrl: server.url, witnessKey: server.key } }
  const first = await open(witnessed)
  server.addLog(verifierKeyOf(checkpointKey('keyward/test', first.vault.journalKey().publicKey)))
  await first.close()
  expect(server.statuses.at(-1)).toBe(200)
  copyTo('earlier')
  await (await open(witnessed)).close()
  for (const name of ['keyward.db-wal', 'keyward.db-shm']) rmSync(join(home.home, name), { force: true })
  copyTo('now')
  putBack('earlier', 'journal')
  putBack('earlier', 'keyward.db')
  expect(await refusal(witnessed)).toBe('journal_rolled_back')
  server.hang()
  // Whoever can silence the witness and the home is not found: that is told to the log, and asked again with each head.
  const told: unknown[] = []
  const silent = await open({
    ...witnessed,
    onError: (error) => {
      told.push(error)
      return ''
    },
  })
  expect(told).toContainEqual(expect.objectContaining({ code: 'witness_unavailable' }))
  await silent.agents.add({ name: 'served', environment: 'dev', owner: null }, 'test')
  await silent.close()
  await server.close()
})
