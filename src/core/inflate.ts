/** What became of compressed bytes. `more`: they end before the compressed data do. `broken`: they are none. */
export type Inflated = 'done' | 'more' | 'broken' | 'too_large'

const LENGTH_BASES = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
]
const LENGTH_EXTRAS = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
const DISTANCE_BASES = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12289, 16385, 24577,
]
const DISTANCE_EXTRAS = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
]
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
const LONGEST_CODE = 15

/** A canonical Huffman code: how many codes of each length there are, and their symbols in order. */
interface Code {
  readonly counts: Uint16Array
  readonly symbols: Uint16Array
}

/** Most trials write little. It is the same for all: what one call returned is gone with the next. */
const firstOutput = new Uint8Array(4096)

/** Thrown within this file alone, to leave the decoder from any depth. */
class Stopped {
  readonly outcome: Exclude<Inflated, 'done'>
  constructor(outcome: Exclude<Inflated, 'done'>) {
    this.outcome = outcome
  }
}

/**
 * Undoes DEFLATE (RFC 1951), written for judging what nobody asked for: it stops at the first thing that is not
 * allowed and writes no more than `most` bytes. `output` is what was written until then, whatever the outcome; it is good
 * until the next call.
 */
export function inflate(input: Uint8Array, from: number, most: number): { outcome: Inflated; output: Uint8Array } {
  const state = new Inflater(input, from, most)
  return { outcome: state.run(), output: state.output.subarray(0, state.length) }
}

class Inflater {
  output: Uint8Array
  length = 0
  readonly #input: Uint8Array
  readonly #most: number
  #at: number
  #bits = 0
  #bitCount = 0

  constructor(input: Uint8Array, from: number, most: number) {
    this.#input = input
    this.#at = from
    this.#most = most
    this.output = firstOutput.subarray(0, most)
  }

  run(): Inflated {
    try {
      for (;;) {
        const isLast = this.#take(1) === 1
        const kind = this.#take(2)
        if (kind === 0) this.#stored()
        else if (kind === 1) this.#block(fixedLengths, fixedDistances)
        else if (kind === 2) this.#dynamic()
        else throw new Stopped('broken')
        if (isLast) return 'done'
      }
    } catch (error) {
      if (error instanceof Stopped) return error.outcome
      throw error
    }
  }

  #take(count: number): number {
    while (this.#bitCount < count) {
      if (this.#at >= this.#input.length) throw new Stopped('more')
      this.#bits |= (this.#input[this.#at++] ?? 0) << this.#bitCount
      this.#bitCount += 8
    }
    const value = this.#bits & ((1 << count) - 1)
    this.#bits >>>= count
    this.#bitCount -= count
    return value
  }

  #write(byte: number): void {
    if (this.length === this.output.length) {
      if (this.length >= this.#most) throw new Stopped('too_large')
      const grown = new Uint8Array(Math.min(this.#most, 4 * this.length))
      grown.set(this.output)
      this.output = grown
    }
    this.output[this.length++] = byte
  }

  #stored(): void {
    this.#bits = 0
    this.#bitCount = 0
    const length = this.#take(16)
    if ((length ^ this.#take(16)) !== 0xffff) throw new Stopped('broken')
    for (let i = 0; i < length; i++) this.#write(this.#take(8))
  }

  #symbol({ counts, symbols }: Code): number {
    let code = 0
    let first = 0
    let index = 0
    for (let length = 1; length <= LONGEST_CODE; length++) {
      code |= this.#take(1)
      const count = counts[length] ?? 0
      if (code - count < first) return symbols[index + code - first] ?? 0
      index += count
      first = (first + count) << 1
      code <<= 1
    }
    throw new Stopped('broken')
  }

  #block(lengths: Code, distances: Code): void {
    for (;;) {
      const symbol = this.#symbol(lengths)
      if (symbol < 256) this.#write(symbol)
      else if (symbol === 256) return
      else this.#copy(symbol - 257, distances)
    }
  }

  #copy(kind: number, distances: Code): void {
    const base = LENGTH_BASES[kind]
    if (base === undefined) throw new Stopped('broken')
    const length = base + this.#take(LENGTH_EXTRAS[kind] ?? 0)
    const far = this.#symbol(distances)
    const distanceBase = DISTANCE_BASES[far]
    if (distanceBase === undefined) throw new Stopped('broken')
    const distance = distanceBase + this.#take(DISTANCE_EXTRAS[far] ?? 0)
    if (distance > this.length) throw new Stopped('broken')
    for (let i = 0; i < length; i++) this.#write(this.output[this.length - distance] ?? 0)
  }

  #dynamic(): void {
    const lengthCodes = this.#take(5) + 257
    const distanceCodes = this.#take(5) + 1
    const count = this.#take(4) + 4
    if (lengthCodes > 286 || distanceCodes > 30) throw new Stopped('broken')
    const sizes = new Uint8Array(320)
    for (let i = 0; i < count; i++) sizes[CODE_LENGTH_ORDER[i] ?? 0] = this.#take(3)
    const code = codeOf(sizes.subarray(0, 19), false)
    sizes.fill(0)
    for (let i = 0; i < lengthCodes + distanceCodes;) {
      const symbol = this.#symbol(code)
      if (symbol < 16) {
        sizes[i++] = symbol
        continue
      }
      if (symbol === 16 && i === 0) throw new Stopped('broken')
      const repeated = symbol === 16 ? (sizes[i - 1] ?? 0) : 0
      let times = 3 + this.#take(symbol === 16 ? 2 : symbol === 17 ? 3 : 7)
      if (symbol === 18) times += 8
      if (i + times > lengthCodes + distanceCodes) throw new Stopped('broken')
      while (times-- > 0) sizes[i++] = repeated
    }
    if (sizes[256] === 0) throw new Stopped('broken')
    const lengths = codeOf(sizes.subarray(0, lengthCodes), false)
    this.#block(lengths, codeOf(sizes.subarray(lengthCodes, lengthCodes + distanceCodes), true))
  }
}

/** `mayLack`: a code of one symbol, or none, is allowed, as it is for distances. */
function codeOf(sizes: Uint8Array, mayLack: boolean): Code {
  const counts = new Uint16Array(LONGEST_CODE + 1)
  for (const size of sizes) counts[size] = (counts[size] ?? 0) + 1
  let left = 1
  for (let size = 1; size <= LONGEST_CODE; size++) {
    left = 2 * left - (counts[size] ?? 0)
    if (left < 0) throw new Stopped('broken')
  }
  if (left > 0 && !(mayLack && sizes.length - (counts[0] ?? 0) <= 1)) throw new Stopped('broken')
  const offsets = new Uint16Array(LONGEST_CODE + 2)
  for (let size = 1; size <= LONGEST_CODE; size++) offsets[size + 1] = (offsets[size] ?? 0) + (counts[size] ?? 0)
  const symbols = new Uint16Array(sizes.length)
  for (const [symbol, size] of sizes.entries()) {
    if (size === 0) continue
    const place = offsets[size] ?? 0
    symbols[place] = symbol
    offsets[size] = place + 1
  }
  counts[0] = 0
  return { counts, symbols }
}

const fixedLengths = codeOf(
  Uint8Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)),
  false,
)
const fixedDistances = codeOf(new Uint8Array(32).fill(5), false)
