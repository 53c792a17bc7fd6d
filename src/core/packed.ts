import { inflate } from './inflate.ts'
import { hexDigit } from './unescape.ts'

/** Compressed data written in base64 or hexadecimal are judged up to this length; what goes on is withheld. */
export const PACKED_MAXIMUM_BYTES = 262_144
/** Compressed data may unfold to so many times their size, and to this much in any case; beyond, they are withheld. */
export const UNPACKED_RATIO_MAXIMUM = 32
export const UNPACKED_ALWAYS_BYTES = 65_536
/** So many beginnings of gzip within what was read from an earlier one are tried; what follows is withheld. By chance one comes in sixteen million characters. */
export const OVERLAPPING_MAXIMUM_COUNT = 8
/** So many times its length, and so much in any case, of a text is read in search of compressed data, first trials apart; where more seems to begin, it is withheld. */
export const READ_RATIO_MAXIMUM = 16
export const READ_ALWAYS_BYTES = 65_536
/** The shortest run of base64 characters that is tried. */
const FEWEST_CHARACTERS = 24
/** So many bytes are tried before more is held back for them. */
const TRIED_BYTES = 96
/** What passed that is tried on so many times as much, until it is known to be nothing. */
const TRIED_FACTOR = 8

const base64Values = new Int8Array(256).fill(-1)
for (const [value, character] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries())
  base64Values[character.charCodeAt(0)] = value
base64Values[0x2d] = 62
base64Values[0x5f] = 63

/** `H`, with which gzip begins in base64. */
const GZIP_BEGINNING = 0x48

interface Magic {
  readonly text: Buffer
  readonly isHexadecimal: boolean
}

/** How gzip data begin (RFC 1952 section 2.3). */
const magics: readonly Magic[] = [
  { text: Buffer.from('H4sI'), isHexadecimal: false },
  { text: Buffer.from('1f8b08'), isHexadecimal: true },
  { text: Buffer.from('1F8B08'), isHexadecimal: true },
]

/** What is known of a text that may hold compressed data. */
export interface PackedFinds {
  /** Start and end of each place that must go, in turn. */
  readonly places: readonly number[]
  /** Lowest position from which must be held back. */
  readonly keep: number
  /** The last place goes on beyond the text, and nothing of it may be shown. */
  readonly endless: boolean
}

const nothingFound: readonly number[] = []

/**
 * Finds gzip, zlib and raw DEFLATE data in base64, and gzip in hexadecimal, unpacks them and asks `holds`
 * whether a secret is in them. Data that say what they are and are too large to judge are a place as well.
 * `before` is the byte before the text, `open` says that more may follow.
 */
export function findPacked(
  text: Uint8Array,
  end: number,
  before: number,
  open: boolean,
  holds: (bytes: Uint8Array) => boolean,
): PackedFinds {
  const search = Buffer.from(text.buffer, text.byteOffset, end)
  let places: number[] | null = null
  let keep = end
  let endless = false
  let readable = READ_RATIO_MAXIMUM * end + READ_ALWAYS_BYTES
  /** Behind all that was read. */
  let reach = 0
  let overlapping = 0
  /** Where to go on after what begins at `start`. What does not say what it is is never withheld unread: any base64 may look like it. */
  const judge = (start: number, isHexadecimal: boolean, next: number, saysWhatItIs: boolean): number => {
    const packed = new PackedText(text, start, end, isHexadecimal)
    const isFlood = readable < 0 || overlapping > OVERLAPPING_MAXIMUM_COUNT
    if (isFlood && !saysWhatItIs) return next
    const verdict = isFlood ? withheld(packed) : judged(packed, open, holds)
    readable -= Math.max(0, packed.length - 2 * TRIED_BYTES)
    reach = Math.max(reach, packed.end)
    if (verdict === 'wait') keep = Math.min(keep, start)
    if (verdict === 'wait' || verdict === 'nothing') return next
    const over = verdict === 'endless' ? end : verdict
    places ??= []
    places.push(start, over)
    endless ||= verdict === 'endless' && open
    return Math.max(over, next)
  }
  for (const { text: magic, isHexadecimal } of magics) {
    reach = 0
    for (let at = search.indexOf(magic); at >= 0;) {
      overlapping = at < reach ? overlapping + 1 : 0
      at = search.indexOf(magic, judge(at, isHexadecimal, at + 1, true))
    }
    overlapping = 0
    if (open) keep = Math.min(keep, tornFrom(text, end, magic))
  }
  // A run that is long enough covers one of the places looked at.
  for (let probe = FEWEST_CHARACTERS - 1, floor = 0; ;) {
    const at = Math.min(probe, end - 1)
    if (at < floor) break
    let start = at + 1
    while (start > floor && (base64Values[text[start - 1] ?? 0] ?? 0) >= 0) start--
    let over = at + 1
    if (start <= at) {
      while (over < end && (base64Values[text[over] ?? 0] ?? 0) >= 0) over++
      const isTorn = over === end && open
      const begins = start > 0 || (base64Values[before] ?? 0) < 0
      if (begins && (isTorn || over - start >= FEWEST_CHARACTERS) && mayBePacked(text, start, over))
        over = judge(start, false, over, false)
    }
    floor = over
    probe = over + FEWEST_CHARACTERS - 1
    if (floor >= end) break
  }
  return { places: places ?? nothingFound, keep, endless }
}

