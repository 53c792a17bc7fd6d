import { Buffer } from 'node:buffer'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { checkpointKey, isSignedBy, originOf, parseCheckpoint, signCheckpoint } from './checkpoint.ts'
import { MerkleTree } from './merkle.ts'

const keys = generateKeyPairSync('ed25519')
const key = checkpointKey(originOf('node-1'), keys.publicKey)
const { note } = signCheckpoint(key, keys.privateKey, 0, new MerkleTree().root())

describe('a checkpoint', () => {
  it('is a C2SP signed note', () => {
    expect(note).toMatch(
      /^keyward\/node-1\n0\n47DEQpj8HBSa\+\/TImW\+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— keyward\/node-1 [A-Za-z0-9+/]{91}=\n$/,
    )
    const read = parseCheckpoint(note)
    expect(read?.checkpoint).toEqual({
      origin: 'keyward/node-1',
      size: 0,
      root: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=',
      note,
    })
    expect(read !== undefined && isSignedBy(read, key)).toBe(true)
  })

  it('checks the published example of the Go implementation of signed notes', () => {
    // https://pkg.go.dev/golang.org/x/mod/sumdb/note, example of Open
    const [name = '', id, encoded = ''] = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'.split(
      '+',
      3,
    )
    const x = Buffer.from(encoded, 'base64').subarray(1).toString('base64url')
    const theirs = checkpointKey(name, createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }))
    expect(theirs.id.toString('hex')).toBe(id)
    const signed =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    const bytes = Buffer.from(
      'x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=',
      'base64',
    )
    const read = parseCheckpoint(note)
    if (read === undefined) throw new Error('unreachable')
    expect(isSignedBy({ ...read, signed, signatures: [{ name, bytes }] }, theirs)).toBe(true)
    expect(isSignedBy({ ...read, signed: signed.replace('your', 'my'), signatures: [{ name, bytes }] }, theirs)).toBe(
      false,
    )
  })

  it('passes over signatures of unknown keys, but needs its own', () => {
    const other = generateKeyPairSync('ed25519')
    const foreign = signCheckpoint(
      checkpointKey('witness', other.publicKey),
      other.privateKey,
      0,
      new MerkleTree().root(),
    ).note
    const witness = foreign.split('\n').at(-2)
    const both = parseCheckpoint(`${note}${witness}\n`)
    expect(both !== undefined && isSignedBy(both, key)).toBe(true)
    const alone = parseCheckpoint(foreign)
    expect(alone !== undefined && isSignedBy(alone, key)).toBe(false)
  })

  it('is refused in any other form', () => {
    const forms = [
      note.slice(0, -1),
      note.replace('\n0\n', '\n00\n'),
      note.replace('\n0\n', '\n-1\n'),
      note.replace('— ', '- '),
      note.replace('47DE', '47D'),
      note.replace('\n\n', '\n'),
      `\n${note}`,
      note.replaceAll('\n', '\r\n'),
      '',
    ]
    for (const form of forms) expect(parseCheckpoint(form), JSON.stringify(form)).toBeUndefined()
  })

  it('changed in any byte of its text, is not signed', () => {
    const text = `${key.origin}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n`
    for (let index = 0; index < text.length; index++) {
      const bytes = Buffer.from(note)
      bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index)
      const read = parseCheckpoint(bytes.toString())
      expect(read !== undefined && isSignedBy(read, key), `byte ${index}`).toBe(false)
    }
  })

  it('names a node only by what a key name can hold', () => {
    for (const node of ['', 'a b', 'a+b', 'a\nb', 'x'.repeat(129)]) expect(() => originOf(node)).toThrow(RangeError)
  })
})
