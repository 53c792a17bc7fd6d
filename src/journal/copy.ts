import { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import { constants, existsSync } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import { checkpointKey, isSignedBy, originOf, parseCheckpoint } from './checkpoint.ts'
import { claimsOf } from './entry.ts'
import { CHECKPOINTS_FILE, listSegments, readLines, readNotes } from './segments.ts'
import type { Segment } from './segments.ts'
import { START_FILE } from './tree-file.ts'

/** One file of a journal as far as it is copied. */
export interface CopiedFile {
  readonly name: string
  readonly content: AsyncIterable<Buffer>
}

const PIECE_BYTES = 256 * 1024
const nodeName = /^[a-z0-9][a-z0-9-]{0,62}$/

/** The nodes whose journals lie in a folder, in the order of their names. */
export async function journalNodes(folder: string): Promise<string[]> {
  const found = await readdir(folder, { withFileTypes: true }).catch(() => [])
  return found.flatMap((entry) => (entry.isDirectory() && nodeName.test(entry.name) ? [entry.name] : [])).toSorted()
}

/** The last head that a journal nobody writes to has signed, or null where it has none. */
export async function lastSignedHead(
  directory: string,
  node: string,
  publicKey: KeyObject,
): Promise<{ size: number; root: string } | null> {
  const path = join(directory, CHECKPOINTS_FILE)
  if (!existsSync(path)) return null
  const key = checkpointKey(originOf(node), publicKey)
  let last: { size: number; root: string } | null = null
  for await (const { note, torn } of readNotes(path)) {
    const unproven = torn ? undefined : parseCheckpoint(note)
    if (unproven?.checkpoint.origin === key.origin && isSignedBy(unproven, key))
      last = { size: unproven.checkpoint.size, root: unproven.checkpoint.root }
  }
  return last
}

/**
 * The files of a journal with its first `size` entries, while others are written behind them: where it begins,
 * the checkpoints up to there, and the segments. Throws `journal_damaged` where the entries are not there (a pruning
 * meanwhile takes them away).
 */
export async function* copyJournal(directory: string, size: number): AsyncGenerator<CopiedFile> {
  const start = join(directory, START_FILE)
  if (existsSync(start)) yield { name: START_FILE, content: bytesOf(start, null) }
  const checkpoints = join(directory, CHECKPOINTS_FILE)
  if (existsSync(checkpoints)) yield { name: CHECKPOINTS_FILE, content: notesUpTo(checkpoints, size) }
  if (size === 0) return
  const segments = await listSegments(directory)
  for (let last = segments.pop(); last !== undefined; last = segments.pop()) {
    const end = await endOf(last, size)
    if (end === null) continue
    for (const { file, path } of segments) yield { name: file, content: bytesOf(path, null) }
    return yield { name: last.file, content: bytesOf(last.path, end) }
  }
}

/** Where entry number `size` ends in a segment; its own end where it has only earlier ones; null where it has only later ones. */
async function endOf({ path, file }: Segment, size: number): Promise<number | null> {
  let end: number | null = null
  for await (const batch of readLines(path)) {
    let at = batch.end - batch.lines.reduce((sum, line) => sum + line.length + 1, 0)
    for (const line of batch.lines) {
      const claims = claimsOf(line)
      if (claims === null) throw new KeywardError('journal_damaged', `Segment ${file} holds what is no entry.`)
      if (claims.sequence > size) return end
      at += line.length + 1
      end = at
    }
  }
  return end
}

async function* notesUpTo(path: string, size: number): AsyncGenerator<Buffer> {
  let held: string[] = []
  for await (const { note, torn } of readNotes(path)) {
    const unproven = torn ? undefined : parseCheckpoint(note)
    if (unproven === undefined || unproven.checkpoint.size > size) break
    held.push(note)
    if (held.length < 500) continue
    yield Buffer.from(held.join(''))
    held = []
  }
  if (held.length > 0) yield Buffer.from(held.join(''))
}

/** The bytes of a file up to `end`. */
async function* bytesOf(path: string, end: number | null): AsyncGenerator<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    throw new KeywardError('journal_damaged', 'A segment is gone; was it pruned meanwhile?', { cause: error })
  })
  try {
    const stop = end ?? (await handle.stat()).size
    for (let at = 0; at < stop;) {
      const wanted = Math.min(PIECE_BYTES, stop - at)
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(wanted), 0, wanted, at)
      if (bytesRead === 0) throw new KeywardError('journal_damaged', 'A segment is shorter than it was.')
      at += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}
