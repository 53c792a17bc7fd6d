import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { Answer, Call } from './vendor.ts'

const codings: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  br: (bytes) => brotliCompressSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
  gzip: (bytes) => gzipSync(bytes),
  zstd: (bytes) => zstdCompressSync(bytes),
}

const forms: Readonly<Record<string, (text: string) => string>> = {
  base64: (text) => Buffer.from(text).toString('base64'),
  base64url: (text) => Buffer.from(text).toString('base64url'),
  hex: (text) => Buffer.from(text).toString('hex'),
  percent: (text) => [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
}

/**
 * `/echo` exists at every fake vendor: it gives back what arrived, as the worst upstream would.
 * `?coding=gzip|br|deflate|zstd` compresses the answer, `?form=base64|base64url|hex|percent` rewrites
 * the text, `?shift=N` puts N bytes before it (other base64 alignments), `?header=1` also answers the
 * key in a header, `?split=N` sends pieces of N characters. Null for any other path.
 */
export function answerEcho(call: Call): Answer | null {
  if (call.path !== '/echo' && !call.path.endsWith('/echo')) return null
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  const heard = JSON.stringify({
    method: call.method,
    target: `${call.path}?${call.query.toString()}`,
    headers: call.headers,
    body: call.body.toString('utf8'),
  })
  if (call.query.has('header')) {
    const named = call.headers.authorization ?? call.headers['x-api-key'] ?? call.headers['x-goog-api-key']
    headers['x-heard'] = Array.isArray(named) ? named.join(', ') : (named ?? '')
  }
  const form = forms[call.query.get('form') ?? '']
  const text = 'x'.repeat(Number(call.query.get('shift') ?? 0)) + heard
  const body = form === undefined ? text : form(text)
  if (form !== undefined) headers['content-type'] = 'text/plain'
  const coding = call.query.get('coding') ?? ''
  const compress = codings[coding]
  if (compress !== undefined) {
    return { status: 200, headers: { ...headers, 'content-encoding': coding }, body: compress(Buffer.from(body)) }
  }
  const size = Number(call.query.get('split') ?? 0)
  return { status: 200, headers, body: size > 0 ? pieces(body, size) : body }
}

function pieces(text: string, size: number): string[] {
  return Array.from({ length: Math.ceil(text.length / size) }, (_, index) =>
    text.slice(index * size, (index + 1) * size),
  )
}
