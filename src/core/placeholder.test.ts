import * as fc from 'fast-check'
import { crc32 } from 'node:zlib'
import { expect, test, vi } from 'vitest'
import {
  base62,
  base64url,
  looksLikePlaceholder,
  looksLikeSessionToken,
  makePlaceholder,
  makeSessionToken,
  maximumTokenLength,
} from './placeholder.ts'
import type { PlaceholderShape, RandomText } from './placeholder.ts'

/** Draws from the property's own seed, so that a counterexample can be repeated. */
const randomText: fc.Arbitrary<RandomText> = fc.infiniteStream(fc.nat(2 ** 30)).map((numbers) => (length, alphabet) => {
  let text = ''
  for (let place = 0; place < length; place += 1) {
    text += alphabet.charAt((numbers.next().value ?? 0) % alphabet.length)
  }
  return text
})

const shape: fc.Arbitrary<PlaceholderShape> = fc
  .record({
    prefix: fc.constantFrom('', 'sk-', 'sk-ant-api03-', 'ghp_', 'xoxb-000000000000-000000000000-', 'key/'),
    suffix: fc.constantFrom('', 'AA', '.x9'),
    alphabet: fc.constantFrom(base62, base64url, `${base62}+/=`),
    room: fc.option(fc.integer({ min: 8, max: 60 })),
  })
  .map(({ prefix, suffix, alphabet, room }) => ({
    prefix,
    suffix,
    alphabet,
    length: room === null ? null : prefix.length + 9 + room + suffix.length,
  }))

test('a placeholder has the shape that was asked for, and is recognised', () => {
  fc.assert(
    fc.property(shape, randomText, (asked, random) => {
      const { text } = makePlaceholder(asked, random)
      const suffix = asked.suffix ?? ''
      expect(text.startsWith(`${asked.prefix}kwp`)).toBe(true)
      expect(text.endsWith(suffix)).toBe(true)
      if (asked.length !== null) expect(text).toHaveLength(asked.length)
      const body = text.slice(asked.prefix.length, text.length - suffix.length)
      for (const character of body) expect(asked.alphabet).toContain(character)
      expect(looksLikePlaceholder(text)).toBe(true)
    }),
  )
})

test('it has at least 100 random bits, or says that it is short', () => {
  fc.assert(
    fc.property(shape, randomText, (asked, random) => {
      let bits = 0
      const counting: RandomText = (length, alphabet) => {
        bits += length * Math.log2(alphabet.length)
        return random(length, alphabet)
      }
      expect(makePlaceholder(asked, counting).short).toBe(bits < 100)
    }),
  )
  expect(makePlaceholder({ prefix: 'sk-', alphabet: base62, length: null }, () => 'a'.repeat(22)).short).toBe(false)
})

test('the checksum rejects every single changed character', () => {
  fc.assert(
    fc.property(shape, randomText, fc.nat(), fc.constantFrom(...base64url, 'é', ' '), (asked, random, at, other) => {
      const { text } = makePlaceholder(asked, random)
      const place = at % text.length
      fc.pre(text.charAt(place) !== other)
      expect(looksLikePlaceholder(text.slice(0, place) + other + text.slice(place + 1))).toBe(false)
    }),
    { numRuns: 500 },
  )
})

test('no placeholder is a prefix of another, and none is made twice', () => {
  fc.assert(
    fc.property(fc.array(shape, { minLength: 2, maxLength: 30 }), randomText, (shapes, random) => {
      const texts = shapes.map((asked) => makePlaceholder(asked, random).text)
      for (const [index, text] of texts.entries()) {
        for (const [otherIndex, other] of texts.entries()) {
          if (index !== otherIndex) expect(other.startsWith(text)).toBe(false)
        }
      }
    }),
  )
})