/** Behind the characters from `from` on that may belong to data that began before. */
export function packedUntil(text: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && ((base64Values[text[at] ?? 0] ?? 0) >= 0 || isBetween(text[at] ?? 0))) at++
  return at
}

function isBetween(byte: number): boolean {
  return byte === 0x3d || byte === 0x0a || byte === 0x0d || byte === 0x5c
}

/** Whether the first byte allows it: of the four kinds of block that DEFLATE data may begin with, one is none. */
function mayBePacked(text: Uint8Array, start: number, end: number): boolean {
  if (end - start < 2) return true
  const first = base64Values[text[start] ?? 0] ?? 0
  return (
    (((first & 1) << 2) | ((base64Values[text[start + 1] ?? 0] ?? 0) >> 4)) >> 1 !== 3 || text[start] === GZIP_BEGINNING
  )
}

/** Where the text ends in the beginning of `magic`; its end if it does not. */
function tornFrom(text: Uint8Array, end: number, magic: Uint8Array): number {
  for (let length = Math.min(magic.length - 1, end); length > 0; length--) {
    let same = 0
    while (same < length && text[end - length + same] === magic[same]) same++
    if (same === length) return end - length
  }
  return end
}

/** The end of a place; or that nothing is there, that more must be known, or that it goes on and is too large. */
type Verdict = number | 'nothing' | 'wait' | 'endless'

function judged(packed: PackedText, open: boolean, holds: (bytes: Uint8Array) => boolean): Verdict {
  const head = packed.read(TRIED_BYTES)
  const dataAt = beginningOfData(head)
  if (dataAt < 0) return packed.isCut && open ? 'wait' : 'nothing'
  const isGzip = head[0] === 0x1f && head[1] === 0x8b
  const trial = inflate(head, dataAt, UNPACKED_ALWAYS_BYTES).outcome
  if (trial === 'broken' && !(isGzip && dataAt > 10)) return 'nothing'
  // Most of what passes is broken a little further on, so that the rest need not be read.
  const mostTried = isGzip ? 0 : PACKED_MAXIMUM_BYTES
  for (let size = TRIED_FACTOR * TRIED_BYTES; size < mostTried; size *= TRIED_FACTOR) {
    const further = packed.read(size)
    if (further.length < size) break
    const { outcome, output } = inflate(further, dataAt, Math.max(UNPACKED_ALWAYS_BYTES, UNPACKED_RATIO_MAXIMUM * size))
    if (outcome === 'broken' && !holds(output)) return 'nothing'
    if (outcome !== 'more') break
  }
  const bytes = packed.read(PACKED_MAXIMUM_BYTES)
  const isTooLong = packed.length > PACKED_MAXIMUM_BYTES
  if (packed.isCut && open && !isTooLong) return 'wait'
  const most = Math.max(UNPACKED_ALWAYS_BYTES, UNPACKED_RATIO_MAXIMUM * bytes.length)
  const { outcome, output } = inflate(bytes, dataAt, most)
  // Whatever comes out is looked at, also where the data are damaged further on.
  if (!isTooLong && outcome !== 'too_large') return holds(output) ? packed.end : 'nothing'
  if (!isGzip && !holds(output)) return 'nothing'
  const over = packed.wholeEnd()
  return over === null ? 'endless' : over
}

