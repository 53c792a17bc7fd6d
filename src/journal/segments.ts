import { Buffer } from 'node:buffer'
import { constants } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import { MAX_LINE_BYTES } from './entry.ts'

/** A segment is rotated before it would grow beyond this. */
export const SEGMENT_BYTES = 64 * 1024 * 1024
export const CHECKPOINTS_FILE = 'checkpoints'
const READ_BYTES = 1024 * 1024
const NEWLINE = 0x0a

export interface Segment {
  readonly number: number
  readonly file: string
  readonly path: string
}

export function segmentAt(directory: string, number: number): Segment {
  const file = `${String(number).padStart(8, '0')}.jsonl`
  return { number, file, path: join(directory, file) }
}

/** The segments that exist, in order. What has another name is not looked at. */
export async function listSegments(directory: string): Promise<Segment[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    throw new KeywardError('not_found', 'There is no journal in this folder.', { cause: error })
  })
  return names
    .filter((name) => /^\d{8}\.jsonl$/.test(name))
    .toSorted()
    .map((name) => segmentAt(directory, Number(name.slice(0, 8))))
}

/** Some whole lines without their newlines, in file order; `torn` counts the bytes after the last newline of the file and is not 0 in the last batch only. */
export interface LineBatch {
  readonly lines: readonly Buffer[]
  readonly torn: number
  /** File offset just after the newline of the last line so far. */
  readonly end: number
}

/** Reads a file line by line from the byte `from` (the start of a line), a bounded piece at a time. A line longer than MAX_LINE_BYTES ends the reading, and all from its start on counts as torn. */
export async function* readLines(path: string, from = 0): AsyncGenerator<LineBatch> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    let rest = Buffer.alloc(0)
    let end = from
    for (;;) {
      const piece = Buffer.allocUnsafe(rest.length + READ_BYTES)
      piece.set(rest)
      const { bytesRead } = await handle.read(piece, rest.length, READ_BYTES, end + rest.length)
      const filled = piece.subarray(0, rest.length + bytesRead)
      const lines: Buffer[] = []
      let start = 0
      for (let stop = filled.indexOf(NEWLINE); stop >= 0; stop = filled.indexOf(NEWLINE, start)) {
        lines.push(filled.subarray(start, stop))
        start = stop + 1
      }
      rest = filled.subarray(start)
      end += start
      if (rest.length > MAX_LINE_BYTES) {
        const { size } = await handle.stat()
        return yield { lines, torn: size - end, end }
      }
      if (bytesRead === 0) return yield { lines, torn: rest.length, end }
      yield { lines, torn: 0, end }
    }
  } finally {
    await handle.close()
  }
}

/** Whole lines from the last to the first. What follows the last newline is left out; reading ends at a line longer than MAX_LINE_BYTES. */
export async function* readLinesBackward(path: string): AsyncGenerator<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    let { size: position } = await handle.stat()
    let later = Buffer.alloc(0)
    let atEnd = true
    while (position > 0) {
      const length = Math.min(READ_BYTES, position)
      const piece = Buffer.allocUnsafe(length + later.length)
      const { bytesRead } = await handle.read(piece, 0, length, position - length)
      if (bytesRead !== length) return
      piece.set(later, length)
      position -= length
      let stop = piece.length
      for (
        let mark = piece.lastIndexOf(NEWLINE);
        mark >= 0;
        mark = mark === 0 ? -1 : piece.lastIndexOf(NEWLINE, mark - 1)
      ) {
        if (!atEnd) yield piece.subarray(mark + 1, stop)
        atEnd = false
        stop = mark
      }
      later = piece.subarray(0, stop)
      if (later.length > MAX_LINE_BYTES) return
    }
    if (!atEnd) yield later
  } finally {
    await handle.close()
  }
}

/** The notes of a checkpoints file in order, each with its final newline; a last one that is not whole is given as `torn`. */
export async function* readNotes(path: string, from = 0): AsyncGenerator<{ note: string; torn: boolean }> {
  let text: string[] = []
  let bytes = 0
  for await (const { lines, torn } of readLines(path, from)) {
    for (const line of lines) {
      const piece = line.toString()
      if (isWhole(text) && !piece.startsWith('— ')) {
        yield { note: `${text.join('\n')}\n`, torn: false }
        text = []
        bytes = 0
      }
      text.push(piece)
      bytes += line.length
      if (bytes > MAX_LINE_BYTES) return yield { note: '', torn: false }
    }
    if (torn === 0) continue
    if (isWhole(text)) {
      yield { note: `${text.join('\n')}\n`, torn: false }
      text = []
    }
    return yield { note: text.join('\n'), torn: mayGrowWhole(text) }
  }
  if (text.length > 0) yield { note: `${text.join('\n')}\n`, torn: mayGrowWhole(text) }
}

/** A note that is whole: further lines belong to it only if they are signatures. */
function isWhole(lines: readonly string[]): boolean {
  return lines.length >= 5 && (lines.at(-1)?.startsWith('— ') ?? false)
}

/** Whether these lines are the beginning of a note that was never finished, and not one that was damaged. */
function mayGrowWhole(lines: readonly string[]): boolean {
  const forms = [/./, /^\d+$/, /^[A-Za-z0-9+/]{43}=$/, /^$/]
  return lines.length <= forms.length && lines.every((line, index) => forms[index]?.test(line) ?? false)
}
