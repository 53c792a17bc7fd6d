import { asciiLetters, leadsLetter } from './letters.ts'
import { isAmidQuoted, quotedBefore } from './quoted-printable.ts'
import { CUT } from './terminal.ts'
import { hexDigit } from './unescape.ts'
import { WrittenCharacter } from './written-character.ts'

/** Positions are known exactly once in so many bytes; between them a stretch is read again. */
const SEGMENT_BYTES = 128
/** In the tables below: not a letter, so it is never kept. A letter has bit 5 set, these have not. */
const SPECIAL = 0x40
const MARK = 0x80
const KEPT_SHIFT = 16
const SPECIAL_PAIR = 0x4000_0000
const MARK_PAIR = 0x2000_0000

const marks = [0x25, 0x26, 0x3c, 0x3d, 0x5c]

/**
 * The letters of a text (see `letterOf`), with everything between them taken away: spaces and line breaks,
 * quotes and operators, terminal colours, characters that are not shown. In the `escaped` reading escapes and
 * tags are undone too; in the other one they are mere text.
 *
 * An object belongs to nobody for longer than one call of the scrubber, so one of each kind serves them all.
 */
export class Squeezed {
  readonly #escaped: boolean
  readonly #single: Uint8Array
  readonly #pairs: Uint32Array
  readonly #character = new WrittenCharacter()
  #text: Uint8Array = new Uint8Array(0)
  #end = 0
  #final = false
  /** Position and number of letters before it, at the beginning of each segment. */
  #points = new Int32Array(256)
  #pointCount = 0
  /** The segment that `place` has read again: position of each letter, first and behind the last byte. */
  readonly #starts = new Int32Array(SEGMENT_BYTES + 8)
  readonly #ends = new Int32Array(SEGMENT_BYTES + 8)
  #placed = -1
  letters = new Uint8Array(0)
  count = 0
  /** Where reading had to stop because the text ends within a character. */
  known = 0
  /** Whether anything occurs that the escaped reading may read in another way. */
  marked = false
  /** Whether an escape or a tag was undone. */
  undone = false

  constructor(escaped: boolean) {
    this.#escaped = escaped
    const { single, pairs } = escaped ? escapedTables : shownTables
    this.#single = single
    this.#pairs = pairs
  }

  /** Reads `text[0, end)`, which begins where a character begins. `final`: nothing follows. */
  read(text: Uint8Array, end: number, final: boolean): void {
    this.#text = text
    this.#end = end
    this.#final = final
    this.#placed = -1
    this.#pointCount = 0
    // Two bytes are written at a time, and one beyond the last letter.
    if (this.letters.length < end + 4) this.letters = new Uint8Array(Math.max(4096, end + 4))
    const view = new DataView(text.buffer, text.byteOffset, end)
    const out = new DataView(this.letters.buffer)
    const pairs = this.#pairs
    const single = this.#single
    const letters = this.letters
    const isEscaped = this.#escaped
    let undone = false
    let at = 0
    let count = 0
    let seen = 0
    this.known = end
    while (at < end) {
      this.#point(at, count)
      const stop = Math.min(end, at + SEGMENT_BYTES)
      while (at < stop) {
        while (at + 4 <= stop) {
          const word = view.getUint32(at, true)
          const first = pairs[word & 0xffff] ?? 0
          const second = pairs[word >>> 16] ?? 0
          seen |= first | second
          if (((first | second) & SPECIAL_PAIR) !== 0) break
          out.setUint16(count, first & 0xffff, true)
          count += (first >>> KEPT_SHIFT) & 3
          out.setUint16(count, second & 0xffff, true)
          count += (second >>> KEPT_SHIFT) & 3
          at += 4
        }
        const limit = Math.min(stop, at + 4)
        while (at < limit) {
          const letter = single[text[at] ?? 0] ?? 0
          if (letter !== SPECIAL) {
            if (letter === MARK) seen |= MARK_PAIR
            letters[count] = letter
            count += (letter >>> 5) & 1
            at++
            continue
          }
          const quick = isEscaped ? quickly(text, at, end) : 0
          if (quick !== 0) {
            letters[count] = quick & 0xff
            count += (quick >>> 5) & 1
            undone ||= quick >= TAKEN
            at += (quick >> 8) & 0xff
            break
          }
          // Most bytes that could begin a letter of another alphabet do not, in what is no text.
          if ((text[at] ?? 0) >= 0x80 && at + 1 < end && ((text[at + 1] ?? 0) & 0xc0) !== 0x80) {
            at++
            break
          }
          const length = this.#special(at)
          if (length === CUT) {
            this.known = at
            this.#done(count, seen, undone)
            return
          }
          undone ||= this.#character.undone
          if (this.#character.letter !== 0) letters[count++] = this.#character.letter
          at += length
          break
        }
      }
    }
    this.#done(count, seen, undone)
  }

  #done(count: number, seen: number, undone: boolean): void {
    this.undone = undone
    this.count = count
    this.marked = (seen & MARK_PAIR) !== 0
  }

  #point(at: number, count: number): void {
    const used = 2 * this.#pointCount++
    if (used === this.#points.length) {
      const grown = new Int32Array(2 * used)
      grown.set(this.#points)
      this.#points = grown
    }
    this.#points[used] = at
    this.#points[used + 1] = count
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
    return segment < this.#pointCount ? (this.#points[2 * segment + 1] ?? 0) : this.count
  }

