import { inflate } from './inflate.ts'
import { base64Values, PACKED_MAXIMUM_BYTES, PackedText, TRIED_BYTES } from './packed-text.ts'

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
/** What passed that is tried on so many times as much, until it is known to be nothing. */
const TRIED_FACTOR = 8

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
/** Shorter texts are looked through here: to ask the platform would take longer. */
const SHORT_BYTES = 2_048
/** Bytes of each beginning that are compared at once, and by how far to jump when this byte is the last of so many. */
const BEGINNING_BYTES = 4
const jumps = new Uint8Array(256).fill(BEGINNING_BYTES)
for (const { text } of magics)
  for (let i = 0; i < BEGINNING_BYTES; i++)
    jumps[text[i] ?? 0] = Math.min(jumps[text[i] ?? 0] ?? 0, BEGINNING_BYTES - 1 - i)

/** What is known of a text that may hold compressed data. */
export interface PackedFinds {
  /** Start and end of each place that must go, in turn. */
  readonly places: readonly number[]
  /** Lowest position from which must be held back. */
  readonly keep: number
  /** The last place goes on beyond the text, and nothing of it may be shown. */
  readonly endless: boolean
}

/** Says whether a secret is in bytes that were unpacked. */
export interface PackedJudge {
  holds(bytes: Uint8Array): boolean
}

/**
 * Finds gzip, zlib and raw DEFLATE data in base64, and gzip in hexadecimal, unpacks them and asks `judge`
 * whether a secret is in them. Data that say what they are and are too large to judge are a place as well.
 * `before` is the byte before the text, `open` says that more may follow.
 */
export function findPacked(
  text: Uint8Array,
  end: number,
  before: number,
  open: boolean,
  judge: PackedJudge,
): PackedFinds {
  const search = new PackedSearch(text, end, open, judge)
  if (end >= SHORT_BYTES || mayHoldMagic(text, end)) search.findMagics()
  if (open) search.holdTorn()
  search.findRuns((base64Values[before] ?? 0) >= 0)
  return search
}

class PackedSearch implements PackedFinds {
  readonly places: number[] = []
  keep: number
  endless = false
  readonly #text: Uint8Array
  readonly #end: number
  readonly #open: boolean
  readonly #judge: PackedJudge
  #readable: number
  /** Behind all that was read. */
  #reach = 0
  #overlapping = 0

  constructor(text: Uint8Array, end: number, open: boolean, judge: PackedJudge) {
    this.#text = text
    this.#end = end
    this.#open = open
    this.#judge = judge
    this.keep = end
    this.#readable = READ_RATIO_MAXIMUM * end + READ_ALWAYS_BYTES
  }

