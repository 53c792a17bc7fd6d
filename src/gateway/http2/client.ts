import {
  connect,
  constants,
  sensitiveHeaders,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { HeaderPair, RequestHead } from '../../core/request.ts'
import type { RequestBody, UpstreamBody } from '../body.ts'
import type { AnswerListener, Flow } from '../dial.ts'
import { INTERIM_MAXIMUM_COUNT, type ClientTimes } from '../http1/client.ts'
import { HEAD_MAXIMUM_BYTES, HEADERS_MAXIMUM_COUNT } from '../http1/head.ts'
import type { Refusal } from '../refusal.ts'
import { flatFields, isDoubled, readFields } from './fields.ts'
import { FloodGauge } from './flood.ts'
import { frameType, type Frame } from './frames.ts'
import { INVALID_FRAMES_MAXIMUM_COUNT, SESSION_MEMORY_MAXIMUM_MEBIBYTES, STREAM_WINDOW_BYTES } from './server.ts'
import { Tap } from './tap.ts'

/** Streams that one connection to a service carries, however many it offers. */
export const UPSTREAM_STREAMS_MAXIMUM_COUNT = 100
/** The same until the service has said how many it takes; what is too many would be refused. */
export const STREAMS_BEFORE_SETTINGS_MAXIMUM_COUNT = 8
/** Until the kernel asks a silent service whether it is still there. */
const KEEP_ALIVE_PROBE_MILLISECONDS = 15_000

const broken: Refusal = { refusal: 'upstream_broken' }

const options = {
  maxHeaderListPairs: HEADERS_MAXIMUM_COUNT,
  maxSessionMemory: SESSION_MEMORY_MAXIMUM_MEBIBYTES,
  maxSessionInvalidFrames: INVALID_FRAMES_MAXIMUM_COUNT,
  peerMaxConcurrentStreams: UPSTREAM_STREAMS_MAXIMUM_COUNT,
  settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES, maxHeaderListSize: HEAD_MAXIMUM_BYTES },
}

export interface ClientSessionHost {
  /** A stream has ended, so that there is room for another. */
  room(session: ClientSession): void
  gone(session: ClientSession): void
}

/** One connection to a service that speaks HTTP/2, with as many requests at once as both sides allow. */
export class ClientSession {
  /** Since when it has been without a stream; in the host's time. */
  idleSince: number
  readonly #session: ClientHttp2Session
  readonly #host: ClientSessionHost
  readonly #times: ClientTimes
  readonly #clock: { readonly now: number }
  readonly #open = new Set<ClientExchange>()
  /** Streams that the service has broken off: the library may show them as ended. */
  readonly #resets = new Set<number>()
  readonly #gauge: FloodGauge
  /** Until the service has said how many it takes. */
  #streamsMaximum = STREAMS_BEFORE_SETTINGS_MAXIMUM_COUNT
  /** Whether it has. */
  settled = false
  #retired = false

