import type { Hits } from './needle-index.ts'
import type { PackedNeedles } from './needle-packer.ts'

/** Letters in a row, and the same memory as words of four; `count` of them count, and at least four more may be read. */
export interface LetterRow {
  readonly letters: Uint8Array
  readonly words: Uint32Array
  readonly count: number
}

/** Letters that are looked up at once, and from one place that is looked up in the text to the next. */
const GRAM = 7
const STRIDE = 4
/** Every needle has at least so many letters: wherever it stands, one gram of it is looked up. */
export const SHORTEST_NEEDLE_LETTERS = GRAM + STRIDE - 1
/** Places in a needle that are tried for its grams. */
const PLACES = 6
/** Bits of the first table for each gram, as long as the largest allows it. Two of them are set. */
const SPARSITY = 20
const FEWEST_BITS = 15
const MOST_BITS = 26
/** How many letters there are, and how many texts of one, two or three of them. */
const LETTERS = 36
const SHORTEST_HASHED = 4

/**
 * Finds every occurrence of any of many needles in a text of nothing but letters. Each needle names grams at
 * four neighbouring places; so it is enough to look up every fourth gram of the text. A table of bits says
 * no to nearly all of them.
 */
export class LetterIndex {
  readonly count: number
  /** Length of the longest needle that may be held back, in letters; 0 if there is none. */
  readonly longest: number
  readonly #pool: Uint8Array
  readonly #starts: Uint32Array
  readonly #wholes: number
  readonly #bits: Uint32Array
  readonly #bitShift: number
  readonly #heads: Int32Array
  readonly #headShift: number
  /** Grams: the needle, and the next one with the same head. The place in the needle is that of `#places` and the number of the gram modulo `STRIDE`. */
  readonly #next: Int32Array
  readonly #places: Uint16Array
  /** Needle numbers in the order of their letters. */
  readonly #order: Uint32Array
  /** Two bits for each gram near the beginning of a needle, by hash; and one for each four letters that begin one. */
  readonly #beginnings: Uint32Array
  readonly #beginningShift: number
  readonly #short: Uint32Array
  /** For each text of one, two and three letters whether a needle begins so. */
  readonly #shortest = [new Uint8Array(LETTERS), new Uint8Array(LETTERS ** 2), new Uint8Array(LETTERS ** 3)] as const

  constructor({ pool, starts, wholes }: PackedNeedles) {
    this.count = starts.length - 1
    this.#pool = pool
    this.#starts = starts
    this.#wholes = wholes
    let longest = 0
    for (let id = 0; id < wholes; id++) longest = Math.max(longest, this.lengthOf(id))
    this.longest = longest
    const grams = this.count * STRIDE
    const bits = between(FEWEST_BITS, Math.ceil(Math.log2(grams * SPARSITY + 1)), MOST_BITS)
    this.#bitShift = 32 - bits + 5
    this.#bits = new Uint32Array(2 ** (bits - 5))
    const headBits = between(8, Math.ceil(Math.log2(grams + 1)), 24)
    this.#headShift = 32 - headBits
    this.#heads = new Int32Array(2 ** headBits).fill(-1)
    this.#next = new Int32Array(grams)
    this.#places = new Uint16Array(this.count)
    const beginningBits = between(FEWEST_BITS, Math.ceil(Math.log2(wholes * STRIDE * SPARSITY + 1)), MOST_BITS)
    this.#beginningShift = 32 - beginningBits + 5
    this.#beginnings = new Uint32Array(2 ** (beginningBits - 5))
    this.#short = new Uint32Array(2 ** (beginningBits - 5))
    this.#fill()
    this.#order = this.#sorted()
  }

