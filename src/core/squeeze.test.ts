import fc from 'fast-check'
import { expect, test } from 'vitest'
import { viewOf } from './searched-text.ts'
import { Squeezed } from './squeeze.ts'

const atoms = [
  '%',
  '\\',
  '&',
  '=',
  '<',
  ';',
  '#',
  'u',
  'x',
  'n',
  'a',
  '0',
  '6',
  '1',
  '62',
  '%6e',
  '%25',
  '\\u0061',
  '\\u00',
  '\\x61',
  '\\n',
  '\\/',
  '&#97;',
  '&#x61;',
  '&amp;',
  '&#',
  '=61',
  '=6E',
  '=3D',
  '=A',
  '=9',
  '=\n',
  '=\r\n',
  '\r',
  '<b>',
  '</',
  '\u001b[0m',
  '\u00e9',
  '\uff41',
  ' ',
  '"',
]

/** Letters are found in a hurry, and their places looked up afterwards by reading again; both must see the same. */
test.each([true, false])('each letter has a place of its own, in order (escapes undone: %s)', (isEscaped) => {
  const reading = new Squeezed(isEscaped)
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...atoms), { maxLength: 60 }), fc.boolean(), (parts, final) => {
      const text = Buffer.from(parts.join(''))
      reading.read(text, viewOf(text), text.length, final)
      let before = 0
      for (let letter = 0; letter < reading.count; letter++) {
        const [start, end] = [reading.start(letter), reading.end(letter)]
        expect(start, `letter ${letter} of ${JSON.stringify(text.toString())}`).toBeGreaterThanOrEqual(before)
        expect(end).toBeGreaterThan(start)
        before = end
      }
      expect(before).toBeLessThanOrEqual(reading.known)
    }),
    { numRuns: 5_000, endOnFailure: true },
  )
})

/** What is held back is read again with what follows it, and without what came before. */
test.each([true, false])('a text reads the same from wherever it is held back (escapes undone: %s)', (isEscaped) => {
  const reading = new Squeezed(isEscaped)
  const lettersOf = (text: Uint8Array, final: boolean, until: number): string => {
    reading.read(text, viewOf(text), text.length, final)
    let count = 0
    while (count < reading.count && reading.start(count) < until) count++
    return Buffer.from(reading.letters.subarray(0, count)).toString()
  }
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...atoms), { maxLength: 40 }),
      fc.nat({ max: 200 }),
      fc.nat({ max: 20 }),
      (parts, cut, back) => {
        const text = Buffer.from(parts.join(''))
        const whole = lettersOf(text, true, text.length)
        const first = text.subarray(0, cut)
        reading.read(first, viewOf(first), first.length, false)
        const held = reading.align(Math.max(0, reading.known - back))
        const shown = lettersOf(first, false, held)
        expect(shown + lettersOf(text.subarray(held), true, text.length)).toBe(whole)
      },
    ),
    { numRuns: 5_000, endOnFailure: true },
  )
})
