import { createHash } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { KeywardError } from '../../core/errors.ts'
import { copyJournal, journalNodes, lastSignedHead } from '../../journal/copy.ts'
import type { Journal } from '../../journal/journal.ts'
import type { StoreContent } from '../../stores/store.ts'
import { keptJournalHeads, keptPruning } from '../journal-head.ts'
import type { Records } from '../records.ts'
import { backupName, parseBackupName } from './backup-name.ts'
import type { NamedBackup } from './backup-name.ts'
import { writeContainer } from './container.ts'
import type { Part } from './container.ts'
import { writeContents } from './contents.ts'
import type { BackupContents, BackupHead } from './contents.ts'
import { writeRows } from './rows.ts'

/** Backups that are written at the same time: each holds all records in memory until they are out. */
export const BACKUPS_AT_ONCE_MAXIMUM = 2
/** Finished backups whose file was not told of yet. */
const UNKEPT_MAXIMUM = 16

export interface BackupWish {
  /** With the segments and checkpoints of the journals that lie in this home. */
  readonly journal: boolean
}

/** The backups of a home that is open. */
export interface Backups {
  /**
   * One moment of everything, as bytes that hold no secret in clear but are meant to be encrypted all the same.
   * Journaled, on the disk, before the first byte. Throws `overloaded`, `store_tampered`, or what store and journal throw.
   */
  make(wish: BackupWish, actor: string): Promise<{ readonly id: string; readonly bytes: AsyncGenerator<Buffer> }>
  /** Journals which file came of it, and gives the name by which this home knows it again. `not_found` where this backup was not made here just now. */
  keep(id: string, file: { readonly sha256: string; readonly bytes: number }, actor: string): Promise<{ name: string }>
  /** Those of the names that this home gave, and what they say. */
  recognise(names: readonly string[]): readonly NamedBackup[]
  /** When a slot or a term was last added: backups from before open with what was the way in then. Milliseconds since the Unix epoch. */
  keysChangedAt(): number
}

export function createBackups(parts: {
  readonly records: Records
  /** `vault.macKey('backup')` */
  readonly key: () => KeyObject
  /** Of the journal. */
  readonly publicKey: () => KeyObject
  readonly journal: Pick<Journal, 'append' | 'checkpoint'>
  /** Holds one folder for each node. */
  readonly journalDirectory: string
  readonly node: string
  readonly version: string
  readonly now: () => number
  readonly newId: () => string
}): Backups {
  const { records, journal, journalDirectory, node, version, now, newId } = parts
  const unkept = new Map<string, BackupContents>()
  let underWay = 0

  async function headsOf(own: { size: number; root: string } | null): Promise<BackupHead[]> {
    const heads = new Map<string, BackupHead>()
    for (const [of, { size, root }] of keptJournalHeads(records)) heads.set(of, { node: of, size, root, inside: false })
    for (const of of own === null ? [] : await journalNodes(journalDirectory)) {
      const head = of === node ? own : await lastSignedHead(join(journalDirectory, of), of, parts.publicKey())
      if (head !== null) heads.set(of, { node: of, size: head.size, root: head.root, inside: true })
    }
    return [...heads.values()].toSorted((a, b) => (a.node < b.node ? -1 : 1))
  }

  async function* partsOf(content: StoreContent, heads: readonly BackupHead[]): AsyncGenerator<Part> {
    yield { name: 'records', content: writeRows(content.rows) }
    for (const { node: of, size } of heads.filter(({ inside }) => inside))
      for await (const { name, content: bytes } of copyJournal(join(journalDirectory, of), size))
        yield { name: `journal/${of}/${name}`, content: bytes }
  }

  async function* stream(
    about: Omit<BackupContents, 'parts'>,
    content: StoreContent,
    { actor, prunedTo }: { readonly actor: string; readonly prunedTo: number },
  ): AsyncGenerator<Buffer> {
    let manifest: string | null = null
    try {
      yield* writeContainer(partsOf(content, about.heads), (digests) => {
        if (about.heads.some(({ inside }) => inside) && keptPruning(records, node) !== prunedTo)
          throw new KeywardError('store_conflict', 'The journal was pruned meanwhile.')
        const contents = { ...about, parts: digests }
        if (unkept.size >= UNKEPT_MAXIMUM) unkept.delete([...unkept.keys()][0] ?? '')
        unkept.set(about.id, contents)
        return (manifest = writeContents(contents, parts.key()))
      })
    } finally {
      underWay -= 1
      const { id, epoch } = about
      const outcome =
        manifest === null
          ? { action: 'broken_off' }
          : { action: 'made', manifest: createHash('sha256').update(manifest).digest('hex') }
      await journal.append({ kind: 'backup', actor, id, epoch, ...outcome }, { sync: true })
    }
  }

  return {
    async make(wish, actor) {
      if (underWay >= BACKUPS_AT_ONCE_MAXIMUM)
        throw new KeywardError('overloaded', `${BACKUPS_AT_ONCE_MAXIMUM} backups are being made already.`)
      underWay += 1
      try {
        const id = newId()
        await journal.append({ kind: 'backup', action: 'begin', actor, id, journal: wish.journal }, { sync: true })
        const { content, schema, also } = await records.snapshot(async () => ({
          head: wish.journal ? await journal.checkpoint() : null,
          madeAt: now(),
          prunedTo: keptPruning(records, node),
        }))
        const { epoch } = content
        const heads = await headsOf(also.head)
        const { madeAt } = also
        const { storeId } = records
        const about = { id, storeId, schema, epoch, version, node, madeAt, rows: content.rows.length, heads }
        return { id, bytes: stream(about, content, { actor, prunedTo: also.prunedTo }) }
      } catch (error) {
        underWay -= 1
        throw error
      }
    },
    async keep(id, { sha256, bytes }, actor) {
      const contents = unkept.get(id)
      if (contents === undefined) throw new KeywardError('not_found', 'No backup of that id was made just now.')
      unkept.delete(id)
      const { epoch, madeAt } = contents
      await journal.append({ kind: 'backup', action: 'kept', actor, id, epoch, sha256, bytes }, { sync: true })
      return { name: backupName(parts.key(), records.storeId, { madeAt, epoch, sha256 }) }
    },
    recognise(names) {
      return names.flatMap((name) => parseBackupName(parts.key(), records.storeId, name) ?? [])
    },
    keysChangedAt() {
      const made = [...records.all('slot').values(), ...records.all('term').values()]
      return Math.max(0, ...made.map(({ createdAt }) => createdAt))
    },
  }
}
