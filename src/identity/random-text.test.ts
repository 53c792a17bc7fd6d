import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { randomTextFrom } from './random-text.ts'

test('every character has the same chance', () => {
  let next = 0
  const everyByte = (size: number): Uint8Array => Uint8Array.from({ length: size }, () => next++ % 256)
  const text = randomTextFrom(everyByte)(240, 'abcdefghijklmnopqrstuvwx')
  const counts = new Map<string, number>()
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
  expect([...new Set(counts.values())]).toEqual([10])
})

test('it is as long as asked and keeps to the alphabet', () => {
  for (const length of [0, 1, 22, 500])
    expect(randomTextFrom(randomBytes)(length, 'xyz')).toMatch(new RegExp(`^[xyz]{${length}}$`))
  expect(() => randomTextFrom(randomBytes)(1, 'x')).toThrow('alphabet')
})
