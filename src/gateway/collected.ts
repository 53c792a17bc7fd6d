const FIRST_ROOM_BYTES = 4 * 1024

/**
 * Bytes that come in pieces, as one. Whoever sends them cuts them as small as they like, so pieces are copied
 * together: kept as they came, each byte of a body could take more than a hundred.
 */
export class Collected {
  /** The only piece so far, which needs no copy. */
  #first: Uint8Array | null = null
  #bytes: Uint8Array | null = null
  length = 0

  /** What is taken in memory for them. */
  get room(): number {
    return this.#bytes?.length ?? this.length
  }

  push(piece: Uint8Array): void {
    if (piece.length === 0) return
    const length = this.length + piece.length
    if (this.length === 0) this.#first = piece
    else {
      this.#makeRoom(length).set(piece, this.length)
      this.#first = null
    }
    this.length = length
  }

  /** All of them. Nothing may be pushed afterwards. */
  take(): Uint8Array {
    return this.#first ?? this.#bytes?.subarray(0, this.length) ?? new Uint8Array(0)
  }

  #makeRoom(length: number): Uint8Array {
    if (this.#bytes !== null && length <= this.#bytes.length) return this.#bytes
    const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_ROOM_BYTES, 2 * length))
    grown.set(this.take())
    this.#bytes = grown
    return grown
  }
}
