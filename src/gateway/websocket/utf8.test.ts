import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createUtf8Checker, cutUtf8 } from './utf8.ts'

/** Bytes that are often, and often nearly, UTF-8. */
const nearlyUtf8 = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme' }).map((text) => Buffer.from(text)),
      fc.constantFrom(
        ...['c0', 'c280', 'e0a0', 'e080', 'eda080', 'f0908080', 'f48fbfbf', 'f4908080', 'ff', '80'].map((hex) =>
          Buffer.from(hex, 'hex'),
        ),
      ),
    ),
    { maxLength: 6 },
  )
  .map((parts) => Buffer.concat(parts))

test('says of every text, however it is cut, what Node says of the whole', () => {
  let valid = 0
  fc.assert(
    fc.property(nearlyUtf8, fc.array(fc.nat({ max: 5 }), { maxLength: 40 }), (bytes, sizes) => {
      const checker = createUtf8Checker()
      let fine = true
      let at = 0
      for (const size of [...sizes, bytes.length]) {
        fine &&= checker.push(bytes.subarray(at, at + size))
        at = Math.min(bytes.length, at + size)
      }
      expect(fine && checker.end()).toBe(isUtf8(bytes))
      if (isUtf8(bytes)) valid++
    }),
    { numRuns: 2_000 },
  )
  expect(valid).toBeGreaterThan(100)
})

test('a text that is cut ends where a character ends', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat({ max: 40 }), (text, maximum) => {
      const cut = cutUtf8(Buffer.from(text), maximum)
      expect(cut.length).toBeLessThanOrEqual(maximum)
      expect(isUtf8(cut)).toBe(true)
      expect(text.startsWith(Buffer.from(cut).toString())).toBe(true)
      expect(cut.length).toBeGreaterThan(Math.min(Buffer.byteLength(text), maximum) - 4)
    }),
  )
})
