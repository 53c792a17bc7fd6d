import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { RequestHead } from '../../core/request.ts'
import type { UpstreamBody } from '../body.ts'
import { NotConnected, type Connector } from '../connect.ts'
import type { AnswerListener } from '../dial.ts'
import type { ClientTimes } from '../http1/client.ts'
import type { Refusal } from '../refusal.ts'
import { ClientSession } from './client.ts'

/** Connections to one origin; requests wait for room in them. */
export const SESSIONS_MAXIMUM_COUNT = 64
/** How long a connection without streams is kept; a service that wants it back sooner says so. */
export const SESSION_IDLE_MILLISECONDS = 30_000
/** How long it is remembered that an origin does not speak HTTP/2. */
export const HTTP1_REMEMBERED_MILLISECONDS = 600_000

type Request = readonly [head: RequestHead, body: UpstreamBody, listener: AnswerListener]

/** Where requests and connections go when the origin turns out not to speak HTTP/2. */
export interface Http1Way {
  sendHttp1(...request: Request): { abort(): void }
  adopt(socket: Socket): void
}

interface Waiting {
  readonly request: Request
  readonly since: number
  aborted: boolean
  abort: () => void
}

/**
 * The HTTP/2 connections to one origin: one, and a further one while it has no room. What the origin speaks
 * is settled by ALPN; without TLS, HTTP/2 is spoken only where the operator wrote down that it is (`required`).
 */
export class Http2Pool {
  readonly #connect: Connector
  readonly #required: boolean
  readonly #times: ClientTimes
  readonly #clock: { readonly now: number }
  readonly #otherwise: Http1Way
  readonly #sessions = new Set<ClientSession>()
  readonly #waiting: Waiting[] = []
  #opening = false
  #http1Until = 0

  constructor(
    connect: Connector,
    required: boolean,
    times: ClientTimes,
    clock: { readonly now: number },
    otherwise: Http1Way,
  ) {
    this.#connect = connect
    this.#required = required
    this.#times = times
    this.#clock = clock
    this.#otherwise = otherwise
  }

  send(...request: Request): { abort(): void } {
    for (const session of this.#sessions) if (session.hasRoom) return session.send(...request)
    if (this.#http1Until > this.#clock.now) return this.#otherwise.sendHttp1(...request)
    const waiting: Waiting = {
      request,
      since: this.#clock.now,
      aborted: false,
      abort: () => void (waiting.aborted = true),
    }
    this.#waiting.push(waiting)
    this.#openFurther()
    return { abort: () => waiting.abort() }
  }

  look(): void {
    const latest = this.#clock.now - this.#times.headMilliseconds
    while ((this.#waiting[0]?.since ?? latest) < latest) {
      const late = this.#waiting.shift()
      if (late?.aborted === false) late.request[2].onFailure({ refusal: 'upstream_timeout' })
    }
    for (const session of this.#sessions) {
      session.look()
      if (session.idle && this.#clock.now - session.idleSince > SESSION_IDLE_MILLISECONDS) session.destroy()
    }
  }

  get unused(): boolean {
    if (this.#opening || this.#waiting.length > 0) return false
    for (const session of this.#sessions) if (!session.idle) return false
    return true
  }

  close(now: boolean): void {
    for (const session of this.#sessions) if (now || session.idle) session.destroy()
  }

  /** A connection that has not said how much it takes may have room yet. */
  #openFurther(): void {
    for (const session of this.#sessions) if (session.usable && !session.settled) return
    if (!this.#opening && this.#sessions.size < SESSIONS_MAXIMUM_COUNT) void this.#open()
  }

  async #open(): Promise<void> {
    this.#opening = true
    let refusal: Refusal | null = null
    try {
      this.#begin(await this.#connect())
    } catch (error) {
      refusal = error instanceof NotConnected ? error.refusal : { refusal: 'upstream_broken' }
    }
    this.#opening = false
    if (refusal !== null) for (const { request } of this.#takeAll()) request[2].onFailure(refusal)
    else this.#serve()
  }

  #begin(socket: Socket): void {
    const spoken = socket instanceof TLSSocket ? socket.alpnProtocol : this.#required ? 'h2' : null
    if (spoken === 'h2') {
      const host = { room: () => this.#serve(), gone: (gone: ClientSession) => this.#gone(gone) }
      this.#sessions.add(new ClientSession(socket, host, this.#times, this.#clock))
    } else if (this.#required) {
      socket.destroy()
      throw new NotConnected({ refusal: 'upstream_broken', detail: 'The service does not speak HTTP/2.' })
    } else {
      this.#http1Until = this.#clock.now + HTTP1_REMEMBERED_MILLISECONDS
      this.#otherwise.adopt(socket)
      for (const waiting of this.#takeAll()) waiting.abort = this.#otherwise.sendHttp1(...waiting.request).abort
    }
  }

  /** Whoever waits goes where there is room; another connection is opened for those who still wait. */
  #serve(): void {
    while (this.#waiting.length > 0) {
      const session = [...this.#sessions].find(({ hasRoom }) => hasRoom)
      if (session === undefined) return void this.#openFurther()
      const next = this.#waiting.shift()
      if (next !== undefined && !next.aborted) next.abort = session.send(...next.request).abort
    }
  }

  #gone(session: ClientSession): void {
    this.#sessions.delete(session)
    this.#serve()
  }

  #takeAll(): Waiting[] {
    return this.#waiting.splice(0).filter(({ aborted }) => !aborted)
  }
}
