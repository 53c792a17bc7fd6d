import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { JOINED_HELD_FROM_LETTERS, JoinedLetters, type Joined } from './joined-letters.ts'
import { needlesOf } from './needles.ts'

const secret = `sk-proj-${randomBytes(20).toString('hex')}`
const long = randomBytes(400).toString('base64')
const needles = needlesOf([
  { name: 'key', value: Buffer.from(secret), replacement: 'x' },
  { name: 'long', value: Buffer.from(long), replacement: 'y' },
])

/** Texts that are nearly a secret, and what stands between the pieces. */
const text = fc
  .array(
    fc.oneof(
      fc.tuple(fc.constantFrom(secret, long), fc.nat(), fc.nat()).map(([of, from, length]) => {
        const at = from % of.length
        return of.slice(at, at + 1 + (length % of.length))
      }),
      fc.constantFrom(secret, secret.slice(0, 12), long.slice(0, 200)),
      fc.constantFrom('', ' ', '\n', 'a', '—', 'words', '"', '\u0455k'),
    ),
    { maxLength: 6 },
  )
  .map((pieces) => pieces.join(''))

const cuts = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 8 })

function* pieces(of: string, lengths: readonly number[]): Generator<string> {
  let at = 0
  for (let turn = 0; at < of.length; turn++) {
    const length = turn < 2_000 ? (lengths[turn % lengths.length] ?? 1) : of.length
    yield of.slice(at, at + length)
    at += length
  }
}

/** What is known after each piece; nothing is asked any more once it is found. */
function told(of: Iterable<string>, push: (letters: JoinedLetters, piece: string) => Joined): Joined {
  const letters = new JoinedLetters(needles)
  let last: Joined = 'clear'
  for (const piece of of) {
    last = push(letters, piece)
    if (last === 'found') break
  }
  return last
}

describe('what is known of a text', () => {
  test('does not depend on how it comes', () => {
    fc.assert(
      fc.property(text, cuts, (whole, lengths) => {
        const once = told([whole], (letters, piece) => letters.push(piece))
        expect(told(pieces(whole, lengths), (letters, piece) => letters.push(piece))).toBe(once)
        const plain = whole.replaceAll(/[^\0-\x7f]/g, '')
        expect(
          told(pieces(plain, lengths), (letters, piece) =>
            letters.pushAscii(Buffer.from(`"${piece}"`), 1, piece.length + 1),
          ),
        ).toBe(told([plain], (letters, piece) => letters.push(piece)))
      }),
      { numRuns: 500 },
    )
  })

  test('is that it may be within a secret from so many letters of it on', () => {
    const letters = new JoinedLetters(needles)
    const begun = secret.replaceAll(/[^a-z0-9]/g, '')
    for (let count = 1; count < begun.length; count++)
      expect(letters.push(begun.charAt(count - 1)), `${count} letters`).toBe(
        count < JOINED_HELD_FROM_LETTERS ? 'clear' : 'held',
      )
    expect(letters.push(begun.at(-1) ?? '')).toBe('found')
  })
})
