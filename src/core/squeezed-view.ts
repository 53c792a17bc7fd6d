import { HIT_STRIDE } from './needle-index.ts'
import type { Hits } from './needle-index.ts'
import { PartChains } from './part-chains.ts'
import { Squeezed } from './squeeze.ts'
import type { SqueezedIndex } from './squeezed-index.ts'
import { INDEXED_LETTERS_MAXIMUM } from './squeezed-index.ts'
import { isEscapeMark } from './unescape.ts'

/** No more than this may stand between two letters of one secret, in bytes. */
export const GAP_MAXIMUM_BYTES = 256
/** From the first byte to the last, one secret is not written longer than this. What may become one is held back. */
export const PLACE_MAXIMUM_BYTES = 1_048_576
/** A blank line or the end of a JSON line within so many letters of its beginning: then it is no secret but two events. */
export const LETTERS_BEFORE_BREAK = 8
/** The same for the end of a line, unless the secret begins with a line: then it may be written one letter a line. */
export const LETTERS_BEFORE_LINE_END = 4

const shown = new Squeezed(false)
const escaped = new Squeezed(true)
let wasEscapedRead = false

/** What is searched, and where the hits go. */
interface Task {
  readonly index: SqueezedIndex
  /** Number of the first needle. */
  readonly first: number
  readonly text: Uint8Array
  readonly view: DataView
  readonly end: number
  /** The byte before the text, and whether nothing but spaces stands in its line before the text. */
  readonly before: number
  readonly isBlankBefore: boolean
  /** More may follow. */
  readonly open: boolean
  readonly hits: Hits
}

/**
 * Appends hits in `text[0, end)`, in positions of the text. Returns the lowest position that must be held back for what may follow; `end` if nothing must.
 */
export function searchSqueezed(task: Task): number {
  const { text, view, end, open } = task
  shown.read(text, view, end, !open)
  const keep = Math.min(shown.known, new Search(task, shown).run())
  wasEscapedRead = shown.marked
  if (!wasEscapedRead) return keep
  escaped.read(text, view, end, !open)
  // Where nothing was undone, nor may be once more is known, the letters are those of the other reading.
  if (!escaped.undone && escaped.known === end) return keep
  return Math.min(keep, escaped.known, new Search(task, escaped).run())
}

/** The highest position not above `at` where a character begins in every reading of the last search. */
export function alignSqueezed(at: number): number {
  const aligned = shown.align(at)
  return wasEscapedRead ? escaped.align(aligned) : aligned
}

class Search {
  readonly #task: Task
  readonly #reading: Squeezed

  constructor(task: Task, reading: Squeezed) {
    this.#task = task
    this.#reading = reading
  }

