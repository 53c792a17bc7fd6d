import { Marks } from './marks.ts'
import { looksLikePlaceholder, looksLikeSessionToken, maximumTokenLength } from './placeholder.ts'
import { isAlphanumeric, unescapeOnce } from './unescape.ts'

/** No stream reports more different texts than this. */
export const WATCHED_REPORTS_MAXIMUM = 16
/** So many marks of one stream are looked at in a row, and one more for each so many bytes: a flood of marks costs no more than that. */
export const WATCHED_MARKS_MAXIMUM = 1_024
export const WATCHED_BYTES_PER_MARK = 256
/** What is kept of a stream, so that a text is found that was cut: one of full length with every character escaped. */
export const WATCHED_TAIL_BYTES = 6 * maximumTokenLength
/** Beginnings of a text that are tried: where the run of its characters begins, and behind the last separators in it. */
const BEGINNINGS_TRIED = 8

/**
 * Finds placeholders and session tokens that stand in a stream (a request body, the messages of a socket):
 * as they are, in base64 at any alignment, and with every character escaped in the manner of percent or JSON.
 * Nothing is changed or held back; what was found is for the caller to look up, for anybody can make such
 * texts.
 */
export interface PlaceholderWatch {
  /** Texts that were not found in this stream before; mostly none. The chunk is not kept. */
  push(chunk: Uint8Array): readonly string[]
  /** Those that the end of the stream makes certain. Nothing may be pushed afterwards. */
  end(): readonly string[]
}

/** `marksMaximum`: the same for what is short, of which there may be many. */
export function createPlaceholderWatch(marksMaximum = WATCHED_MARKS_MAXIMUM): PlaceholderWatch {
  return new StreamWatch(marksMaximum)
}

/** What the watch would find in these bytes, if they were all of a stream. */
export function placeholdersIn(bytes: Uint8Array, marksMaximum = WATCHED_MARKS_MAXIMUM): readonly string[] {
  return marks.next(bytes, 0) < 0 ? nothing : new StreamWatch(marksMaximum).whole(bytes)
}

const nothing: readonly string[] = []
/** Of a stream in which nothing was found. */
const none = new Set<string>()

class StreamWatch implements PlaceholderWatch {
  readonly #marksMaximum: number
  #tail: Uint8Array = new Uint8Array(0)
  #marksLeft: number
  #known: Set<string> = none

  constructor(marksMaximum: number) {
    this.#marksMaximum = marksMaximum
    this.#marksLeft = marksMaximum
  }

