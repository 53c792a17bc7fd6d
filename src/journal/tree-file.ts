import type { KeyObject } from 'node:crypto'
import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { checkpointKey, isSignedBy, parseCheckpoint } from './checkpoint.ts'
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
export const START_FILE = 'start'

/** Keeps the start of the newest segment, so that opening reads one segment and not all. It is only a short cut: whoever deletes it makes the next opening slower, and a false one is not believed, because its peaks must fold to the root that the checkpoint in it signs. */
export function writeTreeFile(directory: string, start: SegmentStart, checkpoint: Checkpoint): void {
  write(directory, TREE_FILE, start, checkpoint)
}

/** Undefined when there is none, or none that can be believed. */
export function readTreeFile(directory: string, key: CheckpointKey): SegmentStart | undefined {
  return read(directory, TREE_FILE, key)
}

/** Keeps where a journal begins whose first segments were pruned. It is no short cut: without it the first segment is missing. */
export function writeStartFile(directory: string, start: SegmentStart, checkpoint: Checkpoint): void {
  write(directory, START_FILE, start, checkpoint)
}

/** Undefined when there is none, or none that can be believed. */
export function readStartFile(directory: string, key: CheckpointKey | KeyObject): SegmentStart | undefined {
  return read(directory, START_FILE, key)
}

function write(directory: string, file: string, start: SegmentStart, checkpoint: Checkpoint): void {
  const peaks = start.tree.peaks.map(digestToBase64)
  const text = JSON.stringify({ head: start.head, note: checkpoint.note, peaks, segment: start.segment })
  const path = join(directory, file)
  const descriptor = openSync(`${path}.new`, 'w', 0o600)
  try {
    writeSync(descriptor, `${text}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(`${path}.new`, path)
  const folder = openSync(directory, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** A bare key is one of which the journal itself says whose it is. */
function read(directory: string, file: string, signer: CheckpointKey | KeyObject): SegmentStart | undefined {
  try {
    const flag = constants.O_RDONLY | constants.O_NOFOLLOW
    return parseStart(readFileSync(join(directory, file), { encoding: 'utf8', flag }), signer)
  } catch {
    return undefined
  }
}

/** What such a file says; undefined where it cannot be believed. Without a signer whose it is remains open. */
export function parseStart(text: string, signer: CheckpointKey | KeyObject | null): SegmentStart | undefined {
  try {
    const { head, note, peaks, segment } = readShape(JSON.parse(text))
    const signed = parseCheckpoint(note)
    if (signed === undefined) return undefined
    if (signer !== null) {
      const key = 'origin' in signer ? signer : checkpointKey(signed.checkpoint.origin, signer)
      if (signed.checkpoint.origin !== key.origin || !isSignedBy(signed, key)) return undefined
    }
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
