import { HIT_STRIDE } from './needle-index.ts'
import type { Hits } from './needle-index.ts'
import type { NeedleSet } from './needles.ts'
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
  const scrubber = new StreamScrubber(needles)
  const pieces = [...scrubber.push(Buffer.from(text, 'latin1')), ...scrubber.end()]
  return scrubber.hits === 0
    ? { text, hits: 0 }
    : { text: Buffer.concat(pieces).toString('latin1'), hits: scrubber.hits }
}

/** The whole of `bytes`, scrubbed. */
export function scrubBytes(needles: NeedleSet, bytes: Uint8Array): { bytes: Uint8Array; hits: number } {
  const scrubber = new StreamScrubber(needles)
  const pieces = [...scrubber.push(bytes), ...scrubber.end()]
  return scrubber.hits === 0 ? { bytes, hits: 0 } : { bytes: Buffer.concat(pieces), hits: scrubber.hits }
}

const empty = new Uint8Array(0)

class StreamScrubber implements Scrubber {
  hits = 0
  readonly #needles: NeedleSet
  readonly #sameLength: boolean
  readonly #view: UnescapedView
  #held: Uint8Array = empty
  /** How many bytes at the beginning of `#held` belong to a place that is already replaced. */
  #replaced = 0

  constructor(needles: NeedleSet, sameLength = false) {
    this.#needles = needles
    this.#sameLength = sameLength
    this.#view = new UnescapedView(needles)
  }

  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#needles.count === 0) return chunk.length === 0 ? [] : [chunk]
    return chunk.length === 0
      ? []
      : this.#advance(this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]), true)
  }

  end(): Uint8Array[] {
    return this.#held.length === 0 ? [] : this.#advance(this.#held, false)
  }

  #advance(text: Uint8Array, open: boolean): Uint8Array[] {
    const { index } = this.#needles
    const found: Hits = []
    index.find(text, 0, text.length, found)
    let keep = open ? index.heldFrom(text, 0, text.length) : text.length
    keep = Math.min(keep, this.#view.search(text, 0, text.length, open, found))
    // What is held is read again from its beginning, so it must begin where an escape begins.
    if (keep < text.length) keep = this.#view.align(text, keep)
    return this.#emit(text, keep, found)
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
      pieces.push(text.subarray(done, keep))
      done = keep
    }
    this.#held = keep === text.length ? empty : new Uint8Array(text.subarray(keep))
    this.#replaced = done - keep
    return pieces
  }
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
