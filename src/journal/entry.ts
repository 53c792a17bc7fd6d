import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'
import { encodeEvent, isEventKind } from './event.ts'
import type { JournalEvent } from './event.ts'
import { LEAF_PREFIX, type Digest } from './merkle.ts'

/** One line of the journal (docs/formats/journal.md). `at` is milliseconds since the Unix epoch; `sequence` starts at 1; both hashes are SHA-256 as base64url. */
export interface JournalEntry {
  readonly at: number
  readonly event: JournalEvent
  readonly hash: string
  readonly previous: string
  readonly sequence: number
}

/** What stands as `previous` in the first entry: 32 zero bytes. */
export const FIRST_PREVIOUS = 'A'.repeat(43)
/** The longest line that a reader accepts, in bytes. Every accepted event fits, whatever its script. */
export const MAX_LINE_BYTES = 1024 * 1024
/** The part of a line that the writer of the event decides; the journal adds the rest by `sealTail`. */
export function entryBody(at: number, eventText: string): string {
  return `{"at":${at},"event":${eventText}`
}

let scratch = Buffer.alloc(4096)

/**
 * SHA-256 (base64url) over 0x00 and the canonical JSON of the entry without its `hash` member: the digest of a
 * leaf in the sense of RFC 6962, so that the chain and the tree need one hash an entry between them. `body` is
 * the UTF-8 of `entryBody`.
 */
export function entryHash(body: Uint8Array, previous: string, sequence: number): Digest {
  const size = body.length + 96
  if (scratch.length < size) scratch = Buffer.alloc(size * 2)
  scratch[0] = LEAF_PREFIX
  scratch.set(body, 1)
  const tail = 1 + body.length
  const end = tail + scratch.write(`,"previous":"${previous}","sequence":${sequence}}`, tail, 'latin1')
  return hash('sha256', scratch.subarray(0, end), 'base64url')
}

/** What follows the body in the finished line. */
export function sealTail(entryHashText: string, previous: string, sequence: number): string {
  return `,"hash":"${entryHashText}","previous":"${previous}","sequence":${sequence}}`
}

/** Checks that `line` is entry number `sequence`, written after `previous`. Returns its hash, or null. */
export function followsOn(line: Buffer, previous: string, sequence: number): string | null {
  const bodyBytes = line.length - sealTail(FIRST_PREVIOUS, previous, sequence).length
  if (bodyBytes < 0) return null
  const own = entryHash(line.subarray(0, bodyBytes), previous, sequence)
  return line.toString('latin1', bodyBytes) === sealTail(own, previous, sequence) ? own : null
}

const tailPattern = /,"hash":"([\w-]{43})","previous":"([\w-]{43})","sequence":([1-9]\d{0,15})\}$/

/** What a line claims about itself, and whether it keeps its own word. Null: it does not look like an entry at all. */
export function claimsOf(line: Buffer): { sequence: number; previous: string; intact: boolean } | null {
  const match = tailPattern.exec(line.toString('latin1', Math.max(0, line.length - 192)))
  if (match?.[1] === undefined || match[2] === undefined || match[3] === undefined) return null
  const body = line.subarray(0, line.length - match[0].length)
  const sequence = Number(match[3])
  return { sequence, previous: match[2], intact: entryHash(body, match[2], sequence) === match[1] }
}

/** Reads a line as an entry, or gives null if it is not one. Says nothing about the chain. */
export function parseEntry(line: Buffer): JournalEntry | null {
  try {
    const value: unknown = JSON.parse(line.toString())
    return isEntry(value) ? value : null
  } catch {
    return null
  }
}

/** Whether the line is spelled in the one way in which this journal would have spelled it. */
export function isCanonical(line: Buffer, entry: JournalEntry): boolean {
  try {
    const body = entryBody(entry.at, encodeEvent(entry.event))
    return line.toString() === body + sealTail(entry.hash, entry.previous, entry.sequence)
  } catch {
    return false
  }
}

function isEntry(value: unknown): value is JournalEntry {
  return (
    typeof value === 'object' &&
    value !== null &&
    'at' in value &&
    Number.isSafeInteger(value.at) &&
    'sequence' in value &&
    Number.isSafeInteger(value.sequence) &&
    'hash' in value &&
    typeof value.hash === 'string' &&
    'previous' in value &&
    typeof value.previous === 'string' &&
    'event' in value &&
    typeof value.event === 'object' &&
    value.event !== null &&
    'kind' in value.event &&
    isEventKind(value.event.kind)
  )
}
