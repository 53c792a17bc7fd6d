import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type ServerOptions, type WebSocket } from 'ws'
import type { Leaf } from '../../fakes/authority.ts'
import { startUpstream, type Handler, type Upstream } from './upstream.ts'

/** A service that speaks WebSocket through the `ws` package. */
export interface SocketService extends Upstream {
  /** The requests that asked for a WebSocket, as the service got them. */
  readonly upgrades: IncomingMessage[]
  readonly sockets: Set<WebSocket>
}

export interface SocketServiceOptions {
  readonly server?: ServerOptions
  readonly onSocket?: (socket: WebSocket, request: IncomingMessage) => void
  /** Answers the upgrade by itself. */
  readonly onUpgrade?: (request: IncomingMessage, stream: Duplex) => void
  readonly handler?: Handler
  readonly leaf?: Leaf
}

export async function startSocketService(options: SocketServiceOptions = {}): Promise<SocketService> {
  const wss = new WebSocketServer({ noServer: true, ...options.server })
  const upgrades: IncomingMessage[] = []
  const sockets = new Set<WebSocket>()
  const upstream = await startUpstream(options.handler ?? ((_request, response) => response.end('no socket')), {
    ...(options.leaf === undefined ? {} : { leaf: options.leaf }),
    onUpgrade(request, stream, head) {
      upgrades.push(request)
      if (options.onUpgrade !== undefined) return options.onUpgrade(request, stream)
      wss.handleUpgrade(request, stream, head, (socket) => {
        sockets.add(socket)
        socket.on('error', () => undefined)
        socket.once('close', () => sockets.delete(socket))
        options.onSocket?.(socket, request)
      })
    },
  })
  return {
    ...upstream,
    received: () => upstream.received(),
    get open() {
      return upstream.open
    },
    upgrades,
    sockets,
  }
}
