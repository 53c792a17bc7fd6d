import type { Squeezed } from './squeeze.ts'
import type { FormOfValue, SqueezedIndex } from './squeezed-index.ts'

/** No more than this may stand between two parts of one secret: a frame, the column of a dump, a line's number. */
export const JUNK_MAXIMUM_BYTES = 512
/** The rest of a line of a dump, which shows the same bytes once more, is no longer than this. */
const LINE_REST_MAXIMUM_BYTES = 96
const CHAIN_MAXIMUM_BYTES = 1_048_576

interface ChainTask {
  readonly index: SqueezedIndex
  readonly text: Uint8Array
  readonly end: number
  readonly open: boolean
}

/** Parts of one form that follow each other in the text: up to which letter of the form, and of the text. */
interface Chain {
  readonly form: FormOfValue
  readonly needle: number
  readonly first: number
  readonly lead: number
  reached: number
  last: number
  pieces: number
}

/**
 * Puts a secret together that stands in the text in several parts, with other letters between them: the lines
 * of a dump with their addresses, a value cut into two messages, numbered lines.
 */
export class PartChains {
  readonly #index: SqueezedIndex
  readonly #reading: Squeezed
  readonly #text: Uint8Array
  readonly #end: number
  readonly #open: boolean
  readonly #chains = new Map<number, Chain>()
  #held: number
  #report: (start: number, end: number, needle: number) => void = () => undefined

  constructor(task: ChainTask, reading: Squeezed) {
    this.#index = task.index
    this.#reading = reading
    this.#text = task.text
    this.#end = task.end
    this.#open = task.open
    this.#held = task.end
  }

  /** `parts`: letter in the text and needle, in turn. Returns from where must be held back. */
  run(parts: readonly number[], report: (start: number, end: number, needle: number) => void): number {
    this.#report = report
    const order = Array.from({ length: parts.length / 2 }, (_, i) => 2 * i).toSorted(
      (a, b) => (parts[a] ?? 0) - (parts[b] ?? 0),
    )
    for (const i of order) this.#add(parts[i] ?? 0, parts[i + 1] ?? 0)
    for (const chain of this.#chains.values()) this.#finish(chain, this.#reading.count)
    return this.#held
  }

  #add(at: number, needle: number): void {
    const number = this.#index.formOf(needle)
    const chain = this.#chains.get(number)
    if (chain !== undefined && at < chain.last) return
    const form = chain?.form ?? this.#index.form(number)
    const { letters } = form
    const text = this.#reading.letters
    const offset = this.#index.offsetOf(needle)
    // What the chain has reached already is not taken a second time.
    const floor = chain !== undefined && offset >= chain.reached ? chain.reached : 0
    let before = 0
    const room = Math.min(offset - floor, at - (chain?.last ?? 0))
    while (before < room && letters[offset - 1 - before] === text[at - 1 - before]) before++
    let end = offset
    while (end < letters.length && at + end - offset < this.#reading.count && letters[end] === text[at + end - offset])
      end++
    const start = offset - before
    const last = at + end - offset
    const { lead = 0, first = 0 } = form.parts ?? {}
    const begins = start <= lead && end - start >= first
    if (chain !== undefined) {
      // By chance, what stood behind the part before may have begun as the secret goes on: then they overlap.
      const overlap = chain.reached - start
      const goesOn = overlap >= 0 && overlap < (form.parts?.length ?? 0) && end > chain.reached
      if (goesOn && this.#distance(chain, at - before) <= JUNK_MAXIMUM_BYTES) {
        chain.reached = end
        chain.last = last
        chain.pieces++
        return
      }
      // Where the secret repeats itself, a part of it is found at another place than its own.
      if (!begins) return
      this.#finish(chain, at - before)
      this.#chains.delete(number)
    }
    if (!begins) return
    this.#chains.set(number, { form, needle, first: at - before, lead: start, reached: end, last, pieces: 1 })
  }

  #distance(chain: Chain, letter: number): number {
    return this.#reading.start(letter) - this.#reading.end(chain.last - 1)
  }

  /** The chain goes on at no letter before `limit`: reports it if it is whole, or holds it back if it may become so. */
  #finish(chain: Chain, limit: number): void {
    const { letters, parts } = chain.form
    const missing = letters.length - chain.reached
    const start = this.#reading.start(chain.first)
    if (missing === 0) {
      // In one piece and from its beginning it is a hit of its own already.
      if (chain.pieces > 1 || chain.lead > 0) this.#reported(chain, start, chain.last)
      return
    }
    // Too short to hold a part, or no longer than one that tells nothing: the first place where it stands is taken.
    if (missing <= (parts?.length ?? 0)) {
      const tail = this.#tail(chain, limit)
      if (tail >= 0) {
        const last = tail + missing
        if (this.#distance(chain, tail) > JUNK_MAXIMUM_BYTES) return
        // Another part may have begun before that: then the secret begins there anew, and does not end here.
        const { length = 0, stride = 0 } = parts ?? {}
        const isNear = limit === this.#reading.count && limit - last < length + stride
        if (isNear && this.#hold(start, this.#reading.end(last - 1), JUNK_MAXIMUM_BYTES)) return
        this.#reported(chain, start, last)
        return
      }
    }
    if (limit === this.#reading.count) this.#hold(start, this.#reading.end(chain.last - 1), JUNK_MAXIMUM_BYTES)
  }

  #tail(chain: Chain, limit: number): number {
    const { letters } = chain.form
    const text = this.#reading.letters
    const missing = letters.length - chain.reached
    for (let at = chain.last; at + missing <= limit; at++) {
      let same = 0
      while (same < missing && text[at + same] === letters[chain.reached + same]) same++
      if (same === missing) return at
      if (at - chain.last > JUNK_MAXIMUM_BYTES) return -1
    }
    return -1
  }

  /** Holds back what begins at `start`, unless too much has followed. */
  #hold(start: number, since: number, room: number): boolean {
    if (!this.#open || this.#end - since > room || this.#end - start > CHAIN_MAXIMUM_BYTES) return false
    this.#held = Math.min(this.#held, start)
    return true
  }

  #reported(chain: Chain, start: number, last: number): void {
    const end = this.#reading.end(last - 1)
    if (end - start > CHAIN_MAXIMUM_BYTES) return
    const line = chain.form.parts?.dump === true ? this.#lineEnd(end) : end
    if (line < 0) this.#held = Math.min(this.#held, start)
    else this.#report(start, line, chain.needle)
  }

  /** The end of the line if it is near, for a dump shows the same bytes a second time there. -1: not known yet. */
  #lineEnd(from: number): number {
    const text = this.#text
    const limit = Math.min(this.#end, from + LINE_REST_MAXIMUM_BYTES)
    for (let at = from; at < limit; at++) {
      const byte = text[at] ?? 0
      const next = text[at + 1] ?? 0
      if (byte === 0x0a || (byte === 0x5c && next === 0x6e)) return at
      // Within JSON the line may end with the string.
      if (byte === 0x22 && (next === 0x2c || next === 0x5d || next === 0x7d)) return at
    }
    if (this.#end > from + LINE_REST_MAXIMUM_BYTES) return from
    return this.#open ? -1 : this.#end
  }
}
