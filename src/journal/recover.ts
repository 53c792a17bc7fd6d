import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'
import { chmodSync, closeSync, constants, mkdirSync, openSync, readSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import { isSignedBy, parseCheckpoint } from './checkpoint.ts'
import type { Checkpoint, CheckpointKey } from './checkpoint.ts'
import { followsOn, MAX_LINE_BYTES } from './entry.ts'
import { digestToBase64, MerkleTree } from './merkle.ts'
import type { CutTail, WorkerStart } from './protocol.ts'
import { CHECKPOINTS_FILE, listSegments, readLines, readNotes, segmentAt } from './segments.ts'
import { journalStart, readStartFile, readTreeFile } from './tree-file.ts'

/** Where writing goes on. */
export interface JournalEnd {
  readonly segment: number
  readonly offset: number
  readonly head: string
  readonly tree: MerkleTree
  readonly checkpoint: Checkpoint | null
  readonly checkpointBytes: number
  readonly cut: CutTail | null
}

/** How much of the end of the checkpoints file is checked when the journal is opened: some 80 notes. */
const CHECKPOINT_TAIL_BYTES = 16 * 1024

/**
 * Finds the end of a journal and makes it fit to be continued: the last segment is verified, a torn
 * last line is cut off. Throws `journal_damaged` for anything else that is not as it was written, and
 * `journal_rolled_back` where a head that was kept elsewhere is not in it; one older than the newest segment is
 * left to a verification.
 */
export async function recoverJournal(
  directory: string,
  key: CheckpointKey,
  { anchor, prunedTo }: Pick<WorkerStart, 'anchor' | 'prunedTo'>,
): Promise<JournalEnd> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  chmodSync(directory, 0o700)
  const checkpoints = await lastCheckpoints(directory, key)
  const base = readStartFile(directory, key) ?? journalStart
  if (prunedTo !== null && base.tree.size > prunedTo)
    throw damaged(`It begins after entry ${base.tree.size}, and no pruning beyond entry ${prunedTo} is on record.`)
  // What an interrupted pruning left behind is passed over.
  const segments = (await listSegments(directory)).filter(({ number }) => number >= base.segment)
  segments.forEach(({ number }, index) => {
    const wanted = base.segment + index
    if (number !== wanted) throw damaged(`Segment ${segmentAt(directory, wanted).file} is missing.`)
  })
  const end = base.segment + segments.length
  const kept = readTreeFile(directory, key)
  if (kept !== undefined && kept.segment > end) throw damaged('The last segments are missing.')
  const start = kept === undefined || kept.segment < base.segment ? base : kept
  const tree = new MerkleTree(start.tree.size, start.tree.peaks)
  let head = start.head
  let offset = 0
  let torn = 0
  const compare = (): void => {
    const signed = checkpoints.bySize.get(tree.size)
    if (signed !== undefined && signed !== tree.root()) {
      throw damaged(`The entries up to ${tree.size} are not those that the checkpoint signed.`)
    }
    if (anchor?.size === tree.size && anchor.root !== digestToBase64(tree.root()))
      throw rolledBack(`Its entries up to ${anchor.size} are not those whose head was kept elsewhere.`)
  }
  compare()
  for (const { number, file, path } of segments.slice(start.segment - base.segment)) {
    offset = 0
    for await (const batch of readLines(path)) {
      for (const line of batch.lines) {
        const next = followsOn(line, head, tree.size + 1)
        if (next === null) throw damaged(`Entry ${tree.size + 1} in ${file} is not as it was written.`)
        head = next
        tree.append(next)
        compare()
      }
      offset = batch.end
      torn = batch.torn
    }
    if (torn > 0 && number !== end - 1) throw damaged(`Segment ${file} ends inside an entry.`)
  }
  if (checkpoints.size > tree.size) {
    throw damaged(`${checkpoints.size} entries were signed, and ${tree.size} are there.`)
  }
  if (anchor !== null && anchor.size > tree.size)
    throw rolledBack(`It has ${tree.size} entries; a head of ${anchor.size} was kept elsewhere.`)
  const last = segmentAt(directory, Math.max(end - 1, start.segment))
  if (torn > MAX_LINE_BYTES) throw damaged(`What follows the last entry of ${last.file} is longer than an entry.`)
  const cut = torn === 0 ? null : cutTail(last.path, last.file, offset, torn)
  const { newest, bytes } = checkpoints
  if (bytes < checkpoints.total) truncateSync(join(directory, CHECKPOINTS_FILE), bytes)
  return { segment: last.number, offset, head, tree, checkpoint: newest, checkpointBytes: bytes, cut }
}

function cutTail(path: string, file: string, offset: number, torn: number): CutTail {
  const tail = readFrom(path, offset, offset + torn)
  truncateSync(path, offset)
  return { file, bytes: tail.length, digest: hash('sha256', tail, 'base64url') }
}

function readFrom(path: string, from: number, to: number): Buffer {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const bytes = Buffer.alloc(to - from)
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, from))
  } finally {
    closeSync(descriptor)
  }
}

/** The newest checkpoints, each with its signature checked; a last note that is not whole is not counted in `bytes`. */
async function lastCheckpoints(directory: string, key: CheckpointKey) {
  const path = join(directory, CHECKPOINTS_FILE)
  const bySize = new Map<number, string>()
  let newest: Checkpoint | null = null
  let size = 0
  const total = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (total === 0) return { bySize, newest, size, bytes: 0, total }
  let from = Math.max(0, total - CHECKPOINT_TAIL_BYTES)
  if (from > 0) {
    const mark = readFrom(path, from, total).indexOf(`\n${key.origin}\n`)
    if (mark < 0) throw damaged('The checkpoints are not of this node.')
    from += mark + 1
  }
  let bytes = from
  for await (const { note, torn } of readNotes(path, from)) {
    if (torn) break
    const unproven = parseCheckpoint(note)
    if (unproven === undefined) throw damaged('A checkpoint is malformed.')
    if (unproven.checkpoint.origin !== key.origin) throw damaged('A checkpoint is of another node.')
    if (!isSignedBy(unproven, key)) throw damaged('A checkpoint is not signed by the key of this journal.')
    if (unproven.checkpoint.size < size) throw damaged('The checkpoints are out of order.')
    newest = unproven.checkpoint
    size = newest.size
    bySize.set(size, unproven.digest)
    bytes += Buffer.byteLength(note)
  }
  return { bySize, newest, size, bytes, total }
}

function rolledBack(detail: string): KeywardError {
  return new KeywardError('journal_rolled_back', detail)
}

function damaged(detail: string): KeywardError {
  return new KeywardError('journal_damaged', detail)
}
