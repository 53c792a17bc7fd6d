import type { HeaderPair } from '../../core/request.ts'
import { FRAMING, isFault, readHeaders } from './head.ts'

/** Hexadecimal digits of a chunk's size: more than any body that is sent. */
export const CHUNK_SIZE_MAXIMUM_DIGITS = 12
/** All trailers together. */
export const TRAILERS_MAXIMUM_BYTES = 16 * 1024

/** Takes the bytes of a chunked body apart (RFC 9112 section 7.1), however they are cut. */
export interface ChunkedReader {
  /**
   * Reads `bytes` from `from` on, and hands on what is body. `ended`: the body is over; `more`: it is not;
   * `stopped`: the taker has had enough for now; `malformed`: it cannot be read, and nothing may be pushed any
   * more. `position` then tells where in `bytes` reading stopped.
   */
  push(bytes: Buffer, from: number): 'ended' | 'more' | 'stopped' | 'malformed'
  readonly position: number
  /** After the end. */
  readonly trailers: readonly HeaderPair[]
}

/**
 * `onData` gives whether it wants more now. Chunk extensions are refused: nobody uses them, and parsers
 * disagree about them.
 */
export function createChunkedReader(onData: (piece: Buffer) => boolean): ChunkedReader {
  return new Reader(onData)
}

const CR = 0x0d
const LF = 0x0a

class Reader implements ChunkedReader {
  trailers: readonly HeaderPair[] = []
  position = 0
  readonly #onData: (piece: Buffer) => boolean
  #state: 'size' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'trailers' = 'size'
  #size = 0
  #digits = 0
  #tail = ''

  constructor(onData: (piece: Buffer) => boolean) {
    this.#onData = onData
  }

  push(bytes: Buffer, from: number): 'ended' | 'more' | 'stopped' | 'malformed' {
    this.position = from
    while (this.position < bytes.length) {
      if (this.#state === 'data') {
        const start = this.position
        const end = Math.min(bytes.length, start + this.#size)
        this.#size -= end - start
        this.position = end
        if (this.#size === 0) this.#state = 'data-cr'
        if (!this.#onData(bytes.subarray(start, end))) return 'stopped'
      } else if (this.#state === 'trailers') return this.#readTrailers(bytes)
      else if (!this.#step(bytes[this.position++] ?? 0)) return 'malformed'
    }
    return 'more'
  }

  /** One byte of what stands around the chunks. */
  #step(byte: number): boolean {
    switch (this.#state) {
      case 'size': {
        if (byte === CR) {
          this.#state = 'size-lf'
          return this.#digits > 0
        }
        const digit = hexDigit(byte)
        this.#size = this.#size * 16 + digit
        this.#digits++
        return digit >= 0 && this.#digits <= CHUNK_SIZE_MAXIMUM_DIGITS
      }
      case 'size-lf':
        this.#state = this.#size === 0 ? 'trailers' : 'data'
        this.#digits = 0
        return byte === LF
      case 'data-cr':
        this.#state = 'data-lf'
        return byte === CR
      case 'data-lf':
        this.#state = 'size'
        return byte === LF
      default:
        return false
    }
  }

  /** Gathers until the empty line that ends the body. */
  #readTrailers(bytes: Buffer): 'ended' | 'more' | 'malformed' {
    const from = this.position
    const before = this.#tail.length
    this.#tail += bytes.toString('latin1', from, from + TRAILERS_MAXIMUM_BYTES - before)
    if (this.#tail.startsWith('\r\n')) {
      this.position = from + 2 - before
      return 'ended'
    }
    const end = this.#tail.indexOf('\r\n\r\n')
    if (end < 0) {
      this.position = bytes.length
      return this.#tail.length >= TRAILERS_MAXIMUM_BYTES ? 'malformed' : 'more'
    }
    const trailers = readHeaders(this.#tail.slice(0, end + 2), 0)
    // RFC 9110 section 6.5.1: a length behind the body would be a second one.
    if (isFault(trailers) || trailers.some(([name]) => FRAMING.has(name))) return 'malformed'
    this.trailers = trailers
    this.position = from + end + 4 - before
    return 'ended'
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
