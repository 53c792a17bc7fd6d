import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createChunkedReader, TRAILERS_MAXIMUM_BYTES } from './chunked.ts'

/** Reads the pieces, going on after each stop, and gives what came out. */
function read(pieces: readonly Buffer[], patience = Number.POSITIVE_INFINITY) {
  const body: Buffer[] = []
  let left = patience
  const reader = createChunkedReader((piece) => {
    body.push(Buffer.from(piece))
    left -= 1
    return left > 0
  })
  for (const [index, piece] of pieces.entries()) {
    let at = 0
    for (;;) {
      const outcome = reader.push(piece, at)
      at = reader.position
      if (outcome === 'more') break
      if (outcome === 'stopped') {
        left = patience
        continue
      }
      const rest = Buffer.concat([piece.subarray(at), ...pieces.slice(index + 1)])
      return {
        outcome,
        body: Buffer.concat(body).toString('latin1'),
        trailers: reader.trailers,
        rest: rest.toString('latin1'),
      }
    }
  }
  return { outcome: 'more', body: Buffer.concat(body).toString('latin1') }
}

function cut(text: string, places: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text, 'latin1')
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...at].map((start, index) => bytes.subarray(start, at[index] ?? bytes.length))
}

const sample = '5\r\nhello\r\n1\r\n,\r\n00A\r\n0123456789\r\n0\r\nX-A: b\r\nX-C:\r\n\r\nGET / HTTP/1.1'

test('cut at any two places, and stopped after any piece, it gives the same', () => {
  for (let first = 0; first <= sample.length; first++) {
    for (const second of [first, first + 1, sample.length - 3]) {
      for (const patience of [1, 2, Number.POSITIVE_INFINITY]) {
        expect(read(cut(sample, [first, second]), patience)).toEqual({
          outcome: 'ended',
          body: 'hello,0123456789',
          trailers: [
            ['x-a', 'b'],
            ['x-c', ''],
          ],
          rest: 'GET / HTTP/1.1',
        })
      }
    }
  }
})

test('any body in any chunks, cut anywhere, arrives as it was', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.string({ minLength: 1, maxLength: 40 }).map((text) => Buffer.from(text).toString('latin1')),
        { maxLength: 6 },
      ),
      fc.array(fc.nat(), { maxLength: 8 }),
      (chunks, places) => {
        const text = `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\nrest`
        expect(read(cut(text, places))).toEqual({ outcome: 'ended', body: chunks.join(''), trailers: [], rest: 'rest' })
      },
    ),
  )
})

describe('chunks that are not read', () => {
  test.each([
    ['an extension', '5;a=b\r\nhello\r\n0\r\n\r\n'],
    ['a space behind the size', '5 \r\nhello\r\n0\r\n\r\n'],
    ['a sign', '+5\r\nhello\r\n0\r\n\r\n'],
    ['a prefix', '0x5\r\nhello\r\n0\r\n\r\n'],
    ['no size', '\r\nhello\r\n'],
    ['a bare line feed behind the size', '5\nhello\r\n0\r\n\r\n'],
    ['a bare line feed behind the data', '5\r\nhello\n0\r\n\r\n'],
    ['more data than the size', '5\r\nhello!\r\n0\r\n\r\n'],
    ['less data than the size', '5\r\nhell\r\n0\r\n\r\n'],
    ['a size beyond all bodies', '1000000000000\r\n'],
    ['a trailer that is none', '0\r\nbad\r\n\r\n'],
    ['a folded trailer', '0\r\nA: b\r\n c\r\n\r\n'],
  ])('%s', (_what, text) => {
    for (let place = 0; place <= text.length; place++) expect(read(cut(text, [place])).outcome).toBe('malformed')
  })

  test('trailers without an end', () => {
    const text = `0\r\nA: ${'b'.repeat(TRAILERS_MAXIMUM_BYTES)}`
    expect(read([Buffer.from(text)]).outcome).toBe('malformed')
    expect(read(cut(text, [100, 5_000, 9_000])).outcome).toBe('malformed')
  })
})
