import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer } from 'node:tls'
import type { Leaf } from '../../fakes/authority.ts'

/** A request as the service behind the gateway got it. */
export interface Got {
  readonly method: string
  readonly target: string
  /** Names as on the wire, in order. */
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export interface Upstream {
  /** `http://127.0.0.1:PORT`, or `https://…` with a leaf. */
  readonly origin: string
  readonly port: number
  /** Requests in the order in which they arrived, complete ones only. */
  readonly got: Got[]
  /** Every byte that arrived, decrypted. */
  received(): Buffer
  /** Connections that are open now. */
  readonly open: number
  close(): Promise<void>
}

export type Handler = (request: IncomingMessage, response: ServerResponse, got: Got) => void

/** Whether the handler waits for the body: one that answers early is told at once, with an empty body. */
export interface UpstreamOptions {
  readonly leaf?: Leaf
  readonly early?: boolean
  /** Takes connections over that ask for another protocol. */
  readonly onUpgrade?: (request: IncomingMessage, stream: Duplex, head: Buffer) => void
}

/** A service on loopback that answers with `handler`. */
export function startUpstream(handler: Handler, options: UpstreamOptions = {}): Promise<Upstream> {
  const got: Got[] = []
  const http = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    response.on('error', () => undefined)
    const pieces: Buffer[] = []
    const facts = () => ({
      method: request.method ?? '',
      target: request.url ?? '',
      rawHeaders: request.rawHeaders,
      headers: request.headers,
      body: Buffer.concat(pieces),
    })
    if (options.early === true) {
      got.push(facts())
      handler(request, response, facts())
      return
    }
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      const one = facts()
      got.push(one)
      handler(request, response, one)
    })
    request.on('error', () => undefined)
  })
  if (options.onUpgrade !== undefined) http.on('upgrade', options.onUpgrade)
  http.on('clientError', (_error, socket) => socket.destroy())
  return serve(got, options.leaf, (socket) => void http.emit('connection', socket))
}

/** A service that speaks raw bytes: `talk` is told of each connection, and writes what it likes. */
export function startRawUpstream(talk: (socket: Socket) => void, leaf?: Leaf): Promise<Upstream> {
  return serve([], leaf, talk)
}

async function serve(got: Got[], leaf: Leaf | undefined, talk: (socket: Socket) => void): Promise<Upstream> {
  const received: Buffer[] = []
  const sockets = new Set<Socket>()
  const onSocket = (socket: Socket): void => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    talk(socket)
    // After the codec has taken the socket: a listener from before would be passed by.
    socket.on('data', (chunk: Buffer) => received.push(chunk))
  }
  const server: Server =
    leaf === undefined ? createTcpServer(onSocket) : createTlsServer({ ...leaf, ALPNProtocols: ['http/1.1'] }, onSocket)
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the upstream has no port')
  return {
    origin: `${leaf === undefined ? 'http' : 'https'}://127.0.0.1:${address.port}`,
    port: address.port,
    got,
    received: () => Buffer.concat(received),
    get open() {
      return sockets.size
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((done) => server.close(() => done()))
    },
  }
}

/** Answers with these bytes, whatever was asked. */
export function always(status: number, headers: Readonly<Record<string, string>>, body: string | Uint8Array): Handler {
  return (_request, response) => {
    response.writeHead(status, headers)
    response.end(body)
  }
}
