import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'

/**
 * The Merkle tree of RFC 6962, section 2.1, over lines, kept as the roots of its complete subtrees so
 * that memory is O(log n). A digest is 32 bytes held as a latin1 string, one character a byte: on Node
 * 24 that is a third of the cost of a Buffer.
 */
export type Digest = string

let leafInput = Buffer.alloc(4096)
const nodeInput = Buffer.alloc(65)
nodeInput[0] = 1

/** SHA-256(0x00 || line); the line comes without its newline. */
export function leafDigest(line: Uint8Array): Digest {
  if (leafInput.length <= line.length) leafInput = Buffer.alloc(line.length * 2)
  leafInput.set(line, 1)
  return hash('sha256', leafInput.subarray(0, line.length + 1), 'binary')
}

/** SHA-256(0x01 || left || right). */
export function nodeDigest(left: Digest, right: Digest): Digest {
  nodeInput.write(left, 1, 'latin1')
  nodeInput.write(right, 33, 'latin1')
  return hash('sha256', nodeInput, 'binary')
}

export function digestToBase64(digest: Digest): string {
  return Buffer.from(digest, 'latin1').toString('base64')
}

/** Undefined unless the text is the base64 of exactly 32 bytes. */
export function digestFromBase64(text: string): Digest | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === 32 && bytes.toString('base64') === text ? bytes.toString('latin1') : undefined
}

export class MerkleTree {
  #size: number
  readonly #peaks: Digest[]

  /** `peaks` are the roots of the complete subtrees, the largest first: one for each 1 in the binary form of `size`. */
  constructor(size = 0, peaks: readonly Digest[] = []) {
    let ones = 0
    for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2
    if (!Number.isSafeInteger(size) || size < 0 || ones !== peaks.length)
      throw new RangeError('peaks do not fit the size')
    this.#size = size
    this.#peaks = [...peaks]
  }

  get size(): number {
    return this.#size
  }

  get peaks(): readonly Digest[] {
    return [...this.#peaks]
  }

  append(leaf: Digest): void {
    let digest = leaf
    for (let rest = this.#size; rest % 2 === 1; rest = Math.floor(rest / 2)) {
      const left = this.#peaks.pop()
      if (left !== undefined) digest = nodeDigest(left, digest)
    }
    this.#peaks.push(digest)
    this.#size++
  }

  root(): Digest {
    let digest: Digest | undefined
    for (let index = this.#peaks.length - 1; index >= 0; index--) {
      const peak = this.#peaks[index]
      if (peak !== undefined) digest = digest === undefined ? peak : nodeDigest(peak, digest)
    }
    return digest ?? hash('sha256', '', 'binary')
  }
}
