import type { NeedleSet } from '../../core/needles.ts'
import { createScrubber, scrubBytes, type Scrubber } from '../../core/scrub.ts'
import { closePayload, readClose } from './close.ts'
import {
  CONTROL_MAXIMUM_BYTES,
  frameOf,
  type ControlKind,
  type FrameFault,
  type FrameSink,
  type MessageKind,
} from './frames.ts'
import { FRAME_SWAP_MAXIMUM_BYTES, FRAME_SWAP_MAXIMUM_MESSAGES, swapPlaceholders, type FrameSwap } from './swap.ts'
import { createUtf8Checker, type Utf8Checker } from './utf8.ts'

/** A message goes on in frames of about this size while it is still coming in. */
export const FRAGMENT_MAXIMUM_BYTES = 64 * 1024

/** Pieces that are held side by side before they are copied into one: a piece of one byte takes more room than that. */
const PIECES_MAXIMUM_COUNT = 64

/** Where the messages of one direction go, and what is done to them. */
export interface Onward {
  /** A fresh mask for each frame; null where a server speaks to its client. */
  readonly mask: (() => Uint8Array) | null
  /** What each message is searched for; null: nothing. */
  readonly needles: (() => NeedleSet) | null
  readonly swap: FrameSwap | null
  /** Sees what passes, after placeholders were replaced; null: nobody looks. */
  readonly notice?: ((piece: Uint8Array) => void) | null
  write(frame: Buffer): void
}

const notUtf8: FrameFault = { closeCode: 1007, why: 'A text message is not UTF-8.' }

/** Writes the messages of one direction anew: each of them cleaned as one stream, whatever its frames were. */
export class MessageWriter implements FrameSink {
  /** Messages that were passed on whole. */
  messages = 0
  /** Bytes of their payloads, as passed on. */
  bytes = 0
  /** Places where a secret was replaced. */
  hits = 0
  /** Placeholders that were replaced. */
  swapped = 0
  /** A Close frame was passed on; nothing goes behind it. */
  closed = false
  readonly #onward: Onward
  /** The kind that the next frame has to name; null: it continues. */
  #kind: MessageKind | null = null
  #scrubber: Scrubber | null = null
  #utf8: Utf8Checker | null = null
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  /** All of a message that is looked at as a whole; null: it is passed on as it comes. */
  #whole: Buffer[] | null = null
  #wholeBytes = 0
  #begun = 0

  constructor(onward: Onward) {
    this.#onward = onward
  }

  begin(kind: MessageKind): FrameFault | null {
    const { needles, swap } = this.#onward
    this.#kind = kind
    this.#scrubber = needles === null ? null : createScrubber(needles())
    this.#utf8 = kind === 'text' ? createUtf8Checker() : null
    const looked = swap !== null && kind === 'text' && this.#begun < FRAME_SWAP_MAXIMUM_MESSAGES
    this.#whole = looked ? [] : null
    this.#wholeBytes = 0
    this.#begun++
    return null
  }

  data(piece: Buffer): FrameFault | null {
    if (this.closed) return null
    if (this.#whole === null) return this.#clean(piece)
    if (this.#whole.push(piece) > PIECES_MAXIMUM_COUNT) this.#whole = [Buffer.concat(this.#whole)]
    this.#wholeBytes += piece.length
    return this.#wholeBytes > FRAME_SWAP_MAXIMUM_BYTES ? this.#releaseWhole() : null
  }

  end(): FrameFault | null {
    if (this.closed) return null
    const fault = this.#swapWhole() ?? this.#takeAll(this.#scrubber?.end() ?? [])
    if (fault !== null) return fault
    if (this.#utf8?.end() === false) return notUtf8
    this.hits += this.#scrubber?.hits ?? 0
    this.#scrubber = null
    this.#flush(true)
    this.messages++
    return null
  }

  control(kind: ControlKind, payload: Buffer): FrameFault | null {
    if (this.closed) return null
    if (kind !== 'close') {
      this.#writeControl(kind, this.#scrubbed(payload).subarray(0, CONTROL_MAXIMUM_BYTES))
      return null
    }
    const close = readClose(payload)
    if ('closeCode' in close) return close
    this.close(close.code, this.#scrubbed(close.reason))
    return null
  }

  /** Says the last word of this direction. A message that was not whole is left unfinished. */
  close(code: number | null, reason: Uint8Array = new Uint8Array(0)): void {
    if (this.closed) return
    this.#writeControl('close', closePayload(code, reason))
    this.closed = true
    this.hits += this.#scrubber?.hits ?? 0
    this.#scrubber = null
    this.#pending = []
    this.#whole = null
  }

  /** What came so far of a message goes on: nobody knows when the next frame will come. */
  flush(): void {
    if (this.#pendingBytes > 0 && !this.closed) this.#flush(false)
  }

  #scrubbed(bytes: Uint8Array): Uint8Array {
    const { needles } = this.#onward
    if (needles === null || bytes.length === 0) return bytes
    const clean = scrubBytes(needles(), bytes)
    this.hits += clean.hits
    return clean.bytes
  }

  /** Too long to be looked at: it goes on as it is. */
  #releaseWhole(): FrameFault | null {
    const pieces = this.#whole ?? []
    this.#whole = null
    for (const piece of pieces) {
      const fault = this.#clean(piece)
      if (fault !== null) return fault
    }
    return null
  }

  #swapWhole(): FrameFault | null {
    const { swap } = this.#onward
    if (this.#whole === null || swap === null) return null
    const message = Buffer.concat(this.#whole)
    this.#whole = null
    const { bytes, count } = swapPlaceholders(message, swap)
    this.swapped += count
    return this.#clean(bytes)
  }

  #clean(piece: Buffer): FrameFault | null {
    this.#onward.notice?.(piece)
    return this.#takeAll(this.#scrubber === null ? [piece] : this.#scrubber.push(piece))
  }

  #takeAll(pieces: readonly Uint8Array[]): FrameFault | null {
    for (const piece of pieces) {
      if (this.#utf8?.push(piece) === false) return notUtf8
      if (this.#pending.push(piece) > PIECES_MAXIMUM_COUNT) this.#pending = [Buffer.concat(this.#pending)]
      this.#pendingBytes += piece.byteLength
      if (this.#pendingBytes >= FRAGMENT_MAXIMUM_BYTES) this.#flush(false)
    }
    return null
  }

  #flush(final: boolean): void {
    const { mask, write } = this.#onward
    write(frameOf(this.#kind, final, this.#pending, mask?.() ?? null))
    this.bytes += this.#pendingBytes
    this.#kind = null
    this.#pending = []
    this.#pendingBytes = 0
  }

  #writeControl(kind: ControlKind, payload: Uint8Array): void {
    const { mask, write } = this.#onward
    write(frameOf(kind, true, [payload], mask?.() ?? null))
  }
}
