import { HIT_STRIDE } from './needle-index.ts'
import type { Hits } from './needle-index.ts'
import { UNESCAPE_DEPTH } from './needles.ts'
import type { NestedNeedles } from './needles.ts'
import { viewOf } from './searched-text.ts'
import { backslashMeaning, isEscapeMark, LONGEST_ESCAPE, newEscape, readEscape } from './unescape.ts'

const STRIDE = 4
const NEAR = 32
const marks = [0x25, 0x5c, 0x26]

/**
 * The text as a reader sees it who undoes percent, backslash and HTML escapes: searched for needles in the
 * same way as the text itself, with every hit mapped back to the bytes that were written. Escapes within
 * escapes are searched by a view of the view, up to `UNESCAPE_DEPTH`.
 *
 * Only the stretch that can matter is decoded: an escape whose meaning occurs in no needle (a line break or
 * a quote in JSON) cannot be part of a match, so most text with escapes is never decoded at all.
 */
export class UnescapedView {
  readonly #needles: NestedNeedles
  readonly #depth: number
  readonly #escape = newEscape()
  readonly #marks = new MarkFinder()
  #child: UnescapedView | undefined
  #childSearched = false
  #bytes = new Uint8Array(0)
  #view = viewOf(this.#bytes)
  #length = 0
  /** Escapes of the decoded stretch: start and end in the text, start and end in the view. */
  #escapes = new Int32Array(0)
  #escapeCount = 0
  #from = 0
  #to = 0
  #firstMark = 0
  #end = 0
  /** How many bytes after the escape that was read last belong to it in a view of this view. */
  #joined = 0

  constructor(needles: NestedNeedles, depth = 1) {
    this.#needles = needles
    this.#depth = depth
  }

  /**
   * Appends hits in `text[from, to)`, in positions of `text`. `open`: more text may follow. Returns the
   * lowest position that must be held back for what may follow; `to` if nothing must.
   */
  search(text: Uint8Array, view: DataView, from: number, to: number, open: boolean, hits: Hits): number {
    this.#from = this.#to = to
    this.#end = to
    this.#childSearched = false
    this.#firstMark = this.#marks.first(text, from, to)
    if (this.#firstMark >= to) return to
    const { index } = this.#needles
    const escape = this.#escape
    const margin = index.longest + LONGEST_ESCAPE
    let first = -1
    let last = -1
    /** Where the last escape that does not matter is over; whatever is decoded begins at or after it. */
    let boundary = from
    let begin = from
    let known = to
    for (let at = this.#firstMark; at < to; at = this.#marks.next(at)) {
      const matters = this.#read(text, at, to, open)
      if (escape.kind === 'cut') {
        known = at
        break
      }
      const end = at + escape.length
      if (matters) {
        if (first < 0 || at - last > 2 * margin) {
          if (first >= 0) this.#searchStretch(text, Math.max(begin, first - margin), last + margin, to, false, hits)
          first = at
          begin = boundary
        }
        last = end
      } else if (escape.kind === 'whole') boundary = this.#joined > 0 ? at : end
      at = end
    }
    const reaches = known < to || last + margin >= to
    if (first >= 0 && (known === to || known - last <= 2 * margin)) {
      const held = this.#searchStretch(
        text,
        Math.max(begin, first - margin),
        reaches ? known : last + margin,
        to,
        open && reaches,
        hits,
      )
      return held < this.#length ? this.#sourceStart(held) : known
    }
    if (first >= 0) this.#searchStretch(text, Math.max(begin, first - margin), last + margin, to, false, hits)
    return known < to ? index.heldFrom(text, view, Math.max(boundary, last), known) : to
  }

