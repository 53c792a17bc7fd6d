import { createSecureServer, createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Leaf } from '../../fakes/authority.ts'

export interface H2Got {
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
}

export interface H2Upstream {
  readonly origin: string
  readonly got: H2Got[]
  /** Every session since the beginning. */
  readonly sessions: ServerHttp2Session[]
  /** Requests that came over HTTP/1.1. */
  readonly http1: string[]
  close(): Promise<void>
}

/** `got.body` is whole; with `early` the handler is called at once, and the body is its own affair. */
export type H2Handler = (stream: ServerHttp2Stream, got: H2Got) => void

export interface H2UpstreamOptions {
  readonly leaf?: Leaf
  readonly early?: boolean
  readonly allowHTTP1?: boolean
  readonly streams?: number
}

/** A service on loopback that speaks HTTP/2: by ALPN with a leaf, by prior knowledge without. */
export async function startH2Upstream(handler: H2Handler, options: H2UpstreamOptions = {}): Promise<H2Upstream> {
  const { leaf, early = false, allowHTTP1 = false, streams } = options
  const got: H2Got[] = []
  const http1: string[] = []
  const sessions: ServerHttp2Session[] = []
  const sockets = new Set<Socket>()
  const settings = streams === undefined ? {} : { settings: { maxConcurrentStreams: streams } }
  const server = leaf === undefined ? createServer(settings) : createSecureServer({ ...leaf, allowHTTP1, ...settings })
  server.on('session', (session: ServerHttp2Session) => {
    sessions.push(session)
    session.on('error', () => undefined)
  })
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('sessionError', () => undefined)
  server.on('tlsClientError', () => undefined)
  // The library answers streams in its own way once somebody listens for requests.
  if (allowHTTP1)
    server.on('request', (request, response) => {
      if (request.httpVersion !== '1.1') return
      http1.push(request.url)
      response.end('http/1.1')
    })
  server.on('stream', (stream: ServerHttp2Stream, _headers: unknown, _flags: number, raw: readonly string[]) => {
    stream.on('error', () => undefined)
    const headers = Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i] ?? '', raw[2 * i + 1] ?? ''] as const)
    const pieces: Buffer[] = []
    if (early) {
      got.push({ headers, body: Buffer.alloc(0) })
      return handler(stream, { headers, body: Buffer.alloc(0) })
    }
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.once('end', () => {
      const one = { headers, body: Buffer.concat(pieces) }
      got.push(one)
      handler(stream, one)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the upstream has no port')
  return {
    origin: `${leaf === undefined ? 'http' : 'https'}://127.0.0.1:${address.port}`,
    got,
    sessions,
    http1,
    async close() {
      for (const session of sessions) session.destroy()
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((done) => server.close(() => done()))
    },
  }
}
