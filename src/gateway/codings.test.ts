import { randomBytes } from 'node:crypto'
import {
  brotliCompressSync,
  createGzip,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
  constants,
} from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { contentDecoder, LAYERS_MAXIMUM, PIECE_BYTES } from './codings.ts'
import type { ContentDecoder } from './codings.ts'

const encoders: Readonly<Record<string, (body: Uint8Array) => Buffer>> = {
  gzip: (body) => gzipSync(body),
  'x-gzip': (body) => gzipSync(body),
  deflate: (body) => deflateSync(body),
  'deflate, raw': (body) => deflateRawSync(body),
  br: (body) => brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: (body) => zstdCompressSync(body),
}

function decoderFor(name: string): ContentDecoder {
  const decoder = contentDecoder(name.replace(', raw', ''))
  if (decoder === null) throw new Error(`no decoder for ${name}`)
  return decoder
}

async function decode(decoder: ContentDecoder, chunks: readonly Uint8Array[]): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  const sink = (piece: Uint8Array): void => void pieces.push(piece)
  for (const chunk of chunks) await decoder.push(chunk, sink)
  await decoder.end(sink)
  return Buffer.concat(pieces)
}

function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
}

const body = Buffer.from(`${randomBytes(500).toString('hex')}\n`.repeat(50))

describe.each(Object.entries(encoders))('%s', (name, encode) => {
  test.each([1, 7, 1000, 1_000_000])('in chunks of %i bytes', async (size) => {
    const coded = encode(size === 1 ? body.subarray(0, 2000) : body)
    const expected = size === 1 ? body.subarray(0, 2000) : body
    expect((await decode(decoderFor(name), cut(coded, size))).equals(expected)).toBe(true)
  })

  test('an empty body within the coding', async () => {
    expect((await decode(decoderFor(name), [encode(Buffer.alloc(0))])).length).toBe(0)
  })

  test('cut short', async () => {
    const coded = encode(body)
    for (const length of [1, 2, 5, coded.length >> 1, coded.length - 1]) {
      await expect(decode(decoderFor(name), [coded.subarray(0, length)]), `${length} bytes`).rejects.toMatchObject({
        code: 'upstream_broken',
      })
    }
  })

  test('a lie: the body is not coded at all', async () => {
    await expect(
      decode(decoderFor(name), cut(Buffer.from(`{"echo":"${'text '.repeat(500)}"}`), 100)),
    ).rejects.toMatchObject({ code: 'upstream_broken' })
  })

  test('what follows the coded data never comes out', async () => {
    const tail = Buffer.from('plain secret text after the end')
    const pieces: Uint8Array[] = []
    const decoder = decoderFor(name)
    const sink = (piece: Uint8Array): void => void pieces.push(piece)
    try {
      await decoder.push(Buffer.concat([encode(body), tail]), sink)
      await decoder.push(tail, sink)
      await decoder.end(sink)
    } catch (error) {
      expect(error).toMatchObject({ code: 'upstream_broken' })
    }
    const out = Buffer.concat(pieces)
    expect(out.equals(body.subarray(0, out.length))).toBe(true)
  })

  test('no body at all is an empty body', async () => {
    expect((await decode(decoderFor(name), [])).length).toBe(0)
  })

  test('a bomb comes out piece by piece, as fast as the reader takes it', async () => {
    const size = 64 * 1024 * 1024
    const decoder = decoderFor(name)
    let waiting = 0
    let length = 0
    const sink = async (piece: Uint8Array): Promise<void> => {
      expect(++waiting).toBe(1)
      length += piece.length
      expect(piece.length).toBeLessThanOrEqual(4 * PIECE_BYTES)
      await Promise.resolve()
      waiting--
    }
    const coded = encode(Buffer.alloc(size))
    await decoder.push(coded, sink)
    await decoder.end(sink)
    expect(length).toBe(size)
  })
})

test('an event comes out as soon as its bytes are in', async () => {
  const gzip = createGzip()
  const decoder = decoderFor('gzip')
  const pieces: string[] = []
  for (let i = 0; i < 5; i++) {
    gzip.write(`data: ${i}\n\n`)
    await new Promise<void>((resolve) => void gzip.flush(constants.Z_SYNC_FLUSH, () => resolve()))
    const coded: unknown = gzip.read()
    if (!(coded instanceof Uint8Array)) throw new Error('nothing to read')
    await decoder.push(coded, (piece) => void pieces.push(Buffer.from(piece).toString()))
    expect(pieces.join('')).toBe(Array.from({ length: i + 1 }, (_, k) => `data: ${k}\n\n`).join(''))
  }
  decoder.destroy()
})

test('several layers, in the order of the header', async () => {
  const coded = encoders['zstd']?.(brotliCompressSync(gzipSync(body))) ?? Buffer.alloc(0)
  expect((await decode(decoderFor(' GZIP , br,zstd'), cut(coded, 50))).equals(body)).toBe(true)
})

test('several members of gzip are one body', async () => {
  expect((await decode(decoderFor('gzip'), [gzipSync(body), gzipSync(body)])).equals(Buffer.concat([body, body]))).toBe(
    true,
  )
})

test('identity passes the very chunk', () => {
  const decoder = contentDecoder('identity,')
  expect(decoder?.identity).toBe(true)
  const taken: Uint8Array[] = []
  expect(decoder?.push(body, (piece) => void taken.push(piece))).toBeUndefined()
  expect(taken[0]).toBe(body)
})

test.each([
  'compress',
  'gzip, aes128gcm',
  'dcb',
  'gzip;q=1',
  'gzip gzip',
  Array(LAYERS_MAXIMUM + 1)
    .fill('gzip')
    .join(','),
])('cannot be undone: %s', (value) => {
  expect(contentDecoder(value)).toBeNull()
})

test('a reader that fails ends the decoding', async () => {
  const decoder = decoderFor('gzip')
  await expect(
    decoder.push(gzipSync(Buffer.alloc(1_000_000)), () => {
      throw new Error('gone')
    }),
  ).rejects.toThrow('gone')
  decoder.destroy()
  await expect(decoder.push(gzipSync(body), () => undefined)).rejects.toMatchObject({ code: 'upstream_broken' })
})