  findMagics(): void {
    const search = Buffer.from(this.#text.buffer, this.#text.byteOffset, this.#end)
    for (const { text: magic, isHexadecimal } of magics) {
      this.#reach = 0
      for (let at = search.indexOf(magic); at >= 0;) {
        this.#overlapping = at < this.#reach ? this.#overlapping + 1 : 0
        at = search.indexOf(magic, this.#judged(at, isHexadecimal, at + 1, true))
      }
      this.#overlapping = 0
    }
  }

  /** What the text ends in may become the beginning of compressed data. */
  holdTorn(): void {
    const last = this.#text[this.#end - 1] ?? 0
    if ((jumps[last] ?? 0) === BEGINNING_BYTES && last !== 0x30) return
    for (const { text: magic } of magics) this.keep = Math.min(this.keep, tornFrom(this.#text, this.#end, magic))
  }

  /** `goesOn`: what the text begins with belongs to what came before. */
  findRuns(goesOn: boolean): void {
    const text = this.#text
    const end = this.#end
    // A run that is long enough holds one of the places looked at, and all before it up to the one before.
    for (let floor = 0, probe = FEWEST_CHARACTERS - 1; floor < end; probe = floor + FEWEST_CHARACTERS - 1) {
      const isLast = probe >= end
      let start = isLast ? end : probe + 1
      while (start > floor && (base64Values[text[start - 1] ?? 0] ?? 0) >= 0) start--
      if (start > floor && !isLast) {
        floor = start
        continue
      }
      let over = isLast ? end : probe + 1
      if (start === over) return
      while (over < end && (base64Values[text[over] ?? 0] ?? 0) >= 0) over++
      const isTorn = over === end && this.#open
      const begins = start > 0 || !goesOn
      if (begins && (isTorn || over - start >= FEWEST_CHARACTERS) && mayBePacked(text, start, over))
        over = this.#judged(start, false, over, false)
      floor = over
    }
  }

  /** Where to go on after what begins at `start`. What does not say what it is is never withheld unread: any base64 may look like it. */
  #judged(start: number, isHexadecimal: boolean, next: number, saysWhatItIs: boolean): number {
    const packed = new PackedText(this.#text, start, this.#end, isHexadecimal)
    const isFlood = this.#readable < 0 || this.#overlapping > OVERLAPPING_MAXIMUM_COUNT
    if (isFlood && !saysWhatItIs) return next
    const verdict = isFlood ? withheld(packed) : judged(packed, this.#open, this.#judge)
    this.#readable -= Math.max(0, packed.length - 2 * TRIED_BYTES)
    this.#reach = Math.max(this.#reach, packed.end)
    if (verdict === 'wait') this.keep = Math.min(this.keep, start)
    if (verdict === 'wait' || verdict === 'nothing') return next
    const over = verdict === 'endless' ? this.#end : verdict
    this.places.push(start, over)
    this.endless ||= verdict === 'endless' && this.#open
    return Math.max(over, next)
  }
}

/** Whether the beginning of a magic occurs. */
function mayHoldMagic(text: Uint8Array, end: number): boolean {
  for (let at = BEGINNING_BYTES - 1; at < end;) {
    const jump = jumps[text[at] ?? 0] ?? 0
    if (jump > 0) at += jump
    else if (isMagicBefore(text, ++at)) return true
  }
  return false
}

function isMagicBefore(text: Uint8Array, at: number): boolean {
  for (const { text: magic } of magics) {
    let same = 0
    while (same < BEGINNING_BYTES && text[at - BEGINNING_BYTES + same] === magic[same]) same++
    if (same === BEGINNING_BYTES) return true
  }
  return false
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

function judged(packed: PackedText, open: boolean, judge: PackedJudge): Verdict {
  const head = packed.read(TRIED_BYTES)
  const dataAt = beginningOfData(head)
  if (dataAt < 0) return packed.isCut && open ? 'wait' : 'nothing'
  const isGzip = head[0] === 0x1f && head[1] === 0x8b
  const trial = inflate(head, dataAt, UNPACKED_ALWAYS_BYTES).outcome
  if (trial === 'broken' && !(isGzip && dataAt > 10)) return 'nothing'
  if (packed.isCut && open) return 'wait'
  // Most of what passes is broken a little further on, so that the rest need not be read.
  const mostTried = isGzip ? 0 : PACKED_MAXIMUM_BYTES
  for (let size = TRIED_FACTOR * TRIED_BYTES; size < mostTried; size *= TRIED_FACTOR) {
    const further = packed.read(size)
    if (further.length < size) break
    const { outcome, output } = inflate(further, dataAt, Math.max(UNPACKED_ALWAYS_BYTES, UNPACKED_RATIO_MAXIMUM * size))
    if (outcome === 'broken' && !judge.holds(output)) return 'nothing'
    if (outcome !== 'more') break
  }
  const bytes = packed.read(PACKED_MAXIMUM_BYTES)
  const isTooLong = packed.length > PACKED_MAXIMUM_BYTES
  if (packed.isCut && open && !isTooLong) return 'wait'
  const most = Math.max(UNPACKED_ALWAYS_BYTES, UNPACKED_RATIO_MAXIMUM * bytes.length)
  const { outcome, output } = inflate(bytes, dataAt, most)
  // Whatever comes out is looked at, also where the data are damaged further on.
  if (!isTooLong && outcome !== 'too_large') return judge.holds(output) ? packed.end : 'nothing'
  if (!isGzip && !judge.holds(output)) return 'nothing'
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
