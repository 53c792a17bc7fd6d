import { hexDigit } from '../core/unescape.ts'

/** A longer line has no outline: there is more in it than a piece of a text. */
export const OUTLINE_MAXIMUM_BYTES = 2_048

const LF = 0x0a
const CR = 0x0d
const QUOTE = 0x22
const COMMA = 0x2c
const BACKSLASH = 0x5c

/** An object or an array. */
export type Holder = Readonly<Record<string, unknown>>

export function isHolder(value: unknown): value is Holder {
  return typeof value === 'object' && value !== null
}

/** Which place each text stands in; `under` gives the one that a name or number leads to, if there is one. */
export interface Placed<Place> {
  under(name: string | number): Place | undefined
}

/** A string or a number: where it stands in the outline, and in the line that was matched last. */
export interface Slot<Place> {
  /** Null: a number. */
  readonly place: Place | null
  readonly from: number
  readonly to: number
  /** Between the quotes. */
  start: number
  end: number
  /** The bytes are the text: no escape is in it, and nothing but ASCII. */
  isPlain: boolean
}

/**
 * One line of JSON, and what may differ in the lines that are like it: its strings and numbers. Whatever else
 * is the same byte for byte, so such a line is JSON as well, and its texts stand in the same places; nothing
 * need be parsed to know them.
 */
export class EventOutline<Place extends Placed<Place>> {
  readonly slots: readonly Slot<Place>[]
  readonly #line: Uint8Array

  private constructor(line: Uint8Array, slots: readonly Slot<Place>[]) {
    this.#line = line
    this.slots = slots
  }

  /**
   * The outline of a line whose JSON begins at `at` and was parsed to `value`, or null if it has none: where a
   * name stands twice, is not in plain ASCII, or leads deeper than `depth`. `place` is that of the whole.
   */
  static of<Place extends Placed<Place>>(
    line: Uint8Array,
    at: number,
    value: unknown,
    place: Place,
    depth: number,
  ): EventOutline<Place> | null {
    if (line.length > OUTLINE_MAXIMUM_BYTES) return null
    const own = Buffer.from(line)
    const tracing = new Tracing<Place>(own, at)
    return tracing.value(value, place, depth) ? new EventOutline(own, tracing.slots) : null
  }

  /** The end of the line (its line break) that begins at `from`, if it has this outline; otherwise -1. */
  match(bytes: Uint8Array, from: number): number {
    const line = this.#line
    const end = bytes.length
    let at = from
    let known = 0
    for (const slot of this.slots) {
      if (at + slot.from - known >= end) return -1
      while (known < slot.from) if (bytes[at++] !== line[known++]) return -1
      slot.start = at
      at = slot.place === null ? numberEnd(bytes, at, end) : this.#stringEnd(bytes, at, end, slot)
      if (at < 0) return -1
      slot.end = at
      known = slot.to
    }
    if (at + line.length - known >= end) return -1
    while (known < line.length) if (bytes[at++] !== line[known++]) return -1
    return bytes[at] === LF || bytes[at] === CR ? at : -1
  }

  /** Where the quote is that ends the string; -1: there is none, or the string is not as RFC 8259 section 7 says. */
  #stringEnd(bytes: Uint8Array, from: number, end: number, slot: Slot<Place>): number {
    let isPlain = true
    for (let at = from; at < end; at++) {
      const byte = bytes[at] ?? 0
      if (byte === QUOTE) {
        slot.isPlain = isPlain
        return at
      }
      if (byte < 0x20) return -1
      if (byte >= 0x80) isPlain = false
      else if (byte === BACKSLASH) {
        isPlain = false
        const length = escapeLength(bytes, at, end)
        if (length === 0) return -1
        at += length - 1
      }
    }
    return -1
  }
}

/** Goes along a line that is known to be JSON, beside what was parsed from it. */
class Tracing<Place extends Placed<Place>> {
  readonly slots: Slot<Place>[] = []
  readonly #line: Buffer
  #at: number

  constructor(line: Buffer, at: number) {
    this.#line = line
    this.#at = at
  }

  /** False: there is no outline. Where a name stands twice, `value` need not be what stands here. */
  value(value: unknown, place: Place | undefined, depth: number): boolean {
    this.#blank()
    if (typeof value === 'string') return place !== undefined && this.#string(place)
    if (typeof value === 'number') return this.#number(true)
    if (!isHolder(value)) return this.#word()
    return place !== undefined && depth > 0 && this.#holder(value, place, depth - 1)
  }

