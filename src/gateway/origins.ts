import { hash } from 'node:crypto'
import type { Socket } from 'node:net'
import type { RequestHead } from '../core/request.ts'
import type { Service } from '../services/service.ts'
import type { Protocol } from './arrival.ts'
import type { UpstreamBody } from './body.ts'
import { connector, NotConnected, type Connector } from './connect.ts'
import { CONNECTIONS_MAXIMUM, ORIGINS_MAXIMUM, type AnswerListener } from './dial.ts'
import type { Resolve } from './egress.ts'
import { ClientConnection, type ClientTimes } from './http1/client.ts'
import { Http2Pool } from './http2/pool.ts'

/** How long an unused connection is kept where the service does not say; most servers keep it for five seconds or more. */
export const IDLE_MILLISECONDS = 4_000
/** However long a service promises to keep a connection. */
export const IDLE_MAXIMUM_MILLISECONDS = 600_000
/** Taken off a service's promise: it counts from when it sent its answer. */
const IDLE_MARGIN_MILLISECONDS = 1_000

const trustIds = new WeakMap<Service, string>()

/** Tells the authorities of two services apart, so that no connection outlives the trust that allowed it. */
export function originKey(head: Pick<RequestHead, 'scheme' | 'host' | 'port'>, service: Service | null): string {
  return `${service?.id ?? ''} ${service?.endpoint ?? ''} ${trustId(service)} ${service?.http2 ?? false} ${head.scheme}://${head.host}:${head.port}`
}

function trustId(service: Service | null): string {
  if (service?.trust === undefined) return ''
  const known = trustIds.get(service)
  if (known !== undefined) return known
  const id = hash('sha256', service.trust, 'base64url')
  trustIds.set(service, id)
  return id
}

interface Waiting {
  readonly head: RequestHead
  readonly body: UpstreamBody
  readonly listener: AnswerListener
  abort: () => void
}

interface OriginOptions {
  readonly connect: Connector
  /** Offers HTTP/2 as well. */
  readonly connectHttp2: Connector
  readonly http2Only: boolean
  readonly times: ClientTimes
  readonly clock: { readonly now: number }
}

/** The connections to one origin. */
class Origin {
  readonly #connect: Connector
  readonly #times: ClientTimes
  readonly #clock: { readonly now: number }
  readonly #all = new Set<ClientConnection>()
  readonly #idle: { readonly connection: ClientConnection; readonly until: number }[] = []
  readonly #waiting: Waiting[] = []
  readonly #attempts = new Set<AbortController>()
  readonly #http2: Http2Pool
  /** Requests go over HTTP/2 whatever they came over. */
  readonly #http2Only: boolean
  #closed = false

  constructor(options: OriginOptions) {
    this.#connect = options.connect
    this.#times = options.times
    this.#clock = options.clock
    this.#http2Only = options.http2Only
    this.#http2 = new Http2Pool(options.connectHttp2, this.#http2Only, options.times, options.clock, {
      sendHttp1: (...request) => this.#sendHttp1(...request),
      adopt: (socket) => this.#adopt(socket),
    })
  }

  send(head: RequestHead, body: UpstreamBody, listener: AnswerListener, protocol: Protocol): { abort(): void } {
    return protocol === 'h2' || this.#http2Only
      ? this.#http2.send(head, body, listener)
      : this.#sendHttp1(head, body, listener)
  }

  #sendHttp1(head: RequestHead, body: UpstreamBody, listener: AnswerListener): { abort(): void } {
    const free = this.#takeIdle()
    if (free !== null) return free.send(head, body, listener)
    const request: Waiting = { head, body, listener, abort: () => this.#giveUp(request) }
    this.#waiting.push(request)
    this.#openFurther()
    return { abort: () => request.abort() }
  }

  /** Connections that nobody waits for any more are not opened: whoever comes and goes quickly must not leave them behind. */
  #giveUp(request: Waiting): void {
    const at = this.#waiting.indexOf(request)
    if (at < 0) return
    this.#waiting.splice(at, 1)
    const [attempt] = this.#attempts
    if (attempt === undefined || this.#attempts.size <= this.#waiting.length) return
    this.#attempts.delete(attempt)
    attempt.abort()
  }

  look(): void {
    this.#http2.look()
    for (const connection of this.#all) connection.look()
    for (let at = this.#idle.length - 1; at >= 0; at--) {
      const entry = this.#idle[at]
      if (entry === undefined || (entry.connection.idle && entry.until > this.#clock.now)) continue
      this.#idle.splice(at, 1)
      if (entry.connection.idle) entry.connection.destroy()
    }
  }

  get unused(): boolean {
    return (
      this.#all.size === this.#idle.length &&
      this.#attempts.size === 0 &&
      this.#waiting.length === 0 &&
      this.#http2.unused
    )
  }

  /** Lets go of what is unused; what is in use ends by itself, unless `now`. */
  close(now: boolean): void {
    this.#closed = true
    this.#http2.close(now)
    for (const connection of this.#all) if (now || connection.idle) connection.destroy()
    this.#idle.length = 0
  }

  #takeIdle(): ClientConnection | null {
    for (;;) {
      const entry = this.#idle.pop()
      if (entry === undefined) return null
      if (entry.connection.idle && entry.until > performance.now()) return entry.connection
      entry.connection.destroy()
    }
  }

  async #open(): Promise<void> {
    const attempt = new AbortController()
    this.#attempts.add(attempt)
    try {
      const socket = await this.#connect(attempt.signal)
      this.#attempts.delete(attempt)
      this.#adopt(socket)
    } catch (error) {
      this.#attempts.delete(attempt)
      if (attempt.signal.aborted) return this.#openFurther()
      const refusal = error instanceof NotConnected ? error.refusal : { refusal: 'upstream_broken' as const }
      const next = this.#waiting.shift()
      next?.listener.onFailure(refusal)
      this.#openFurther()
    }
  }

  #adopt(socket: Socket): void {
    const connection = new ClientConnection(
      socket,
      {
        free: (free, kept) => this.#free(free, kept),
        gone: (gone) => this.#gone(gone),
      },
      this.#times,
      this.#clock,
    )
    this.#all.add(connection)
    this.#free(connection, null)
  }

  #free(connection: ClientConnection, keptMilliseconds: number | null): void {
    const next = this.#waiting.shift()
    if (next !== undefined) {
      const { abort } = connection.send(next.head, next.body, next.listener)
      next.abort = abort
      return
    }
    if (this.#closed) return connection.destroy()
    const kept =
      keptMilliseconds === null
        ? IDLE_MILLISECONDS
        : Math.min(keptMilliseconds, IDLE_MAXIMUM_MILLISECONDS) - IDLE_MARGIN_MILLISECONDS
    if (kept > 0) this.#idle.push({ connection, until: performance.now() + kept })
    else connection.destroy()
  }

  #gone(connection: ClientConnection): void {
    this.#all.delete(connection)
    this.#openFurther()
  }

  /** Somebody may wait for a place that has come free. */
  #openFurther(): void {
    const opening = this.#attempts.size
    if (this.#waiting.length > opening && this.#all.size + opening < CONNECTIONS_MAXIMUM) void this.#open()
  }
}

