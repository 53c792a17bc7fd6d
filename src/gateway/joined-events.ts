import type { NeedleSet } from '../core/needles.ts'
import type { Sink } from './codings.ts'
import { eventsWithheld, EventTexts } from './event-texts.ts'

/** A longer line of a stream is passed on as it comes: what is streamed bit by bit has short ones. */
export const EVENT_LINE_MAXIMUM_BYTES = 65_536
/** Events that wait because they may bring a secret bit by bit. Past it the answer is broken off. */
export const EVENTS_HELD_MAXIMUM_BYTES = 1_048_576

const LF = 0x0a
const CR = 0x0d
const empty = new Uint8Array(0)

/**
 * Passes a stream of events on, line by line, and looks at what its reader makes of it. While the joined texts
 * may be becoming a secret the events wait; if they do, the answer is broken off (`answer_withheld`).
 */
export class JoinedEvents {
  readonly #texts: EventTexts
  /** What there is of a line that has not ended. */
  #line: Uint8Array = empty
  #isLongLine = false
  #held: Uint8Array[] = []
  #heldBytes = 0

  constructor(needles: NeedleSet) {
    this.#texts = new EventTexts(needles)
  }

  push(piece: Uint8Array, sink: Sink): void | Promise<void> {
    const end = this.#readLines(piece)
    if (end === piece.length && this.#line.length === 0) return this.#pass(piece, sink)
    const rest = piece.subarray(end)
    const before = end > 0 ? this.#take(piece.subarray(0, end)) : empty
    if (this.#isLongLine) return this.#pass(joined(before, rest), sink)
    if (this.#line.length + rest.length > EVENT_LINE_MAXIMUM_BYTES) {
      this.#isLongLine = true
      return this.#pass(joined(before, this.#take(rest)), sink)
    }
    this.#line = joined(this.#line, rest)
    return this.#pass(before, sink)
  }

  end(sink: Sink): void | Promise<void> {
    this.#texts.read(this.#line, 0, this.#line.length)
    const line = this.#take(empty)
    return line.length + this.#heldBytes === 0 ? undefined : this.#release(line, sink)
  }

  /** What was kept of a line, with more of it. */
  #take(more: Uint8Array): Uint8Array {
    const whole = joined(this.#line, more)
    this.#line = empty
    return whole
  }

  #pass(piece: Uint8Array, sink: Sink): void | Promise<void> {
    if (piece.length + this.#heldBytes === 0) return
    if (!this.#texts.isHeld) return this.#release(piece, sink)
    this.#held.push(piece)
    this.#heldBytes += piece.length
    if (this.#heldBytes > EVENTS_HELD_MAXIMUM_BYTES) throw eventsWithheld()
  }

  /** Everything that waited, and a piece behind it. */
  #release(piece: Uint8Array, sink: Sink): void | Promise<void> {
    if (this.#heldBytes === 0) return sink(piece)
    const whole = Buffer.concat([...this.#held, piece])
    this.#held = []
    this.#heldBytes = 0
    return sink(whole)
  }

  /** Reads the lines that end in a piece, and gives where the last of them does. */
  #readLines(piece: Uint8Array): number {
    let from = this.#readBegun(piece)
    while (from < piece.length) {
      const isEmpty = piece[from] === LF || piece[from] === CR
      const to = isEmpty ? from : this.#readLine(piece, from)
      if (to < 0) break
      from = to + 1
    }
    return from
  }

  /** The same for the line that began before it, if there is one. */
  #readBegun(piece: Uint8Array): number {
    if (this.#line.length === 0 && !this.#isLongLine) return 0
    const end = lineEnd(piece, 0) + 1
    if (end === 0) return 0
    if (this.#isLongLine) this.#isLongLine = false
    else this.#readLine(joined(this.#line, piece.subarray(0, end)), 0)
    return end
  }

  /** The end of the line that begins at `from`, -1 if it has none. */
  #readLine(bytes: Uint8Array, from: number): number {
    const like = this.#texts.readLike(bytes, from)
    if (like >= 0) return like
    const to = lineEnd(bytes, from)
    if (to >= 0) this.#texts.read(bytes, from, to)
    return to
  }
}

/** A line of server-sent events ends with LF, with CR, or with both (HTML, section 9.2.5); behind both stands an empty one. -1: not yet. */
function lineEnd(bytes: Uint8Array, from: number): number {
  const feed = bytes.indexOf(LF, from)
  const line = feed < 0 ? bytes : bytes.subarray(0, feed)
  const carriage = line.indexOf(CR, from)
  return carriage < 0 ? feed : carriage
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second
  return second.length === 0 ? first : Buffer.concat([first, second])
}