/** All that may belong to it, unread. */
function withheld(packed: PackedText): Verdict {
  packed.read(TRIED_BYTES)
  return packed.wholeEnd() ?? 'endless'
}

/** Where DEFLATE data begin after a header of gzip or zlib, or 0; -1 if the header is not all there or not right. */
function beginningOfData(head: Uint8Array): number {
  if (head.length < 2) return -1
  const [first = 0, second = 0, method = 8, flags = 0] = head
  if (first === 0x1f && second === 0x8b) return method === 8 ? afterGzipHeader(head, flags) : -1
  // RFC 1950 section 2.2: method 8, a window that exists, a check of both bytes, no dictionary.
  return (first & 0x8f) === 0x08 && ((first << 8) | second) % 31 === 0 && (second & 0x20) === 0 ? 2 : 0
}

/** RFC 1952 section 2.3.1. A header longer than what was read counts as ending there: then the trial fails, and is not believed. */
function afterGzipHeader(head: Uint8Array, flags: number): number {
  if (head.length < 10) return -1
  let at = 10
  if ((flags & 4) !== 0) at += 2 + (head[at] ?? 0) + ((head[at + 1] ?? 0) << 8)
  for (const flag of [8, 16]) {
    if ((flags & flag) === 0) continue
    while (at < head.length && head[at] !== 0) at++
    at++
  }
  return (flags & 2) === 0 ? at : at + 2
}

/** Bytes written in base64 (either alphabet) or hexadecimal, with line breaks, also escaped ones, between them. */
class PackedText {
  readonly #text: Uint8Array
  readonly #from: number
  readonly #limit: number
  readonly #isHexadecimal: boolean
  /** Behind the last character that belongs to it. */
  end: number
  /** Whether the text ends before this does. */
  isCut = false

  constructor(text: Uint8Array, from: number, limit: number, isHexadecimal: boolean) {
    this.#text = text
    this.#from = from
    this.#limit = limit
    this.#isHexadecimal = isHexadecimal
    this.end = from
  }

  /** Length of what was read, in bytes of the text. */
  get length(): number {
    return this.end - this.#from
  }

  /** At most so many bytes from the beginning; no more text than `PACKED_MAXIMUM_BYTES` and a character. */
  read(most: number): Uint8Array {
    const limit = Math.min(this.#limit, this.#from + PACKED_MAXIMUM_BYTES + 1)
    const bytes = new Uint8Array(Math.min(most, limit - this.#from))
    const width = this.#isHexadecimal ? 4 : 6
    let count = 0
    let held = 0
    let bits = 0
    let at = this.#from
    this.isCut = false
    while (count < bytes.length) {
      if (at >= limit) {
        this.isCut = true
        break
      }
      const value = this.#value(at)
      if (value < 0) {
        const between = this.#between(at, limit)
        if (between > 0) {
          at += between
          continue
        }
        this.isCut = between < 0
        break
      }
      at++
      this.end = at
      held = ((held << width) | value) & 0xffff
      bits += width
      if (bits < 8) continue
      bits -= 8
      bytes[count++] = (held >>> bits) & 0xff
    }
    return bytes.subarray(0, count)
  }

  /** Its end, if it is longer than may be read; null: the text ends before. */
  wholeEnd(): number | null {
    const end = packedUntil(this.#text, this.end, this.#limit)
    return end === this.#limit ? null : end
  }

  #value(at: number): number {
    const byte = this.#text[at] ?? 0
    return this.#isHexadecimal ? hexDigit(byte) : (base64Values[byte] ?? -1)
  }

  /** Length of a line break, written or escaped, or of a backslash before a slash; 0 if there is none, -1 if that is not known. */
  #between(at: number, limit: number): number {
    const byte = this.#text[at] ?? 0
    if (byte === 0x0a || byte === 0x0d) return 1
    if (byte !== 0x5c) return 0
    if (at + 1 >= limit) return -1
    const next = this.#text[at + 1] ?? 0
    if (next === 0x6e || next === 0x72) return 2
    return next === 0x2f || next === 0x5c ? 1 : 0
  }
}
