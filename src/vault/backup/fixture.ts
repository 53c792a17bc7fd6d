import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '../../core/secret.ts'
import { openSqliteStore } from '../../stores/sqlite.ts'
import type { Store } from '../../stores/store.ts'
import { createCredentials } from '../credentials.ts'
import { fileRootKey, sampleService, seededRandom } from '../fixture.ts'
import { openNodeJournal } from '../node-journal.ts'
import { keptRestoration } from '../restoration.ts'
import type { RootKey } from '../root-keys/root-key.ts'
import { createVault, hasVault, openVault } from '../vault.ts'
import { createBackups } from './make.ts'
import { restoreBackup } from './restore.ts'
import type { RestoreOptions } from './restore.ts'
import { settleRestore } from './staging.ts'

/** For tests: homes with a vault and a journal and nothing else, in a folder of their own. */
export function backupHomes(label: string) {
  const folder = mkdtempSync(join(tmpdir(), `keyward-backup-${label}-`))
  const random = seededRandom(label)
  const rootKey = fileRootKey(label)
  let clock = 1_750_000_000_000
  const now = (): number => (clock += 1)
  const newId = (): string => Buffer.from(random(16)).toString('hex')
  const service = sampleService('echo', { key: 'secret' })

  async function open(
    name: string,
    options: { node?: string; accepts?: boolean; store?: Store; isShared?: boolean } = {},
  ) {
    const { node = 'node-1', accepts = false, isShared = false } = options
    const home = join(folder, name)
    mkdirSync(home, { recursive: true, mode: 0o700 })
    const store = options.store ?? (await openSqliteStore(join(home, 'keyward.db')))
    try {
      const vaultOptions = { store, rootKey, now, random }
      const { records, vault } = (await hasVault(store))
        ? await openVault(vaultOptions)
        : await createVault(vaultOptions)
      settleRestore(home, keptRestoration(records)?.id ?? null)
      const journalDirectory = join(home, 'journal')
      const { journal, keepLastHead } = await openNodeJournal({
        records,
        directory: join(journalDirectory, node),
        node,
        ...vault.journalKey(),
        now,
        witnessFile: null,
        accepts,
        isShared,
        onError: (error) => {
          throw error
        },
      })
      const restoration = keptRestoration(records)?.id
      await journal.append({ kind: 'start', epoch: records.epoch, restoration }, { sync: true })
      const credentials = createCredentials({ records, vault, service: () => service, now, newId })
      const backups = createBackups({
        records,
        key: () => vault.macKey('backup'),
        publicKey: () => vault.journalKey().publicKey,
        journal,
        journalDirectory,
        node,
        version: 'test',
        now,
        newId,
      })
      return {
        home,
        store,
        records,
        vault,
        journal,
        journalDirectory,
        credentials,
        backups,
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

  return {
    folder,
    now,
    random,
    rootKey,
    newId,
    open,
    keysOf: (key: RootKey = rootKey) => ({ rootKey: key, now, random }),
    secret: (text: string) => ({ key: Secret.fromText('key', text) }),
    copy(from: string, to: string) {
      cpSync(join(folder, from), join(folder, to), { recursive: true })
    },
    /** Restores into the home of that name, which is then closed. */
    async restore(name: string, bytes: Buffer, more: Partial<RestoreOptions> & { node?: string; store?: Store } = {}) {
      const home = join(folder, name)
      mkdirSync(home, { recursive: true, mode: 0o700 })
      const store = more.store ?? (await openSqliteStore(join(home, 'keyward.db')))
      try {
        return await restoreBackup({
          source: () => sourceOf(bytes),
          keys: { rootKey, now, random },
          place: { home, node: more.node ?? 'node-1', store },
          actor: 'test',
          newId,
          newer: null,
          ...more,
        })
      } finally {
        await store.close()
      }
    },
    remove() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of bytes) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** In pieces that fall on no border of the format. */
export async function* sourceOf(bytes: Buffer, size = 70_001): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield Buffer.from(bytes.subarray(at, at + size))
}
