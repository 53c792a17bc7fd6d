import { SHORTEST_VALUE } from './encodings.ts'
import { HIT_STRIDE } from './needle-index.ts'
import type { Hits } from './needle-index.ts'
import { UNNAMED_NEEDLE } from './needles.ts'
import type { NeedleSet } from './needles.ts'
import { packedUntil } from './packed-text.ts'
import { findPacked } from './packed.ts'
import type { PackedJudge } from './packed.ts'
import { SearchedText } from './searched-text.ts'
import { alignSqueezed, isBlankUpTo, searchSqueezed } from './squeezed-view.ts'
import { UnescapedView } from './unescaped-view.ts'

/**
 * Replaces every needle in a stream of bytes. What comes out does not depend on how the stream is cut into
 * chunks: all occurrences count, overlapping ones too; occurrences that share bytes are one place, replaced
 * once, by the replacement of the needle that begins first (the longest of those). Only the longest rest
 * that could still become a needle is held back. Pieces are parts of the chunks given, not copies: a chunk
 * must not be changed after it was pushed.
 */
export interface Scrubber {
  push(chunk: Uint8Array): Uint8Array[]
  /** What was held back. Nothing may be pushed afterwards. */
  end(): Uint8Array[]
  /** Places replaced so far. */
  readonly hits: number
}

/** What is written over a secret whose place must keep its length. */
const FILL = 0x78

/** `sameLength`: each place is overwritten instead of replaced, for what counts its bytes elsewhere. */
export function createScrubber(needles: NeedleSet, options: { readonly sameLength: boolean } = replaced): Scrubber {
  return new StreamScrubber(needles, options.sameLength)
}

const replaced = { sameLength: false }

/** The whole of `text`, one byte a character (as header values are), scrubbed. */
export function scrubText(needles: NeedleSet, text: string): { text: string; hits: number } {
  const { bytes, hits } = scrubBytes(needles, Buffer.from(text, 'latin1'))
  return hits === 0 ? { text, hits } : { text: Buffer.from(bytes).toString('latin1'), hits }
}

/** The whole of `bytes`, scrubbed. */
export function scrubBytes(needles: NeedleSet, bytes: Uint8Array): { bytes: Uint8Array; hits: number } {
  const scrubber = new StreamScrubber(needles)
  const pieces = scrubber.whole(bytes)
  return scrubber.hits === 0 ? { bytes, hits: 0 } : { bytes: Buffer.concat(pieces), hits: scrubber.hits }
}

/** Longer chunks are searched in pieces of this length, so that what is kept for searching does not grow with them. */
export const SEARCHED_AT_ONCE_BYTES = 262_144
/** From this length on, what is held back is searched again only when it has grown by an eighth. */
const PATIENT_FROM_BYTES = 4_096
const PATIENCE = 8

const LOOPED_BYTES = 64

const empty = new Uint8Array(0)
/** Belongs to nobody for longer than one call, like the readings of it. */
const searched = new SearchedText()

class StreamScrubber implements Scrubber, PackedJudge {
  hits = 0
  readonly #needles: NeedleSet
  readonly #sameLength: boolean
  readonly #view: UnescapedView | null
  #held: Uint8Array = empty
  /** Chunks after `#held` that were not searched yet. */
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  /** How many bytes at the beginning of `#held` belong to a place that is already replaced. */
  #replaced = 0
  /** Compressed data that are too large to judge are still going on: nothing of them is shown. */
  #isInEndless = false
  /** The byte before `#held`: at first as if a line had ended. */
  #before = 0x0a
  #isBlankBefore = true

  constructor(needles: NeedleSet, sameLength = false) {
    this.#needles = needles
    this.#sameLength = sameLength
    this.#view = needles.nested === null ? null : new UnescapedView(needles.nested)
  }