test('a cut or lengthened placeholder is not recognised', () => {
  fc.assert(
    fc.property(randomText, (random) => {
      const { text } = makePlaceholder({ prefix: 'sk-', alphabet: base62, length: null }, random)
      expect(looksLikePlaceholder(text.slice(0, -1))).toBe(false)
      expect(looksLikePlaceholder(text.slice(1))).toBe(false)
      expect(looksLikePlaceholder(`${text}x`)).toBe(false)
    }),
  )
})

test('a key of somebody else is not recognised', () => {
  fc.assert(
    fc.property(randomText, fc.integer({ min: 1, max: 120 }), (random, length) => {
      expect(looksLikePlaceholder(random(length, base64url))).toBe(false)
      expect(looksLikePlaceholder(`sk-kwp${random(length, base64url)}`)).toBe(false)
    }),
  )
  expect(looksLikePlaceholder('')).toBe(false)
  expect(looksLikePlaceholder('kwp'.repeat(maximumTokenLength))).toBe(false)
})

test('a shape without room, or without letters for the checksum, is a mistake that shows', () => {
  const random: RandomText = (length, alphabet) => alphabet.charAt(0).repeat(length)
  expect(() => makePlaceholder({ prefix: 'abc', alphabet: base62, length: 19 }, random)).toThrow(TypeError)
  expect(() => makePlaceholder({ prefix: 'sk-', alphabet: '0123456789abcdef', length: null }, random)).toThrow(
    TypeError,
  )
  expect(() =>
    makePlaceholder({ prefix: 'x'.repeat(maximumTokenLength), alphabet: base62, length: null }, random),
  ).toThrow(TypeError)
  expect(() => makePlaceholder({ prefix: '', suffix: 'x'.repeat(17), alphabet: base62, length: null }, random)).toThrow(
    TypeError,
  )
})

test('the checksum is the ordinary CRC-32, so that any scanner can compute it', () => {
  fc.assert(
    fc.property(randomText, (random) => {
      const token = makeSessionToken(random)
      let value = 0
      for (const digit of token.slice(-6)) value = value * 62 + base62.indexOf(digit)
      expect(value).toBe(crc32(token.slice(0, -6)))
    }),
  )
})

test('a session token is recognised; a changed one, a cut one and a placeholder are not', () => {
  fc.assert(
    fc.property(randomText, fc.nat(), fc.constantFrom(...base62), (random, at, other) => {
      const token = makeSessionToken(random)
      expect(token).toMatch(/^kws_[0-9A-Za-z]{38}$/)
      expect(looksLikeSessionToken(token)).toBe(true)
      expect(looksLikeSessionToken(token.slice(0, -1))).toBe(false)
      expect(looksLikeSessionToken(makePlaceholder({ prefix: 'sk-', alphabet: base62, length: 42 }, random).text)).toBe(
        false,
      )
      const place = at % token.length
      fc.pre(token.charAt(place) !== other)
      expect(looksLikeSessionToken(token.slice(0, place) + other + token.slice(place + 1))).toBe(false)
    }),
  )
})

test('a suffix of any length up to the longest is recognised, and no longer one', () => {
  fc.assert(
    fc.property(randomText, fc.nat(16), fc.constantFrom(base62, base64url), (random, length, alphabet) => {
      const suffix = random(length, alphabet)
      const { text } = makePlaceholder({ prefix: 'k-', suffix, alphabet, length: null }, random)
      expect(looksLikePlaceholder(text)).toBe(true)
      expect(looksLikePlaceholder(`${text}${'x'.repeat(17)}`)).toBe(false)
    }),
  )
})

test('a long hostile text is read about twice, however many suffixes are tried', () => {
  const hostile = `kwp${'a'.repeat(maximumTokenLength - 3)}`
  const read = vi.spyOn(String.prototype, 'charCodeAt')
  try {
    expect(looksLikePlaceholder(hostile)).toBe(false)
    expect(read.mock.calls.length).toBeGreaterThan(maximumTokenLength / 2)
    expect(read.mock.calls.length).toBeLessThan(2 * maximumTokenLength)
  } finally {
    read.mockRestore()
  }
})
