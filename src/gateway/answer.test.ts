import { randomBytes } from 'node:crypto'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { needlesOf } from '../core/needles.ts'
import type { HeaderPair } from '../core/request.ts'
import { answerHead, answerTrailers, bodyScrubber, WHOLE_BODY_BYTES } from './answer.ts'
import type { AnswerHead } from './answer.ts'

const secret = `sk-${randomBytes(24).toString('hex')}/+`
const placeholder = `sk-kwp${randomBytes(16).toString('hex')}`
const basic = Buffer.from(`user:${secret}`).toString('base64')
const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: placeholder }], [basic])

function head(headers: readonly HeaderPair[], options: { status?: number; method?: string } = {}): AnswerHead {
  const made = answerHead({ method: options.method ?? 'GET', status: options.status ?? 200, headers }, needles)
  if ('refusal' in made) throw new Error(`${made.refusal}: ${made.detail}`)
  return made
}

function refusalOf(headers: readonly HeaderPair[], options: { status?: number; method?: string } = {}): unknown {
  return answerHead({ method: options.method ?? 'GET', status: options.status ?? 200, headers }, needles)
}

async function bodyOf(made: AnswerHead, chunks: readonly Uint8Array[]): Promise<{ text: string; hits: number }> {
  const pieces: Uint8Array[] = []
  const body = bodyScrubber(made, needles, (piece) => void pieces.push(piece))
  for (const chunk of chunks) await body.push(chunk)
  await body.end()
  return { text: Buffer.concat(pieces).toString(), hits: body.hits }
}

describe('R6: the head of an answer', () => {
  test('every value is scrubbed', () => {
    const made = head([
      ['location', `https://example.test/cb?key=${encodeURIComponent(secret)}`],
      ['set-cookie', `a=${secret}; Path=/`],
      ['set-cookie', 'b=2'],
      ['www-authenticate', `Basic ${basic}`],
      ['link', `<https://example.test/${Buffer.from(secret).toString('hex')}>; rel=next`],
      [`x-${secret.toLowerCase()}`, 'named'],
      ['x-note', 'caf\u00e9'],
    ])
    expect(made.hits).toBe(5)
    expect(made.headers.map(([name]) => name)).toEqual([
      'location',
      'set-cookie',
      'set-cookie',
      'www-authenticate',
      'link',
      'x-note',
    ])
    expect(made.headers[1]).toEqual(['set-cookie', `a=${placeholder}; Path=/`])
    expect(made.headers.at(-1)).toEqual(['x-note', 'caf\u00e9'])
    expect(JSON.stringify(made.headers)).not.toContain(secret)
    expect(JSON.stringify(made.headers)).not.toContain(basic)
  })

  test('trailers too', () => {
    const { headers, hits } = answerTrailers(
      [
        ['x-sum', secret],
        ['content-length', '5'],
        ['keyward-error', 'x'],
        ['x-plain', 'y'],
      ],
      needles,
    )
    expect(hits).toBe(1)
    expect(headers).toEqual([
      ['x-sum', placeholder],
      ['x-plain', 'y'],
    ])
  })

  test('a replacement of several lines does not split a header', () => {
    const file = `-----BEGIN-----\n${randomBytes(32).toString('hex')}\n-----END-----`
    const set = needlesOf([
      { name: 'file', value: Buffer.from(file.replaceAll('\n', ' ')), replacement: 'two\r\nset-cookie: lines' },
    ])
    const made = answerHead({ method: 'GET', status: 200, headers: [['x-echo', file.replaceAll('\n', ' ')]] }, set)
    expect('headers' in made && made.headers[0]?.[1]).toBe('two set-cookie: lines')
  })

  test('what belongs to the connection, or to Keyward, stays behind', () => {
    const made = head([
      ['connection', 'keep-alive, x-hop, set-cookie'],
      ['keep-alive', 'timeout=5'],
      ['x-hop', '1'],
      ['transfer-encoding', 'chunked'],
      ['trailer', 'x-sum'],
      ['upgrade', 'h2c'],
      ['proxy-authenticate', 'Basic'],
      ['alt-svc', 'h3=":443"'],
      ['keyward-error', 'operation_denied'],
      ['set-cookie', 'a=1'],
      ['clear-site-data', '"cache"'],
      ['content-type', 'text/plain'],
    ])
    expect(made.headers).toEqual([
      ['set-cookie', 'a=1'],
      ['clear-site-data', '"cache"'],
      ['content-type', 'text/plain'],
    ])
  })

  test.each([
    ['HEAD', 200],
    ['GET', 304],
  ])('the length of an answer without a body is kept: %s %i', (method, status) => {
    const made = head([['content-length', '1234']], { method, status })
    expect(made.decoder).toBeNull()
    expect(made.headers).toEqual([['content-length', '1234']])
    expect(
      head(
        [
          ['content-length', '1234'],
          ['content-encoding', 'gzip'],
        ],
        { method, status },
      ).headers,
    ).toEqual([])
    expect(head([['content-encoding', 'unknown']], { method, status }).decoder).toBeNull()
  })

  test('a body that must not be there is not passed on', () => {
    const body = bodyScrubber(head([], { status: 204 }), needles, () => undefined)
    expect(() => body.push(Buffer.from('x'))).toThrow(/broke off/)
  })

  test('small bodies may be gathered; events never', () => {
    expect(head([['content-length', String(WHOLE_BODY_BYTES)]]).gather).toBe(true)
    expect(head([['content-length', String(WHOLE_BODY_BYTES + 1)]]).gather).toBe(false)
    expect(head([]).gather).toBe(false)
    expect(
      head([
        ['content-length', '5'],
        ['content-type', 'text/event-stream; charset=utf-8'],
      ]).gather,
    ).toBe(false)
  })

  test('what cannot be undone is withheld', () => {
    expect(refusalOf([['content-encoding', 'compress']])).toMatchObject({ refusal: 'answer_withheld' })
    expect(
      refusalOf([
        ['content-encoding', 'gzip'],
        ['content-encoding', 'secret-coding'],
      ]),
    ).toMatchObject({ refusal: 'answer_withheld' })
    expect(refusalOf([['transfer-encoding', 'gzip, chunked']])).toMatchObject({ refusal: 'answer_withheld' })
    expect(
      refusalOf([
        ['content-encoding', 'gzip'],
        ['content-range', 'bytes 0-9/100'],
      ]),
    ).toMatchObject({ refusal: 'answer_withheld' })
    expect(refusalOf([], { status: 101 })).toMatchObject({ refusal: 'upstream_broken' })
    expect(refusalOf([], { status: 999 })).toMatchObject({ refusal: 'upstream_broken' })
  })
})

