import { frameFlag, frameType, type Frame } from './frames.ts'

/** Streams that a client may take back at once, and how many more a second: beyond it lies rapid reset (CVE-2023-44487). */
export const RESETS_MAXIMUM_COUNT = 200
export const RESETS_PER_SECOND = 50
/** The same for frames that ask for work and carry nothing: SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA, unknown ones. */
export const IDLE_FRAMES_MAXIMUM_COUNT = 1_000
export const IDLE_FRAMES_PER_SECOND = 100
/** A client that reads acknowledges what it reads: this many such frames come free with each DATA frame that it was sent. */
const IDLE_FRAMES_PER_DATA = 3
/** Frames of one block of headers (CVE-2024-27316): more than the largest block that is read can need. */
export const CONTINUATIONS_MAXIMUM_COUNT = 8
/** A block of headers as it is sent, compressed. */
export const HEADER_BLOCK_MAXIMUM_BYTES = 64 * 1024

/** What no client does that means well. */
export type Flood = 'resets' | 'idle-frames' | 'continuations' | 'header-block'

class Allowance {
  readonly #most: number
  readonly #perSecond: number
  #left: number
  #at: number

  constructor(most: number, perSecond: number, now: number) {
    this.#most = most
    this.#perSecond = perSecond
    this.#left = most
    this.#at = now
  }

  give(count: number): void {
    this.#left = Math.min(this.#most, this.#left + count)
  }

  /** False: there is nothing left. */
  take(now: number): boolean {
    this.give(((now - this.#at) / 1000) * this.#perSecond)
    this.#at = now
    this.#left -= 1
    return this.#left >= 0
  }
}

/** Counts what one client sends. The clock comes from outside, in milliseconds. */
export class FloodGauge {
  readonly #resets: Allowance
  readonly #idle: Allowance
  #continuations = 0
  #blockBytes = 0

  constructor(now: number) {
    this.#resets = new Allowance(RESETS_MAXIMUM_COUNT, RESETS_PER_SECOND, now)
    this.#idle = new Allowance(IDLE_FRAMES_MAXIMUM_COUNT, IDLE_FRAMES_PER_SECOND, now)
  }

  received(frame: Frame, now: number): Flood | null {
    const { type, flags, byteLength } = frame
    if (type === frameType.headers) {
      this.#continuations = 0
      this.#blockBytes = byteLength
      return this.#blockFault()
    }
    if (type === frameType.continuation) {
      this.#continuations += 1
      this.#blockBytes += byteLength
      return this.#continuations > CONTINUATIONS_MAXIMUM_COUNT ? 'continuations' : this.#blockFault()
    }
    if (type === frameType.reset) return this.#resets.take(now) ? null : 'resets'
    if (type === frameType.data && (byteLength > 0 || (flags & frameFlag.endStream) !== 0)) return null
    return this.#idle.take(now) ? null : 'idle-frames'
  }

  sent(frame: Frame): void {
    if (frame.type === frameType.data) this.#idle.give(IDLE_FRAMES_PER_DATA)
  }

  #blockFault(): Flood | null {
    return this.#blockBytes > HEADER_BLOCK_MAXIMUM_BYTES ? 'header-block' : null
  }
}
