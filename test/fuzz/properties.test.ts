import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { needlesOf } from '../../src/core/needles.ts'
import type { HeaderPair } from '../../src/core/request.ts'
import { answerHead, answerTrailers } from '../../src/gateway/answer.ts'
import { contentDecoder } from '../../src/gateway/codings.ts'
import { requestHeadersForUpstream } from '../../src/gateway/request-headers.ts'

/** What holds for every input of what stands between the codec and the wire. */

const spelled = fc.constantFrom(
  'host',
  'authorization',
  'x-api-key',
  'x_api_key',
  'content-length',
  'content_length',
  'transfer-encoding',
  'transfer_encoding',
  'content-type',
  'connection',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'via',
  'forwarded',
  'max-forwards',
  'http2-settings',
  'range',
  'cookie',
  'set-cookie',
  'accept-encoding',
  'keyward-error',
  'x-forwarded-for',
  'x-http-method-override',
  'x-http_method',
  'x-original-url',
  'x-a',
  'x-b',
  'alt-svc',
  'content-encoding',
  'content-range',
  'content-md5',
  'etag',
  'location',
  'proxy-authenticate',
)
const name = fc.oneof(
  { weight: 9, arbitrary: spelled },
  { weight: 1, arbitrary: fc.string({ minLength: 1, maxLength: 12 }).map((text) => text.toLowerCase()) },
)
const value = fc.oneof(
  fc.constantFrom(
    '',
    'close',
    'chunked',
    'identity',
    '5',
    '05',
    '0',
    'authorization',
    'Authorization, x-api-key',
    'x-a, cookie',
    'host,content-length',
    'gzip',
    'gzip, br;q=0.5, x;q=1',
    'bytes=0-1',
    'Bearer x',
    '100-continue',
  ),
  fc.string({ maxLength: 20 }),
  fc.string({ maxLength: 8, unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }),
)
const headers: fc.Arbitrary<HeaderPair[]> = fc.array(
  fc.tuple(name, value).map(([key, text]): HeaderPair => [key, text]),
  { maxLength: 12 },
)
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'proxy-authenticate',
]

