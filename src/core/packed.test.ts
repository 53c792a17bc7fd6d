<<<<<<< HEAD
import { randomBytes } from 'node:crypto'
import { deflateSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { needlesOf } from './needles.ts'
import { PACKED_MAXIMUM_BYTES } from './packed.ts'
import { createScrubber } from './scrub.ts'

const secret = randomBytes(24).toString('hex')
const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }])

function scrubbed(text: string, chunk: number): string {
  const scrubber = createScrubber(needles)
  const bytes = Buffer.from(text)
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += chunk) pieces.push(...scrubber.push(bytes.subarray(at, at + chunk)))
  return Buffer.concat([...pieces, ...scrubber.end()]).toString()
}

const noise = (bytes: number): Buffer => randomBytes(bytes)

test('compressed data without a secret pass as they are, and so does what only looks like them', () => {
  const clean = JSON.stringify({
    gzip: gzipSync(noise(3000)).toString('base64'),
    zlib: deflateSync('all is well '.repeat(50)).toString('base64'),
    image: noise(20_000).toString('base64'),
    words: 'H4sIAAAA eJyrVkosLcmIz0vMTVWyUlDKKC0uUaoFAA 1f8b08',
  })
  for (const chunk of [7, 1000, 100_000]) expect(scrubbed(clean, chunk)).toBe(clean)
})

test('what says that it is compressed and is too long to judge is withheld to its end, and nothing else', () => {
  const large = gzipSync(Buffer.concat([noise(PACKED_MAXIMUM_BYTES), Buffer.from(secret)])).toString('base64')
  const answer = `{"before": 1, "data": "${large}", "after": 2}`
  for (const chunk of [3000, 65_536, answer.length])
    expect(scrubbed(answer, chunk)).toBe('{"before": 1, "data": "[keyward]", "after": 2}')
})

test('what unfolds to more than may be written is withheld', () => {
  const bomb = gzipSync(Buffer.alloc(20_000_000)).toString('base64')
  expect(scrubbed(`"${bomb}"`, 4096)).toMatch(/^"\[keyward\]=*"$/)
})

test('a large body that is base64 and nothing more is not held back', () => {
  const scrubber = createScrubber(needles)
  const image = Buffer.concat([Buffer.from('"iVBORw0KGgo'), Buffer.from(noise(300_000).toString('base64'))])
  expect(Buffer.concat(scrubber.push(image)).length).toBeGreaterThan(image.length - 200)
=======
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { findPacked, OVERLAPPING_MAXIMUM_COUNT, READ_ALWAYS_BYTES, READ_RATIO_MAXIMUM } from './packed.ts'

/** How many bytes were unpacked and searched. */
function searched(text: Buffer, open = false): { readonly bytes: number; readonly places: readonly number[] } {
  let bytes = 0
  const { places } = findPacked(text, text.length, 0x0a, open, (output) => {
    bytes += output.length
    return false
  })
  return { bytes, places }
}

/** A block that is stored as it is, and claims to go on for long (RFC 1951 section 3.2.4). */
const stored = Buffer.concat([Buffer.from([0, 0xff, 0xff, 0, 0]), Buffer.alloc(13)]).toString('base64').slice(0, 24)

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
  expect(places.at(-1)).toBe(text.length)
})

test('lines of base64 that begin nothing are left alone', () => {
  const line = 'VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZywgYW5kIGFnYWlu'
  expect(searched(Buffer.from(`${line}\n`.repeat(3_000))).places).toEqual([])
>>>>>>> a823fe2 (A flood of beginnings of compressed data is withheld instead of each being read to the end)
})
