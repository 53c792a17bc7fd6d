import { asciiLetters, letterOf } from './letters.ts'
import { HIT_STRIDE, type Hits } from './needle-index.ts'
import type { NeedleSet } from './needles.ts'
import { INDEXED_LETTERS_MAXIMUM } from './squeezed-index.ts'

/** From so many letters of a secret on, what brings them is held back. Fewer are met by chance, and say little. */
export const JOINED_HELD_FROM_LETTERS = 8
/** Letters of one text that are remembered. A secret of which more are needed is not found in pieces. */
export const JOINED_LETTERS_MAXIMUM = 16_384

/** Whoever looks letters up reads whole words, and a little beyond the last letter. */
const ROOM_BEHIND = 8

/** What a text is, as far as it is known: free of secrets, perhaps within one, or with one in it. */
export type Joined = 'clear' | 'held' | 'found'

/** Looks for secrets by their letters in a text that comes in small pieces, each of which the reader has at once. */
export class JoinedLetters {
  readonly #needles: NeedleSet
  #letters = new Uint8Array(64)
  #words = new Uint32Array(this.#letters.buffer)
  #count = 0

  constructor(needles: NeedleSet) {
    this.#needles = needles
  }

  push(piece: string): Joined {
    this.#makeRoom(piece.length)
    for (let i = 0; i < piece.length; i++) {
      const code = piece.charCodeAt(i)
      const letter = code < 0x80 ? (asciiLetters[code] ?? 0) : letterOf(piece.codePointAt(i) ?? 0)
      if (letter !== 0) this.#letters[this.#count++] = letter
    }
    return this.#state()
  }

  /** The same for `bytes[from, to)`, which are ASCII. */
  pushAscii(bytes: Uint8Array, from: number, to: number): Joined {
    this.#makeRoom(to - from)
    for (let at = from; at < to; at++) {
      const letter = asciiLetters[bytes[at] ?? 0] ?? 0
      if (letter !== 0) this.#letters[this.#count++] = letter
    }
    return this.#state()
  }

  #state(): Joined {
    // Too few to hold anything back, and a needle has more: what may be dropped of them is dropped with the next.
    if (this.#count < JOINED_HELD_FROM_LETTERS) return 'clear'
    const { squeezed } = this.#needles
    const row = { letters: this.#letters, words: this.#words, count: this.#count }
    let keep = squeezed.index.heldFrom(row, 0, this.#count - 1)
    const found: Hits = []
    squeezed.index.find(row, found)
    for (let i = 0; i < found.length; i += HIT_STRIDE) {
      const at = found[i] ?? 0
      const needle = found[i + 2] ?? 0
      if (squeezed.offsetOf(needle) >= 0) continue
      const rest = this.#rest(at, needle)
      if (rest === 'found') return 'found'
      if (rest === 'held') keep = Math.min(keep, at)
    }
    if (keep < this.#count) this.#letters.copyWithin(0, keep, this.#count)
    this.#count -= keep
    return this.#count < JOINED_HELD_FROM_LETTERS ? 'clear' : 'held'
  }

  /** Of a long form only the beginning is indexed. */
  #rest(at: number, needle: number): Joined {
    const { squeezed } = this.#needles
    let length = squeezed.index.lengthOf(needle)
    if (length < INDEXED_LETTERS_MAXIMUM) return 'found'
    const { letters } = squeezed.form(squeezed.formOf(needle))
    while (length < letters.length && at + length < this.#count && letters[length] === this.#letters[at + length])
      length++
    if (length === letters.length) return 'found'
    return at + length === this.#count && letters.length <= JOINED_LETTERS_MAXIMUM ? 'held' : 'clear'
  }

  #makeRoom(more: number): void {
    const room = this.#count + more + ROOM_BEHIND
    if (room <= this.#letters.length) return
    const words = new Uint32Array(Math.ceil(room / 2))
    const grown = new Uint8Array(words.buffer)
    grown.set(this.#letters.subarray(0, this.#count))
    this.#letters = grown
    this.#words = words
  }
}