describe('headers of a request', () => {
  const options = { method: 'POST', guarded: ['x-api-key'] }

  test('what is accepted is the agent’s own, has one reading and goes no further than it may', () => {
    fc.assert(
      fc.property(headers, (given) => {
        const read = requestHeadersForUpstream(given, options)
        if ('refusal' in read) return
        const names = read.headers.map(([key]) => key)
        for (const key of ['host', 'authorization', 'content-length', 'content-type', 'accept-encoding'])
          expect(names.filter((found) => found === key).length).toBeLessThanOrEqual(1)
        for (const [key, text] of read.headers) {
          expect(HOP_BY_HOP).not.toContain(key)
          expect(key).not.toMatch(/^(?:keyward-|proxy-|x-forwarded-)|[^!#$%&'*+.^_`|~0-9a-z-]/)
          // oxlint-disable-next-line no-control-regex -- control characters are what it is about
          expect(text).not.toMatch(/[\x00-\x08\x0a-\x1f\x7f]/)
          if (key !== 'accept-encoding') expect(given).toContainEqual([key, text])
        }
        expect(given.some(([key]) => key.replaceAll('_', '-') === 'x-http-method-override')).toBe(false)
      }),
      { numRuns: 2_000 },
    )
  })

  test('read again, what was accepted stays the same', () => {
    fc.assert(
      fc.property(headers, (given) => {
        const once = requestHeadersForUpstream(given, options)
        if ('refusal' in once) return
        expect(requestHeadersForUpstream(once.headers, options)).toEqual(once)
      }),
      { numRuns: 2_000 },
    )
  })

  test('Connection takes out nothing by which a request is known', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(spelled, fc.string({ maxLength: 6 })), { maxLength: 6 }), (named) => {
        const kept: HeaderPair[] = [
          ['host', 'a.test'],
          ['authorization', 'Bearer x'],
          ['x-api-key', 'k'],
          ['content-length', '5'],
          ['content-type', 'a/b'],
          ['cookie', 'a=b'],
        ]
        const connection = named.join(',')
        const read = requestHeadersForUpstream([...kept, ['connection', connection]], options)
        // oxlint-disable-next-line no-control-regex -- control characters are what it is about
        if (/[\x00-\x08\x0a-\x1f\x7f]/.test(connection)) return
        expect(read).toEqual({ headers: kept })
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('headers of an answer', () => {
  const secret = 'sk-test-Zq81mPvXw20aLrT7/+='
  const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }])
  const withSecret = fc.array(
    fc
      .tuple(
        name,
        fc.oneof(
          value,
          value.map((text) => `${text}${secret}${text}`),
        ),
      )
      .map(([key, text]): HeaderPair => [key, text]),
    { maxLength: 12 },
  )
  const status = fc.constantFrom(100, 101, 199, 200, 204, 205, 206, 304, 404, 500, 599, 600, 0)

  test('no secret, no framing of the other side, nothing in Keyward’s name', () => {
    fc.assert(
      fc.property(fc.constantFrom('GET', 'HEAD', 'POST'), status, withSecret, (method, code, given) => {
        const head = answerHead({ method, status: code, headers: given }, needles)
        if ('refusal' in head) return
        head.decoder?.destroy()
        expect(code).toBeGreaterThanOrEqual(200)
        expect(code).toBeLessThan(600)
        for (const [key, text] of head.headers) {
          expect(text).not.toContain(secret)
          expect(key).not.toMatch(/^keyward-/)
          expect(HOP_BY_HOP).not.toContain(key)
          if (key === 'content-length') expect(head.decoder).toBeNull()
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('trailers neither', () => {
    fc.assert(
      fc.property(withSecret, (given) => {
        for (const [key, text] of answerTrailers(given, needles).headers) {
          expect(text).not.toContain(secret)
          expect(key).not.toMatch(/^(?:keyward-|content-length$|content-encoding$|transfer-encoding$)/)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('content codings', () => {
  const writers: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
    gzip: gzipSync,
    'x-gzip': gzipSync,
    deflate: deflateSync,
    br: brotliCompressSync,
    zstd: zstdCompressSync,
  }
  const coding = fc.constantFrom(...Object.keys(writers))

  async function decoded(codings: string, bytes: Uint8Array, cuts: readonly number[]): Promise<Buffer> {
    const decoder = contentDecoder(codings)
    if (decoder === null) throw new Error('an unknown coding')
    const pieces: Uint8Array[] = []
    const sink = (piece: Uint8Array): void => void pieces.push(Buffer.from(piece))
    let from = 0
    for (const cut of [
      ...cuts.map((at) => at % (bytes.length + 1)).toSorted((left, right) => left - right),
      bytes.length,
    ]) {
      if (cut > from) await decoder.push(bytes.subarray(from, cut), sink)
      from = cut
    }
    await decoder.end(sink)
    return Buffer.concat(pieces)
  }

  test('undone, the bytes are the same, however they were cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(coding, { minLength: 1, maxLength: 3 }),
        fc.uint8Array({ maxLength: 300 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        async (codings, bytes, cuts) => {
          let coded: Uint8Array = bytes
          for (const one of codings) coded = writers[one]?.(coded) ?? coded
          expect((await decoded(codings.join(', '), coded, cuts)).equals(Buffer.from(bytes))).toBe(true)
        },
      ),
      { numRuns: 150 },
    )
    expect((await decoded('deflate', deflateRawSync('raw'), [])).toString()).toBe('raw')
  })

  test('a body that ends too soon is an error, and never a shorter body', async () => {
    await fc.assert(
      fc.asyncProperty(coding, fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), async (one, bytes, at) => {
        const coded = writers[one]?.(bytes) ?? bytes
        const cutShort = coded.subarray(0, at % coded.length)
        // Nothing at all is an empty body, in any coding.
        if (cutShort.length === 0) return
        await expect(decoded(one, cutShort, [])).rejects.toThrow(/./)
      }),
      { numRuns: 150 },
    )
  })
})