  #holder(value: Holder, place: Place, depth: number): boolean {
    const isArray = Array.isArray(value)
    if (this.#byte() !== (isArray ? 0x5b : 0x7b)) return false
    const index = value['index']
    const here = typeof index === 'number' ? place.under(index) : place
    this.#at++
    this.#blank()
    let count = 0
    for (; this.#byte() !== 0x5d && this.#byte() !== 0x7d; count++) {
      const name = isArray ? String(count) : this.#name()
      const member = name === null ? undefined : value[name]
      if (name === null || member === undefined) return false
      // Which text it is depends on the number: with another one the outline is another.
      const isRead =
        name === 'index' && typeof member === 'number'
          ? this.#number(false)
          : this.value(member, here?.under(name), depth)
      if (!isRead) return false
      this.#blank()
      if (this.#byte() === COMMA) this.#at++
      this.#blank()
    }
    this.#at++
    return count === Object.keys(value).length
  }

  /** A name and the colon behind it. */
  #name(): string | null {
    const end = this.#line.indexOf(QUOTE, this.#at + 1)
    const name = this.#line.toString('latin1', this.#at + 1, end)
    if (!/^[ -[\]-~]*$/.test(name)) return null
    this.#at = end + 1
    this.#blank()
    this.#at++
    this.#blank()
    return name
  }

  #string(place: Place): boolean {
    if (this.#byte() !== QUOTE) return false
    const from = this.#at + 1
    let to = from
    while (this.#line[to] !== QUOTE) to += this.#line[to] === BACKSLASH ? 2 : 1
    this.#slot(place, from, to)
    this.#at = to + 1
    return true
  }

  #number(mayDiffer: boolean): boolean {
    const to = numberEnd(this.#line, this.#at, this.#line.length)
    if (to < 0) return false
    if (mayDiffer) this.#slot(null, this.#at, to)
    this.#at = to
    return true
  }

  /** `true`, `false` or `null`. */
  #word(): boolean {
    const from = this.#at
    while (this.#byte() >= 0x61 && this.#byte() <= 0x7a) this.#at++
    return this.#at > from
  }

  #slot(place: Place | null, from: number, to: number): void {
    this.slots.push({ place, from, to, start: 0, end: 0, isPlain: true })
  }

  #blank(): void {
    // Whatever else stands between values is white space, and nothing is lower.
    while (this.#at < this.#line.length && this.#byte() <= 0x20) this.#at++
  }

  #byte(): number {
    return this.#line[this.#at] ?? 0
  }
}

/** Length of the escape at `at` (RFC 8259 section 7), or 0 if it is none. */
function escapeLength(bytes: Uint8Array, at: number, end: number): number {
  if (at + 1 >= end) return 0
  if (bytes[at + 1] !== 0x75) return simpleEscapes.has(bytes[at + 1] ?? 0) ? 2 : 0
  if (at + 6 > end) return 0
  for (let digit = at + 2; digit < at + 6; digit++) if (hexDigit(bytes[digit] ?? 0) < 0) return 0
  return 6
}

const simpleEscapes = new Set(Buffer.from('"\\/bfnrt'))

/** Behind the number at `from` (RFC 8259 section 6); -1 if there is none. */
function numberEnd(bytes: Uint8Array, from: number, end: number): number {
  const whole = bytes[from] === 0x2d ? from + 1 : from
  let at = digitsEnd(bytes, whole, end)
  if (at === whole || (bytes[whole] === 0x30 && at > whole + 1)) return -1
  if (bytes[at] === 0x2e) {
    const fraction = at + 1
    at = digitsEnd(bytes, fraction, end)
    if (at === fraction) return -1
  }
  if (((bytes[at] ?? 0) | 0x20) !== 0x65) return at
  const sign = bytes[at + 1]
  const exponent = sign === 0x2b || sign === 0x2d ? at + 2 : at + 1
  at = digitsEnd(bytes, exponent, end)
  return at === exponent ? -1 : at
}

function digitsEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && (bytes[at] ?? 0) >= 0x30 && (bytes[at] ?? 0) <= 0x39) at++
  return at
}
