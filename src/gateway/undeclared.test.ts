import { randomBytes } from 'node:crypto'
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { needlesOf } from '../core/needles.ts'
import {
  codingOf,
  Undeclared,
  UNDECLARED_HELD_MAXIMUM_BYTES,
  UNDECLARED_LAG_BYTES,
  UNDECLARED_LAYERS_MAXIMUM,
  UNFOLDED_ALWAYS_BYTES,
} from './undeclared.ts'

const secret = `sk-${randomBytes(24).toString('hex')}`
const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: 'x' }])

/** What passes of a body that comes in pieces of so many bytes, and with what it ends. */
async function passed(
  body: Uint8Array,
  pieceBytes = body.length,
): Promise<{ readonly bytes: Buffer; readonly code: unknown }> {
  const out: Uint8Array[] = []
  const undeclared = new Undeclared(needles)
  const sink = (piece: Uint8Array): void => void out.push(piece)
  try {
    for (let at = 0; at < body.length; at += pieceBytes) await undeclared.push(body.subarray(at, at + pieceBytes), sink)
    await undeclared.end(sink)
    return { bytes: Buffer.concat(out), code: null }
  } catch (error) {
    undeclared.destroy()
    return { bytes: Buffer.concat(out), code: error instanceof Error && 'code' in error ? error.code : error }
  }
}

const gzip = (text: Uint8Array | string): Buffer => gzipSync(text)
const encoders: readonly (readonly [string, (text: string) => Buffer])[] = [
  ['gzip', gzip],
  ['gzip, stored', (text) => gzipSync(text, { level: 0 })],
  ['zlib, fastest', (text) => deflateSync(text, { level: 1 })],
  ['zlib, fast', (text) => deflateSync(text, { level: 3 })],
  ['zlib', (text) => deflateSync(text)],
  ['zlib, best', (text) => deflateSync(text, { level: 9 })],
  ['zstd', (text) => zstdCompressSync(text)],
  ['two members of gzip', (text) => Buffer.concat([gzip(text.slice(0, 20)), gzip(text.slice(20))])],
  ['gzip within gzip', (text) => gzip(gzip(text))],
  ['zlib within zstd within gzip', (text) => gzip(zstdCompressSync(deflateSync(text)))],
]

describe('R2: compressed bodies that do not say so', () => {
  test.each(encoders)('%s with a secret: nothing of it passes', async (_, encode) => {
    const body = encode(`before ${secret} after`)
    for (const pieceBytes of [body.length, 1, 3])
      expect(await passed(body, pieceBytes)).toEqual({ bytes: Buffer.alloc(0), code: 'answer_withheld' })
  })

  test.each(encoders)('%s without one: the same bytes', async (_, encode) => {
    const body = encode(`before ${randomBytes(40).toString('hex')} after`)
    for (const pieceBytes of [body.length, 1, 3])
      expect(await passed(body, pieceBytes)).toEqual({ bytes: body, code: null })
  })

  test('a secret far behind stops a body before the bytes that complete it', async () => {
    const before = randomBytes(2_000_000)
    for (const encode of [gzip, (bytes: Uint8Array) => zstdCompressSync(bytes)]) {
      const body = encode(Buffer.concat([before, Buffer.from(secret), randomBytes(2_000_000)]))
      const { bytes, code } = await passed(body, 16_384)
      expect(code).toBe('answer_withheld')
      expect(bytes.length).toBeGreaterThan(1_000_000)
      expect(bytes.length).toBeLessThan(2_000_000)
      expect(body.subarray(0, bytes.length).equals(bytes)).toBe(true)
    }
  })

  test('what passes stays behind by no more than it must', async () => {
    const body = gzip(randomBytes(3_000_000))
    const undeclared = new Undeclared(needles)
    let out = 0
    for (let at = 0; at < body.length; at += 16_384) {
      await undeclared.push(body.subarray(at, at + 16_384), (piece) => void (out += piece.length))
      expect(at - out).toBeLessThan(UNDECLARED_LAG_BYTES + 65_536)
      expect(at - out).toBeLessThan(UNDECLARED_HELD_MAXIMUM_BYTES)
    }
  })

  test('damaged or deeper packed data are opaque, and what they decode to until then is searched', async () => {
    const clean = gzip('nothing in here '.repeat(100))
    const cut = clean.subarray(0, -12)
    expect(await passed(cut)).toEqual({ bytes: cut, code: null })
    const wrong = Buffer.concat([clean.subarray(0, 10), randomBytes(400)])
    expect(await passed(wrong, 7)).toEqual({ bytes: wrong, code: null })
    expect((await passed(gzip(`<${secret}>`).subarray(0, -9))).code).toBe('answer_withheld')
    let deep: Buffer = gzip(`<${secret}>`)
    for (let layers = 1; layers <= UNDECLARED_LAYERS_MAXIMUM; layers++) {
      expect((await passed(deep)).code, `${layers} layers`).toBe('answer_withheld')
      deep = gzip(deep)
    }
    expect((await passed(deep)).code).toBe(null)
  })

  test('what unfolds without end is withheld', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(8 * UNFOLDED_ALWAYS_BYTES))
    expect((await passed(bomb)).code).toBe('answer_withheld')
  })

  test('other bodies are not held: only the first bytes are looked at', () => {
    for (const [text, first] of [
      ['{"a":1}', 1],
      ['data: x', 1],
      ['(x)', 2],
      ['xy', 2],
      ['\u001f\u008b\u0009', 3],
      ['(\u00b5/\u00fe', 4],
    ] as const) {
      const bytes = Buffer.from(text, 'latin1')
      const undeclared = new Undeclared(needles)
      const out: string[] = []
      for (const [at] of bytes.entries()) {
        void undeclared.push(
          bytes.subarray(at, at + 1),
          (piece) => void out.push(Buffer.from(piece).toString('latin1')),
        )
        expect(out.join(''), text).toBe(at + 1 < first ? '' : text.slice(0, at + 1))
      }
    }
    expect(codingOf(Buffer.of(0x78))).toBe(undefined)
  })

  test('a body of one byte that could have been a beginning passes at its end', async () => {
    for (const start of [Buffer.of(0x1f), Buffer.of(0x28, 0xb5, 0x2f), Buffer.from('x')])
      expect(await passed(start)).toEqual({ bytes: start, code: null })
  })
})
