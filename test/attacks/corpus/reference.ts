import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Duplex } from 'node:stream'
import type { HeaderPair } from '../../../src/core/request.ts'

/** One request as a parser read it. Header names are lower-case, values as received. */
export interface ReadRequest {
  readonly method: string
  /** As on the request line. */
  readonly target: string
  /** `1.1` */
  readonly version: string
  readonly headers: readonly HeaderPair[]
  readonly body: Buffer
  readonly trailers: readonly HeaderPair[]
  /** False: more of its body is awaited, or what came is not a body. */
  readonly whole: boolean
}

/** What a parser made of the bytes of one connection. */
export interface Reading {
  readonly requests: readonly ReadRequest[]
  /** Why it stopped, in its own words; null where it reads on. */
  readonly error: string | null
  /** The bytes end within a message. */
  readonly waiting: boolean
}

/** Bounds that have to be those of the parser with which this one is compared. */
export interface ReferenceBounds {
  readonly headersMaximumBytes: number
  readonly headersMaximumCount: number
}

export const gatewayBounds: ReferenceBounds = { headersMaximumBytes: 64 * 1024, headersMaximumCount: 200 }

/**
 * Reads requests with Node's own codec (llhttp, strict) as a server on a socket would, in memory: `pieces`
 * arrive one after the other. After a CONNECT nothing more is read, as on a socket.
 */
export async function readWithNode(
  pieces: Uint8Array | readonly Uint8Array[],
  bounds: ReferenceBounds = gatewayBounds,
): Promise<Reading> {
  const found: { request: IncomingMessage; body: Buffer[] }[] = []
  let error: string | null = null
  let ending = false
  let waiting = false

  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const body: Buffer[] = []
    found.push({ request, body })
    request.on('data', (chunk: Buffer) => void body.push(chunk))
    request.on('end', () => void response.end())
    request.on('error', () => undefined)
  }
  const server: Server = createServer(
    { maxHeaderSize: bounds.headersMaximumBytes, requireHostHeader: false, insecureHTTPParser: false },
    onRequest,
  )
  server.maxHeadersCount = bounds.headersMaximumCount
  server.keepAliveTimeout = 0
  server.on('checkExpectation', onRequest)
  server.on('connect', (request, socket) => {
    found.push({ request, body: [] })
    socket.destroy()
  })
  server.on('clientError', (fault: NodeJS.ErrnoException) => {
    if (!ending) error ??= fault.code ?? fault.message
    else if (fault.code === 'HPE_INVALID_EOF_STATE') waiting = true
  })

  const wire = new Duplex({ read: () => undefined, write: (_chunk, _coding, done) => done(), emitClose: true })
  wire.on('error', () => undefined)
  const closed = new Promise<void>((done) => wire.once('close', done))
  server.emit('connection', wire)
  for (const piece of pieces instanceof Uint8Array ? [pieces] : pieces) {
    if (wire.destroyed || error !== null) break
    wire.push(piece)
    await quiet()
  }
  // What the end of the bytes means is asked last, for it takes away what has not been read.
  const requests = found.map(({ request, body }) => readOf(request, Buffer.concat(body)))
  ending = true
  wire.push(null)
  if (!wire.destroyed) await quiet()
  wire.destroy()
  await closed
  return { requests, error, waiting: waiting || requests.some(({ whole }) => !whole) }
}

/** Everything here happens in memory, in ticks: nothing is left to come after a few turns of the event loop. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((done) => setImmediate(done))
}

function readOf(request: IncomingMessage, body: Buffer): ReadRequest {
  return {
    method: request.method ?? '',
    target: request.url ?? '',
    version: request.httpVersion,
    headers: pairsOf(request.rawHeaders),
    body,
    trailers: pairsOf(request.rawTrailers),
    whole: request.complete || request.method === 'CONNECT',
  }
}

function pairsOf(raw: readonly string[]): HeaderPair[] {
  const pairs: HeaderPair[] = []
  for (let index = 0; index + 1 < raw.length; index += 2)
    pairs.push([(raw[index] ?? '').toLowerCase(), raw[index + 1] ?? ''])
  return pairs
}
