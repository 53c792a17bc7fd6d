import { letterOf } from './letters.ts'
import { isAmidQuoted, quotedBefore, quotedBeforeBreak } from './quoted-printable.ts'
import { quickEscape, TAKEN } from './quick-escape.ts'
import {
  escapedTables,
  GOES_ON,
  KEPT_SHIFT,
  LEADS,
  LETTER,
  MARK,
  shownTables,
  SPECIAL,
  SPECIAL_PAIR,
} from './squeeze-tables.ts'
import { CUT } from './terminal.ts'
import { WrittenCharacter } from './written-character.ts'

/** Positions are known exactly once in so many bytes; between them a stretch is read again. */
const SEGMENT_BYTES = 64
/** Of a segment: position, number of letters before it, and whether each of its bytes is a character. */
const POINT_STRIDE = 3
/** So many bytes at least are read one by one where one is no ASCII. */
const SINGLE_BYTES = 16
const NOT_ASCII = 0x8080_8080 | 0
/** Room behind the letters: they are written two at a time, and looked up in words. */
const ROOM_BEHIND = 8

/**
 * The letters of a text (see `letterOf`), with everything between them taken away: spaces and line breaks,
 * quotes and operators, terminal colours, characters that are not shown. In the `escaped` reading escapes and
 * tags are undone too; in the other one they are mere text.
 *
 * An object belongs to nobody for longer than one call of the scrubber, so one of each kind serves them all.
 */
export class Squeezed {
  readonly #escaped: boolean
  readonly #kinds: Uint32Array
  readonly #pairs: Uint32Array
  readonly #character = new WrittenCharacter()
  #text: Uint8Array = new Uint8Array(0)
  #end = 0
  #final = false
  /** What is known of each segment. */
  #points = new Int32Array(64 * POINT_STRIDE)
  #pointCount = 0
  /** The segment that `place` has read again: position of each letter, first and behind the last byte. */
  readonly #starts = new Int32Array(SEGMENT_BYTES + 8)
  readonly #ends = new Int32Array(SEGMENT_BYTES + 8)
  #placed = -1
  words = new Uint32Array(1024)
  letters = new Uint8Array(this.words.buffer)
  count = 0
  #out = new DataView(this.words.buffer)
  /** Where reading had to stop because the text ends within a character. */
  known = 0
  /** Whether anything occurs that the escaped reading may read in another way. */
  marked = false
  /** Whether an escape or a tag was undone. */
  undone = false

  constructor(escaped: boolean) {
    this.#escaped = escaped
    const { kinds, pairs } = escaped ? escapedTables : shownTables
    this.#kinds = kinds
    this.#pairs = pairs
  }

  /** Reads `text[0, end)`, which begins where a character begins. `view` is one of the text. `final`: nothing follows. */
  read(text: Uint8Array, view: DataView, end: number, final: boolean): void {
    this.#text = text
    this.#end = end
    this.#final = final
    this.#placed = -1
    this.#pointCount = 0
    if (this.letters.length < end + ROOM_BEHIND) this.#grow(Math.max(end + ROOM_BEHIND, 2 * this.letters.length))
    const out = this.#out
    const pairs = this.#pairs
    const kinds = this.#kinds
    const letters = this.letters
    let undone = false
    let at = 0
    let count = 0
    let seen = 0
    this.known = end
    while (at < end) {
      const point = this.#point(at, count)
      const stop = Math.min(end, at + SEGMENT_BYTES)
      while (at < stop) {
        while (at + 4 <= stop) {
          const word = view.getInt32(at, true)
          if ((word & NOT_ASCII) !== 0) break
          const first = pairs[(word & 0x7f) | ((word >> 1) & 0x3f80)] ?? 0
          const second = pairs[((word >> 16) & 0x7f) | ((word >> 17) & 0x3f80)] ?? 0
          seen |= first | second
          if (((first | second) & SPECIAL_PAIR) !== 0) break
          out.setUint16(count, first & 0xffff, true)
          count += (first >>> KEPT_SHIFT) & 3
          out.setUint16(count, second & 0xffff, true)
          count += (second >>> KEPT_SHIFT) & 3
          at += 4
        }
        const limit = Math.min(stop, at + SINGLE_BYTES)
        let kind = kinds[text[at] ?? 0] ?? 0
        while (at < limit) {
          const next = at + 1 < end ? (kinds[text[at + 1] ?? 0] ?? 0) : GOES_ON
          if (((kind & SPECIAL) | ((kind << 1) & next & GOES_ON)) !== 0) break
          letters[count] = kind
          count += (kind >>> 5) & 1
          seen |= kind
          kind = next
          at++
        }
        if (at >= limit) continue
        const quick = (kind & LEADS) === 0 ? quickEscape(text, at, end) : quickCharacter(text, at, end)
        if (quick !== 0) {
          const length = (quick >>> 8) & 0xff
          letters[count] = quick
          count += (quick >>> 5) & 1
          undone ||= quick >= TAKEN
          if (length > 1) this.#points[point] = 0
          at += length
          continue
        }
        this.#points[point] = 0
        const length = this.#special(at)
        if (length === CUT) {
          this.known = at
          this.#done(count, seen, undone)
          return
        }
        undone ||= this.#character.undone
        if (this.#character.letter !== 0) letters[count++] = this.#character.letter
        at += length
      }
    }
    this.#done(count, seen, undone)
  }

  #grow(bytes: number): void {
    this.words = new Uint32Array(Math.ceil(bytes / 4))
    this.letters = new Uint8Array(this.words.buffer)
    this.#out = new DataView(this.words.buffer)
  }

