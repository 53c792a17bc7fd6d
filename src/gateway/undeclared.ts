import { KeywardError } from '../core/errors.ts'
import type { NeedleSet } from '../core/needles.ts'
import { createScrubber, type Scrubber } from '../core/scrub.ts'
import { contentDecoder, type ContentDecoder, type Sink } from './codings.ts'

/** Layers that are undone of a body which does not say that it is compressed. What is packed deeper is opaque. */
export const UNDECLARED_LAYERS_MAXIMUM = 3
/** Bytes that stay behind what was decoded: more than a block of zstd (RFC 8878 section 3.1.1.2.4), of which a reader could make something before it is whole. */
export const UNDECLARED_LAG_BYTES = 262_144
/** Bytes that wait to be judged. Past it the answer is withheld. */
export const UNDECLARED_HELD_MAXIMUM_BYTES = 4_194_304
/** How much may be unfolded from one byte, all layers together: about what DEFLATE can do at most. */
export const UNFOLDED_RATIO_MAXIMUM = 1_032
/** So much may be unfolded whatever the ratio. */
export const UNFOLDED_ALWAYS_BYTES = 16_777_216

const empty = new Uint8Array(0)

/** How compressed data begin that say what they are. Brotli has no such beginning. */
const BEGINNINGS: readonly (readonly [coding: string, ...bytes: number[]])[] = [
  ['gzip', 0x1f, 0x8b, 0x08], // RFC 1952 section 2.3.1
  ['zstd', 0x28, 0xb5, 0x2f, 0xfd], // RFC 8878 section 3.1.1
  // RFC 1950 section 2.2: the usual window, no dictionary, each level.
  ['deflate', 0x78, 0x01],
  ['deflate', 0x78, 0x5e],
  ['deflate', 0x78, 0x9c],
  ['deflate', 0x78, 0xda],
]

/** The coding that bytes begin with, null if none, undefined while there are too few of them. */
export function codingOf(start: Uint8Array): string | null | undefined {
  let isOpen = false
  for (const [coding, ...bytes] of BEGINNINGS) {
    const length = Math.min(bytes.length, start.length)
    let same = 0
    while (same < length && start[same] === bytes[same]) same++
    if (same === bytes.length) return coding
    isOpen ||= same === start.length
  }
  return isOpen ? undefined : null
}

/** Bytes that came, and bytes that were made of them in all layers. */
interface Budget {
  coded: number
  unfolded: number
}

interface Held {
  readonly piece: Uint8Array
  /** Bytes of the body up to the end of this piece. */
  readonly end: number
  /** What every layer had been given when the piece lay far enough back; null before. */
  mark: readonly number[] | null
}

/**
 * Passes a body on as it is. If it begins as compressed data, it is decoded beside, and no byte is passed on
 * before what it decodes to was searched: one secret in it, and the rest does not come (`answer_withheld`).
 * What cannot be decoded is opaque, and passes, as does what stands behind the first frame of zstd. Of any
 * other body only the first bytes are looked at.
 */
export class Undeclared {
  readonly #needles: NeedleSet
  #isPlain: boolean
  #start: Uint8Array = empty
  #layer: Layer | null = null
  readonly #budget: Budget = { coded: 0, unfolded: 0 }
  #held: Held[] = []
  #heldBytes = 0
  /** How many of the held, from the first on, have a mark. */
  #marked = 0

  constructor(needles: NeedleSet) {
    this.#needles = needles
    this.#isPlain = needles.count === 0
  }

