import { createHash, createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { looksLikePlaceholder, looksLikeSessionToken } from '../../../src/core/placeholder.ts'
import { tokenVectors } from './make.ts'

const damaged = z.array(z.object({ what: z.string(), text: z.string() })).min(1)
const text = readFileSync(new URL('tokens.json', import.meta.url), 'utf8')
const vectors = z
  .object({
    keyLabel: z.string(),
    sessions: z.array(z.object({ text: z.string(), hash: z.string() })).min(1),
    placeholders: z
      .array(
        z.object({
          text: z.string(),
          hash: z.string(),
          short: z.boolean(),
          shape: z.object({ suffix: z.string().optional() }),
        }),
      )
      .min(1),
    damagedSessions: damaged,
    damagedPlaceholders: damaged,
  })
  .parse(JSON.parse(text))

/** The checksum, from its description in docs/formats/token.md and the CRC of zlib. */
function checksumOf(covered: string): string {
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  let rest = crc32(covered)
  let written = ''
  while (written.length < 6) {
    written = digits.charAt(rest % 62) + written
    rest = Math.floor(rest / 62)
  }
  return written
}

test('the file is what its maker makes', () => {
  expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(tokenVectors())))
})

test('good ones are recognised, and carry the checksum and hash that the format describes', () => {
  const key = createHash('sha256').update(vectors.keyLabel).digest()
  for (const session of vectors.sessions) {
    expect(session.text).toMatch(/^kws_[0-9A-Za-z]{38}$/)
    expect(looksLikeSessionToken(session.text)).toBe(true)
    expect(session.text.slice(-6)).toBe(checksumOf(session.text.slice(0, -6)))
  }
  for (const placeholder of vectors.placeholders) {
    const suffix = placeholder.shape.suffix ?? ''
    const end = placeholder.text.length - suffix.length
    expect(placeholder.text).toContain('kwp')
    expect(looksLikePlaceholder(placeholder.text)).toBe(true)
    expect(placeholder.text.slice(end - 6, end)).toBe(checksumOf(placeholder.text.slice(0, end - 6) + suffix))
  }
  expect(vectors.placeholders.map(({ short }) => short)).toContain(true)
  for (const one of [...vectors.sessions, ...vectors.placeholders]) {
    expect(createHmac('sha256', key).update(one.text).digest('base64url')).toBe(one.hash)
  }
})

test('damaged ones are not recognised', () => {
  for (const one of vectors.damagedSessions) expect(looksLikeSessionToken(one.text), one.what).toBe(false)
  for (const one of vectors.damagedPlaceholders) expect(looksLikePlaceholder(one.text), one.what).toBe(false)
})
