import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'

/**
 * The Merkle tree of RFC 6962, section 2.1, kept as the roots of its complete subtrees so that memory is
 * O(log n). A digest is 32 bytes as base64url: on Node 24 a text costs a third of a Buffer, and it is what an
 * entry calls its `hash`.
 */
export type Digest = string

/** Comes before what a leaf stands for, and before the two digests below a node, so that neither passes for the other. */
export const LEAF_PREFIX = 0
const NODE_PREFIX = 1

const nodeInput = Buffer.alloc(65)
nodeInput[0] = NODE_PREFIX

/** SHA-256(0x01 || left || right). */
export function nodeDigest(left: Digest, right: Digest): Digest {
  nodeInput.write(left, 1, 'base64url')
  nodeInput.write(right, 33, 'base64url')
  return hash('sha256', nodeInput, 'base64url')
}

export function digestToBase64(digest: Digest): string {
  return Buffer.from(digest, 'base64url').toString('base64')
}

/** Undefined unless the text is the base64 of exactly 32 bytes. */
export function digestFromBase64(text: string): Digest | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === 32 && bytes.toString('base64') === text ? bytes.toString('base64url') : undefined
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
    return digest ?? hash('sha256', '', 'base64url')
  }
}
