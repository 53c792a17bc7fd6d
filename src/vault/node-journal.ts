import { KeywardError } from '../core/errors.ts'
import { checkpointKey, originOf } from '../journal/checkpoint.ts'
import type { Checkpoint, CheckpointKey } from '../journal/checkpoint.ts'
import { parseWitnessKey } from '../journal/cosignature.ts'
import { lastEpochs, lastRestoration } from '../journal/epochs.ts'
import { openJournal } from '../journal/journal.ts'
import type { Journal, JournalOptions } from '../journal/journal.ts'
import { digestToBase64 } from '../journal/merkle.ts'
import { createRemoteWitness } from '../journal/remote-witness.ts'
import type { RemoteWitness } from '../journal/remote-witness.ts'
import { readStartFile } from '../journal/tree-file.ts'
import { appendWitnessed, lastWitnessed } from '../journal/witness.ts'
import { createHeadKeeper } from './head-keeper.ts'
import type { HeadKeeper } from './head-keeper.ts'
import { acceptRollback, keepJournalHead, keptJournalHead, keptPruning } from './journal-head.ts'
import type { JournalHead } from './journal-head.ts'
import { checkRestoration, keptRestoration } from './restoration.ts'
import { checkEpoch, keptCommit } from './records.ts'
import type { Records } from './records.ts'

export interface NodeJournalOptions extends Pick<
  JournalOptions,
  'directory' | 'node' | 'privateKey' | 'publicKey' | 'now' | 'filesModule' | 'segmentBytes'
> {
  readonly records: Records
  /** A file elsewhere that holds signed checkpoints too. */
  readonly witnessFile: string | null
  /** A witness elsewhere that signs them; null: none. */
  readonly witnessUrl?: string | null
  /** Its verifier key; without one nothing that it signs counts. */
  readonly witnessKey?: string | null
  /** Other nodes commit to the same store. */
  readonly isShared: boolean
  /** The operator restored a backup himself: an older store or journal is taken as it is. */
  readonly accepts: boolean
  readonly onError: (error: unknown) => unknown
}

/** The journal of this node. */
export interface NodeJournal {
  readonly journal: Journal
  /** Signs what is there and keeps it as the last head. The journal stays open. */
  keepLastHead(): Promise<void>
}

/**
 * Opens the journal of a node and ties it and the store to one another: each is held against what the other
 * remembers, from here on nothing in the store changes without an entry, and heads go to the store and the witness.
 */
export async function openNodeJournal(options: NodeJournalOptions): Promise<NodeJournal> {
  const { records, node, directory, witnessFile, isShared, accepts, onError, witnessUrl = null } = options
  const key = checkpointKey(originOf(node), options.publicKey)
  const anchor = accepts ? null : await anchorOf(records, node, witnessFile, key)
  const witness = parseWitnessKey(options.witnessKey ?? '')
  const remote =
    witnessUrl === null || witness === undefined
      ? null
      : createRemoteWitness({ url: witnessUrl, witness, key, directory })
  let heads: HeadKeeper<Checkpoint> | null = null
  const journal = await openJournal({
    ...options,
    ...(accepts ? {} : { prunedTo: keptPruning(records, node) }),
    ...(anchor === null ? {} : { anchor }),
    onCheckpoint: (checkpoint) => heads?.offer(checkpoint),
  })
  try {
    const others = isShared ? { lastCommit: keptCommit(records, node) ?? 0 } : {}
    if (!accepts) {
      const last = await lastEpochs(directory)
      checkEpoch({ storeEpoch: records.epoch, ...others, ...last })
      const restoration = keptRestoration(records)
      if (restoration !== null) {
        const known = await lastRestoration(directory)
        checkRestoration(restoration, { known, lastApplied: last.lastApplied })
      }
    }
    if (remote !== null && !accepts && journal.size > 0) await compareWith(remote, await journal.checkpoint(), onError)
    records.attach({
      intent: (entry) => journal.append({ kind: 'control', ...entry }, { sync: true }),
      applied: (entry) => journal.append({ kind: 'applied', ...entry }, { sync: true }),
    })
    if (accepts) {
      const begun = readStartFile(directory, key)
      const begin = begun === undefined ? null : { size: begun.tree.size, root: digestToBase64(begun.tree.root()) }
      await acceptRollback(records, node, { head: await journal.checkpoint(), begin })
    }
  } catch (error) {
    await journal.close()
    throw error
  }
  async function keep(head: Checkpoint): Promise<void> {
    await keepJournalHead(records, node, head)
    if (witnessFile !== null) await appendWitnessed(witnessFile, head)
    if (remote === null) return
    try {
      await remote.submit(head)
    } catch (error) {
      if (error instanceof KeywardError && error.code === 'journal_rolled_back')
        journal.note({ kind: 'finding', finding: 'witness_refused', detail: error.detail ?? '' })
      throw error
    }
  }
  heads = createHeadKeeper({ keep, sizeNow: () => journal.size, onError })
  return {
    journal,
    async keepLastHead() {
      await heads?.close()
      await journal.checkpoint().then(keep).catch(onError)
    },
  }
}

/** A witness that has signed more, or another journal, ends the start; one that cannot be asked does not. */
async function compareWith(
  remote: RemoteWitness,
  head: Checkpoint,
  onError: NodeJournalOptions['onError'],
): Promise<void> {
  try {
    await remote.submit(head)
  } catch (error) {
    if (error instanceof KeywardError && error.code === 'journal_rolled_back') throw error
    onError(error)
  }
}

/** The newest head of the journal that is known outside of it: that of the store, or that of the witness. */
async function anchorOf(
  records: Records,
  node: string,
  witnessFile: string | null,
  key: CheckpointKey,
): Promise<JournalHead | null> {
  const kept = keptJournalHead(records, node)
  const seen = witnessFile === null ? null : await lastWitnessed(witnessFile, key)
  // The larger one holds the smaller: a tree that only grows has one root at each size.
  return seen !== null && seen.size >= (kept?.size ?? 0) ? seen : kept
}
