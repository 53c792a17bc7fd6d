import { viewOf } from './searched-text.ts'

/** A needle as it is indexed. `fold`: ASCII letters match in either case, and `bytes` is lower-case. */
export interface Needle {
  readonly bytes: Uint8Array
  readonly fold: boolean
}

/**
 * Occurrences, four numbers each: start, end, number of the needle, and the escape character with which the
 * place was written (0 if none was).
 */
export type Hits = number[]
export const HIT_STRIDE = 4

/** Length of the blocks that are looked up in the shift table: blocks of four bytes of so many needles would be nearly all that there are. */
const BLOCK = 4
const WIDE_BLOCK = 6
const WIDE_FROM = 4096
const LONGEST_WINDOW = 48
const FEWEST_SLOT_BITS = 12
const MOST_SLOT_BITS = 23
/** What says whether a block occurs at all must not be larger than what is near to the processor. */
const MOST_PRESENT_BITS = 21
const PAIR_BITS = 12
const FEWEST_BEGINNING_BITS = 12
const MOST_BEGINNING_BITS = 20
/** From one place to the next at which the beginning of a needle is looked for. */
const BEGINNING_STRIDE = 4
/** Slots of the shift table for each entry, as long as the largest table allows it. */
const SPARSITY = 16
/** Places in a needle that are tried for its window. */
const WINDOW_PLACES = 6

/**
 * Finds every occurrence of any of many needles, in the manner of Wu and Manber (1994): a window as long as
 * the shortest needle slides over the text, and the last four bytes under it tell how far it may jump. Each
 * needle chooses which of its parts the window must meet, so needles that share a beginning or an end do not
 * share a bucket. Letter case is folded for the jump and compared for the match.
 */
export class NeedleIndex {
  readonly count: number
  /** Length of the longest needle, in bytes; 0 if there is none. */
  readonly longest: number
  readonly #pool: Uint8Array
  readonly #starts: Uint32Array
  readonly #folds: Uint8Array
  readonly #window: number
  readonly #block: number
  readonly #places: Uint32Array
  readonly #slotShift: number
  readonly #shifts: Uint8Array
  /** A bit for each block that any window holds, by hash: nearly all blocks of a text are in none. */
  readonly #present: Uint32Array
  readonly #presentShift: number
  readonly #heads: Int32Array
  readonly #next: Int32Array
  /** Needle numbers in the order of their folded bytes. */
  readonly #order: Uint32Array
  readonly #firstBytes = new Uint8Array(256)
  /** A mark for each folded pair of bytes that begins a needle, by hash. */
  readonly #firstPairs = new Uint8Array(2 ** PAIR_BITS)
  /** A mark for each folded block of four bytes near the beginning of a needle, by hash. */
  readonly #beginnings: Uint8Array
  readonly #beginningShift: number