  /**
   * Reads the escape at `at` and tells whether it can be part of a match, here or in a view of this view.
   * An escaped backslash does not matter if, with what follows it, it means nothing that occurs in a needle:
   * JSON within JSON is full of them.
   */
  #read(text: Uint8Array, at: number, to: number, open: boolean): boolean {
    const escape = this.#escape
    this.#joined = 0
    readEscape(text, at, to, !open, escape)
    if (escape.kind === 'literal') return escape.unsettled
    const { relevant, occurring } = this.#needles
    const byte = escape.output[0] ?? 0
    if (byte !== 0x5c || occurring[0x5c] === 1 || escape.kind === 'cut') return relevant[byte] === 1
    const end = at + escape.length
    let after = end
    let next = text[after] ?? 0
    if (next === 0x5c && after + 1 < to) {
      after++
      next = text[after] ?? 0
      if (next !== 0x22 && next !== 0x27) return true
    }
    if (after >= to || next === 0x75 || next === 0x78 || isEscapeMark(next)) return true
    const meaning = backslashMeaning(next)
    if (meaning >= 0 && relevant[meaning] === 1) return true
    this.#joined = after + 1 - end
    return false
  }

  /** The highest position not above `at` where no escape, of this view or of a view of it, is torn apart. */
  align(text: Uint8Array, at: number): number {
    if (at <= this.#firstMark) return at
    if (at <= this.#from || at >= this.#to) {
      // An escape that is read as one with what follows it is at most this long.
      let near = at - LONGEST_ESCAPE - 2
      while (near < at && !isEscapeMark(text[near] ?? 0)) near++
      if (near === at) return at
    }
    if (at <= this.#from || at >= this.#to) {
      return this.#alignOutside(text, at >= this.#to ? Math.max(this.#to, this.#firstMark) : this.#firstMark, at)
    }
    const inside = this.#escapeBefore(at, 0)
    const torn = inside >= 0 && at < (this.#escapes[inside + 1] ?? 0)
    const start = torn ? (this.#escapes[inside] ?? 0) : at
    if (!this.#childSearched || this.#child === undefined) return start
    return this.#sourceStart(this.#child.align(this.#bytes, this.#viewStart(start)))
  }

  /** Decodes the stretch and searches it; returns the position in the view from which it must be held back. */
  #searchStretch(text: Uint8Array, from: number, until: number, to: number, open: boolean, hits: Hits): number {
    this.#decode(text, from, until, to)
    const { index } = this.#needles
    const found: Hits = []
    index.find(this.#bytes, this.#view, 0, this.#length, found)
    const own = found.length
    let held = open ? index.heldFrom(this.#bytes, this.#view, 0, this.#length) : this.#length
    if (this.#depth < UNESCAPE_DEPTH) {
      this.#child ??= new UnescapedView(this.#needles, this.#depth + 1)
      this.#childSearched = true
      held = Math.min(held, this.#child.search(this.#bytes, this.#view, 0, this.#length, open, found))
    }
    for (let i = 0; i < found.length; i += HIT_STRIDE) {
      const start = found[i] ?? 0
      const end = found[i + 1] ?? 0
      hits.push(
        this.#sourceStart(start),
        this.#sourceEnd(end),
        // A view of this view has numbered it already.
        this.#depth < UNESCAPE_DEPTH && i >= own
          ? (found[i + 2] ?? 0)
          : (this.#needles.numbers[found[i + 2] ?? 0] ?? 0),
        this.#markWithin(text, start, end, found[i + 3] ?? 0),
      )
    }
    return held
  }

  #decode(text: Uint8Array, from: number, until: number, to: number): void {
    if (this.#bytes.length < to - from) {
      this.#bytes = new Uint8Array(Math.max(to - from, 2 * this.#bytes.length))
      this.#view = viewOf(this.#bytes)
    }
    const bytes = this.#bytes
    const escape = this.#escape
    let length = 0
    this.#escapeCount = 0
    let at = from
    while (at < until) {
      const byte = text[at] ?? 0
      if (isEscapeMark(byte)) {
        readEscape(text, at, to, true, escape)
        if (escape.kind === 'whole') {
          this.#record(at, at + escape.length, length, length + escape.outputLength)
          for (let i = 0; i < escape.outputLength; i++) bytes[length++] = escape.output[i] ?? 0
          at += escape.length
          continue
        }
      }
      bytes[length++] = byte
      at++
    }
    this.#from = from
    this.#to = at
    this.#length = length
  }

  #record(start: number, end: number, viewStart: number, viewEnd: number): void {
    const at = this.#escapeCount * STRIDE
    if (at + STRIDE > this.#escapes.length) {
      const grown = new Int32Array(Math.max(256, 2 * this.#escapes.length))
      grown.set(this.#escapes)
      this.#escapes = grown
    }
    this.#escapes[at] = start
    this.#escapes[at + 1] = end
    this.#escapes[at + 2] = viewStart
    this.#escapes[at + 3] = viewEnd
    this.#escapeCount++
  }

  /** Offset of the last recorded escape whose `column` is at or before `position`; negative if there is none. */
  #escapeBefore(position: number, column: 0 | 2): number {
    let low = 0
    let high = this.#escapeCount
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#escapes[middle * STRIDE + column] ?? 0) <= position) low = middle + 1
      else high = middle
    }
    return (low - 1) * STRIDE
  }

  #sourceStart(position: number): number {
    const escape = this.#escapeBefore(position, 2)
    if (escape < 0) return this.#from + position
    const viewEnd = this.#escapes[escape + 3] ?? 0
    return position < viewEnd ? (this.#escapes[escape] ?? 0) : (this.#escapes[escape + 1] ?? 0) + position - viewEnd
  }

  #sourceEnd(position: number): number {
    const escape = this.#escapeBefore(position - 1, 2)
    if (escape < 0) return this.#from + position
    return (this.#escapes[escape + 1] ?? 0) + Math.max(0, position - (this.#escapes[escape + 3] ?? 0))
  }

  #viewStart(position: number): number {
    const escape = this.#escapeBefore(position, 0)
    if (escape < 0) return position - this.#from
    if ((this.#escapes[escape] ?? 0) === position) return this.#escapes[escape + 2] ?? 0
    return (this.#escapes[escape + 3] ?? 0) + position - (this.#escapes[escape + 1] ?? 0)
  }

  /** The mark of the first escape under `[start, end)` of the view, or `inner` if no escape of this view is there. */
  #markWithin(text: Uint8Array, start: number, end: number, inner: number): number {
    const covering = this.#escapeBefore(start, 2)
    const first = covering >= 0 && start < (this.#escapes[covering + 3] ?? 0) ? covering : covering + STRIDE
    if (first >= this.#escapeCount * STRIDE || (this.#escapes[first + 2] ?? 0) >= end) return inner
    return text[this.#escapes[first] ?? 0] ?? 0
  }

  #alignOutside(text: Uint8Array, from: number, at: number): number {
    this.#marks.first(text, from, at)
    for (let position = this.#marks.next(from); position < at; position = this.#marks.next(position)) {
      this.#read(text, position, this.#end, false)
      const end = position + this.#escape.length
      if (end + this.#joined > at) return position
      position = end
    }
    return at
  }
}

/** Walks from one escape character to the next: nearby by a loop, far away by the platform's byte search. */
class MarkFinder {
  #text: Uint8Array = new Uint8Array(0)
  #search = Buffer.from(this.#text.buffer)
  #to = 0
  readonly #ahead = [0, 0, 0]

  /** Turns to `text[from, to)` and returns the position of its first escape character, or `to`. */
  first(text: Uint8Array, from: number, to: number): number {
    this.#text = text
    this.#search = Buffer.from(text.buffer, text.byteOffset, to)
    this.#to = to
    this.#ahead.fill(-1)
    return this.next(from)
  }

  /** The first escape character at or after `from`. */
  next(from: number): number {
    const near = Math.min(this.#to, from + NEAR)
    for (let at = from; at < near; at++) if (isEscapeMark(this.#text[at] ?? 0)) return at
    if (near === this.#to) return this.#to
    let nearest = this.#to
    for (let i = 0; i < 3; i++) {
      let position = this.#ahead[i] ?? 0
      if (position < near) {
        position = this.#search.indexOf(marks[i] ?? 0, near)
        if (position < 0) position = this.#to
        this.#ahead[i] = position
      }
      nearest = Math.min(nearest, position)
    }
    return nearest
  }
}
