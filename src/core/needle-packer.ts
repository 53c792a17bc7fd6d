/** Slots in which equal needles are counted together; two that are not equal rarely share one. */
const COUNTED_BITS = 22

/** Needles one after another. Only the first `wholes` of them are ever held back for what may follow. */
export interface PackedNeedles {
  readonly pool: Uint8Array
  /** Where each begins, and at last where the pool ends. */
  readonly starts: Uint32Array
  readonly wholes: number
}

/** How many needles one index may hold: their numbers have 24 bits. */
export const NEEDLES_MAXIMUM = 16_777_216

/** Needles with a key and an offset each, laid one after another as they come: there may be a million. */
export class NeedlePacker {
  count = 0
  #pool = new Uint8Array(4096)
  #used = 0
  #starts = new Uint32Array(256)
  #keys = new Float64Array(256)
  #offsets = new Int32Array(256)

  add(bytes: Uint8Array, key: number, offset: number): void {
    const needed = this.#used + bytes.length
    if (needed > this.#pool.length) {
      const grown = new Uint8Array(2 * needed)
      grown.set(this.#pool.subarray(0, this.#used))
      this.#pool = grown
    }
    if (this.count + 1 >= this.#starts.length) {
      const size = 2 * this.#starts.length
      this.#starts = extended(this.#starts, new Uint32Array(size))
      this.#keys = extended(this.#keys, new Float64Array(size))
      this.#offsets = extended(this.#offsets, new Int32Array(size))
    }
    for (let i = 0; i < bytes.length; i++) this.#pool[this.#used + i] = bytes[i] ?? 0
    this.#used = needed
    this.#keys[this.count] = key
    this.#offsets[this.count] = offset
    this.#starts[++this.count] = needed
  }

  /** Takes out every needle that was added more than `most` times. */
  dropCommon(most: number): void {
    const seen = new Uint16Array(2 ** COUNTED_BITS)
    const slots = new Uint32Array(this.count)
    for (let i = 0; i < this.count; i++) {
      let hash = 0
      for (let at = this.#starts[i] ?? 0; at < (this.#starts[i + 1] ?? 0); at++)
        hash = Math.imul(hash ^ (this.#pool[at] ?? 0), 0x9e3779b1) ^ (hash >>> 15)
      const slot = Math.imul(hash, 0x85ebca6b) >>> (32 - COUNTED_BITS)
      slots[i] = slot
      seen[slot] = Math.min(0xffff, (seen[slot] ?? 0) + 1)
    }
    const kept = new NeedlePacker()
    for (let i = 0; i < this.count; i++) {
      if ((seen[slots[i] ?? 0] ?? 0) > most) continue
      kept.add(this.#pool.subarray(this.#starts[i], this.#starts[i + 1]), this.#keys[i] ?? 0, this.#offsets[i] ?? 0)
    }
    this.#pool = kept.#pool
    this.#used = kept.#used
    this.#starts = kept.#starts
    this.#keys = kept.#keys
    this.#offsets = kept.#offsets
    this.count = kept.count
  }

  /** These needles, and then those of the other. */
  joined(other: NeedlePacker): { pool: Uint8Array; starts: Uint32Array; keys: Float64Array; offsets: Int32Array } {
    const count = this.count + other.count
    const pool = new Uint8Array(this.#used + other.#used)
    pool.set(this.#pool.subarray(0, this.#used))
    pool.set(other.#pool.subarray(0, other.#used), this.#used)
    const starts = new Uint32Array(count + 1)
    starts.set(this.#starts.subarray(0, this.count))
    for (let i = 0; i <= other.count; i++) starts[this.count + i] = this.#used + (other.#starts[i] ?? 0)
    const keys = new Float64Array(count)
    keys.set(this.#keys.subarray(0, this.count))
    keys.set(other.#keys.subarray(0, other.count), this.count)
    const offsets = new Int32Array(count)
    offsets.set(this.#offsets.subarray(0, this.count))
    offsets.set(other.#offsets.subarray(0, other.count), this.count)
    return { pool, starts, keys, offsets }
  }
}

function extended<T extends Uint32Array | Float64Array | Int32Array>(old: T, larger: T): T {
  larger.set(old)
  return larger
}
