import { KeywardError } from '../core/errors.ts'
import { JoinedLetters, type Joined } from '../core/joined-letters.ts'
import type { NeedleSet } from '../core/needles.ts'
import { EventOutline, isHolder, type Placed } from './event-outline.ts'

/** Places in the events of one stream that are remembered; past it all are forgotten. */
export const EVENT_PLACES_MAXIMUM = 1_024
/** Outlines of lines that are remembered: streams have few kinds of events, and a run of each. */
export const EVENT_OUTLINES_MAXIMUM = 8
/** How deep in an event texts are looked for. */
const DEPTH_MAXIMUM = 12
/** A longer text that is the same in two events in a row (an id, the name of a model) is no piece of anything. */
const REPEATED_FROM_CHARACTERS = 8

/** A place in an event, by the names that lead to it, and the text that was put together there. */
class EventPlace implements Placed<EventPlace> {
  joined: JoinedLetters | null = null
  /** The text that came last, if it is long enough to be told from others. */
  last = ''
  isHeld = false
  readonly #within = new Map<string | number, EventPlace>()

  under(name: string | number): EventPlace | undefined {
    return this.#within.get(name)
  }

  add(name: string | number, place: EventPlace): void {
    this.#within.set(name, place)
  }
}

/**
 * What the reader of a stream of events makes of it: the texts that stand in the same place of one event after
 * the other, joined. Throws `answer_withheld` where they hold a secret.
 */
export class EventTexts {
  readonly #needles: NeedleSet
  #root = new EventPlace()
  #placeCount = 0
  #heldPlaces = 0
  /** The one that matched last comes first. */
  #outlines: EventOutline<EventPlace>[] = []
  /** Outlines that may be made before any is of use. */
  #outlinesLeft = 2 * EVENT_OUTLINES_MAXIMUM

  constructor(needles: NeedleSet) {
    this.#needles = needles
  }

  /** Whether the text of any place may be within a secret. */
  get isHeld(): boolean {
    return this.#heldPlaces > 0
  }

  /** Reads the line that begins at `from` if one like it was read before, and gives its end; otherwise -1. */
  readLike(bytes: Uint8Array, from: number): number {
    const outlines = this.#outlines
    for (let i = 0; i < outlines.length; i++) {
      const outline = outlines[i]
      const end = outline?.match(bytes, from) ?? -1
      if (outline === undefined || end < 0) continue
      if (i > 0) {
        outlines.splice(i, 1)
        outlines.unshift(outline)
      }
      this.#outlinesLeft++
      this.#joinSlots(outline, bytes)
      return end
    }
    return -1
  }

  /** Reads the line `bytes[from, to)`, without its line break. */
  read(bytes: Uint8Array, from: number, to: number): void {
    const start = dataAt(bytes, from, to)
    if (start < 0) return
    const text = utf8(bytes, start, to)
    const value = meaningOf(text)
    this.#walk(value, this.#root, DEPTH_MAXIMUM)
    if (this.#placeCount > EVENT_PLACES_MAXIMUM) return this.#forget()
    if (value === text || this.#outlinesLeft === 0) return
    const outline = EventOutline.of(bytes.subarray(from, to), start - from, value, this.#root, DEPTH_MAXIMUM)
    this.#outlinesLeft--
    if (outline === null) return
    this.#outlines.unshift(outline)
    if (this.#outlines.length > EVENT_OUTLINES_MAXIMUM) this.#outlines.pop()
  }

  #walk(value: unknown, place: EventPlace, depth: number): void {
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

  #within(place: EventPlace, name: string | number): EventPlace {
    const known = place.under(name)
    if (known !== undefined) return known
    const made = new EventPlace()
    if (++this.#placeCount <= EVENT_PLACES_MAXIMUM) place.add(name, made)
    return made
  }

  /** Only behind the end of a line: a place that was forgotten must not be counted as held or let go. */
  #forget(): void {
    this.#root = new EventPlace()
    this.#placeCount = 0
    this.#heldPlaces = 0
    this.#outlines = []
  }

  #joinSlots(outline: EventOutline<EventPlace>, bytes: Uint8Array): void {
    for (const { place, start, end, isPlain } of outline.slots) {
      if (place === null || start === end) continue
      if (!isPlain) {
        const text: unknown = JSON.parse(utf8(bytes, start - 1, end + 1))
        if (typeof text === 'string') this.#join(place, text)
      } else if (end - start < REPEATED_FROM_CHARACTERS) {
        place.last = ''
        place.joined ??= new JoinedLetters(this.#needles)
        this.#judge(place, place.joined.pushAscii(bytes, start, end))
      } else if (!isAscii(place.last, bytes, start, end)) this.#join(place, utf8(bytes, start, end))
    }
  }

  #join(place: EventPlace, text: string): void {
    if (text === '' || (text.length >= REPEATED_FROM_CHARACTERS && text === place.last)) return
    place.last = text
    place.joined ??= new JoinedLetters(this.#needles)
    this.#judge(place, place.joined.push(text))
  }

  #judge(place: EventPlace, joined: Joined): void {
    if (joined === 'found') throw eventsWithheld()
    const isHeld = joined === 'held'
    if (isHeld !== place.isHeld) this.#heldPlaces += isHeld ? 1 : -1
    place.isHeld = isHeld
  }
}

/** Where the data of a line begin: after the name of the field (server-sent events), or at once (a line of JSON). -1: it has none. */
function dataAt(bytes: Uint8Array, from: number, to: number): number {
  let at = from
  // A separator of RFC 7464 may stand before the JSON.
  while (at < to && (bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === 0x1e)) at++
  if (at < to && BEGINS_JSON.includes(bytes[at] ?? 0)) return at
  for (let i = 0; i < DATA.length; i++) if (bytes[from + i] !== DATA[i]) return -1
  const behind = from + DATA.length
  if (behind > to) return -1
  return behind < to && bytes[behind] === 0x20 ? behind + 1 : behind
}

const DATA = Buffer.from('data:')
/** An object, a list, a text. */
const BEGINS_JSON = [0x7b, 0x5b, 0x22]

/** JSON, or a text as it is: a number alone is a piece of one as well. */
function meaningOf(text: string): unknown {
  // That a text is none takes the platform longer to say than anything else here.
  if (!/^[ \t\r\n]*(?:["{n]|\[[ \t\r\n]*["[\]{\-0-9tfn])/.test(text)) return text
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' || typeof value === 'string' ? value : text
  } catch {
    return text
  }
}

function utf8(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8', from, to)
}

function isAscii(text: string, bytes: Uint8Array, from: number, to: number): boolean {
  if (text.length !== to - from) return false
  for (let at = from; at < to; at++) if (text.charCodeAt(at - from) !== bytes[at]) return false
  return true
}

export function eventsWithheld(): KeywardError {
  return new KeywardError('answer_withheld', 'The events of the answer, put together, hold a secret.')
}
