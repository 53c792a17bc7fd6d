import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { findPacked, OVERLAPPING_MAXIMUM_COUNT, READ_ALWAYS_BYTES, READ_RATIO_MAXIMUM } from './packed.ts'

/** How many bytes were unpacked and searched. */
function searched(text: Buffer, open = false): { readonly bytes: number; readonly places: readonly number[] } {
  let bytes = 0
  const { places } = findPacked(text, text.length, 0x0a, open, {
    holds: (output) => {
      bytes += output.length
      return false
    },
  })
  return { bytes, places }
}

/** A block that is stored as it is, and claims to go on for long (RFC 1951 section 3.2.4). */
const stored = Buffer.concat([Buffer.from([0, 0xff, 0xff, 0, 0]), Buffer.alloc(13)])
  .toString('base64')
  .slice(0, 24)

test('beginnings within beginnings are not each read to the end; what follows a flood of them is withheld', () => {
  // One member after the other, in one run of base64: each begins what the others go on with.
  const member = gzipSync('x'.repeat(8)).toString('base64')
  const pattern = member.slice(0, member.length - (member.length % 4)).replaceAll('=', 'A')
  const few = Buffer.from(pattern.repeat(OVERLAPPING_MAXIMUM_COUNT))
  expect(searched(few).places).toEqual([])
  const many = Buffer.from(pattern.repeat(4 * OVERLAPPING_MAXIMUM_COUNT))
  const [from = 0, to = 0] = searched(many).places
  expect(from).toBeLessThanOrEqual((OVERLAPPING_MAXIMUM_COUNT + 1) * pattern.length)
  expect(to).toBe(many.length)
})

test('a text of which every line may begin compressed data is not read again for each', () => {
  const text = Buffer.from(`${stored}\n`.repeat(8_000))
  const { bytes, places } = searched(text)
  expect(bytes).toBeLessThan(2 * (READ_RATIO_MAXIMUM * text.length + READ_ALWAYS_BYTES))
  // It does not say that it is compressed, so it is not withheld either.
  expect(places).toEqual([])
})

test('lines of base64 that begin nothing are left alone', () => {
  const line = 'VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZywgYW5kIGFnYWlu'
  expect(searched(Buffer.from(`${line}\n`.repeat(3_000))).places).toEqual([])
})

test('long base64 in lines is ordinary text', () => {
  for (let round = 0; round < 24; round++) {
    const text = randomBytes(200_000).toString('base64').replaceAll(/.{76}/g, '$&\n')
    expect(searched(Buffer.from(text)).places).toEqual([])
  }
})
