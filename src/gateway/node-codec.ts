import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HeaderPair } from '../core/request.ts'
import type { Arrival, Door, Tunnel } from './arrival.ts'
import { noBody, type RequestBody } from './body.ts'
import type { Reply } from './reply.ts'

/** Node's own HTTP/1.1 codec (llhttp, strict), as the exchange wants it. */

export function arrivalOf(request: IncomingMessage, tunnel: Tunnel | null): Arrival {
  const rawTarget = request.url ?? ''
  const door: Door = tunnel !== null ? 'tunnel' : rawTarget.startsWith('/') ? 'base-url' : 'absolute'
  return {
    door,
    protocol: 'http/1.1',
    method: request.method ?? '',
    rawTarget,
    headers: pairsOf(request.rawHeaders),
    peer: request.socket.remoteAddress ?? '',
    tunnel,
  }
}

export function bodyOf(request: IncomingMessage): RequestBody {
  if (!hasBody(request)) return noBody
  const declared = request.headers['content-length']
  return {
    length: declared === undefined ? null : Number(declared),
    read(sink) {
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
        once(() => sink.fail()),
      )
      request.once(
        'close',
        once(() => sink.fail()),
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

export function replyTo(request: IncomingMessage, response: ServerResponse): Reply {
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
