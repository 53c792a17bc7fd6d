import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { HeaderPair } from '../core/request.ts'
import type { Arrival, Door } from './arrival.ts'
import { noBody, type RequestBody } from './body.ts'
import type { Codec, Connection, Front } from './codec.ts'
import { HEAD_MAXIMUM_BYTES, HEADERS_MAXIMUM_COUNT } from './http1/head.ts'
import { defaultTimes } from './http1/server.ts'
import { tellAndClose } from './refuse-connection.ts'
import { nowhere } from './peer-gate.ts'
import type { Reply } from './reply.ts'

/** Node's own HTTP/1.1 codec (llhttp, strict), as the exchange wants it. */
export function createNodeCodec(front: Front): Codec {
  const connections = new WeakMap<Duplex, Connection>()
  /** Answers that are not complete, by connection. */
  const answering = new WeakMap<Duplex, number>()

  function connectionOf(stream: Duplex): Connection {
    return connections.get(stream) ?? { stream, peer: '', remote: nowhere, tunnel: null }
  }

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    answering.set(socket, (answering.get(socket) ?? 0) + 1)
    response.once('close', () => answering.set(socket, (answering.get(socket) ?? 1) - 1))
    front.request(arrivalOf(request, connectionOf(socket)), bodyOf(request, response), replyTo(request, response))
  }

  /** What llhttp refuses never becomes a request: answered once, and the connection is closed. */
  function onClientError(error: NodeJS.ErrnoException, stream: Duplex): void {
    if (!stream.writable || error.code === 'ECONNRESET') {
      stream.destroy()
      return
    }
    const busy = (answering.get(stream) ?? 0) > 0
    const refusal = error.code === 'HPE_HEADER_OVERFLOW' ? 'request_too_large' : 'request_malformed'
    void front.malformed(connectionOf(stream), { refusal }).then((told) => {
      // In the middle of another answer these bytes would be taken for a part of it.
      if (busy) stream.destroy()
      else tellAndClose(stream, told)
    })
  }

  const server: Server = createServer(
    {
      maxHeaderSize: HEAD_MAXIMUM_BYTES,
      headersTimeout: defaultTimes.headMilliseconds,
      keepAliveTimeout: defaultTimes.keepAliveMilliseconds,
      // A long upload or a streamed answer may take as long as it takes; silence is bounded by the dialler.
      requestTimeout: 0,
      // Refused by the exchange instead, which tells why.
      requireHostHeader: false,
      insecureHTTPParser: false,
    },
    onRequest,
  )
  server.maxHeadersCount = HEADERS_MAXIMUM_COUNT
  server.timeout = defaultTimes.silenceMilliseconds
  server.on('clientError', onClientError)
  server.on('checkExpectation', onRequest)
  server.on('checkContinue', onRequest)
  server.on('connect', (request: IncomingMessage, stream: Duplex, early: Buffer) => {
    const connection = connectionOf(stream)
    front.connect(arrivalOf(request, connection), connection, early)
  })
  return {
    serve(connection) {
      connections.set(connection.stream, connection)
      server.emit('connection', connection.stream)
    },
    close: () => void server.close(),
  }
}

function arrivalOf(
  request: IncomingMessage,
  { tunnel, peer, remote }: Pick<Connection, 'tunnel' | 'peer' | 'remote'>,
): Arrival {
  const rawTarget = request.url ?? ''
  const door: Door = tunnel !== null ? 'tunnel' : rawTarget.startsWith('/') ? 'base-url' : 'absolute'
  return {
    door,
    protocol: 'http/1.1',
    method: request.method ?? '',
    rawTarget,
    headers: pairsOf(request.rawHeaders),
    peer,
    remote,
    tunnel,
    upgrade: request.headers.upgrade?.toLowerCase() ?? null,
  }
}

function bodyOf(request: IncomingMessage, response: ServerResponse): RequestBody {
  if (!hasBody(request)) return noBody
  const declared = request.headers['content-length']
  return {
    length: declared === undefined ? null : Number(declared),
    read(sink) {
      if (request.headers.expect !== undefined && !response.headersSent) response.writeContinue()
      let over = false
      const once = (step: () => void) => (): void => {
        if (!over) step()
        over = true
      }
      request.on('data', (chunk: Uint8Array) => sink.data(chunk))
      request.once(
        'end',
        once(() => sink.end(pairsOf(request.rawTrailers))),
      )
      request.once(
        'error',
        once(() => sink.fail(null)),
      )
      request.once(
        'close',
        once(() => sink.fail(null)),
      )
    },
    pause: () => void request.pause(),
    resume: () => void request.resume(),
  }
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || (request.headers['content-length'] ?? '0') !== '0'
}

export function pairsOf(raw: readonly string[]): HeaderPair[] {
  const pairs: HeaderPair[] = []
  for (let index = 0; index + 1 < raw.length; index += 2) {
    pairs.push([(raw[index] ?? '').toLowerCase(), raw[index + 1] ?? ''])
  }
  return pairs
}

function replyTo(request: IncomingMessage, response: ServerResponse): Reply {
  response.sendDate = false
  const head = (headers: readonly HeaderPair[]): string[] => {
    const flat: string[] = []
    for (const [name, value] of headers) flat.push(name, value)
    // An unread request body would be taken for the next request: such a connection is not used again.
    if (!request.complete && hasBody(request)) flat.push('connection', 'close')
    return flat
  }
  return {
    get started() {
      return response.headersSent
    },
    inform: (status, headers) => void response.writeInformation(status, head(headers)),
    start: (status, headers) => void response.writeHead(status, head(headers)),
    respond(status, headers, body) {
      response.writeHead(status, head(headers))
      response.end(body)
    },
    write: (chunk) => response.write(chunk),
    end(trailers) {
      if (trailers !== undefined && trailers.length > 0)
        response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]))
      response.end()
    },
    destroy: () => void response.destroy(),
    onDrain: (listener) => void response.on('drain', listener),
    onClose(listener) {
      // The agent may have gone while the journal wrote; what has happened is not told again.
      if (response.closed || request.socket.destroyed) return listener()
      response.once('close', listener)
      // A pipelined answer that waits for its turn has no socket, and would never hear of its end.
      if (response.socket === null) request.socket.once('close', listener)
    },
  }
}
