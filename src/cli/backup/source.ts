import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readConfig } from '../../config.ts'
import type { Config } from '../../config.ts'
import { KeywardError } from '../../core/errors.ts'
import { VERSION } from '../../core/version.ts'
import { databaseFile, openStore } from '../../stores/index.ts'
import type { NamedBackup } from '../../vault/backup/backup-name.ts'
import { createBackups } from '../../vault/backup/make.ts'
import { settleRestore } from '../../vault/backup/staging.ts'
import { openNodeJournal } from '../../vault/node-journal.ts'
import { keptRestoration } from '../../vault/restoration.ts'
import { openVault } from '../../vault/vault.ts'
import { actorName } from '../actor.ts'
import type { Io } from '../io.ts'
import { rootKeyOf } from '../offline.ts'

/** Where a backup comes from: a server that runs, or a home that nobody serves. */
export interface BackupSource {
  make(journal: boolean): Promise<{ readonly id: string; readonly bytes: AsyncGenerator<Buffer> }>
  keep(id: string, file: { readonly sha256: string; readonly bytes: number }): Promise<string>
  recognise(names: readonly string[]): Promise<{
    readonly storeId: string
    readonly known: readonly NamedBackup[]
    readonly keysChangedAt: number
  }>
  close(): Promise<void>
}

/** A server that runs is asked, for the home is its own; without one the home is opened here for as long as it takes. */
export async function openBackupSource(io: Io): Promise<BackupSource> {
  const client = io.client()
  const isServed = await client.call('GET /status', {}, {}).then(
    () => true,
    (error: unknown) => {
      const isOurs = io.server === null
      if (isOurs && error instanceof KeywardError && error.code === 'server_unreachable') return false
      throw error
    },
  )
  if (!isServed) return openStoppedHome(readConfig({}, io.environment).config)
  return {
    make: (journal) => client.backup({ journal }),
    keep: async (id, file) => (await client.call('POST /backups/:id/file', { id }, file)).name,
    recognise: (names) => client.call('POST /backups/names', {}, { names: [...names] }),
    close: async () => undefined,
  }
}

async function openStoppedHome(config: Config): Promise<BackupSource> {
  if (!existsSync(config.database === null ? databaseFile(config.home) : config.home))
    throw new KeywardError('not_found', `${config.home} holds no vault.`)
  const store = await openStore(config)
  try {
    const { records, vault } = await openVault({
      store,
      rootKey: await rootKeyOf(config),
      now: Date.now,
      random: randomBytes,
    })
    settleRestore(config.home, keptRestoration(records)?.id ?? null)
    const journalDirectory = join(config.home, 'journal')
    const { journal, keepLastHead } = await openNodeJournal({
      records,
      directory: join(journalDirectory, config.node),
      node: config.node,
      ...vault.journalKey(),
      now: Date.now,
      witnessFile: config.witnessFile,
      accepts: false,
      isShared: store.node !== null,
      onError: (error) => {
        throw error
      },
    })
    const backups = createBackups({
      records,
      key: () => vault.macKey('backup'),
      publicKey: () => vault.journalKey().publicKey,
      journal,
      journalDirectory,
      node: config.node,
      version: VERSION,
      now: Date.now,
      newId: () => randomBytes(16).toString('hex'),
    })
    return {
      make: (journals) => backups.make({ journal: journals }, actorName()),
      keep: async (id, file) => (await backups.keep(id, file, actorName())).name,
      recognise: async (names) => ({
        storeId: records.storeId,
        known: backups.recognise(names),
        keysChangedAt: backups.keysChangedAt(),
      }),
      async close() {
        await keepLastHead()
        await records.close()
        await journal.close()
      },
    }
  } catch (error) {
    await store.close()
    throw error
  }
}