  push(chunk: Uint8Array): Uint8Array[] {
    if (chunk.length === 0) return []
    if (this.#needles.count === 0) return [chunk]
    const waiting = this.#waitingBytes + chunk.length
    if (this.#held.length >= PATIENT_FROM_BYTES && PATIENCE * waiting < this.#held.length) {
      this.#waiting.push(chunk)
      this.#waitingBytes = waiting
      return []
    }
    if (chunk.length <= SEARCHED_AT_ONCE_BYTES) return this.#advance(this.#joined(chunk), true)
    const pieces: Uint8Array[] = []
    for (let at = 0; at < chunk.length; at += SEARCHED_AT_ONCE_BYTES)
      for (const piece of this.#advance(this.#joined(chunk.subarray(at, at + SEARCHED_AT_ONCE_BYTES)), true))
        pieces.push(piece)
    return pieces
  }

  end(): Uint8Array[] {
    const rest = this.#joined(empty)
    return rest.length === 0 ? [] : this.#advance(rest, false)
  }

  /** Everything at once, instead of `push` and `end`. */
  whole(bytes: Uint8Array): Uint8Array[] {
    if (this.#needles.count === 0 || bytes.length < SHORTEST_VALUE) return [bytes]
    if (bytes.length <= SEARCHED_AT_ONCE_BYTES) return this.#advance(bytes, false)
    return [...this.push(bytes), ...this.end()]
  }

  /** Whether anything is found in bytes that were unpacked. What is packed within them once more is not. */
  holds(text: Uint8Array): boolean {
    const found: Hits = []
    const { index, squeezed, nested } = this.#needles
    const end = text.length
    searched.turn(text)
    const { bytes, view } = searched
    index.find(bytes, view, 0, end, found)
    if (found.length > 0) return true
    searchSqueezed({
      index: squeezed,
      first: 0,
      text: bytes,
      view,
      end,
      before: 0x0a,
      isBlankBefore: true,
      open: false,
      hits: found,
    })
    if (found.length === 0 && nested !== null) new UnescapedView(nested).search(bytes, view, 0, end, false, found)
    return found.length > 0
  }

  #joined(chunk: Uint8Array): Uint8Array {
    const held = this.#held.length
    if (held === 0) return chunk
    const joined = Buffer.allocUnsafe(held + this.#waitingBytes + chunk.length)
    joined.set(this.#held)
    let at = held
    if (this.#waitingBytes > 0) {
      for (const waiting of this.#waiting) {
        joined.set(waiting, at)
        at += waiting.length
      }
      this.#waiting = []
      this.#waitingBytes = 0
    }
    joined.set(chunk, at)
    return joined
  }

  #advance(text: Uint8Array, open: boolean): Uint8Array[] {
    const end = text.length
    const found: Hits = []
    if (this.#isInEndless) {
      const over = packedUntil(text, 0, end)
      if (this.#sameLength && over > this.#replaced) found.push(this.#replaced, over, UNNAMED_NEEDLE, 0)
      else this.#replaced = Math.max(this.#replaced, over)
      if (over === end) return this.#emit(text, end, found)
      this.#isInEndless = false
    }
    const { index, squeezed } = this.#needles
    const before = this.#before
    // First, for it searches what it unpacks with the same means.
    const packed = findPacked(text, end, before, open, this)
    for (let i = 0; i < packed.places.length; i += 2)
      found.push(packed.places[i] ?? 0, packed.places[i + 1] ?? 0, UNNAMED_NEEDLE, 0)
    searched.turn(text)
    const { bytes, view } = searched
    index.find(bytes, view, 0, end, found)
    let keep = Math.min(packed.keep, open ? index.heldFrom(bytes, view, 0, end) : end)
    keep = Math.min(
      keep,
      searchSqueezed({
        index: squeezed,
        first: index.count,
        text: bytes,
        view,
        end,
        before,
        isBlankBefore: this.#isBlankBefore,
        open,
        hits: found,
      }),
    )
    if (this.#view !== null) keep = Math.min(keep, this.#view.search(bytes, view, 0, end, open, found))
    if (open) keep = this.#aligned(text, keep)
    this.#isInEndless = packed.endless && (packed.places.at(-2) ?? end) < keep
    return this.#emit(text, keep, found)
  }

  /** What is held is read again from its beginning, so it must begin where a character begins in every reading. */
  #aligned(text: Uint8Array, keep: number): number {
    for (let at = keep; ;) {
      const shown = alignSqueezed(at)
      const aligned = this.#view === null ? shown : this.#view.align(text, shown)
      if (aligned === at) return at
      at = aligned
    }
  }

  #emit(text: Uint8Array, keep: number, found: Hits): Uint8Array[] {
    const pieces: Uint8Array[] = []
    let done = this.#replaced
    if (found.length > 0) {
      for (const at of inOrder(found)) {
        const start = found[at] ?? 0
        // What begins in the held part is found again; by then a longer needle may have come of it.
        if (start >= keep) break
        const end = found[at + 1] ?? 0
        if (start >= done) {
          if (start > done) pieces.push(text.subarray(done, start))
          if (!this.#sameLength) pieces.push(this.#needles.replacement(found[at + 2] ?? 0, found[at + 3] ?? 0))
          this.hits++
        }
        if (this.#sameLength && end > done) pieces.push(new Uint8Array(end - Math.max(start, done)).fill(FILL))
        done = Math.max(done, end)
      }
    }
    if (done < keep) {
      pieces.push(done === 0 && keep === text.length ? text : text.subarray(done, keep))
      done = keep
    }
    this.#held = keep === text.length ? empty : copied(text, keep)
    this.#replaced = done - keep
    if (keep > 0) {
      this.#before = text[keep - 1] ?? 0
      this.#isBlankBefore = isBlankUpTo(text, keep, this.#isBlankBefore)
    }
    return pieces
  }
}

/** The rest of `text` from `from` on: nearly always a few bytes, for which a loop is faster than what copies many. */
function copied(text: Uint8Array, from: number): Uint8Array {
  const length = text.length - from
  if (length > LOOPED_BYTES) return new Uint8Array(text.subarray(from))
  const rest = new Uint8Array(length)
  for (let at = 0; at < length; at++) rest[at] = text[from + at] ?? 0
  return rest
}

/** Offsets of the hits: first those that begin first, of these the longest, of these the one written without escapes. */
function inOrder(found: Hits): number[] {
  const offsets = Array.from({ length: found.length / HIT_STRIDE }, (_, i) => i * HIT_STRIDE)
  return offsets.toSorted((a, b) => {
    for (const column of [0, 1, 3, 2]) {
      const difference = (found[a + column] ?? 0) - (found[b + column] ?? 0)
      if (difference !== 0) return column === 1 ? -difference : difference
    }
    return 0
  })
}
