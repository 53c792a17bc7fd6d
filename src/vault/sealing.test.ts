import { createSecretKey } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seededRandom } from './fixture.ts'
import { frame } from './framing.ts'
import { deriveKey, open, seal, sealingKey } from './sealing.ts'
import type { SealPurpose } from './sealing.ts'

const random = seededRandom('sealing')
const raw = () => random(32)
const purposes: readonly SealPurpose[] = ['slot', 'term', 'data-key', 'field']
const contexts = fc.array(fc.oneof(fc.string(), fc.nat()), { maxLength: 6 })

function plainOf(opened: ReturnType<typeof open>): string | null {
  return 'bytes' in opened ? opened.bytes.toString('hex') : null
}

describe('an envelope', () => {
  test('gives back what was sealed, whatever it is and whatever it is bound to', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3000 }),
        contexts,
        fc.constantFrom(...purposes),
        (plain, context, purpose) => {
          const key = sealingKey(raw(), purpose)
          const opened = open(key, context, seal(key, context, plain, random))
          expect(plainOf(opened)).toBe(Buffer.from(plain).toString('hex'))
        },
      ),
    )
  })

  test('with any one bit turned does not open', () => {
    const key = sealingKey(raw(), 'field')
    const envelope = Buffer.from(seal(key, ['a', 1], Buffer.from('the secret'), random), 'base64')
    for (let bit = 0; bit < envelope.byteLength * 8; bit += 1) {
      const turned = Buffer.from(envelope)
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(open(key, ['a', 1], turned.toString('base64'))).toHaveProperty('failure')
    }
  })

  test('cut anywhere, lengthened or spelt otherwise does not open', () => {
    const key = sealingKey(raw(), 'field')
    const envelope = seal(key, [], Buffer.from('the secret!'), random)
    const bytes = Buffer.from(envelope, 'base64')
    for (let length = 0; length < bytes.byteLength; length += 1) {
      expect(open(key, [], bytes.subarray(0, length).toString('base64'))).toHaveProperty('failure')
    }
    const spellings = [
      `${envelope} `,
      `\n${envelope}`,
      envelope.replaceAll('=', ''),
      `${envelope}AAAA`,
      bytes.toString('hex'),
      '',
    ]
    for (const spelling of spellings) {
      if (spelling !== envelope) expect(open(key, [], spelling)).toHaveProperty('failure')
    }
  })

  test('opens only where it is bound to', () => {
    fc.assert(
      fc.property(contexts, contexts, (one, two) => {
        fc.pre(!frame('', one).equals(frame('', two)))
        const key = sealingKey(raw(), 'field')
        expect(open(key, two, seal(key, one, Buffer.from('x'), random))).toEqual({ failure: 'altered' })
      }),
    )
  })

  test('of one purpose never opens for another, though the key is the same', () => {
    const bytes = raw()
    for (const one of purposes) {
      const envelope = seal(sealingKey(bytes, one), ['x'], Buffer.from('x'), random)
      for (const two of purposes) {
        const opened = open(sealingKey(bytes, two), ['x'], envelope)
        if (one === two) expect(opened).toHaveProperty('bytes')
        else expect(opened).toEqual({ failure: 'wrong_key' })
      }
    }
  })

  test('of one key never opens with another, and says that it is the key', () => {
    const envelope = seal(sealingKey(raw(), 'slot'), [], Buffer.from('x'), random)
    expect(open(sealingKey(raw(), 'slot'), [], envelope)).toEqual({ failure: 'wrong_key' })
  })

  test('of the same secret is never the same twice', () => {
    const key = sealingKey(raw(), 'field')
    const seen = new Set(Array.from({ length: 200 }, () => seal(key, [], Buffer.from('x'), random)))
    expect(seen.size).toBe(200)
  })
})

test('keys derived for different uses differ, from bytes and from a KeyObject alike', () => {
  const bytes = raw()
  const uses = [
    'rows',
    'mac/token',
    'mac/placeholder',
    'mac/login',
    'mac/fingerprint',
    ...purposes.flatMap((purpose) => [`${purpose}/encrypt`, `${purpose}/commit`]),
  ]
  const keys = uses.map((use) => deriveKey(bytes, use).export().toString('hex'))
  expect(new Set(keys).size).toBe(uses.length)
  expect(uses.map((use) => deriveKey(createSecretKey(bytes), use).export().toString('hex'))).toEqual(keys)
  expect(() => deriveKey(bytes.subarray(1), 'rows')).toThrow(TypeError)
})

test('no two lists of parts are framed alike', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.string()), (one, two) => {
      expect(frame('l', one).equals(frame('l', two))).toBe(JSON.stringify(one) === JSON.stringify(two))
    }),
  )
  expect(frame('l', ['ab', 'c']).equals(frame('l', ['a', 'bc']))).toBe(false)
  expect(frame('la', ['b']).equals(frame('l', ['ab']))).toBe(false)
})