  /** The last segment whose position (`column` 0) or count (1) is at or before `value`. */
  #segment(value: number, column: 0 | 1): number {
    let low = 0
    let high = this.#pointCount
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#points[2 * middle + column] ?? 0) <= value) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  #readAgain(segment: number): void {
    let at = this.#points[2 * segment] ?? 0
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

  #step(at: number): { readonly length: number; readonly letter: number } {
    const letter = this.#single[this.#text[at] ?? 0] ?? 0
    if (letter !== SPECIAL) {
      plain.letter = letter === MARK ? 0 : letter
      return plain
    }
    this.#special(at)
    return this.#character
  }

  /** The highest position not above `at` where a character begins that can be read without what stands before it. */
  align(at: number): number {
    let position = this.#characterAt(at)
    while (this.#escaped && !isAmidQuoted(this.#text, position)) {
      const quoted = quotedBefore(this.#text, position)
      if (quoted === 0) break
      position = this.#characterAt(position - quoted)
    }
    return position
  }

  #characterAt(at: number): number {
    if (at >= this.known || this.#pointCount === 0) return Math.min(at, this.known)
    let position = this.#points[2 * this.#segment(at, 0)] ?? 0
    while (position < at) {
      const next = position + this.#step(position).length
      if (next > at) return position
      position = next
    }
    return position
  }
}

/** In the result of `quickly`: something was undone. */
const TAKEN = 0x10000

/**
 * The escapes that nearly all others are like, read in one step: the letter, 256 times the length, and `TAKEN`
 * if anything but a mark was taken away. 0: this is for `WrittenCharacter`.
 */
function quickly(text: Uint8Array, at: number, end: number): number {
  if (at + 6 > end) return 0
  const mark = text[at] ?? 0
  const next = text[at + 1] ?? 0
  if (mark === 0x5c) {
    const meaning = afterBackslash[next] ?? 0
    if (meaning !== 0x75) return meaning
    if (text[at + 2] !== 0x30 || text[at + 3] !== 0x30) return 0
    const code = ((digits[text[at + 4] ?? 0] ?? 0) << 4) | (digits[text[at + 5] ?? 0] ?? 0)
    return code < 0x80 && beginsNothing[code] === 1 ? TAKEN | 0x600 | (asciiLetters[code] ?? 0) : 0
  }
  if (mark === 0x25) {
    const code = ((digits[next] ?? 0) << 4) | (digits[text[at + 2] ?? 0] ?? 0)
    return code < 0x80 && beginsNothing[code] === 1 ? TAKEN | 0x300 | (asciiLetters[code] ?? 0) : 0
  }
  // An equals sign that no digit follows is nothing but a sign.
  return mark === 0x3d && (digits[next] ?? 0) > 15 && !marks.includes(next) ? 0x100 : 0
}

const digits = Uint16Array.from({ length: 256 }, (_, byte) => {
  const digit = hexDigit(byte)
  return digit < 0 ? 0x100 : digit
})
/** 1 for each character with which no other escape begins. */
const beginsNothing = Uint8Array.from({ length: 128 }, (_, code) => (code === 0x1b || marks.includes(code) ? 0 : 1))
/** What `quickly` returns for a backslash and this byte; `u` for itself. */
const afterBackslash = Uint32Array.from({ length: 256 }, (_, byte) => {
  if (byte === 0x75) return byte
  if ([0x62, 0x66, 0x6e, 0x72, 0x74, 0x76].includes(byte)) return TAKEN | 0x200
  // Another mark may turn out to be the letter that makes this an escape.
  return marks.includes(byte) || (byte < 0x80 && asciiLetters[byte] !== 0) ? 0 : 0x100
})

const plain = { length: 1, letter: 0 }

function tables(specials: readonly number[], noticed: readonly number[]): { single: Uint8Array; pairs: Uint32Array } {
  const single = new Uint8Array(256)
  single.set(asciiLetters)
  for (const byte of noticed) single[byte] = MARK
  for (let byte = 0x80; byte < 256; byte++) if (leadsLetter[byte] === 1) single[byte] = SPECIAL
  for (const byte of specials) single[byte] = SPECIAL
  const pairs = new Uint32Array(65_536)
  for (let first = 0; first < 256; first++) {
    for (let second = 0; second < 256; second++) {
      let entry = 0
      let kept = 0
      for (const [i, byte] of [first, second].entries()) {
        const letter = i === 0 && beginsNone(first, second) ? 0 : (single[byte] ?? 0)
        if (letter === SPECIAL) entry |= SPECIAL_PAIR
        else if (letter === MARK) entry |= MARK_PAIR
        else if (letter !== 0) entry |= letter << (8 * kept++)
      }
      // The machine is little-endian wherever Node runs, and the reads below say so.
      pairs[first | (second << 8)] = entry | (kept << KEPT_SHIFT)
    }
  }
  return { single, pairs }
}

/** Whether nothing of several bytes begins with these two, though its first byte could. */
function beginsNone(first: number, second: number): boolean {
  const isDigit = hexDigit(second) >= 0
  const isLetter = second < 0x80 && asciiLetters[second] !== 0
  if (first >= 0x80) return second < 0x80 || second > 0xbf
  // What the second begins may turn out to be what the first needs.
  if (marks.includes(second)) return false
  if (first === 0x3d) return !isDigit
  if (first === 0x25) return !isDigit && second !== 0x25
  if (first === 0x26) return !isLetter && second !== 0x23
  if (first === 0x3c) return !isLetter && second !== 0x2f && second !== 0x21
  return first === 0x5c && !isLetter && second !== 0x5c
}

const shownTables = tables([0x1b], marks)
const escapedTables = tables([0x1b, ...marks], [])
