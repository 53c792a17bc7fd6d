import { createHash, randomBytes } from 'node:crypto'
import { deflateSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { needlesOf } from './needles.ts'
import { PACKED_MAXIMUM_BYTES } from './packed-text.ts'
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
  // The same bytes each time: one of some thirty such bodies holds what compressed data begin with, and waits.
  const bytes = createHash('shake256', { outputLength: 300_000 }).update('an image').digest('base64')
  const image = Buffer.from(`"iVBORw0KGgo${bytes}`)
  expect(Buffer.concat(scrubber.push(image)).length).toBeGreaterThan(image.length - 200)
})
