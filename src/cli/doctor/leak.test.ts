import { randomBytes } from 'node:crypto'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { leakFinder } from './leak.ts'

const secret = randomBytes(24).toString('hex')
const find = leakFinder(secret)
const each = (write: (byte: number) => string): string => [...Buffer.from(secret)].map(write).join('')

test('finds a secret at every alignment of base64, wherever it stands', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 9 }), fc.uint8Array({ maxLength: 9 }), (before, after) => {
      const bytes = Buffer.concat([before, Buffer.from(secret), after])
      expect(find(Buffer.from(bytes.toString('base64')))).toBe('as base64')
      expect(find(Buffer.from(bytes.toString('base64url')))).toBe('as base64')
    }),
  )
})

test.each([
  ['as it is', secret],
  ['reversed', [...secret].toReversed().join('')],
  ['as hex', Buffer.from(secret).toString('hex').toUpperCase()],
  ['percent-encoded', each((byte) => `%${byte.toString(16)}`)],
  ['JSON-escaped', each((byte) => `\\u00${byte.toString(16)}`)],
])('finds it %s', (name, text) => {
  expect(find(Buffer.from(`before ${text} after`))).toBe(name)
})

test('finds it in compressed answers, and in what is called compressed and is not', () => {
  expect(find(gzipSync(secret), 'gzip')).toBe('as it is')
  expect(find(zstdCompressSync(secret), 'zstd')).toBe('as it is')
  expect(find(Buffer.from(secret), 'gzip')).toBe('as it is')
})

test('finds nothing where there is nothing', () => {
  expect(find(randomBytes(4096))).toBeNull()
  expect(find(Buffer.from(secret.slice(0, -4)))).toBeNull()
})
