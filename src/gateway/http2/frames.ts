/** Frames of HTTP/2 (RFC 9113 sections 4 and 6), as far as they must be told apart. */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')
const noPreface = Buffer.alloc(0)
const HEAD_BYTES = 9

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const frameFlag = { endStream: 0x1, acknowledged: 0x1, endHeaders: 0x4 } as const

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  /** Of the payload. */
  readonly byteLength: number
  /** The first four bytes of the payload; for RST_STREAM that is the error. */
  readonly word: number
}

/**
 * Tells of each frame in a stream of bytes, however it is cut, as soon as its head and the first bytes of
 * its payload are there. Keeps no more than these thirteen bytes.
 */
export class FrameReader {
  readonly #onFrame: (frame: Frame) => void
  readonly #head = Buffer.alloc(HEAD_BYTES + 4)
  #filled = 0
  #wanted = HEAD_BYTES
  #skip = 0
  #preface: Buffer

  /** `preface`: what comes before the first frame. */
  constructor(onFrame: (frame: Frame) => void, preface: Buffer = noPreface) {
    this.#onFrame = onFrame
    this.#preface = preface
  }

  /** False: this is not how such a stream begins; nothing more is read. */
  push(bytes: Uint8Array): boolean {
    let at = Math.min(this.#preface.length, bytes.length)
    if (at > 0) {
      if (!this.#preface.subarray(0, at).equals(bytes.subarray(0, at))) return false
      this.#preface = this.#preface.subarray(at)
    }
    while (at < bytes.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - at)
        this.#skip -= skipped
        at += skipped
        continue
      }
      const taken = Math.min(this.#wanted - this.#filled, bytes.length - at)
      this.#head.set(bytes.subarray(at, at + taken), this.#filled)
      this.#filled += taken
      at += taken
      if (this.#filled === this.#wanted) this.#step()
    }
    return true
  }

  #step(): void {
    const byteLength = this.#head.readUIntBE(0, 3)
    if (this.#wanted === HEAD_BYTES && byteLength >= 4) {
      this.#wanted = HEAD_BYTES + 4
      return
    }
    this.#skip = byteLength - (this.#filled - HEAD_BYTES)
    const word = this.#wanted === HEAD_BYTES ? 0 : this.#head.readUInt32BE(HEAD_BYTES)
    this.#filled = 0
    this.#wanted = HEAD_BYTES
    this.#onFrame({
      type: this.#head.readUInt8(3),
      flags: this.#head.readUInt8(4),
      stream: this.#head.readUInt32BE(5) & 0x7fffffff,
      byteLength,
      word,
    })
  }
}