  /** Every needle has at least eight bytes. */
  constructor(needles: readonly Needle[]) {
    this.count = needles.length
    let total = 0
    let longest = 0
    let shortest = LONGEST_WINDOW
    for (const { bytes } of needles) {
      total += bytes.length
      longest = Math.max(longest, bytes.length)
      shortest = Math.min(shortest, bytes.length)
    }
    this.longest = longest
    this.#pool = new Uint8Array(total)
    this.#starts = new Uint32Array(this.count + 1)
    this.#folds = new Uint8Array(this.count)
    let filled = 0
    for (const [id, { bytes, fold }] of needles.entries()) {
      this.#pool.set(bytes, filled)
      filled += bytes.length
      this.#starts[id + 1] = filled
      this.#folds[id] = fold ? 1 : 0
      this.#firstBytes[bytes[0] ?? 0] = 1
      if (fold) this.#firstBytes[upper(bytes[0] ?? 0)] = 1
      this.#firstPairs[pairAt(bytes, 0)] = 1
    }
    // A long window jumps further but fills the table: about one entry a slot is where it no longer pays.
    const room = Math.floor(2 ** MOST_SLOT_BITS / Math.max(1, this.count))
    this.#block = this.count >= WIDE_FROM ? WIDE_BLOCK : BLOCK
    this.#window = Math.min(shortest, Math.max(2 * this.#block - 2, room + this.#block - 1))
    const entries = this.count * (this.#window - this.#block + 1)
    const bits = Math.min(MOST_SLOT_BITS, Math.max(FEWEST_SLOT_BITS, Math.ceil(Math.log2(entries * SPARSITY + 1))))
    this.#slotShift = 32 - bits
    this.#shifts = new Uint8Array(2 ** bits).fill(this.#window - this.#block + 1)
    this.#presentShift = Math.max(this.#slotShift, 32 - MOST_PRESENT_BITS)
    this.#present = new Uint32Array(2 ** (32 - this.#presentShift - 5))
    const beginningBits = Math.ceil(Math.log2(this.count * BEGINNING_STRIDE * SPARSITY + 1))
    this.#beginningShift = 32 - Math.min(MOST_BEGINNING_BITS, Math.max(FEWEST_BEGINNING_BITS, beginningBits))
    this.#beginnings = new Uint8Array(2 ** (32 - this.#beginningShift))
    this.#heads = new Int32Array(2 ** Math.max(8, Math.ceil(Math.log2(this.count + 1)) + 1)).fill(-1)
    this.#next = new Int32Array(this.count).fill(-1)
    this.#places = new Uint32Array(this.count)
    this.#fill()
    this.#order = this.#sorted()
  }

  /** Appends every occurrence that lies within `text[from, to)` to `hits`, in no particular order. `view` is one of all of `text`. */
  find(text: Uint8Array, view: DataView, from: number, to: number, hits: Hits): void {
    if (this.count === 0 || to - from < this.#window) return
    const present = this.#present
    const presentShift = this.#presentShift
    const lead = this.#window - this.#block
    const wide = this.#block === WIDE_BLOCK
    const last = to - this.#block
    let at = from + lead
    while (at <= last) {
      let block = view.getUint32(at, true) | 0x20202020
      if (wide) block = widened(block, view.getUint16(at + BLOCK, true) | 0x2020)
      const hash = hashOf(block)
      const bit = hash >>> presentShift
      if ((((present[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 0) {
        at += lead + 1
        continue
      }
      const jump = this.#shifts[hash >>> this.#slotShift] ?? 0
      if (jump === 0) {
        this.#verify(text, view, at - lead, block, from, to, hits)
        at++
      } else at += jump
    }
  }

  /** Whether any needle occurs in `text`. */
  occursIn(text: Uint8Array): boolean {
    const hits: Hits = []
    this.find(text, viewOf(text), 0, text.length, hits)
    return hits.length > 0
  }

  /**
   * The lowest position from which the rest of `text[from, to)` is a proper prefix of a needle (letter case
   * aside); `to` if there is none.
   */
  heldFrom(text: Uint8Array, view: DataView, from: number, to: number): number {
    const beginnings = this.#beginnings
    const shift = this.#beginningShift
    const stride = BEGINNING_STRIDE
    let at = Math.max(from, to - this.longest + 1)
    // Each needle that begins within one stride up to `probe` has the block at `probe` among its marked ones.
    for (let probe = at + stride - 1; probe <= to - BLOCK; probe += stride, at += stride) {
      if (beginnings[hashOf(view.getInt32(probe, true) | 0x20202020) >>> shift] === 0) continue
      for (let start = at; start <= probe; start++) if (this.#mayBegin(text, start, to)) return start
    }
    for (; at < to; at++) if (this.#mayBegin(text, at, to)) return at
    return to
  }

  #mayBegin(text: Uint8Array, at: number, to: number): boolean {
    if (this.#firstBytes[text[at] ?? 0] === 0) return false
    const rest = to - at
    if (rest === 1) return true
    if (this.#firstPairs[pairAt(text, at)] === 0) return false
    if (rest >= BLOCK && this.#beginnings[hashOf(blockAt(text, at)) >>> this.#beginningShift] === 0) return false
    return this.#isProperPrefix(text, at, to)
  }

  /** Whether `text` and a needle share at least `least` bytes where one's end meets the other's beginning, or one contains the other. */
  touches(text: Uint8Array, least: number): boolean {
    if (text.length < least) return false
    if (this.occursIn(text) || Buffer.from(this.#pool.buffer).includes(Buffer.from(text))) return true
    if (this.heldFrom(text, viewOf(text), 0, text.length) <= text.length - least) return true
    for (let id = 0; id < this.count; id++) {
      const end = this.#starts[id + 1] ?? 0
      for (let shared = Math.min(text.length, end - (this.#starts[id] ?? 0)); shared >= least; shared--) {
        let same = 0
        while (same < shared && fold(this.#pool[end - 1 - same] ?? 0) === fold(text[shared - 1 - same] ?? 0)) same++
        if (same === shared) return true
      }
    }
    return false
  }

  #fill(): void {
    const lengths = new Uint16Array(this.#heads.length)
    for (let id = 0; id < this.count; id++) {
      const start = this.#starts[id] ?? 0
      const spare = (this.#starts[id + 1] ?? 0) - start - this.#window
      let chosen = 0
      let bucket = 0
      for (let place = 0; place < WINDOW_PLACES; place++) {
        const offset = Math.round((spare * (WINDOW_PLACES - 1 - place)) / (WINDOW_PLACES - 1))
        const candidate = this.#bucketAt(
          this.#pool,
          start + offset,
          this.#blockAt(start + offset + this.#window - this.#block),
        )
        if (place === 0 || (lengths[candidate] ?? 0) < (lengths[bucket] ?? 0)) {
          chosen = offset
          bucket = candidate
        }
        if (lengths[bucket] === 0) break
      }
      lengths[bucket] = Math.min(0xffff, (lengths[bucket] ?? 0) + 1)
      this.#places[id] = chosen
      this.#next[id] = this.#heads[bucket] ?? -1
      this.#heads[bucket] = id
      const steps = this.#window - this.#block
      for (let step = 0; step <= steps; step++) {
        const slot = hashOf(this.#blockAt(start + chosen + step)) >>> this.#slotShift
        this.#shifts[slot] = Math.min(this.#shifts[slot] ?? 0, steps - step)
        const bit = slot >>> (this.#presentShift - this.#slotShift)
        this.#present[bit >>> 5] = (this.#present[bit >>> 5] ?? 0) | (1 << (bit & 31))
      }
      for (let step = 0; step < BEGINNING_STRIDE; step++)
        this.#beginnings[hashOf(blockAt(this.#pool, start + step)) >>> this.#beginningShift] = 1
    }
  }

  #blockAt(at: number): number {
    const block = blockAt(this.#pool, at)
    return this.#block === BLOCK
      ? block
      : widened(block, (this.#pool[at + 4] ?? 0) | ((this.#pool[at + 5] ?? 0) << 8) | 0x2020)
  }

  #bucketAt(text: Uint8Array, windowStart: number, lastBlock: number): number {
    const mixed = Math.imul(blockAt(text, windowStart) ^ Math.imul(lastBlock, 0x85ebca6b), 0xc2b2ae35)
    return (mixed ^ (mixed >>> 15)) & (this.#heads.length - 1)
  }

  #verify(
    text: Uint8Array,
    view: DataView,
    windowStart: number,
    lastBlock: number,
    from: number,
    to: number,
    hits: Hits,
  ): void {
    for (let id = this.#heads[this.#bucketAt(text, windowStart, lastBlock)] ?? -1; id >= 0; id = this.#next[id] ?? -1) {
      const start = windowStart - (this.#places[id] ?? 0)
      const first = this.#starts[id] ?? 0
      const length = (this.#starts[id + 1] ?? 0) - first
      if (start < from || start + length > to) continue
      if (
        this.#folds[id] === 0 ? this.#equal(view, start, first, length) : this.#equalFolded(text, start, first, length)
      ) {
        hits.push(start, start + length, id, 0)
      }
    }
  }

  #equal(view: DataView, start: number, first: number, length: number): boolean {
    const pool = this.#pool
    for (let i = length - 1; i >= 0; i--) if (view.getUint8(start + i) !== pool[first + i]) return false
    return true
  }

  #equalFolded(text: Uint8Array, start: number, first: number, length: number): boolean {
    for (let i = length - 1; i >= 0; i--) {
      if (lower(text[start + i] ?? 0) !== this.#pool[first + i]) return false
    }
    return true
  }

  #isProperPrefix(text: Uint8Array, from: number, to: number): boolean {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#compare(this.#order[middle] ?? 0, text, from, to) < 0) low = middle + 1
      else high = middle
    }
    for (; low < this.count; low++) {
      const id = this.#order[low] ?? 0
      const first = this.#starts[id] ?? 0
      const length = (this.#starts[id + 1] ?? 0) - first
      for (let i = 0; i < to - from; i++) {
        if (i >= length || fold(this.#pool[first + i] ?? 0) !== fold(text[from + i] ?? 0)) return false
      }
      if (length > to - from) return true
    }
    return false
  }

  /** Folded order of a needle and `text[from, to)`: negative if the needle comes first. */
  #compare(id: number, text: Uint8Array, from: number, to: number): number {
    const first = this.#starts[id] ?? 0
    const length = (this.#starts[id + 1] ?? 0) - first
    const shared = Math.min(length, to - from)
    for (let i = 0; i < shared; i++) {
      const difference = fold(this.#pool[first + i] ?? 0) - fold(text[from + i] ?? 0)
      if (difference !== 0) return difference
    }
    return length - (to - from)
  }

  #sorted(): Uint32Array {
    // The first six bytes as one number decide nearly every comparison.
    const keys = new Float64Array(this.count)
    for (let id = 0; id < this.count; id++) {
      const first = this.#starts[id] ?? 0
      let key = 0
      for (let i = 0; i < 6; i++) key = key * 256 + fold(this.#pool[first + i] ?? 0)
      keys[id] = key
    }
    return Uint32Array.from({ length: this.count }, (_, id) => id).toSorted((a, b) => {
      const difference = (keys[a] ?? 0) - (keys[b] ?? 0)
      return difference === 0
        ? this.#compare(a, this.#pool, this.#starts[b] ?? 0, this.#starts[b + 1] ?? 0)
        : difference
    })
  }
}

function blockAt(text: Uint8Array, at: number): number {
  const word = (text[at] ?? 0) | ((text[at + 1] ?? 0) << 8) | ((text[at + 2] ?? 0) << 16) | ((text[at + 3] ?? 0) << 24)
  return word | 0x20202020
}

function pairAt(text: Uint8Array, at: number): number {
  return hashOf(fold(text[at] ?? 0) | (fold(text[at + 1] ?? 0) << 8)) >>> (32 - PAIR_BITS)
}

function widened(block: number, rest: number): number {
  return block ^ Math.imul(rest, 0x2c1b3c6d)
}

function hashOf(block: number): number {
  return Math.imul(block, 0x9e3779b1)
}

function fold(byte: number): number {
  return byte | 0x20
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
}

function upper(byte: number): number {
  return byte >= 0x61 && byte <= 0x7a ? byte & 0xdf : byte
}