const coders: Readonly<Record<string, (body: Buffer) => Buffer>> = {
  gzip: gzipSync,
  deflate: deflateSync,
  'deflate ': deflateRawSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
  'gzip, br': (body) => brotliCompressSync(gzipSync(body)),
  identity: (body) => body,
}

describe('R1, R2: an echo in the body', () => {
  test.each(Object.entries(coders))('%s', async (coding, code) => {
    const echo = Buffer.from(`${'x'.repeat(5000)}{"authorization":"Bearer ${secret}","basic":"${basic}"}`)
    const coded = code(echo)
    const made = head([
      ['content-encoding', coding],
      ['content-type', 'application/json'],
      ['content-md5', 'x'],
      ['content-length', String(coded.length)],
    ])
    expect(made.headers.map(([name]) => name)).toEqual(
      coding === 'identity' ? ['content-type', 'content-md5'] : ['content-type'],
    )
    const expected = `${'x'.repeat(5000)}{"authorization":"Bearer ${placeholder}","basic":"[keyward]"}`
    for (const size of [1, 13, coded.length]) {
      const chunks = Array.from({ length: Math.ceil(coded.length / size) }, (_, i) =>
        coded.subarray(i * size, (i + 1) * size),
      )
      expect(await bodyOf(made.decoder?.identity ? made : head([['content-encoding', coding]]), chunks)).toEqual({
        text: expected,
        hits: 2,
      })
    }
    made.decoder?.destroy()
  })

  test('a lying coding breaks off, and nothing has passed', async () => {
    const pieces: Uint8Array[] = []
    const body = bodyScrubber(head([['content-encoding', 'gzip']]), needles, (piece) => void pieces.push(piece))
    await expect(
      (async () => {
        await body.push(Buffer.from(`Bearer ${secret}`))
        await body.end()
      })(),
    ).rejects.toMatchObject({ code: 'upstream_broken' })
    expect(pieces).toEqual([])
  })

  test('R15: parts are withheld, for the whole was asked for', () => {
    expect(refusalOf([['content-range', 'bytes 0-9/100']], { status: 206 })).toMatchObject({
      refusal: 'answer_withheld',
    })
    expect(refusalOf([['content-type', 'multipart/byteranges; boundary=b']], { status: 206 })).toMatchObject({
      refusal: 'answer_withheld',
    })
  })

  test('without a coding nothing waits that need not', () => {
    const pieces: string[] = []
    const body = bodyScrubber(
      head([['content-type', 'text/event-stream']]),
      needles,
      (piece) => void pieces.push(Buffer.from(piece).toString()),
    )
    expect(body.push(Buffer.from('data: 1\n\n'))).toBeUndefined()
    expect(pieces).toEqual(['data: 1\n\n'])
    expect(body.end()).toBeUndefined()
  })

  test('a slow reader holds the body back', async () => {
    const taken: string[] = []
    let release: () => void = () => undefined
    const body = bodyScrubber(head([]), needles, (piece) => {
      taken.push(Buffer.from(piece).toString())
      return new Promise<void>((resolve) => {
        release = resolve
      })
    })
    const waiting = body.push(Buffer.from(`a ${secret} b\n`))
    expect(taken).toEqual(['a '])
    for (let i = 0; i < 3; i++) {
      release()
      await Promise.resolve()
      await Promise.resolve()
    }
    await waiting
    expect(taken).toEqual(['a ', placeholder, ' b\n'])
  })
})
