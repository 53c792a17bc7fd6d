import {
  brotliCompressSync,
  brotliDecompressSync,
  deflateRawSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateRawSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib'
import { afterAll, beforeAll, expect } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { always } from '../e2e/gateway/upstream.ts'
import { header, type Answer } from '../e2e/gateway/wire.ts'
import { attack, fronts, type Front } from './attack.ts'
import { expectNoPiece, openScene, type Scene } from './scene.ts'

/** R2: the echo comes compressed, honestly or not. */

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene.close())

const gzip = (bytes: Buffer): Buffer => gzipSync(bytes)
const brotli = (bytes: Buffer): Buffer => brotliCompressSync(bytes)
const zstd = (bytes: Buffer): Buffer => zstdCompressSync(bytes)

const honest: readonly [coding: string, encode: (bytes: Buffer) => Buffer][] = [
  ['gzip', gzip],
  ['x-gzip', gzip],
  ['deflate', (bytes) => deflateSync(bytes)],
  ['deflate', (bytes) => deflateRawSync(bytes)],
  ['br', brotli],
  ['zstd', zstd],
  ['GZIP', gzip],
  [' gzip ,', gzip],
  ['gzip, gzip', (bytes) => gzip(gzip(bytes))],
  ['gzip, br', (bytes) => brotli(gzip(bytes))],
  ['zstd, deflate, gzip', (bytes) => gzip(deflateSync(zstd(bytes)))],
  // Several members in one body are one text for every reader of gzip (RFC 1952 section 2.2).
  ['gzip', (bytes) => Buffer.concat([gzip(bytes.subarray(0, 17)), gzip(bytes.subarray(17))])],
]

attack('R2', 'gzip, br, deflate and zstd, one over the other, whole and byte by byte', fronts, async (front) => {
  const secret = scene.echo.secret()
  for (const [coding, encode] of honest) {
    const coded = encode(Buffer.from(`before <${secret}> after`))
    for (const size of [coded.length, 1]) {
      scene.answer((_request, response) => {
        response.writeHead(200, { 'content-encoding': coding })
        for (let at = 0; at < coded.length; at += size) response.write(coded.subarray(at, at + size))
        response.end()
      })
      const answer = await scene.ask(front)
      expect(answer.body.toString(), coding).toBe(`before <${scene.login.placeholder(scene.echo)}> after`)
      // What is told of the coding is what was done: nobody undoes it a second time.
      expect(header(answer, 'content-encoding'), coding).toBeUndefined()
    }
  }
})

/** Announced as one thing, and another. Whatever becomes of it, no reading of what arrives holds the secret. */
const lies: readonly [what: string, coding: string, encode: (bytes: Buffer) => Buffer][] = [
  ['plain text called gzip', 'gzip', (bytes) => bytes],
  ['plain text called deflate', 'deflate', (bytes) => bytes],
  ['plain text called zstd', 'zstd', (bytes) => bytes],
  ['gzip called br', 'br', gzip],
  ['br called gzip', 'gzip', brotli],
  ['gzip that is cut', 'gzip', (bytes) => gzip(bytes).subarray(0, -9)],
  ['gzip once, said twice', 'gzip, gzip', gzip],
  ['gzip with plain text behind it', 'gzip', (bytes) => Buffer.concat([gzip(Buffer.from('x')), bytes])],
  ['a coding that nobody knows', 'x-unheard', gzip],
  ['more codings than anybody needs', 'gzip, gzip, gzip, gzip', (bytes) => gzip(gzip(gzip(gzip(bytes))))],
  ['a list with a hole that hides a name', 'gzip;x', gzip],
]

/** Nothing came, or an answer; a body that turns out to be broken may be cut off before its head has gone out. */
async function answerOf(front: Front): Promise<Answer | null> {
  try {
    return await scene.ask(front)
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('The connection ended before an answer')) return null
    throw error
  }
}

