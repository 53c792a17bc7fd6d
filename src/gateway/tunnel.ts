import { connect as connectTcp, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseAuthority } from '../core/canonical-target.ts'
import type { HeaderPair } from '../core/request.ts'
import { scrubText } from '../core/scrub.ts'
import type { Peer } from '../identity/peer.ts'
import type { Caller } from '../identity/sessions.ts'
import type { Tunnel } from './arrival.ts'
import { CONNECT_TIMEOUT_MILLISECONDS } from './connect.ts'
import { checkedAddress, type Resolve } from './egress.ts'
import type { ExchangePorts } from './exchange.ts'
import { recordRefusal } from './record.ts'
import { identifyProxy } from './identify.ts'
import { INFLIGHT_MAXIMUM, SESSION_INFLIGHT_MAXIMUM } from './inflight.ts'
import { isRefusal, refusalFrom, refusedTo, type Refusal } from './refusal.ts'
import { tellAndClose } from './refuse-connection.ts'
import { unlistedRefusal } from './unlisted.ts'
import { readServerName, type HelloReading } from './server-name.ts'

export const CONNECTED = 'HTTP/1.1 200 Connection Established\r\n\r\n'
/** A ClientHello arrives at once or not at all. */
export const HELLO_TIMEOUT_MILLISECONDS = 10_000
/** A tunnel on which nothing moves. */
export const TUNNEL_IDLE_MILLISECONDS = 30 * 60_000

/** What becomes of a CONNECT. */
export type TunnelPlan =
  /** Keyward opens it: TLS with a leaf for the host, or plain HTTP, each request judged on its own. */
  | { readonly kind: 'open'; readonly tunnel: Tunnel }
  /** TLS to a host without a service: bytes pass, the name inside must be the name outside. */
  | { readonly kind: 'pass'; readonly caller: Caller; readonly host: string; readonly port: number }

/** Identify and locate for a CONNECT, before any byte is dialled. */
export function planTunnel(
  authority: string,
  headers: readonly HeaderPair[],
  early: number,
  ports: ExchangePorts,
): TunnelPlan | Refusal {
  if (early > 0) return { refusal: 'request_malformed', detail: 'Bytes arrived before the tunnel was open.' }
  if (ports.inflight.size >= INFLIGHT_MAXIMUM) return { refusal: 'overloaded', retryAfterSeconds: 1 }
  const parsed = parseAuthority(authority)
  if (isRefusal(parsed)) return parsed
  const { host, port } = parsed
  if (port === null) return { refusal: 'request_malformed', detail: 'CONNECT needs a port.' }
  const caller = identifyProxy(headers, ports.sessions)
  if (isRefusal(caller)) return caller
  if (ports.inflight.countOf(caller.sessionId) >= SESSION_INFLIGHT_MAXIMUM)
    return refusedTo(caller, { refusal: 'overloaded', retryAfterSeconds: 1 })
  if (ports.ownAuthority(host, port)) return refusedTo(caller, { refusal: 'loop_refused' })
  if (port === 80) return { kind: 'open', tunnel: { caller, host, port, scheme: 'http' } }
  if (ports.guarded.at(caller.environment, host).length > 0) {
    if (port !== 443) return refusedTo(caller, { refusal: 'port_refused', detail: 'Services are reached on port 443.' })
    return { kind: 'open', tunnel: { caller, host, port, scheme: 'https' } }
  }
  const refusal = unlistedRefusal({ caller, head: { host, port } }, ports)
  return refusal === null ? { kind: 'pass', caller, host, port } : refusedTo(caller, refusal)
}

/**
 * Passes the bytes of a tunnel to a host without a service, once the ClientHello has named that very
 * host: what the journal says is where it goes. Resolves when the tunnel has ended.
 */
