import type { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import { closeSync, fsyncSync, openSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import { checkpointKey, isSignedBy, parseCheckpoint } from './checkpoint.ts'
import type { Checkpoint, CheckpointKey } from './checkpoint.ts'
import { followsOn } from './entry.ts'
import { digestToBase64, MerkleTree } from './merkle.ts'
import { CHECKPOINTS_FILE, listSegments, readLines, readNotes } from './segments.ts'
import { journalStart, readStartFile, writeStartFile } from './tree-file.ts'
import type { SegmentStart } from './tree-file.ts'

export interface PruneOptions {
  readonly directory: string
  readonly publicKey: KeyObject
  /** `keyward/NODE` */
  readonly origin: string
  /** Milliseconds since the Unix epoch: a segment goes only if all of its entries are older. */
  readonly before: number
  /** The head that is kept outside of the journal: nothing beyond it goes. */
  readonly known: { readonly size: number } | null
}

/** What would go, and what the journal begins with then. */
export interface PrunePlan {
  readonly start: SegmentStart
  /** Signs the entries up to there. */
  readonly checkpoint: Checkpoint
  /** The first and the last entry that go. */
  readonly first: number
  readonly last: number
  readonly segments: number
}

/**
 * Finds the old segments that may go, and reads all of them once more: what goes was whole. Null where nothing is
 * old enough. Throws `journal_damaged` where one is not as it was written, and `prune_refused` where the end of the
 * last one is not signed, or beyond the head that is kept elsewhere.
 */
export async function planPruning(options: PruneOptions): Promise<PrunePlan | null> {
  const { directory, before, known } = options
  const key = checkpointKey(options.origin, options.publicKey)
  const base = readStartFile(directory, key) ?? journalStart
  const tree = new MerkleTree(base.tree.size, base.tree.peaks)
  let { head } = base
  let found: SegmentStart | null = null
  let wanted = base.segment
  // The newest is being written.
  for (const { number, file, path } of (await listSegments(directory)).slice(0, -1)) {
    if (number < base.segment) continue
    if (number !== wanted++) throw damaged(`A segment before ${file} is missing.`)
    let youngest = Number.NEGATIVE_INFINITY
    for await (const { lines, torn } of readLines(path)) {
      if (torn > 0) throw damaged(`Segment ${file} ends inside an entry.`)
      for (const line of lines) {
        const next = followsOn(line, head, tree.size + 1)
        if (next === null) throw damaged(`Entry ${tree.size + 1} in ${file} is not as it was written.`)
        // The clock may have stepped back: every entry counts, not the last one alone.
        youngest = Math.max(youngest, timeOf(line))
        head = next
        tree.append(next)
      }
      if (!(youngest < before)) break
    }
    if (!(youngest < before)) break
    found = { segment: number + 1, head, tree: new MerkleTree(tree.size, tree.peaks) }
  }
  if (found === null) return null
  const checkpoint = await checkpointOf(directory, key, found.tree)
  if (checkpoint === null) throw refused('No checkpoint covers exactly these entries.')
  if (known === null || known.size < found.tree.size)
    throw refused(`The store knows of ${known?.size ?? 0} entries, and ${found.tree.size} would go.`)
  return {
    start: found,
    checkpoint,
    first: base.tree.size + 1,
    last: found.tree.size,
    segments: found.segment - base.segment,
  }
}

/**
 * Makes the plan true, after it was journaled. First the new beginning is made durable, then the segments before it
 * go, the oldest first: whatever is left of them when it is interrupted is passed over, and goes with the next
 * pruning. `step` is told after each step that a crash could follow.
 */
export async function applyPruning(
  directory: string,
  plan: Pick<PrunePlan, 'start' | 'checkpoint'>,
  step: (name: string) => void = () => {},
): Promise<void> {
  writeStartFile(directory, plan.start, plan.checkpoint)
  step('start')
  await removeBefore(directory, plan.start.segment, step)
}

/** Takes away what an interrupted pruning left behind. */
export async function finishPruning(options: Pick<PruneOptions, 'directory' | 'publicKey' | 'origin'>): Promise<void> {
  const base = readStartFile(options.directory, checkpointKey(options.origin, options.publicKey))
  if (base !== undefined) await removeBefore(options.directory, base.segment, () => {})
}

async function removeBefore(directory: string, segment: number, step: (name: string) => void): Promise<void> {
  for (const { number, file, path } of await listSegments(directory)) {
    if (number >= segment) continue
    unlinkSync(path)
    step(file)
  }
  const descriptor = openSync(directory, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  step('synced')
}

/** The signed note over exactly this tree. */
async function checkpointOf(directory: string, key: CheckpointKey, tree: MerkleTree): Promise<Checkpoint | null> {
  for await (const { note } of readNotes(join(directory, CHECKPOINTS_FILE))) {
    const unproven = parseCheckpoint(note)
    if (unproven === undefined || unproven.checkpoint.size < tree.size) continue
    if (unproven.checkpoint.size > tree.size) return null
    if (unproven.checkpoint.origin !== key.origin || !isSignedBy(unproven, key))
      throw damaged('A checkpoint is not signed by the key of this journal.')
    if (unproven.digest !== tree.root())
      throw damaged(`The entries up to ${tree.size} (${digestToBase64(tree.root())}) are not those that were signed.`)
    return unproven.checkpoint
  }
  return null
}

function timeOf(line: Buffer): number {
  return Number.parseInt(line.toString('latin1', '{"at":'.length, 24), 10)
}

function damaged(detail: string): KeywardError {
  return new KeywardError('journal_damaged', detail)
}

function refused(detail: string): KeywardError {
  return new KeywardError('prune_refused', detail)
}
