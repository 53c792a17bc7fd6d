import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { isSignedBy, parseCheckpoint } from './checkpoint.ts'
import type { Checkpoint, CheckpointKey } from './checkpoint.ts'
import { FIRST_PREVIOUS } from './entry.ts'
import { digestFromBase64, digestToBase64, MerkleTree } from './merkle.ts'

/** The state of the journal at the start of one segment. */
export interface SegmentStart {
  readonly segment: number
  readonly head: string
  readonly tree: MerkleTree
}

export const journalStart: SegmentStart = { segment: 1, head: FIRST_PREVIOUS, tree: new MerkleTree() }

const TREE_FILE = 'tree'
const shape = z.strictObject({
  head: z.string().length(43),
  note: z.string().max(4096),
  peaks: z.array(z.string()).max(53),
  segment: z.int().min(1),
})

/** Keeps the start of the newest segment, so that opening reads one segment and not all. It is only a short cut: whoever deletes it makes the next opening slower, and a false one is not believed, because its peaks must fold to the root that the checkpoint in it signs. */
export function writeTreeFile(directory: string, start: SegmentStart, checkpoint: Checkpoint): void {
  const peaks = start.tree.peaks.map(digestToBase64)
  const text = JSON.stringify({ head: start.head, note: checkpoint.note, peaks, segment: start.segment })
  const path = join(directory, TREE_FILE)
  const descriptor = openSync(`${path}.new`, 'w', 0o600)
  try {
    writeSync(descriptor, `${text}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(`${path}.new`, path)
}

/** Undefined when there is none, or none that can be believed. */
export function readTreeFile(directory: string, key: CheckpointKey): SegmentStart | undefined {
  try {
    const { head, note, peaks, segment } = shape.parse(
      JSON.parse(readFileSync(join(directory, TREE_FILE), { encoding: 'utf8', flag: constants.O_RDONLY | constants.O_NOFOLLOW })),
    )
    const signed = parseCheckpoint(note)
    if (signed === undefined || signed.checkpoint.origin !== key.origin || !isSignedBy(signed, key)) return undefined
    const tree = new MerkleTree(
      signed.checkpoint.size,
      peaks.map((peak) => digestFromBase64(peak) ?? ''),
    )
    return tree.root() === signed.digest ? { segment, head, tree } : undefined
  } catch {
    return undefined
  }
}
