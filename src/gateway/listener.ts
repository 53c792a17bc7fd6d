import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAuthority } from '../core/canonical-target.ts'
import { KeywardError } from '../core/errors.ts'
import { scrubText } from '../core/scrub.ts'
import type { Peer } from '../identity/peer.ts'
import type { Caller } from '../identity/sessions.ts'
import type { Arrival } from './arrival.ts'
import type { Authority } from './certificates.ts'
import type { Codec, Connection, Front } from './codec.ts'
import type { CodecChoice } from './dialler.ts'
import type { Resolve } from './egress.ts'
import { exchange, type ExchangePorts } from './exchange.ts'
import { createHttp1Codec } from './http1/server.ts'
import { createHttp2Codec } from './http2/server.ts'
import { proxyToken } from './identify.ts'
import { createNodeCodec } from './node-codec.ts'
import { answerNarrowed, isNarrowedDoor, type NarrowedPorts } from './narrowed-door.ts'
import { remoteOf } from './peer-gate.ts'
import { recordRefusal } from './record.ts'
import { isRefusal, refusedTo, sendRefusal, type Refusal } from './refusal.ts'
import { tellAndClose } from './refuse-connection.ts'
import type { Reply } from './reply.ts'
import { openTunnel } from './open-tunnel.ts'
import { passTunnel, planTunnel, type TunnelPlan } from './tunnel.ts'
import { upgradeRefusal, WEBSOCKET } from './websocket/handshake.ts'

/** How often it is looked whether the last exchange has ended. */
const DRAIN_LOOK_MILLISECONDS = 20
/** Sockets open at once on the gateway port. */
export const SOCKETS_MAXIMUM = 20_000

export interface Gateway {
  /** `host:port` as bound. */
  readonly address: string
  /** Takes no new connections, gives the exchanges that are open so long to end, and then ends all. */
  close(graceMilliseconds: number): Promise<void>
}

export interface GatewayOptions {
  readonly host: string
  readonly port: number
  /** A Unix socket on which the same doors stand open, for agents without a network. */
  readonly socketPath: string | null
  readonly authority: Authority
  readonly resolve: Resolve
  readonly ports: Omit<ExchangePorts, 'ownAuthority'> & Pick<NarrowedPorts, 'registerNarrowed'>
  readonly codec?: CodecChoice
  /** Told of errors that nobody expected; never shown to the agent. */
  readonly onError: (error: unknown) => string
}

