import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { KeywardError } from '../../core/errors.ts'
import { originOf } from '../../journal/checkpoint.ts'
import { verifyJournal } from '../../journal/verify.ts'
import type { Store } from '../../stores/store.ts'
import { keptPruning } from '../journal-head.ts'
import { openNodeJournal } from '../node-journal.ts'
import { restorationChange } from '../restoration.ts'
import { whatComesBack } from './came-back.ts'
import type { Undone } from './came-back.ts'
import type { BackupContents } from './contents.ts'
import { inspectBackup } from './inspect.ts'
import type { Inspected, OpeningKeys } from './inspect.ts'
import { settleRestore, stageJournals, syncFolders } from './staging.ts'

export interface RestorePlace {
  readonly home: string
  /** The node that this home is from now on. */
  readonly node: string
  /** Open, and empty. */
  readonly store: Store
}

export interface RestoreOptions {
  /** The decrypted bytes; read twice, and must be the same both times. */
  readonly source: () => AsyncIterable<Uint8Array>
  readonly keys: OpeningKeys
  readonly place: RestorePlace
  readonly actor: string
  readonly newId: () => string
  /** A journal of the lost home that is newer than the backup: it tells what comes back. */
  readonly newer: { readonly directory: string; readonly node: string } | null
  readonly onPiece?: (bytes: number) => void
  /** Told after each step that a crash could follow. */
  readonly step?: (name: string) => void
}

export interface Restored {
  readonly contents: BackupContents
  readonly manifest: string
  readonly restoration: string
  /** The epoch at which the store stands now. */
  readonly epoch: number
  readonly sessionsEnded: number
  /** Null where no newer journal was given. */
  readonly undone: Undone | null
}

/** Throws `restore_occupied` where the home or its store holds something. What a restore that was broken off left is taken away. */
export async function requireEmpty({ home, store }: Pick<RestorePlace, 'home' | 'store'>): Promise<void> {
  if ((await store.identity()) !== null) throw new KeywardError('restore_occupied', 'The store holds records.')
  settleRestore(home, null)
  const journal = join(home, 'journal')
  if (existsSync(journal) && readdirSync(journal).length > 0)
    throw new KeywardError('restore_occupied', `There is a journal in ${journal}.`)
}

/**
 * Makes an empty place what a backup says. Everything is verified before anything is written, and the store is written
 * in one transaction, with all sessions ended, the restore journaled and the heads adopted: killed at any moment, the
 * place is empty or restored. Throws what `inspectBackup` throws, `restore_occupied`, or what store and disk refuse.
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { source, keys, place, newer, step = () => undefined } = options
  await requireEmpty(place)
  const inspected = await inspectBackup(source(), keys, options.onPiece)
  const { contents, held } = inspected
  if (held === null) throw new KeywardError('root_key_missing')
  const undone =
    newer === null
      ? null
      : await whatComesBack(held.records, contents, { ...newer, publicKey: held.vault.journalKey().publicKey })
  const restoration = options.newId()
  try {
    mkdirSync(place.home, { recursive: true, mode: 0o700 })
    const journals = await stageJournals(place.home, restoration, source(), contents.parts, step)
    await verifyJournals(journals, inspected)
    const sessionsEnded = held.records.all('session').size
    await beginAnew(journals, inspected, { ...options, restoration })
    step('journaled')
    await syncFolders(join(place.home))
    step('staging synced')
    const content = held.store.content()
    await place.store.initialise({ storeId: contents.storeId, schema: contents.schema }, content)
    step('store written')
    settleRestore(place.home, restoration)
    step('journal in place')
    return { contents, manifest: inspected.manifest, restoration, epoch: content.epoch, sessionsEnded, undone }
  } catch (error) {
    // Where the store was not written all goes; where that cannot be told, the next start settles it.
    const isEmpty = await place.store.identity().then(
      (identity) => identity === null,
      () => false,
    )
    if (isEmpty) settleRestore(place.home, null)
    throw error
  }
}

async function verifyJournals(folder: string, { contents, held }: Inspected): Promise<void> {
  if (held === null) return
  for (const { node, size, root } of contents.heads.filter(({ inside }) => inside)) {
    const directory = join(folder, node)
    if (!existsSync(directory)) continue
    const report = await verifyJournal({
      directory,
      publicKey: held.vault.journalKey().publicKey,
      origin: originOf(node),
      anchor: { size, root },
      prunedTo: keptPruning(held.records, node),
    })
    if (report.problem !== null)
      throw new KeywardError('backup_foreign', `The journal of ${node}: ${report.problem.detail}`)
  }
}

/** Changes the records in memory and the journal that lies ready: what follows goes on from the restore. */
async function beginAnew(
  journals: string,
  { contents, manifest, held }: Inspected,
  { keys, place, actor, restoration }: RestoreOptions & { readonly restoration: string },
): Promise<void> {
  if (held === null) return
  const { records, vault } = held
  const { node } = place
  const { id, epoch, madeAt } = contents
  const { journal, keepLastHead } = await openNodeJournal({
    records,
    directory: join(journals, node),
    node,
    ...vault.journalKey(),
    now: keys.now,
    witnessFile: null,
    accepts: true,
    isShared: false,
    onError: (error) => {
      throw error
    },
  })
  try {
    const heads = contents.heads.map(({ node: of, size, root }) => ({ node: of, size, root }))
    await journal.append({ kind: 'restore', actor, id, manifest, epoch, madeAt, heads, restoration }, { sync: true })
    await records.commit([restorationChange({ id: restoration, epoch, at: keys.now() })], {
      actor,
      action: 'store.restore',
      detail: { backup: id, manifest, restoration },
    })
    await keepLastHead()
  } finally {
    await journal.close()
  }
}

/** For places that were empty before: nothing of a database that was only opened stays. */
export function removeEmptyDatabase(file: string): void {
  for (const name of [file, `${file}-wal`, `${file}-shm`]) rmSync(name, { force: true })
}