  /** Length of a needle, in letters. */
  lengthOf(needle: number): number {
    return (this.#starts[needle + 1] ?? 0) - (this.#starts[needle] ?? 0)
  }

  /** Appends every occurrence that lies within the row to `hits`, in no particular order. */
  find({ letters, words, count }: LetterRow, hits: Hits): void {
    if (this.count === 0 || count < SHORTEST_NEEDLE_LETTERS) return
    const bits = this.#bits
    const bitShift = this.#bitShift
    const last = (count - GRAM) >> 2
    let word = words[0] ?? 0
    for (let i = 0; i <= last; i++) {
      const next = words[i + 1] ?? 0
      const hash = mixed(word, (word >>> 24) | (next << 8))
      if (bothSet(bits[hash >>> bitShift] ?? 0, hash)) this.#verify(letters, count, STRIDE * i, hash, hits)
      word = next
    }
  }

  /** The lowest position from `from` to `most` from which the rest of the letters is a proper prefix of a needle; `count` if there is none. */
  heldFrom({ letters, words, count }: LetterRow, from: number, most: number): number {
    const bits = this.#beginnings
    const shift = this.#beginningShift
    let at = Math.max(from, count - this.longest + 1)
    // Each needle that begins within one stride up to `probe` has the gram at `probe` among its marked ones.
    for (let i = (at + STRIDE - 1) >> 2, last = Math.min(count - GRAM, most + STRIDE - 1) >> 2; i <= last; i++) {
      const word = words[i] ?? 0
      const hash = mixed(word, (word >>> 24) | ((words[i + 1] ?? 0) << 8))
      const probe = STRIDE * i
      if (bothSet(bits[hash >>> shift] ?? 0, hash))
        for (; at <= probe; at++) if (this.#mayBegin(letters, at, count)) return at
      at = probe + 1
    }
    for (; at <= most; at++) if (this.#mayBegin(letters, at, count)) return at
    return count
  }

  #mayBegin(letters: Uint8Array, at: number, count: number): boolean {
    const rest = count - at
    if (rest < SHORTEST_HASHED) return this.#shortest[rest - 1]?.[numberOf(letters, at, count)] === 1
    if (!marked(this.#short, mixed(wordAt(letters, at), 0) >>> (this.#beginningShift - 5))) return false
    return this.#isProperPrefix(letters, at, count)
  }

  /** Whether `text` and a needle share at least `least` letters where one's end meets the other's beginning, or one contains the other. */
  touches(text: Uint8Array, least: number): boolean {
    if (text.length < least) return false
    const hits: Hits = []
    const row = rowOf(text)
    this.find(row, hits)
    if (hits.length > 0 || Buffer.from(this.#pool.buffer, 0, this.#pool.length).includes(Buffer.from(text))) return true
    if (this.heldFrom(row, 0, text.length - 1) <= text.length - least) return true
    for (let id = 0; id < this.#wholes; id++) {
      const end = this.#starts[id + 1] ?? 0
      for (let shared = Math.min(text.length, this.lengthOf(id)); shared >= least; shared--) {
        let same = 0
        while (same < shared && this.#pool[end - 1 - same] === text[shared - 1 - same]) same++
        if (same === shared) return true
      }
    }
    return false
  }

  #fill(): void {
    const pool = this.#pool
    const taken = new Uint8Array(this.#heads.length)
    for (let id = 0; id < this.count; id++) {
      const start = this.#starts[id] ?? 0
      const spare = this.lengthOf(id) - SHORTEST_NEEDLE_LETTERS
      let chosen = 0
      let fewest = Infinity
      for (let place = 0; place < PLACES && fewest > 0; place++) {
        const offset = Math.round((spare * (PLACES - 1 - place)) / (PLACES - 1))
        if (place > 0 && offset === chosen) continue
        let crowd = 0
        for (let step = 0; step < STRIDE; step++)
          crowd += taken[this.#hash(start + offset + step) >>> this.#headShift] ?? 0
        if (crowd >= fewest) continue
        fewest = crowd
        chosen = offset
      }
      this.#places[id] = chosen
      for (let step = 0; step < STRIDE; step++) {
        const hash = this.#hash(start + chosen + step)
        const head = hash >>> this.#headShift
        const gram = id * STRIDE + step
        taken[head] = Math.min(255, (taken[head] ?? 0) + 1)
        this.#next[gram] = this.#heads[head] ?? -1
        this.#heads[head] = gram
        setBoth(this.#bits, hash >>> this.#bitShift, hash)
      }
      if (id >= this.#wholes) continue
      for (let step = 0; step < STRIDE; step++) {
        const hash = this.#hash(start + step)
        setBoth(this.#beginnings, hash >>> this.#beginningShift, hash)
      }
      mark(this.#short, mixed(wordAt(pool, start), 0) >>> (this.#beginningShift - 5))
      for (const [i, shortest] of this.#shortest.entries()) shortest[numberOf(pool, start, start + i + 1)] = 1
    }
  }

  #hash(at: number): number {
    return mixed(wordAt(this.#pool, at), wordAt(this.#pool, at + GRAM - 4))
  }

  #verify(letters: Uint8Array, count: number, at: number, hash: number, hits: Hits): void {
    const pool = this.#pool
    for (let gram = this.#heads[hash >>> this.#headShift] ?? -1; gram >= 0; gram = this.#next[gram] ?? -1) {
      const id = Math.floor(gram / STRIDE)
      const offset = (this.#places[id] ?? 0) + (gram % STRIDE)
      const first = this.#starts[id] ?? 0
      // The gram first: nearly always it is another one with the same hash.
      let same = 0
      while (same < GRAM && pool[first + offset + same] === letters[at + same]) same++
      if (same < GRAM) continue
      const start = at - offset
      const length = (this.#starts[id + 1] ?? 0) - first
      if (start < 0 || start + length > count) continue
      same = 0
      while (same < length && pool[first + same] === letters[start + same]) same++
      if (same === length) hits.push(start, start + length, id, 0)
    }
  }

  #isProperPrefix(letters: Uint8Array, from: number, to: number): boolean {
    let low = 0
    let high = this.#wholes
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#compare(this.#order[middle] ?? 0, letters, from, to) < 0) low = middle + 1
      else high = middle
    }
    for (; low < this.#wholes; low++) {
      const id = this.#order[low] ?? 0
      const first = this.#starts[id] ?? 0
      const length = this.lengthOf(id)
      for (let i = 0; i < to - from; i++) {
        if (i >= length || this.#pool[first + i] !== letters[from + i]) return false
      }
      if (length > to - from) return true
    }
    return false
  }

  /** Order of a needle and `letters[from, to)`: negative if the needle comes first. */
  #compare(id: number, letters: Uint8Array, from: number, to: number): number {
    const first = this.#starts[id] ?? 0
    const length = this.lengthOf(id)
    const shared = Math.min(length, to - from)
    for (let i = 0; i < shared; i++) {
      const difference = (this.#pool[first + i] ?? 0) - (letters[from + i] ?? 0)
      if (difference !== 0) return difference
    }
    return length - (to - from)
  }

  #sorted(): Uint32Array {
    // Letters take five or six bits: six of them and the number in one integer, which the platform sorts by itself.
    const keys = new BigUint64Array(this.#wholes)
    const words = new Uint32Array(keys.buffer)
    const pool = this.#pool
    for (let id = 0; id < this.#wholes; id++) {
      const at = this.#starts[id] ?? 0
      let high = 0
      for (let i = 0; i < 5; i++) high = high * 64 + sixBits(pool[at + i] ?? 0)
      words[2 * id] = ((sixBits(pool[at + 5] ?? 0) << 24) | id) >>> 0
      words[2 * id + 1] = high
    }
    keys.sort()
    const order = Uint32Array.from({ length: this.#wholes }, (_, i) => (words[2 * i] ?? 0) & 0xff_ffff)
    const compare = (a: number, b: number): number =>
      this.#compare(a, pool, this.#starts[b] ?? 0, this.#starts[b + 1] ?? 0)
    for (let from = 0, to = 1; from < order.length; from = to++) {
      while (
        to < order.length &&
        words[2 * from + 1] === words[2 * to + 1] &&
        (words[2 * from] ?? 0) >>> 24 === (words[2 * to] ?? 0) >>> 24
      )
        to++
      if (to - from > 1) order.subarray(from, to).sort(compare)
    }
    return order
  }
}

/** In the order of the letters themselves. */
function sixBits(letter: number): number {
  return letter < 0x61 ? letter - 0x2f : letter - 0x57 + 1
}

/** The number of a text of one to three letters. */
function numberOf(letters: Uint8Array, from: number, to: number): number {
  let number = 0
  for (let at = from; at < to; at++) number = number * LETTERS + sixBits(letters[at] ?? 0) - 1
  return number
}

/** A row of its own, with room after it. */
function rowOf(text: Uint8Array): LetterRow {
  const words = new Uint32Array((text.length >> 2) + 2)
  const letters = new Uint8Array(words.buffer)
  letters.set(text)
  return { letters, words, count: text.length }
}

function between(least: number, value: number, most: number): number {
  return Math.min(most, Math.max(least, value))
}

function wordAt(letters: Uint8Array, at: number): number {
  return (
    (letters[at] ?? 0) | ((letters[at + 1] ?? 0) << 8) | ((letters[at + 2] ?? 0) << 16) | ((letters[at + 3] ?? 0) << 24)
  )
}

function mixed(first: number, second: number): number {
  const hash = Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca6b)
  return Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35)
}

/** Two bits of one word, so that nearly nothing that is not in the table is looked up any further. */
function setBoth(bits: Uint32Array, at: number, hash: number): void {
  bits[at] = (bits[at] ?? 0) | (1 << (hash & 31)) | (1 << ((hash >>> 5) & 31))
}

function bothSet(word: number, hash: number): boolean {
  return ((word >>> (hash & 31)) & (word >>> ((hash >>> 5) & 31)) & 1) === 1
}

function mark(bits: Uint32Array, bit: number): void {
  bits[bit >>> 5] = (bits[bit >>> 5] ?? 0) | (1 << (bit & 31))
}

function marked(bits: Uint32Array, bit: number): boolean {
  return (((bits[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 1
}
