import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Collected } from './collected.ts'

test('is what was pushed, however it was cut', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 9_000 }), { maxLength: 12 }), (pieces) => {
      const collected = new Collected()
      for (const piece of pieces) collected.push(piece)
      const whole = Buffer.concat(pieces)
      expect(collected.length).toBe(whole.length)
      expect(Buffer.compare(collected.take(), whole)).toBe(0)
    }),
  )
})

test('takes no more than twice the bytes, however small the pieces are', () => {
  const collected = new Collected()
  const read = Buffer.alloc(65_536, 'x')
  for (let at = 0; at < read.length; at++) collected.push(read.subarray(at, at + 1))
  expect(collected.length).toBe(read.length)
  expect(collected.room).toBeLessThanOrEqual(2 * read.length)
})

test('one piece is not copied', () => {
  const collected = new Collected()
  const piece = Buffer.from('whole')
  collected.push(piece)
  expect(collected.take()).toBe(piece)
})