  push(chunk: Uint8Array): readonly string[] {
    if (chunk.length === 0) return nothing
    const found: string[] = []
    const isLong = chunk.length > WATCHED_TAIL_BYTES
    // What was cut between two chunks, and what lay at the end of the last one.
    if (this.#tail.length > 0)
      this.#search(Buffer.concat([this.#tail, chunk.subarray(0, WATCHED_TAIL_BYTES)]), true, found)
    if (this.#tail.length === 0 || isLong) this.#search(chunk, true, found)
    this.#marksLeft = Math.min(this.#marksMaximum, this.#marksLeft + chunk.length / WATCHED_BYTES_PER_MARK)
    this.#tail = isLong
      ? chunk.slice(-WATCHED_TAIL_BYTES)
      : Buffer.concat([this.#tail, chunk]).subarray(-WATCHED_TAIL_BYTES)
    return found
  }

  /** Everything at once, instead of `push` and `end`. */
  whole(bytes: Uint8Array): readonly string[] {
    const found: string[] = []
    this.#marksLeft = Math.max(this.#marksLeft, bytes.length / WATCHED_BYTES_PER_MARK)
    this.#search(bytes, false, found)
    return found
  }

  end(): readonly string[] {
    const found: string[] = []
    this.#search(this.#tail, false, found)
    this.#tail = new Uint8Array(0)
    return found
  }

  #search(text: Uint8Array, open: boolean, found: string[]): void {
    for (let at = marks.next(text, 0); at >= 0; at = marks.next(text, at + 1)) {
      if (this.#known.size >= WATCHED_REPORTS_MAXIMUM || this.#marksLeft < 1) return
      this.#marksLeft--
      for (const token of tokensAt(text, at, open)) {
        if (this.#known.has(token) || this.#known.size >= WATCHED_REPORTS_MAXIMUM) continue
        if (this.#known === none) this.#known = new Set()
        this.#known.add(token)
        found.push(token)
      }
    }
  }
}

/** How `kwp` and `kws_` begin when they are written: as they are, in base64 after 0, 1 and 2 bytes, and escaped. */
const marks = new Marks([
  'kwp',
  'kws_',
  'a3d',
  't3c',
  'rd3',
  '%6b%77%7',
  '%6B%77%7',
  '\\u006b\\u0077',
  '\\u006B\\u0077',
])

/**
 * The placeholder or token whose mark was found at `at`. `open`: what touches the end of the text may go on.
 * What else lies near has marks of its own: looking through all of it for each mark would take a square of
 * the time.
 */
function tokensAt(text: Uint8Array, at: number, open: boolean): string[] {
  switch (text[at]) {
    case 0x6b: // k
      return plainTokens(text, at, open)
    case 0x25: // %
      return escapedTokens(text, at, 3 * maximumTokenLength, open)
    case 0x5c: // \\
      return escapedTokens(text, at, WATCHED_TAIL_BYTES, open)
    case 0x61: // a
      return tokensInBase64(text, at, 0, open)
    case 0x74: // t
      return tokensInBase64(text, at, 2, open)
    default:
      return tokensInBase64(text, at, 3, open)
  }
}

function escapedTokens(text: Uint8Array, at: number, reach: number, open: boolean): string[] {
  const before = unescapeOnce(text.subarray(Math.max(0, at - reach), at))
  const behind = unescapeOnce(text.subarray(at, at + reach))
  return tokenAt(Buffer.concat([before, behind]), before.length, open)
}

/** `place`: of the character at `at` among the four that stand for three bytes. */
function tokensInBase64(text: Uint8Array, at: number, place: 0 | 2 | 3, open: boolean): string[] {
  const reach = 4 * Math.ceil(maximumTokenLength / 3)
  let start = at
  while (start > 0 && at - start < reach && isBase64(text[start - 1] ?? 0)) start--
  let end = at
  while (end < text.length && end - at < reach && isBase64(text[end] ?? 0)) end++
  if (end === text.length && open) return []
  start += (at - place - start) & 3
  const decoded = Buffer.from(Buffer.from(text.subarray(start, end)).toString('latin1'), 'base64')
  return tokenAt(decoded, ((at - place - start) / 4) * 3 + Math.max(0, place - 1), false)
}

/** What stands there once it is written plainly. */
function tokenAt(text: Uint8Array, at: number, open: boolean): string[] {
  return text[at] === 0x6b && marks.beginsAt(text, at) ? plainTokens(text, at, open) : []
}

function plainTokens(text: Uint8Array, at: number, open: boolean): string[] {
  let end = at
  while (end < text.length && end - at <= maximumTokenLength && isTokenCharacter(text[end] ?? 0)) end++
  if (end === text.length && open) return []
  let start = at
  while (start > 0 && at - start <= maximumTokenLength && isTokenCharacter(text[start - 1] ?? 0)) start--
  const run = Buffer.from(text.subarray(start, end)).toString('latin1')
  const mark = at - start
  const session = /^kws_[0-9A-Za-z]*/.exec(run.slice(mark))
  if (session !== null) return looksLikeSessionToken(session[0]) ? [session[0]] : []
  const beginnings = [0]
  for (let i = mark; i > 0 && beginnings.length < BEGINNINGS_TRIED; i--)
    if (i === mark || run[i - 1] === '-' || run[i - 1] === '_') beginnings.push(i)
  const token = beginnings.map((beginning) => run.slice(beginning)).find(looksLikePlaceholder)
  return token === undefined ? [] : [token]
}

function isTokenCharacter(byte: number): boolean {
  return isAlphanumeric(byte) || byte === 0x2d || byte === 0x5f
}

function isBase64(byte: number): boolean {
  return isTokenCharacter(byte) || byte === 0x2b || byte === 0x2f
}
