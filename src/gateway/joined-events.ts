import { KeywardError } from '../core/errors.ts'
import { JoinedLetters } from '../core/joined-letters.ts'
import type { NeedleSet } from '../core/needles.ts'
import type { Sink } from './codings.ts'

/** A longer line of a stream is passed on as it comes: what is streamed bit by bit has short ones. */
export const EVENT_LINE_MAXIMUM_BYTES = 65_536
/** Events that wait because they may bring a secret bit by bit. Past it the answer is broken off. */
export const EVENTS_HELD_MAXIMUM_BYTES = 1_048_576
/** Places in the events of one stream that are remembered; past it all are forgotten. */
export const EVENT_PLACES_MAXIMUM = 1_024
/** How deep in an event texts are looked for. */
const DEPTH_MAXIMUM = 12
/** A longer text that is the same in two events in a row (an id, the name of a model) is no piece of anything. */
const REPEATED_FROM_CHARACTERS = 8

const empty = new Uint8Array(0)

/** A place in an event, by the names that lead to it, and the text that was put together there. */
interface Place {
  readonly within: Map<string | number, Place>
  joined: JoinedLetters | null
  last: string
  isHeld: boolean
}

const newPlace = (): Place => ({ within: new Map(), joined: null, last: '', isHeld: false })

/**
 * Passes a stream of events on, line by line, and looks at what its reader makes of it: the texts that stand in
 * the same place of one event after the other, joined. While they may be becoming a secret the events wait; if
 * they do, the answer is broken off (`answer_withheld`).
 */
export class JoinedEvents {
  readonly #needles: NeedleSet
  #root = newPlace()
  #placeCount = 0
  #line: Uint8Array = empty
  #isLongLine = false
  #held: Uint8Array[] = []
  #heldBytes = 0
  /** Places whose text may be within a secret. */
  #heldPlaces = 0

  constructor(needles: NeedleSet) {
    this.#needles = needles
  }

  push(piece: Uint8Array, sink: Sink): void | Promise<void> {
    const end = piece.lastIndexOf(0x0a) + 1
    if (end > 0) this.#readLines(piece)
    const rest = piece.subarray(end)
    const before = end > 0 ? this.#take(piece.subarray(0, end)) : empty
    if (this.#isLongLine) return this.#pass([before, rest], sink)
    if (this.#line.length + rest.length > EVENT_LINE_MAXIMUM_BYTES) {
      this.#isLongLine = true
      return this.#pass([before, this.#take(rest)], sink)
    }
    if (rest.length > 0) this.#line = this.#line.length === 0 ? rest : Buffer.concat([this.#line, rest])
    return this.#pass([before], sink)
  }

  end(sink: Sink): void | Promise<void> {
    this.#judge(this.#line)
    this.#heldPlaces = 0
    return this.#pass([this.#take(empty)], sink)
  }

  /** What was kept of a line, with more of it. */
  #take(more: Uint8Array): Uint8Array {
    if (this.#line.length === 0) return more
    const whole = Buffer.concat([this.#line, more])
    this.#line = empty
    return whole
  }

  #pass(pieces: readonly Uint8Array[], sink: Sink): void | Promise<void> {
    for (const piece of pieces) {
      if (piece.length === 0) continue
      this.#held.push(piece)
      this.#heldBytes += piece.length
    }
    if (this.#heldPlaces > 0) {
      if (this.#heldBytes > EVENTS_HELD_MAXIMUM_BYTES) throw withheld()
      return
    }
    const [first, ...others] = this.#held
    if (first === undefined) return
    this.#held = []
    this.#heldBytes = 0
    return sink(others.length === 0 ? first : Buffer.concat([first, ...others]))
  }

  #readLines(piece: Uint8Array): void {
    let begun = this.#line
    let from = 0
    for (let to = piece.indexOf(0x0a); to >= 0; to = piece.indexOf(0x0a, from)) {
      const part = piece.subarray(from, to)
      if (this.#isLongLine) this.#isLongLine = false
      else this.#judge(begun.length === 0 ? part : Buffer.concat([begun, part]))
      begun = empty
      from = to + 1
    }
  }

  #judge(line: Uint8Array): void {
    const start = dataAt(line)
    if (start < 0) return
    const text = Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString('utf8', start)
    this.#walk(meaningOf(text), this.#root, DEPTH_MAXIMUM)
  }

  #walk(value: unknown, place: Place, depth: number): void {
    if (typeof value === 'string') this.#join(place, value)
    else if (isHolder(value) && depth > 0) {
      // Several texts that come in turns are told apart by a number.
      const index = value['index']
      const here = typeof index === 'number' ? this.#within(place, index) : place
      for (const name in value) {
        const inner = value[name]
        if (typeof inner === 'string' || typeof inner === 'object')
          this.#walk(inner, this.#within(here, name), depth - 1)
      }
    }
  }

  #within(place: Place, name: string | number): Place {
    const known = place.within.get(name)
    if (known !== undefined) return known
    const made = newPlace()
    if (++this.#placeCount > EVENT_PLACES_MAXIMUM) {
      this.#root = newPlace()
      this.#placeCount = 0
      this.#heldPlaces = 0
    } else place.within.set(name, made)
    return made
  }

  #join(place: Place, text: string): void {
    if (text === '' || (text.length >= REPEATED_FROM_CHARACTERS && text === place.last)) return
    place.last = text
    place.joined ??= new JoinedLetters(this.#needles)
    const joined = place.joined.push(text)
    if (joined === 'found') throw withheld()
    const isHeld = joined === 'held'
    if (isHeld !== place.isHeld) this.#heldPlaces += isHeld ? 1 : -1
    place.isHeld = isHeld
  }
}

function isHolder(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

/** Where the data of a line begin: after the name of the field (server-sent events), or at once (a line of JSON). -1: it has none. */
function dataAt(line: Uint8Array): number {
  let at = 0
  // A separator of RFC 7464 may stand before the JSON.
  while (line[at] === 0x20 || line[at] === 0x1e) at++
  if (line[at] === 0x7b) return at
  const isData = line[0] === 0x64 && line[1] === 0x61 && line[2] === 0x74 && line[3] === 0x61 && line[4] === 0x3a
  if (!isData) return -1
  return line[5] === 0x20 ? 6 : 5
}

/** JSON, or a text as it is: a number alone is a piece of one as well. */
function meaningOf(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' || typeof value === 'string' ? value : text
  } catch {
    return text
  }
}

function withheld(): KeywardError {
  return new KeywardError('answer_withheld', 'The events of the answer, put together, hold a secret.')
}