  #done(count: number, seen: number, undone: boolean): void {
    this.undone = undone
    this.count = count
    this.marked = (seen & MARK) !== 0
  }

  /** Begins a segment of single bytes, as far as is known; returns where the contrary is to be noted. */
  #point(at: number, count: number): number {
    const used = POINT_STRIDE * this.#pointCount++
    if (used === this.#points.length) {
      const grown = new Int32Array(2 * used)
      grown.set(this.#points)
      this.#points = grown
    }
    this.#points[used] = at
    this.#points[used + 1] = count
    this.#points[used + 2] = 1
    return used + 2
  }

  #special(at: number): number {
    if (this.#escaped) this.#character.readEscaped(this.#text, at, this.#end, this.#final)
    else this.#character.readShown(this.#text, at, this.#end, this.#final)
    return this.#character.length
  }

  /** Position in the text of the first byte of a letter. */
  start(letter: number): number {
    return this.#starts[this.#place(letter)] ?? 0
  }

  /** Position behind the last byte of a letter. */
  end(letter: number): number {
    return this.#ends[this.#place(letter)] ?? 0
  }

  #place(letter: number): number {
    let segment = this.#placed
    if (segment < 0 || letter < this.#before(segment) || letter >= this.#before(segment + 1)) {
      segment = this.#segment(letter, 1)
      this.#readAgain(segment)
    }
    return letter - this.#before(segment)
  }

  /** Letters before a segment. */
  #before(segment: number): number {
    return segment < this.#pointCount ? (this.#points[POINT_STRIDE * segment + 1] ?? 0) : this.count
  }

  /** The last segment whose position (`column` 0) or count (1) is at or before `value`. */
  #segment(value: number, column: 0 | 1): number {
    let low = 0
    let high = this.#pointCount
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#points[POINT_STRIDE * middle + column] ?? 0) <= value) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  #readAgain(segment: number): void {
    let at = this.#points[POINT_STRIDE * segment] ?? 0
    if (this.#points[POINT_STRIDE * segment + 2] === 1) {
      this.#readBytes(segment, at)
      return
    }
    const last = this.#before(segment + 1) - this.#before(segment)
    for (let found = 0; found < last;) {
      // Both ways of reading find the same letters. If they ever did not, the place would reach too far, and not for ever.
      if (at >= this.#end) {
        this.#starts.fill(this.#end, found, last)
        this.#ends.fill(this.#end, found, last)
        break
      }
      const { length, letter } = this.#step(at)
      if (letter !== 0) {
        this.#starts[found] = at
        this.#ends[found] = at + length
        found++
      }
      at += length
    }
    this.#placed = segment
  }

  /** The same where every byte is a character. */
  #readBytes(segment: number, from: number): void {
    const text = this.#text
    const kinds = this.#kinds
    const to = Math.min(this.known, from + SEGMENT_BYTES)
    for (let at = from, found = 0; at < to; at++) {
      if (((kinds[text[at] ?? 0] ?? 0) & LETTER) === 0) continue
      this.#starts[found] = at
      this.#ends[found++] = at + 1
    }
    this.#placed = segment
  }

  #step(at: number): { readonly length: number; readonly letter: number } {
    const kind = this.#kinds[this.#text[at] ?? 0] ?? 0
    if ((kind & (SPECIAL | LEADS)) === 0) {
      plain.letter = kind & 0xff
      return plain
    }
    if (this.#special(at) !== CUT) return this.#character
    plain.letter = 0
    return plain
  }

  /** The highest position not above `at` where a character begins that can be read without what stands before it. */
  align(at: number): number {
    let position = this.#characterAt(at)
    while (this.#escaped && !isAmidQuoted(this.#text, position)) {
      const quoted = quotedBefore(this.#text, position) || quotedBeforeBreak(this.#text, position)
      if (quoted === 0) break
      position = this.#characterAt(position - quoted)
    }
    return position
  }

  #characterAt(at: number): number {
    if (at >= this.known || this.#pointCount === 0) return Math.min(at, this.known)
    const segment = this.#segment(at, 0)
    if (this.#points[POINT_STRIDE * segment + 2] === 1) return at
    let position = this.#points[POINT_STRIDE * segment] ?? 0
    while (position < at) {
      const next = position + this.#step(position).length
      if (next > at) return position
      position = next
    }
    return position
  }
}

/** A character of two or three bytes: its letter, and 256 times its length. 0: this is for `WrittenCharacter`. */
function quickCharacter(text: Uint8Array, at: number, end: number): number {
  const first = text[at] ?? 0
  const second = text[at + 1] ?? 0
  if (first < 0xe0) {
    const code = ((first & 0x1f) << 6) | (second & 0x3f)
    // The control sequence introducer.
    return at + 1 >= end || code === 0x9b ? 0 : 0x200 | letterOf(code)
  }
  const third = text[at + 2] ?? 0
  if (first >= 0xf0 || at + 2 >= end || (third & 0xc0) !== 0x80) return 0
  return 0x300 | letterOf(((first & 0x0f) << 12) | ((second & 0x3f) << 6) | (third & 0x3f))
}

const plain = { length: 1, letter: 0 }