  run(): number {
    const found: Hits = []
    this.#task.index.index.find(this.#reading, found)
    let keep = this.#task.open ? this.#heldFrom() : this.#task.end
    if (found.length === 0) return keep
    const parts: number[] = []
    for (let i = 0; i < found.length; i += HIT_STRIDE) {
      const at = found[i] ?? 0
      const needle = found[i + 2] ?? 0
      if (this.#task.index.offsetOf(needle) >= 0) parts.push(at, needle)
      else if (!this.#whole(at, needle)) keep = Math.min(keep, this.#reading.start(at))
    }
    if (parts.length === 0) return keep
    const chains = new PartChains(this.#task, this.#reading)
    const held = chains.run(parts, (start, end, needle) => this.#report(start, end, needle))
    return Math.min(keep, held)
  }

  /** Reports the form that begins at `at`, if it is there. False: the text ends before that is known. */
  #whole(at: number, needle: number): boolean {
    const { letters, count } = this.#reading
    let length = this.#indexed(needle)
    if (length === INDEXED_LETTERS_MAXIMUM) {
      const form = this.#task.index.form(this.#task.index.formOf(needle)).letters
      while (length < form.length && at + length < count && form[length] === letters[at + length]) length++
      if (length < form.length) {
        const start = this.#reading.start(at)
        return !(this.#task.open && at + length === count && this.#task.end - start <= PLACE_MAXIMUM_BYTES)
      }
    }
    const start = this.#reading.start(at)
    const end = this.#reading.end(at + length - 1)
    if (end - start <= PLACE_MAXIMUM_BYTES && this.#lastGap(at, at + length - 1) < 0 && !this.#breaks(at, at + length))
      this.#report(start, end, needle)
    return true
  }

  #indexed(needle: number): number {
    return this.#task.index.index.lengthOf(needle)
  }

  #report(start: number, end: number, needle: number): void {
    let mark = 0
    if (this.#reading === escaped) {
      for (let at = start; at < end && mark === 0; at++) {
        const byte = this.#task.text[at] ?? 0
        if (isEscapeMark(byte)) mark = byte
      }
    }
    this.#task.hits.push(start, end, this.#task.first + needle, mark)
  }

  /** Where the rest of the text, as letters, begins a form in such a way that what follows may complete it. */
  #heldFrom(): number {
    const { count } = this.#reading
    const { index } = this.#task.index
    // After a blank line or a JSON line, what has begun shortly before it is over.
    const most = this.#breaksBefore(this.#task.end) ? count - LETTERS_BEFORE_BREAK : count - 1
    for (let from = 0; from <= most;) {
      const at = index.heldFrom(this.#reading, from, most)
      if (at > most || this.#task.end - this.#reading.end(count - 1) > GAP_MAXIMUM_BYTES) break
      const gap = this.#lastGap(at, count - 1)
      if (gap >= 0) from = gap + 1
      else if (this.#breaks(at, count)) from = at + 1
      else return this.#reading.start(at)
    }
    return this.#task.end
  }

  /** The last letter of those from `first` to `last` after which too much stands before the next one; -1 if there is none. */
  #lastGap(first: number, last: number): number {
    const reading = this.#reading
    if (reading.end(last) - reading.start(first) <= GAP_MAXIMUM_BYTES) return -1
    for (let at = last; at > first; at--) if (reading.start(at) - reading.end(at - 1) > GAP_MAXIMUM_BYTES) return at - 1
    return -1
  }

  /** Whether two events, or two lines, lie between the first letters from `at` on. `count` letters are known. */
  #breaks(at: number, count: number): boolean {
    const reading = this.#reading
    const { text, end, isBlankBefore } = this.#task
    const start = reading.start(at)
    const known = Math.min(count, at + LETTERS_BEFORE_BREAK)
    const to = known < at + LETTERS_BEFORE_BREAK ? end : reading.start(known - 1)
    let letters = 1
    for (let i = reading.end(at); i < to; i++) {
      if (text[i] !== 0x0a) continue
      if (this.#breaksBefore(i + 1)) return true
      while (at + letters < count && reading.start(at + letters) < i) letters++
      if (letters < LETTERS_BEFORE_LINE_END && !this.#isSoft(i) && !isBlankUpTo(text, start, isBlankBefore)) return true
    }
    return false
  }

  /** Whether the line break at `at` is a soft one of quoted-printable (RFC 2045 section 6.7), behind which the line goes on. */
  #isSoft(at: number): boolean {
    const last = this.#byte(at - 1)
    return last === 0x3d || (last === 0x0d && this.#byte(at - 2) === 0x3d)
  }

  /** Whether a blank line, or one of JSON, ends before `at`. */
  #breaksBefore(at: number): boolean {
    if (at === 0 || this.#byte(at - 1) !== 0x0a) return false
    const last = this.#byte(at - 2)
    return last === 0x7d || last === 0x0a || (last === 0x0d && this.#byte(at - 3) === 0x0a)
  }

  #byte(at: number): number {
    return at < 0 ? this.#task.before : (this.#task.text[at] ?? 0)
  }
}

/** Whether nothing but spaces stands in the line before `at`; `before` says so of what came before the text. */
export function isBlankUpTo(text: Uint8Array, at: number, before: boolean): boolean {
  for (let i = at - 1; i >= 0; i--) {
    const byte = text[i]
    if (byte === 0x0a) return true
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false
  }
  return before
}