export async function passTunnel(
  client: Duplex,
  plan: Extract<TunnelPlan, { kind: 'pass' }>,
  remote: Peer,
  resolve: Resolve,
  ports: ExchangePorts,
): Promise<void> {
  const { caller, host, port } = plan
  const id = ports.newId()
  const facts = {
    exchange: id,
    door: 'tunnel',
    agent: caller.agent,
    session: caller.sessionId,
    environment: caller.environment,
    host: scrubText(ports.needles.of('', null), host).text,
    port,
    ...ports.peers.factsOf(caller, remote),
  }
  const remove = ports.inflight.add({
    sessionId: caller.sessionId,
    agentId: caller.agentId,
    narrowed: caller.narrowed,
    credentialId: null,
    end: () => void client.destroy(),
  })
  try {
    const address = await checkedAddress(host, resolve).catch((): Refusal => ({ refusal: 'upstream_unreachable' }))
    if (isRefusal(address)) {
      return tellAndClose(client, await recordRefusal(refusedTo(caller, address), facts, ports))
    }
    const used = await Promise.resolve(ports.sessions.narrowings.use(caller)).catch(refusalFrom)
    if (used !== null) return tellAndClose(client, await recordRefusal(refusedTo(caller, used), facts, ports))
    try {
      await ports.journal.append({ kind: 'egress', ...facts })
    } catch (error) {
      return tellAndClose(client, refusalFrom(error))
    }
    client.write(CONNECTED)
    const hello = await readHello(client)
    if (hello === null || hello.serverName !== host) {
      client.destroy()
      await recordRefusal(refusedTo(caller, { refusal: 'host_mismatch' }), facts, ports)
      return
    }
    const startedAt = ports.now()
    const carried = await pipeBoth(client, address.address, port, hello.bytes)
    const end =
      carried === null ? { outcome: 'refused', code: 'upstream_unreachable' } : { outcome: 'answered', ...carried }
    ports.journal.note({ kind: 'outcome', ...facts, ...end, latencyMilliseconds: ports.now() - startedAt })
  } finally {
    remove()
    client.destroy()
  }
}

interface Hello {
  readonly serverName: string | null
  readonly bytes: Buffer
}

/** The first bytes of the client up to its whole ClientHello; null when they are none or come too slowly. */
function readHello(client: Duplex): Promise<Hello | null> {
  return new Promise((done) => {
    let bytes: Buffer = Buffer.alloc(0)
    const timer = setTimeout(() => finish(null), HELLO_TIMEOUT_MILLISECONDS)
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk])
      const reading: HelloReading = readServerName(bytes)
      if (reading.state === 'more') return
      finish(reading.state === 'read' ? { serverName: reading.serverName, bytes } : null)
    }
    const onClose = (): void => finish(null)
    function finish(hello: Hello | null): void {
      clearTimeout(timer)
      client.removeListener('data', onData)
      client.removeListener('close', onClose)
      client.pause()
      done(hello)
    }
    client.on('data', onData)
    client.once('close', onClose)
    client.resume()
  })
}

/** Carries bytes both ways until both sides have ended, and gives what was carried; null: the host could not be reached. */
async function pipeBoth(
  client: Duplex,
  address: string,
  port: number,
  first: Buffer,
): Promise<{ bytesUp: number; bytesDown: number } | null> {
  const upstream = connectTcp({ host: address, port, allowHalfOpen: true })
  upstream.on('error', () => upstream.destroy())
  if (!(await isConnected(upstream))) {
    client.destroy()
    return null
  }
  for (const socket of [client, upstream])
    if (socket instanceof Socket) socket.setTimeout(TUNNEL_IDLE_MILLISECONDS, () => socket.destroy())
  upstream.write(first)
  // Each direction ends by itself: what is still on its way to a slow reader arrives before its socket closes.
  await Promise.allSettled([pipeline(client, upstream), pipeline(upstream, client)])
  upstream.destroy()
  return { bytesUp: upstream.bytesWritten, bytesDown: upstream.bytesRead }
}

function isConnected(socket: Socket): Promise<boolean> {
  return new Promise((done) => {
    const timer = setTimeout(() => socket.destroy(), CONNECT_TIMEOUT_MILLISECONDS)
    socket.once('connect', () => {
      clearTimeout(timer)
      done(true)
    })
    socket.once('close', () => {
      clearTimeout(timer)
      done(false)
    })
  })
}