/** The bytes, and what comes of them when somebody undoes every coding that can be undone. */
function undone(bytes: Buffer, depth = 4): string[] {
  const further = [gunzipSync, brotliDecompressSync, zstdDecompressSync, inflateSync, inflateRawSync].flatMap(
    (undo) => {
      try {
        return depth === 0 || bytes.length === 0 ? [] : undone(undo(bytes), depth - 1)
      } catch {
        return []
      }
    },
  )
  return [bytes.toString('latin1'), ...further]
}

attack('R2', 'a coding that lies, is cut, unknown or nested too deep', fronts, async (front) => {
  const secret = scene.echo.secret()
  for (const [what, coding, encode] of lies) {
    const body = encode(Buffer.from(`<${secret}>`))
    for (const framing of [{ 'content-length': String(body.length) }, {}]) {
      scene.answer(always(200, { 'content-encoding': coding, ...framing }, body))
      const answer = await answerOf(front)
      if (answer === null) continue
      expectNoPiece(answer.rawHead, secret, what)
      for (const reading of undone(answer.body)) expectNoPiece(reading, secret, what)
      if (answer.status !== 200) expect(['upstream_broken', 'answer_withheld'], what).toContain(codeOf(answer))
    }
  }
})

attack('R2', 'a part of a coded body', fronts, async (front) => {
  const coded = gzip(Buffer.from(`<${scene.echo.secret()}>`))
  for (const status of [200, 206]) {
    scene.answer(
      always(status, { 'content-encoding': 'gzip', 'content-range': `bytes 0-${coded.length - 1}/9999` }, coded),
    )
    expect(codeOf(await scene.ask(front))).toBe('answer_withheld')
  }
})

/** Compressed, and said nowhere in the head. Brotli is not among them: it has no beginning by which it could be known. */
const unsaid: readonly [what: string, type: string, encode: (bytes: Buffer) => Buffer][] = [
  ['gzip', 'application/gzip', gzip],
  ['gzip', 'application/octet-stream', gzip],
  ['gzip', 'application/json', gzip],
  ['gzip', 'text/event-stream', gzip],
  ['zlib', 'application/octet-stream', (bytes) => deflateSync(bytes)],
  ['zlib, not compressed at all', 'application/octet-stream', (bytes) => deflateSync(bytes, { level: 0 })],
  ['zstd', 'application/zstd', zstd],
  ['gzip within gzip', 'application/gzip', (bytes) => gzip(gzip(bytes))],
  ['zstd within gzip', 'application/gzip', (bytes) => gzip(zstd(bytes))],
  [
    'several members of gzip',
    'application/gzip',
    (bytes) => Buffer.concat([gzip(bytes.subarray(0, 17)), gzip(bytes.subarray(17))]),
  ],
]

attack('R2', 'a compressed body that does not say that it is', fronts, async (front) => {
  const secret = scene.echo.secret()
  for (const [what, type, encode] of unsaid) {
    const body = encode(Buffer.from(`before <${secret}> after`))
    const clean = encode(Buffer.from(`before <${'-'.repeat(secret.length)}> after`))
    for (const framing of [{ 'content-length': String(body.length) }, {}]) {
      scene.answer(always(200, { 'content-type': type, ...framing }, body))
      const answer = await answerOf(front)
      if (answer !== null) {
        for (const reading of undone(answer.body)) expectNoPiece(reading, secret, what)
        if (answer.status !== 200) expect(codeOf(answer), what).toBe('answer_withheld')
        else expect(answer.body.length, what).toBe(0)
      }
      scene.answer(always(200, { 'content-type': type }, clean))
      expect((await scene.ask(front)).body.equals(clean), what).toBe(true)
    }
  }
  // A coding that is said, over one that is not.
  const twice = gzip(gzip(Buffer.from(`<${secret}>`)))
  scene.answer(always(200, { 'content-encoding': 'gzip' }, twice))
  const answer = await answerOf(front)
  if (answer !== null) for (const reading of undone(answer.body)) expectNoPiece(reading, secret, 'twice')
})
