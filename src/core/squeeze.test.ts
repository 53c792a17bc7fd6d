import fc from 'fast-check'
import { expect, test } from 'vitest'
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
  '=\n',
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
      reading.read(text, text.length, final)
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
