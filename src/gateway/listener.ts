import { rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { parseAuthority } from '../core/canonical-target.ts'
import { KeywardError } from '../core/errors.ts'
import { scrubText } from '../core/scrub.ts'
import type { Tunnel } from './arrival.ts'
import type { Authority } from './certificates.ts'
import type { Resolve } from './egress.ts'
import { exchange, type ExchangePorts } from './exchange.ts'
import { recordRefusal } from './record.ts'
import { arrivalOf, bodyOf, pairsOf, replyTo } from './node-codec.ts'
import { isRefusal, refusedTo, sendRefusal, type Refusal } from './refusal.ts'
import { CONNECTED, passTunnel, planTunnel, refuseTunnel, TUNNEL_IDLE_MILLISECONDS, type TunnelPlan } from './tunnel.ts'

/** All headers of a request together. */
export const REQUEST_HEADERS_MAXIMUM_BYTES = 64 * 1024
export const REQUEST_HEADERS_MAXIMUM_COUNT = 200
/** From the first byte of a request to the end of its headers. */
export const REQUEST_HEADERS_TIMEOUT_MILLISECONDS = 30_000
export const KEEP_ALIVE_MILLISECONDS = 75_000
/** A connection on which nothing moves in either direction: longer than any service is waited for. */
export const SILENCE_MILLISECONDS = 15 * 60_000
/** Sockets open at once on the gateway port. */
export const SOCKETS_MAXIMUM = 20_000

export interface Gateway {
  /** `host:port` as bound. */
  readonly address: string
  close(): Promise<void>
}

export interface GatewayOptions {
  readonly host: string
  readonly port: number
  /** A Unix socket on which the same doors stand open, for agents without a network. */
  readonly socketPath: string | null
  readonly authority: Authority
  readonly resolve: Resolve
  readonly ports: Omit<ExchangePorts, 'ownAuthority'>
  /** Told of errors that nobody expected; never shown to the agent. */
  readonly onError: (error: unknown) => string
}

/** Opens the gateway port: base URL, absolute form and CONNECT on one listener. */
export async function listenGateway(options: GatewayOptions): Promise<Gateway> {
  const sockets = new Set<Duplex>()
  const tunnels = new WeakMap<object, Tunnel>()
  /** Answers that are not complete, by connection. */
  const answering = new WeakMap<Duplex, number>()
  let ownPort = options.port
  const ports: ExchangePorts = {
    ...options.ports,
    ownAuthority: (host, port) =>
      port === ownPort && (host === options.host || host === 'localhost' || host === '127.0.0.1' || host === '::1'),
  }

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    const tunnel = tunnels.get(request.socket) ?? null
    const reply = replyTo(request, response)
    const { socket } = request
    answering.set(socket, (answering.get(socket) ?? 0) + 1)
    response.once('close', () => answering.set(socket, (answering.get(socket) ?? 1) - 1))
    const refusal = protocolRefusal(request)
    if (refusal !== null) {
      void recordHere(socket, refusal).then((told) => sendRefusal(reply, told))
      return
    }
    exchange(arrivalOf(request, tunnel), bodyOf(request), reply, ports).catch((error: unknown) => {
      sendRefusal(reply, { refusal: 'internal', detail: `Reference ${options.onError(error)}.` })
    })
  }

  /** Writes down a refusal that no exchange has seen, with the caller whose tunnel it came through. */
  function recordHere(socket: Duplex, refusal: Refusal): Promise<Refusal> {
    const tunnel = tunnels.get(socket)
    const facts = {
      peer: (socket instanceof Socket ? socket.remoteAddress : undefined) ?? '',
      ...(tunnel === undefined ? {} : { door: 'tunnel', host: tunnel.host }),
    }
    return recordRefusal(tunnel === undefined ? refusal : refusedTo(tunnel.caller, refusal), facts, ports)
  }

  /** What llhttp refuses never becomes a request: answered once, and the connection is closed. */
  function onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy()
      return
    }
    const busy = (answering.get(socket) ?? 0) > 0
    void recordHere(socket, {
      refusal: error.code === 'HPE_HEADER_OVERFLOW' ? 'request_too_large' : 'request_malformed',
    }).then((told) => {
      // In the middle of another answer these bytes would be taken for a part of it.
      if (busy) socket.destroy()
      else refuseTunnel(socket, told)
    })
  }

  const settings = {
    maxHeaderSize: REQUEST_HEADERS_MAXIMUM_BYTES,
    headersTimeout: REQUEST_HEADERS_TIMEOUT_MILLISECONDS,
    keepAliveTimeout: KEEP_ALIVE_MILLISECONDS,
    // A long upload or a streamed answer may take as long as it takes; silence is bounded by the dialler.
    requestTimeout: 0,
    // Refused by the exchange instead, which tells why.
    requireHostHeader: false,
    insecureHTTPParser: false,
    noDelay: true,
  }
  /**
   * Every door is a server of this kind. What comes out of a tunnel is handed to the listening one again,
   * because Node bounds the time of heads only on servers that listen.
   */
  function door(): Server {
    const server = createServer(settings, onRequest)
    server.maxHeadersCount = REQUEST_HEADERS_MAXIMUM_COUNT
    server.timeout = SILENCE_MILLISECONDS
    server.on('clientError', onClientError)
    server.on('checkExpectation', onRequest)
    server.on('connection', track)
    server.on('connect', onConnect)
    return server
  }

  function onConnect(request: IncomingMessage, socket: Duplex, early: Buffer): void {
    if (tunnels.has(request.socket)) {
      void recordHere(socket, { refusal: 'method_refused' }).then((told) => refuseTunnel(socket, told))
      return
    }
    const plan = planTunnel(request.url ?? '', pairsOf(request.rawHeaders), early.byteLength, ports)
    if (isRefusal(plan)) {
      const asked = parseAuthority(request.url ?? '')
      const where = isRefusal(asked)
        ? {}
        : {
            host: scrubText(ports.needles.of('', null), asked.host).text,
            ...(asked.port === null ? {} : { port: asked.port }),
          }
      const facts = { door: 'tunnel', peer: request.socket.remoteAddress ?? '', method: 'CONNECT', ...where }
      void recordRefusal(plan, facts, ports).then((refusal) => refuseTunnel(socket, refusal))
      return
    }
    openTunnel(socket, plan)
  }

  function openTunnel(socket: Duplex, plan: TunnelPlan): void {
    if (!(socket instanceof Socket)) return
    if (plan.kind === 'pass') {
      passTunnel(socket, plan, options.resolve, ports).catch((error: unknown) => {
        options.onError(error)
        socket.destroy()
      })
      return
    }
    const { tunnel } = plan
    const remove = ports.inflight.add({
      sessionId: tunnel.caller.sessionId,
      agentId: tunnel.caller.agentId,
      credentialId: null,
      end: () => void socket.destroy(),
    })
    socket.once('close', remove)
    socket.setTimeout(TUNNEL_IDLE_MILLISECONDS, () => socket.destroy())
    socket.write(CONNECTED)
    if (tunnel.scheme === 'http') {
      tunnels.set(socket, tunnel)
      outer.emit('connection', socket)
      return
    }
    const secure = new TLSSocket(socket, {
      isServer: true,
      secureContext: options.authority.contextFor(tunnel.host),
      ALPNProtocols: ['http/1.1'],
      SNICallback: (name, done) => {
        const same = name.toLowerCase().replace(/\.$/, '') === tunnel.host
        if (same) return done(null, options.authority.contextFor(tunnel.host))
        const refusal = refusedTo(tunnel.caller, { refusal: 'host_mismatch' })
        void recordRefusal(refusal, { door: 'tunnel', host: tunnel.host }, ports).then(() =>
          done(new KeywardError('host_mismatch')),
        )
      },
    })
    secure.on('error', () => socket.destroy())
    tunnels.set(secure, tunnel)
    outer.emit('connection', secure)
  }

  function track(socket: Duplex): void {
    // The inside of a tunnel: its connection is counted already.
    if (tunnels.has(socket)) return
    // Node takes its own listener away when it hands a socket over (CONNECT); without one a reset would end the process.
    socket.on('error', () => socket.destroy())
    if (sockets.size >= SOCKETS_MAXIMUM) {
      socket.destroy()
      return
    }
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  }

  const servers: Server[] = []
  async function close(): Promise<void> {
    const closed = servers.map((server) => new Promise<void>((done) => server.close(() => done())))
    for (const socket of sockets) socket.destroy()
    await Promise.all(closed)
  }
  const outer = door()
  await bind(outer, { host: options.host, port: options.port })
  servers.push(outer)
  const bound = outer.address()
  if (bound !== null && typeof bound === 'object') ownPort = bound.port
  if (options.socketPath !== null) {
    const path = options.socketPath
    const twin = door()
    // The home is locked by this process, so whoever left a socket here is dead.
    rmSync(path, { force: true })
    await bind(twin, { path }).catch(async (error: unknown) => {
      await close()
      throw error
    })
    servers.push(twin)
  }

  return {
    address: `${options.host.includes(':') ? `[${options.host}]` : options.host}:${ownPort}`,
    close,
  }
}

function bind(server: Server, where: { host: string; port: number } | { path: string }): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const place = 'path' in where ? where.path : `${where.host}:${where.port}`
      fail(error.code === 'EADDRINUSE' ? new KeywardError('port_in_use', `${place} is taken.`) : error)
    })
    server.listen(where, () => done())
  })
}

/** What asks for another protocol than the one that is spoken here. */
function protocolRefusal({ headers }: IncomingMessage): Refusal | null {
  if (headers.upgrade !== undefined && !/^h2c$/i.test(headers.upgrade)) return { refusal: 'upgrade_refused' }
  if (headers.expect !== undefined && !/^100-continue$/i.test(headers.expect))
    return { refusal: 'request_malformed', detail: 'The only expectation is 100-continue.' }
  return null
}
