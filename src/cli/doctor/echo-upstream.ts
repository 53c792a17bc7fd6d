import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'

export interface EchoUpstream {
  readonly port: number
  /** Whether the real secret arrived for this way and form. */
  received(way: string, form: string): boolean
  close(): Promise<void>
}

interface Echoed {
  readonly headers?: Readonly<Record<string, string>>
  readonly pieces: readonly (string | Buffer)[]
}

const PIECE_PAUSE_MILLISECONDS = 2

const each = (text: string, write: (byte: number) => string): string => [...Buffer.from(text)].map(write).join('')
const body = (text: string | Buffer, headers: Readonly<Record<string, string>> = {}): Echoed => ({
  pieces: [text],
  headers,
})

/** How a hostile or careless service may send back what it received. */
const forms: Readonly<Record<string, (heard: string, secret: string) => Echoed>> = {
  plain: (heard) => body(heard),
  split: (heard) => ({ pieces: heard.match(/[\s\S]{1,7}/g) ?? [] }),
  header: (heard, secret) => body('in a header', { 'x-heard': secret }),
  gzip: (heard) => body(gzipSync(heard), { 'content-encoding': 'gzip' }),
  br: (heard) => body(brotliCompressSync(heard), { 'content-encoding': 'br' }),
  deflate: (heard) => body(deflateSync(heard), { 'content-encoding': 'deflate' }),
  zstd: (heard) => body(zstdCompressSync(heard), { 'content-encoding': 'zstd' }),
  'unknown-coding': (heard) => body(heard, { 'content-encoding': 'x-keyward-doctor' }),
  base64: (heard) => body(Buffer.from(heard).toString('base64')),
  'base64-shifted-1': (heard) => body(Buffer.from(`x${heard}`).toString('base64')),
  'base64-shifted-2': (heard) => body(Buffer.from(`xx${heard}`).toString('base64')),
  base64url: (heard) => body(Buffer.from(heard).toString('base64url')),
  hex: (heard) => body(Buffer.from(heard).toString('hex')),
  percent: (heard) => body(each(heard, (byte) => `%${byte.toString(16).padStart(2, '0')}`)),
  'json-escaped': (heard) => body(`"${each(heard, (byte) => `\\u${byte.toString(16).padStart(4, '0')}`)}"`),
}

export const echoForms: readonly string[] = Object.keys(forms)

/** A service on loopback that knows its key and sends back everything it hears, in the form that is asked for. */
export async function startEchoUpstream(secret: string): Promise<EchoUpstream> {
  const received = new Set<string>()
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { searchParams } = new URL(request.url ?? '/', 'http://echo')
    const form = searchParams.get('form') ?? ''
    const presented = request.headers.authorization ?? ''
    if (presented === `Bearer ${secret}`) received.add(`${searchParams.get('way') ?? ''} ${form}`)
    const key = presented.replace(/^bearer /i, '')
    const write = forms[form]
    if (write === undefined) return void response.writeHead(404).end()
    const { pieces, headers } = write(`{"heard":"${presented}","key":"${key}"}`, key)
    response.writeHead(200, { 'content-type': 'application/json', ...headers })
    for (const piece of pieces) {
      response.write(piece)
      if (pieces.length > 1) await wait(PIECE_PAUSE_MILLISECONDS)
    }
    response.end()
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  return {
    port,
    received: (way, form) => received.has(`${way} ${form}`),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