/** Every origin with open connections, the one used longest ago first. */
export interface Origins {
  /** `protocol`: what the request came over. */
  send(
    head: RequestHead,
    body: UpstreamBody,
    service: Service | null,
    listener: AnswerListener,
    protocol: Protocol,
  ): { abort(): void }
  close(): void
}

export function createOrigins(options: { readonly resolve: Resolve; readonly times: ClientTimes }): Origins {
  const origins = new Map<string, Origin>()
  /** Forgotten, but still in use: they keep their times until they are over. */
  const leaving = new Set<Origin>()
  const clock = { now: performance.now() }
  const { headMilliseconds, bodyMilliseconds } = options.times
  const sweeper = setInterval(
    () => {
      clock.now = performance.now()
      for (const origin of origins.values()) origin.look()
      for (const origin of leaving) {
        origin.look()
        if (origin.unused) leaving.delete(origin)
      }
    },
    Math.max(10, Math.min(1_000, headMilliseconds / 4, bodyMilliseconds / 4)),
  )
  sweeper.unref()

  /** The last key of a service: most have one host, and writing the key anew costs more than finding its origin. */
  const keys = new WeakMap<
    Service,
    { readonly head: Pick<RequestHead, 'scheme' | 'host' | 'port'>; readonly key: string }
  >()

  function keyFor({ scheme, host, port }: RequestHead, service: Service | null): string {
    const known = service === null ? undefined : keys.get(service)
    if (known !== undefined && known.head.host === host && known.head.port === port && known.head.scheme === scheme)
      return known.key
    const head = { scheme, host, port }
    const key = originKey(head, service)
    if (service !== null) keys.set(service, { head, key })
    return key
  }

  function originFor(head: RequestHead, service: Service | null): Origin {
    const key = keyFor(head, service)
    const known = origins.get(key)
    if (known !== undefined) return known
    if (origins.size >= ORIGINS_MAXIMUM) makeRoom()
    const http2Only = service?.http2 ?? false
    const { resolve, times } = options
    const origin = new Origin({
      connect: connector(head, service, { resolve, protocols: ['http/1.1'] }),
      connectHttp2: connector(head, service, { resolve, protocols: http2Only ? ['h2'] : ['h2', 'http/1.1'] }),
      http2Only,
      times,
      clock,
    })
    origins.set(key, origin)
    return origin
  }

  /** The first that nobody uses goes; if all are in use, the oldest gives up what it does not need. */
  function makeRoom(): void {
    let oldest: string | null = null
    for (const [key, origin] of origins) {
      oldest ??= key
      if (!origin.unused) continue
      oldest = key
      break
    }
    const origin = oldest === null ? undefined : origins.get(oldest)
    if (oldest === null || origin === undefined) return
    origins.delete(oldest)
    origin.close(false)
    if (!origin.unused) leaving.add(origin)
  }

  return {
    send: (head, body, service, listener, protocol) => originFor(head, service).send(head, body, listener, protocol),
    close() {
      clearInterval(sweeper)
      for (const origin of [...origins.values(), ...leaving]) origin.close(true)
      origins.clear()
      leaving.clear()
    },
  }
}
