import { randomBytes } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { inflate } from './inflate.ts'

test('undoes what zlib makes, at every level and strategy', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 3000 }),
        fc.string({ maxLength: 3000 }).map((text) => Buffer.from(text.repeat(5))),
      ),
      fc.integer({ min: 0, max: 9 }),
      fc.integer({ min: 0, max: 4 }),
      (bytes, level, strategy) => {
        const { outcome, output } = inflate(deflateRawSync(bytes, { level, strategy }), 0, 100_000)
        expect(outcome).toBe('done')
        expect(Buffer.compare(output, bytes)).toBe(0)
      },
    ),
    { numRuns: 200 },
  )
})

test('says that more is missing wherever the bytes are cut, and gives what there is', () => {
  const bytes = Buffer.from('the same again and again, '.repeat(20) + randomBytes(50).toString('base64'))
  const packed = deflateRawSync(bytes)
  for (let cut = 0; cut < packed.length - 1; cut++) {
    const { outcome, output } = inflate(packed.subarray(0, cut), 0, 100_000)
    expect(outcome).toBe('more')
    expect(bytes.subarray(0, output.length).equals(output)).toBe(true)
  }
})

test('writes no more than it may', () => {
  const { outcome, output } = inflate(deflateRawSync(Buffer.alloc(10_000_000)), 0, 5000)
  expect(outcome).toBe('too_large')
  expect(output.length).toBe(5000)
})

test('whatever the bytes, it ends', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(['done', 'more', 'broken', 'too_large']).toContain(inflate(bytes, 0, 10_000).outcome)
    }),
    { numRuns: 2000 },
  )
})
