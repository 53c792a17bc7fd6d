import { Buffer } from 'node:buffer'
import { createHash, hash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestFromBase64, digestToBase64, LEAF_PREFIX, MerkleTree, nodeDigest } from './merkle.ts'

const leafDigest = (input: Uint8Array): string =>
  hash('sha256', Buffer.concat([Buffer.of(LEAF_PREFIX), input]), 'base64url')

// Inputs and roots of the reference tree in the test suite of Certificate Transparency.
const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
const roots = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]

describe('the Merkle tree', () => {
  it('has the roots of RFC 6962 at every size', () => {
    const tree = new MerkleTree()
    const seen = [tree.root()]
    for (const input of inputs) {
      tree.append(leafDigest(Buffer.from(input, 'hex')))
      seen.push(tree.root())
    }
    expect(seen.map((root) => Buffer.from(root, 'base64url').toString('hex'))).toEqual(roots)
  })

  it('is the recursive definition, however it is cut and resumed', () => {
    const define = (leaves: string[]): string => {
      if (leaves.length === 0) return createHash('sha256').digest('base64url')
      if (leaves.length === 1) return leaves[0] ?? ''
      let split = 1
      while (split * 2 < leaves.length) split *= 2
      return nodeDigest(define(leaves.slice(0, split)), define(leaves.slice(split)))
    }
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 70 }), fc.nat(70), (lines, cut) => {
        const leaves = lines.map((line) => leafDigest(line))
        let tree = new MerkleTree()
        leaves.forEach((leaf, index) => {
          if (index === cut) tree = new MerkleTree(tree.size, tree.peaks)
          tree.append(leaf)
        })
        expect(tree.root()).toBe(define(leaves))
        expect(tree.peaks.length).toBeLessThanOrEqual(7)
      }),
    )
  })

  it('refuses peaks that do not fit the size', () => {
    expect(() => new MerkleTree(3, [leafDigest(Buffer.from('a'))])).toThrow(RangeError)
    expect(() => new MerkleTree(-1, [])).toThrow(RangeError)
  })

  it('reads only the base64 of 32 bytes', () => {
    const digest = leafDigest(Buffer.from('x'))
    expect(digestFromBase64(digestToBase64(digest))).toBe(digest)
    for (const text of ['', 'AAAA', `${digestToBase64(digest)} `, digestToBase64(digest).slice(0, -1)])
      expect(digestFromBase64(text)).toBeUndefined()
  })
})
