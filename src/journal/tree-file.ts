import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
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
    const flag = constants.O_RDONLY | constants.O_NOFOLLOW
    const { head, note, peaks, segment } = readShape(
      JSON.parse(readFileSync(join(directory, TREE_FILE), { encoding: 'utf8', flag })),
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

/** By hand and not by a schema: loading a schema library would double the time in which the worker starts. */
function readShape(value: unknown): { head: string; note: string; peaks: string[]; segment: number } {
  if (typeof value !== 'object' || value === null) throw new TypeError('not an object')
  if (!('head' in value && 'note' in value && 'peaks' in value && 'segment' in value))
    throw new TypeError('a member is missing')
  const { head, note, peaks, segment } = value
  if (typeof head !== 'string' || typeof note !== 'string' || typeof segment !== 'number')
    throw new TypeError('a member is of another type')
  if (!Array.isArray(peaks) || !peaks.every((peak) => typeof peak === 'string'))
    throw new TypeError('the peaks are of another type')
  return { head, note, peaks, segment }
}