/** Opens the gateway port: base URL, absolute form and CONNECT on one listener. */
export async function listenGateway(options: GatewayOptions): Promise<Gateway> {
  const sockets = new Set<Socket>()
  let ownPort = options.port
  const ports: ExchangePorts & NarrowedPorts = {
    ...options.ports,
    ownAuthority: (host, port) =>
      port === ownPort && (host === options.host || host === 'localhost' || host === '127.0.0.1' || host === '::1'),
  }

  const front: Front = {
    request(arrival, body, reply) {
      const refusal = protocolRefusal(arrival, reply)
      if (refusal !== null) {
        void recordHere(arrival, refusal).then((told) => sendRefusal(reply, told))
        return
      }
      const answering = isNarrowedDoor(arrival)
        ? answerNarrowed(arrival, body, reply, ports)
        : exchange(arrival, body, reply, ports)
      answering.catch((error: unknown) => {
        sendRefusal(reply, { refusal: 'internal', detail: `Reference ${options.onError(error)}.` })
      })
    },
    connect,
    malformed: (connection, refusal) => recordHere(connection, refusal),
    preface: (connection) => http2.serve(connection),
  }
  const http2 = createHttp2Codec(front)
  const http1: Codec = options.codec === 'library' ? createNodeCodec(front) : createHttp1Codec(front)

  /** Writes down a refusal that no exchange has seen, with the caller whose tunnel it came through. */
  function recordHere({ peer, tunnel }: Pick<Connection, 'peer' | 'tunnel'>, refusal: Refusal): Promise<Refusal> {
    const facts = { peer, ...(tunnel === null ? {} : { door: 'tunnel', host: tunnel.host }) }
    return recordRefusal(tunnel === null ? refusal : refusedTo(tunnel.caller, refusal), facts, ports)
  }

  function connect(arrival: Arrival, connection: Connection, early: Uint8Array): void {
    const { stream, remote } = connection
    if (connection.tunnel !== null) {
      void recordHere(connection, { refusal: 'method_refused' }).then((told) => tellAndClose(stream, told))
      return
    }
    const plan = planTunnel(arrival.rawTarget, arrival.headers, early.byteLength, ports)
    const elsewhere = isRefusal(plan) ? plan : whyNot(callerOf(plan), arrival, remote)
    if (!(elsewhere instanceof Promise)) return settle(arrival, connection, elsewhere ?? plan)
    void elsewhere.then((refusal) => {
      // Looking took its time: what was true before is asked again.
      const waiting = early.byteLength + stream.readableLength
      if (!stream.destroyed)
        settle(arrival, connection, refusal ?? planTunnel(arrival.rawTarget, arrival.headers, waiting, ports))
    })
  }

  /** Whether a caller may open a tunnel from where he is, and with the key that his session is bound to. */
  function whyNot(caller: Caller, arrival: Arrival, remote: Peer): Refusal | null | Promise<Refusal | null> {
    const elsewhere = ports.peers.refusalOf(caller, remote)
    if (caller.jkt === null) return elsewhere
    return Promise.resolve(elsewhere).then(
      (refusal) => refusal ?? ports.proofs.refusalOf(caller, arrival, proxyToken(arrival.headers) ?? ''),
    )
  }

  function settle(arrival: Arrival, connection: Connection, plan: TunnelPlan | Refusal): void {
    const { stream, peer, remote } = connection
    if (isRefusal(plan)) {
      const asked = parseAuthority(arrival.rawTarget)
      const where = isRefusal(asked)
        ? {}
        : {
            host: scrubText(ports.needles.of('', null), asked.host).text,
            ...(asked.port === null ? {} : { port: asked.port }),
          }
      const facts = { door: 'tunnel', peer, method: 'CONNECT', ...where }
      void recordRefusal(plan, facts, ports).then((refusal) => tellAndClose(stream, refusal))
      return
    }
    if (plan.kind === 'open') return openTunnel(connection, plan.tunnel, options.authority, { http1, http2 }, ports)
    passTunnel(stream, plan, remote, options.resolve, ports).catch((error: unknown) => {
      options.onError(error)
      stream.destroy()
    })
  }

  function onSocket(socket: Socket): void {
    // Without a listener of its own a reset would end the process.
    socket.on('error', () => socket.destroy())
    if (sockets.size >= SOCKETS_MAXIMUM) {
      socket.destroy()
      return
    }
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    const remote = remoteOf(socket)
    http1.serve({ stream: socket, peer: remote.address, remote, tunnel: null })
  }

  const servers: Server[] = []
  async function close(graceMilliseconds: number): Promise<void> {
    const closed = servers.map((server) => new Promise<void>((done) => server.close(() => done())))
    const until = performance.now() + graceMilliseconds
    while (ports.inflight.exchanges > 0 && performance.now() < until) await sleep(DRAIN_LOOK_MILLISECONDS)
    for (const socket of sockets) socket.destroy()
    http1.close()
    http2.close()
    await Promise.all(closed)
  }
  // Half-open: what is still on its way to a client that has said its last word is not cut off.
  const door = (): Server => createServer({ allowHalfOpen: true, noDelay: true }, onSocket)
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
      await close(0)
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

function callerOf(plan: TunnelPlan): Caller {
  return plan.kind === 'open' ? plan.tunnel.caller : plan.caller
}

/** What asks for another protocol than the one that is spoken here. */
function protocolRefusal(arrival: Arrival, reply: Reply): Refusal | null {
  const { upgrade, headers } = arrival
  if (upgrade === WEBSOCKET) return upgradeRefusal(arrival, reply)
  // RFC 9110 section 7.8: an upgrade may be ignored; h2c is offered by clients that go on well without.
  if (upgrade !== null && upgrade !== 'h2c') return { refusal: 'upgrade_refused' }
  const expectation = headers.find(([name]) => name === 'expect')?.[1]
  if (expectation !== undefined && !/^100-continue$/i.test(expectation))
    return { refusal: 'request_malformed', detail: 'The only expectation is 100-continue.' }
  return null
}