  push(piece: Uint8Array, sink: Sink): void | Promise<void> {
    if (this.#isPlain) return sink(piece)
    if (this.#layer !== null) return this.#judge(piece, this.#layer, sink)
    const start = this.#start.length === 0 ? piece : Buffer.concat([this.#start, piece])
    const coding = codingOf(start)
    if (coding === undefined) {
      this.#start = start
      return
    }
    this.#start = empty
    if (coding === null) {
      this.#isPlain = true
      return sink(start)
    }
    this.#layer = new Layer(coding, this.#needles, this.#budget, 1)
    return this.#judge(start, this.#layer, sink)
  }

  end(sink: Sink): void | Promise<void> {
    if (this.#layer !== null) return this.#settle(this.#layer, sink)
    if (this.#start.length > 0) return sink(this.#start)
  }

  destroy(): void {
    this.#layer?.destroy()
  }

  async #judge(piece: Uint8Array, layer: Layer, sink: Sink): Promise<void> {
    this.#budget.coded += piece.length
    this.#held.push({ piece, end: this.#budget.coded, mark: null })
    this.#heldBytes += piece.length
    await layer.push(piece)
    if (layer.isOver) {
      this.#isPlain = true
      return this.#release(this.#held.length, sink)
    }
    // What lies far enough back is marked from behind the last that was; it goes once its mark is reached.
    for (let at = this.#marked; at < this.#held.length; at++) {
      const held = this.#held[at]
      if (held === undefined || this.#budget.coded - held.end < UNDECLARED_LAG_BYTES) break
      held.mark = layer.taken()
      this.#marked++
    }
    let free = 0
    for (
      let mark = this.#held[0]?.mark;
      mark !== undefined && mark !== null && layer.hasJudged(mark);
      mark = this.#held[free]?.mark
    )
      free++
    await this.#release(free, sink)
    if (this.#heldBytes > UNDECLARED_HELD_MAXIMUM_BYTES) throw withheld('it cannot be judged soon enough')
  }

  async #settle(layer: Layer, sink: Sink): Promise<void> {
    await layer.end()
    await this.#release(this.#held.length, sink)
  }

  async #release(count: number, sink: Sink): Promise<void> {
    this.#marked = Math.max(0, this.#marked - count)
    for (const { piece } of this.#held.splice(0, count)) {
      this.#heldBytes -= piece.length
      await sink(piece)
    }
  }
}

/** Compressed data, what they decode to, and the search of that. */
class Layer {
  readonly #needles: NeedleSet
  readonly #scrubber: Scrubber
  readonly #budget: Budget
  readonly #depth: number
  #decoder: ContentDecoder | null
  #taken = 0
  #judged = 0
  /** The first bytes of what is decoded; null once it is known whether they begin a further layer. */
  #start: Uint8Array | null
  #inner: Layer | null = null

  constructor(coding: string, needles: NeedleSet, budget: Budget, depth: number) {
    this.#needles = needles
    this.#scrubber = createScrubber(needles)
    this.#budget = budget
    this.#depth = depth
    this.#decoder = contentDecoder(coding)
    this.#start = depth < UNDECLARED_LAYERS_MAXIMUM ? empty : null
  }

  /** Nothing more is decoded, and all that was is judged. */
  get isOver(): boolean {
    return this.#decoder === null
  }

  /** Bytes that this layer and those within have been given so far. */
  taken(): readonly number[] {
    return [this.#taken, ...(this.#inner?.taken() ?? [])]
  }

  hasJudged([taken = 0, ...within]: readonly number[]): boolean {
    return this.#judged >= taken && (this.#inner === null || this.#inner.hasJudged(within))
  }

  async push(coded: Uint8Array): Promise<void> {
    const decoder = this.#decoder
    if (decoder !== null) await this.#trying(() => decoder.push(coded, this.#take))
  }

  async end(): Promise<void> {
    const decoder = this.#decoder
    if (decoder !== null) await this.#trying(() => decoder.end(this.#take))
    await this.#close()
  }

  destroy(): void {
    this.#decoder?.destroy()
    this.#decoder = null
    this.#inner?.destroy()
  }

  /** Damaged data end where the damage is. */
  async #trying(step: () => void | Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      if (!(error instanceof KeywardError && error.code === 'upstream_broken')) throw error
      await this.#close()
    }
  }

  async #close(): Promise<void> {
    this.#decoder?.destroy()
    this.#decoder = null
    await this.#inner?.end()
    this.#search(this.#scrubber.end())
  }

  readonly #take: Sink = async (piece) => {
    this.#taken += piece.length
    this.#budget.unfolded += piece.length
    if (this.#budget.unfolded > UNFOLDED_ALWAYS_BYTES + UNFOLDED_RATIO_MAXIMUM * this.#budget.coded)
      throw withheld('it unfolds too far')
    this.#search(this.#scrubber.push(piece))
    if (this.#start === null) return this.#inner?.push(piece)
    const start = Buffer.concat([this.#start, piece])
    const coding = codingOf(start)
    this.#start = coding === undefined ? start : null
    if (typeof coding !== 'string') return
    this.#inner = new Layer(coding, this.#needles, this.#budget, this.#depth + 1)
    await this.#inner.push(start)
  }

  #search(clean: readonly Uint8Array[]): void {
    if (this.#scrubber.hits > 0) throw withheld('it holds a secret')
    for (const piece of clean) this.#judged += piece.length
  }
}

function withheld(why: string): KeywardError {
  return new KeywardError('answer_withheld', `The body is compressed without saying so, and ${why}.`)
}