  constructor(socket: Socket, host: ClientSessionHost, times: ClientTimes, clock: { readonly now: number }) {
    this.#host = host
    this.#times = times
    this.#clock = clock
    this.idleSince = clock.now
    this.#gauge = new FloodGauge(performance.now())
    socket.setKeepAlive(true, KEEP_ALIVE_PROBE_MILLISECONDS)
    const listener = {
      wanted: () => !this.#session.destroyed,
      stranger: () => this.destroy(),
      received: this.#onReceived,
      sent: (frame: Frame) => this.#gauge.sent(frame),
    }
    const tap = new Tap(socket, listener, 'client')
    // The name is not used: every request brings its own authority.
    this.#session = connect('https://service.invalid', { ...options, createConnection: () => tap })
    this.#session.on('error', () => this.destroy())
    this.#session.on('remoteSettings', ({ maxConcurrentStreams = UPSTREAM_STREAMS_MAXIMUM_COUNT }) => {
      this.settled = true
      this.#streamsMaximum = Math.min(UPSTREAM_STREAMS_MAXIMUM_COUNT, maxConcurrentStreams)
      host.room(this)
    })
    // RFC 9113 section 6.8: what was sent is answered, and nothing more is sent.
    this.#session.on('goaway', () => (this.#retired = true))
    this.#session.once('close', () => {
      this.#retired = true
      socket.destroy()
      for (const exchange of this.#open) exchange.fail(broken)
      host.gone(this)
    })
  }

  get idle(): boolean {
    return this.#open.size === 0
  }

  get hasRoom(): boolean {
    return this.usable && this.#open.size < this.#streamsMaximum
  }

  get usable(): boolean {
    return !this.#retired && !this.#session.closed && !this.#session.destroyed
  }

  send(head: RequestHead, body: UpstreamBody, listener: AnswerListener): { abort(): void } {
    const fields = fieldsOf(head, body)
    if (fields === null) {
      listener.onFailure({ refusal: 'request_malformed', detail: 'A header that stands once is there twice.' })
      return { abort: () => undefined }
    }
    const exchange = new ClientExchange(listener, this.#times, this.#clock, {
      wasReset: (id) => this.#resets.has(id),
      over: () => this.#over(exchange),
    })
    this.#open.add(exchange)
    try {
      exchange.begin(this.#session.request(fields, { endStream: body === null, waitForTrailers: isStream(body) }), body)
    } catch {
      exchange.fail(broken)
    }
    return { abort: () => exchange.abort() }
  }

  /** Ends the exchanges in which the service has been silent for too long. */
  look(): void {
    for (const exchange of this.#open) exchange.look()
  }

  destroy(): void {
    this.#retired = true
    this.#session.destroy()
  }

  #over(exchange: ClientExchange): void {
    if (!this.#open.delete(exchange)) return
    this.#resets.delete(exchange.id)
    if (this.#open.size === 0) {
      this.idleSince = this.#clock.now
      if (this.#retired) return this.destroy()
    }
    this.#host.room(this)
  }

  readonly #onReceived = (frame: Frame): void => {
    if (frame.type === frameType.reset && this.#open.size > 0) this.#resets.add(frame.stream)
    if (this.#gauge.received(frame, performance.now()) !== null) this.destroy()
  }
}

interface ExchangeHost {
  wasReset(stream: number): boolean
  over(): void
}

/** One request and its answer, on a stream. */
class ClientExchange {
  id = 0
  readonly #listener: AnswerListener
  readonly #times: ClientTimes
  readonly #clock: { readonly now: number }
  readonly #host: ExchangeHost
  #stream: ClientHttp2Stream | null = null
  #movedAt: number
  #begun = false
  #over = false
  #paused = false
  #bodySent = true
  #interim = 0
  #trailers: readonly HeaderPair[] = []

  constructor(listener: AnswerListener, times: ClientTimes, clock: { readonly now: number }, host: ExchangeHost) {
    this.#listener = listener
    this.#times = times
    this.#clock = clock
    this.#host = host
    this.#movedAt = clock.now
  }

  begin(stream: ClientHttp2Stream, body: UpstreamBody): void {
    this.#stream = stream
    stream.on('headers', this.#onHeaders)
    stream.on('response', this.#onResponse)
    stream.on('trailers', (_headers: IncomingHttpHeaders, _flags: number, raw: readonly string[]) => {
      this.#trailers = readFields(raw).headers
    })
    // A tick later, for trailers are told of in the same one.
    stream.once('end', () => process.nextTick(this.#onEnd))
    stream.on('error', () => undefined)
    stream.once('close', this.#onClose)
    if (isStream(body)) return this.#pump(stream, body)
    if (body === null) return
    this.#listener.onSent(body.byteLength)
    stream.end(body)
  }

  look(): void {
    if (this.#paused || !this.#bodySent) return
    const most = this.#begun ? this.#times.bodyMilliseconds : this.#times.headMilliseconds
    if (this.#clock.now - this.#movedAt > most) this.fail({ refusal: 'upstream_timeout' })
  }

  abort(): void {
    if (this.#finish()) this.#stream?.close(constants.NGHTTP2_CANCEL)
  }

  fail(refusal: Refusal): void {
    if (!this.#finish()) return
    this.#stream?.close(constants.NGHTTP2_CANCEL)
    this.#listener.onFailure(refusal)
  }

  #finish(): boolean {
    if (this.#over) return false
    this.#over = true
    this.#host.over()
    return true
  }

  #pump(stream: ClientHttp2Stream, body: RequestBody): void {
    let left = body.length ?? Number.POSITIVE_INFINITY
    this.#bodySent = false
    // The library ends a stream before it resets it; without this, a body that was cut would seem whole.
    stream.on('wantTrailers', () => {
      if (this.#bodySent && !this.#over && !stream.closed) stream.sendTrailers({})
    })
    stream.on('drain', () => body.resume())
    body.read({
      data: (chunk) => {
        if (this.#over || chunk.byteLength === 0) return
        left -= chunk.byteLength
        if (left < 0) return this.fail(broken)
        this.#movedAt = this.#clock.now
        this.#listener.onSent(chunk.byteLength)
        if (!stream.write(chunk)) body.pause()
      },
      // Trailers come after everything that was judged, so they go nowhere (RFC 9110 section 6.5).
      end: () => {
        if (this.#over) return
        if (body.length !== null && left > 0) return this.fail(broken)
        this.#bodySent = true
        this.#movedAt = this.#clock.now
        stream.end()
      },
      fail: (why) => this.fail(why ?? broken),
    })
  }

  readonly #onHeaders = (_headers: IncomingHttpHeaders, _flags: number, raw: readonly string[]): void => {
    const { pseudo, headers } = readFields(raw)
    const status = Number(pseudo.get(':status'))
    this.#movedAt = this.#clock.now
    if (this.#over) return
    if (++this.#interim > INTERIM_MAXIMUM_COUNT) this.fail(broken)
    else if (status !== constants.HTTP_STATUS_CONTINUE) this.#listener.onInformation(status, headers)
  }

  readonly #onResponse = (_headers: IncomingHttpHeaders, flags: number, raw: readonly string[]): void => {
    if (this.#over) return
    this.id = this.#stream?.id ?? 0
    this.#begun = true
    this.#movedAt = this.#clock.now
    const { pseudo, headers } = readFields(raw)
    this.#listener.onHead(Number(pseudo.get(':status')), headers, this.#flow)
    // Not before: the library tells of the head a tick later than of data that came with it.
    if (this.#over) return
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) return this.#complete()
    this.#stream?.on('data', this.#onData)
    if (this.#paused) this.#stream?.pause()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#movedAt = this.#clock.now
    if (!this.#over) this.#listener.onData(chunk)
  }

  readonly #onEnd = (): void => {
    const broken = this.#stream?.rstCode !== constants.NGHTTP2_NO_ERROR || this.#host.wasReset(this.id)
    if (this.#begun && !broken) this.#complete()
  }

  readonly #onClose = (): void => this.fail(broken)

  #complete(): void {
    if (!this.#finish()) return
    // Whoever answers before it has heard everything need not hear the rest.
    if (!this.#bodySent) this.#stream?.close(constants.NGHTTP2_NO_ERROR)
    this.#listener.onEnd(this.#trailers)
  }

  readonly #flow: Flow = {
    pause: () => {
      this.#paused = true
      this.#stream?.pause()
    },
    resume: () => {
      this.#paused = false
      this.#movedAt = this.#clock.now
      this.#stream?.resume()
    },
    abort: () => this.abort(),
  }
}

/** Null: two of what HTTP/2 libraries send once. */
function fieldsOf(head: RequestHead, body: UpstreamBody): string[] | null {
  const length =
    body === null ? bodilessLength(head.method) : body instanceof Uint8Array ? body.byteLength : body.length
  const authority = head.headers.find(([name]) => name === 'host')?.[1] ?? ''
  const rest = head.headers.filter(([name]) => name !== 'host' && name !== 'content-length')
  if (isDoubled(rest)) return null
  const fields = flatFields(rest, [
    ':method',
    head.method,
    ':scheme',
    head.scheme,
    ':authority',
    authority,
    ':path',
    head.target,
  ])
  if (length !== null) fields.push('content-length', String(length))
  // Trailers are passed on, whoever asked; gRPC servers insist on hearing it.
  fields.push('te', 'trailers')
  return Object.assign(fields, { [sensitiveHeaders]: head.headers.map(([name]) => name) })
}

function isStream(body: UpstreamBody): body is RequestBody {
  return body !== null && !(body instanceof Uint8Array)
}

function bodilessLength(method: string): number | null {
  return method === 'POST' || method === 'PUT' || method === 'PATCH' ? 0 : null
}
