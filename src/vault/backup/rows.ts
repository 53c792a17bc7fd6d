import { Buffer } from 'node:buffer'
import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { KeywardError } from '../../core/errors.ts'
import type { StoredRow } from '../../stores/store.ts'

/** All records of a backup, which are in memory as a whole when they are verified, as in a running server. */
export const BACKUP_RECORDS_MAXIMUM_BYTES = 512 * 1024 * 1024
/** One record. */
export const BACKUP_ROW_MAXIMUM_BYTES = 32 * 1024 * 1024
const PIECE_BYTES = 256 * 1024
const NEWLINE = 0x0a
const MAC_BYTES = 32

const line = z.tuple([z.string(), z.string(), z.int().min(0), z.string(), z.string().length(44)])

/** The rows as lines `[table, id, sequence, body, MAC]`, by table and id, so that the same rows give the same bytes. */
export function* writeRows(rows: readonly StoredRow[]): Generator<Buffer> {
  const sorted = rows.toSorted((a, b) => order(a.table, b.table) || order(a.id, b.id))
  let text: string[] = []
  let size = 0
  let total = 0
  for (const { table, id, seq, body, mac } of sorted) {
    const one = `${JSON.stringify([table, id, seq, body, Buffer.from(mac).toString('base64')])}\n`
    text.push(one)
    size += one.length
    if (size < PIECE_BYTES) continue
    const piece = Buffer.from(text.join(''))
    total += piece.length
    if (total > BACKUP_RECORDS_MAXIMUM_BYTES)
      throw new KeywardError(
        'request_too_large',
        `A backup holds at most ${BACKUP_RECORDS_MAXIMUM_BYTES} bytes of records.`,
      )
    yield piece
    text = []
    size = 0
  }
  yield Buffer.from(text.join(''))
}

/** Takes the pieces of the part `records`. Throws `backup_damaged`. */
export function createRowReader() {
  const rows: StoredRow[] = []
  let rest: Buffer[] = []
  let restBytes = 0
  let total = 0
  return {
    rows,
    take(piece: Buffer): void {
      total += piece.length
      if (total > BACKUP_RECORDS_MAXIMUM_BYTES) throw damaged('Its records are more than any home has.')
      let start = 0
      for (let stop = piece.indexOf(NEWLINE); stop >= 0; stop = piece.indexOf(NEWLINE, start)) {
        rows.push(rowOf(Buffer.concat([...rest, piece.subarray(start, stop)])))
        rest = []
        restBytes = 0
        start = stop + 1
      }
      rest.push(piece.subarray(start))
      restBytes += piece.length - start
      if (restBytes > BACKUP_ROW_MAXIMUM_BYTES) throw damaged('A record of it is longer than any may be.')
    },
    end(): void {
      if (restBytes > 0) throw damaged('Its records end inside of one.')
    },
  }
}

function rowOf(bytes: Buffer): StoredRow {
  const parsed = isUtf8(bytes) ? line.safeParse(parse(bytes.toString())) : null
  if (parsed?.success !== true) throw damaged('A record of it cannot be read.')
  const [table, id, seq, body, mac] = parsed.data
  const decoded = Buffer.from(mac, 'base64')
  if (decoded.length !== MAC_BYTES || decoded.toString('base64') !== mac)
    throw damaged('A record of it cannot be read.')
  return { table, id, seq, body, mac: decoded }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function damaged(detail: string): KeywardError {
  return new KeywardError('backup_damaged', detail)
}
