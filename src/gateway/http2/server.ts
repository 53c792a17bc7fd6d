import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Codec, Connection, Front } from '../codec.ts'
import { HEAD_MAXIMUM_BYTES, HEADERS_MAXIMUM_COUNT } from '../http1/head.ts'
import { defaultTimes, type Http1Times } from '../http1/server.ts'
import { isRefusal, sendRefusal, type Refusal } from '../refusal.ts'
import { isGrpc } from '../grpc/messages.ts'
import { readFields } from './fields.ts'
import { FloodGauge } from './flood.ts'
import { frameFlag, frameType, type Frame } from './frames.ts'
import { Http2Reply } from './reply.ts'
import { bodyOf, readArrival } from './request.ts'
import { Tap } from './tap.ts'

/** Requests that one connection may have open. */
export const STREAMS_MAXIMUM_COUNT = 100
/** Of one body, that may arrive before somebody takes it. */
export const STREAM_WINDOW_BYTES = 64 * 1024
/** What the library keeps for one connection: header tables and what waits to be sent. */
export const SESSION_MEMORY_MAXIMUM_MEBIBYTES = 10
/** Frames that cannot be what they claim, before the connection ends. */
export const INVALID_FRAMES_MAXIMUM_COUNT = 100
/** Streams beyond the bound, before the connection ends. */
export const REJECTED_STREAMS_MAXIMUM_COUNT = 100
const SWEEP_MILLISECONDS = 1_000

/** Node knows two more than its types do. */
const options = {
  maxHeaderListPairs: HEADERS_MAXIMUM_COUNT,
  maxSessionMemory: SESSION_MEMORY_MAXIMUM_MEBIBYTES,
  maxSessionInvalidFrames: INVALID_FRAMES_MAXIMUM_COUNT,
  maxSessionRejectedStreams: REJECTED_STREAMS_MAXIMUM_COUNT,
  settings: {
    maxConcurrentStreams: STREAMS_MAXIMUM_COUNT,
    maxHeaderListSize: HEAD_MAXIMUM_BYTES,
    initialWindowSize: STREAM_WINDOW_BYTES,
    enableConnectProtocol: false,
  },
}

/** HTTP/2 on the side of the agents: every stream is a request of its own, judged by itself. */
export function createHttp2Codec(front: Front, times: Http1Times = defaultTimes): Codec {
  const open = new Set<ServerConnection>()
  const sweeper = setInterval(
    () => {
      const now = performance.now()
      for (const connection of open) connection.look(now)
    },
    Math.min(SWEEP_MILLISECONDS, times.headMilliseconds / 2),
  )
  sweeper.unref()
  return {
    serve(connection) {
      const served = new ServerConnection(connection, front, times)
      open.add(served)
      connection.stream.once('close', () => open.delete(served))
    },
    close: () => clearInterval(sweeper),
  }
}

class ServerConnection {
  readonly #connection: Connection
  readonly #front: Front
  readonly #times: Http1Times
  readonly #session: ServerHttp2Session
  readonly #gauge: FloodGauge
  /** Streams whose headers came and that the library has neither told of nor reset. */
  readonly #announced = new Set<number>()
  #openStreams = 0
  #blockSince: number | null = null
  #movedAt: number
  #ended = false

  constructor(connection: Connection, front: Front, times: Http1Times) {
    const now = performance.now()
    this.#connection = connection
    this.#front = front
    this.#times = times
    this.#movedAt = now
    this.#gauge = new FloodGauge(now)
    const listener = {
      wanted: () => !this.#ended && !this.#session.destroyed,
      stranger: () => this.#refuse({ refusal: 'request_malformed' }, constants.NGHTTP2_PROTOCOL_ERROR),
      received: this.#onReceived,
      sent: this.#onSent,
    }
    const tap = new Tap(connection.stream, listener, 'server')
    this.#session = performServerHandshake(tap, options)
    this.#session.on('stream', this.#onStream)
    this.#session.on('error', this.#onError)
    this.#session.once('close', () => void connection.stream.destroy())
  }

  /** Ends the connection if it has been too quiet, or too slow. */
  look(now: number): void {
    const quiet = now - this.#movedAt
    if (this.#blockSince !== null && now - this.#blockSince > this.#times.headMilliseconds)
      this.#refuse({ refusal: 'request_timeout' }, constants.NGHTTP2_ENHANCE_YOUR_CALM)
    else if (quiet > (this.#openStreams === 0 ? this.#times.keepAliveMilliseconds : this.#times.silenceMilliseconds))
      this.#end(constants.NGHTTP2_NO_ERROR)
  }

  readonly #onReceived = (frame: Frame): void => {
    if (this.#ended) return
    const now = performance.now()
    const { type, flags, stream } = frame
    if (type === frameType.headers || type === frameType.continuation) {
      this.#blockSince = (flags & frameFlag.endHeaders) === 0 ? (this.#blockSince ?? now) : null
      if (type === frameType.headers) this.#announced.add(stream)
      this.#movedAt = now
    } else if (type === frameType.data) this.#movedAt = now
    else if (type === frameType.reset) this.#announced.delete(stream)
    const flood = this.#gauge.received(frame, now)
    if (flood === null) return
    const refusal: Refusal =
      flood === 'header-block' || flood === 'continuations'
        ? { refusal: 'request_too_large' }
        : { refusal: 'connection_flooded' }
    this.#refuse(refusal, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  readonly #onSent = (frame: Frame): void => {
    this.#gauge.sent(frame)
    if (frame.type === frameType.data) this.#movedAt = performance.now()
    // The library has refused it without a word.
    if (frame.type !== frameType.reset || !this.#announced.delete(frame.stream)) return
    void this.#front.malformed(this.#connection, resetRefusal(frame.word))
  }

  readonly #onStream = (stream: ServerHttp2Stream, _headers: unknown, _flags: number, raw: readonly string[]): void => {
    if (stream.id !== undefined) this.#announced.delete(stream.id)
    // First of all: one that is gone already still tells why, and nobody else would listen.
    stream.on('error', () => undefined)
    // Taken back in the same breath.
    if (stream.destroyed || stream.closed) return
    this.#openStreams += 1
    stream.once('close', () => {
      this.#openStreams -= 1
      this.#movedAt = performance.now()
    })
    const arrival = readArrival(raw, this.#connection)
    if (isRefusal(arrival)) {
      stream.resume()
      const reply = new Http2Reply(stream, '', isGrpc(readFields(raw).headers))
      void this.#front.malformed(this.#connection, arrival).then((told) => sendRefusal(reply, told))
      return
    }
    this.#front.request(
      arrival,
      bodyOf(stream, arrival),
      new Http2Reply(stream, arrival.method, isGrpc(arrival.headers)),
    )
  }

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    // Anything else is the connection's own end.
    if (error.code?.startsWith('ERR_HTTP2') === true && !this.#ended) {
      this.#ended = true
      void this.#front.malformed(this.#connection, { refusal: 'request_malformed' })
    }
  }

  #refuse(refusal: Refusal, code: number): void {
    void this.#front.malformed(this.#connection, refusal)
    this.#end(code)
  }

  #end(code: number): void {
    this.#ended = true
    this.#blockSince = null
    this.#session.destroy(undefined, code)
  }
}

/** What a reset of the library's means; a stream that comes too soon after others may be tried again. */
function resetRefusal(code: number): Refusal {
  if (code === constants.NGHTTP2_REFUSED_STREAM) return { refusal: 'overloaded', retryAfterSeconds: 1 }
  return { refusal: code === constants.NGHTTP2_ENHANCE_YOUR_CALM ? 'request_too_large' : 'request_malformed' }
}
