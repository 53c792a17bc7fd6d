import type { Arrival } from '../arrival.ts'
import type { BodySink, RequestBody } from '../body.ts'
import { noBody } from '../body.ts'
import type { Codec, Connection, Front } from '../codec.ts'
import type { Refusal } from '../refusal.ts'
import { tellAndClose } from '../refuse-connection.ts'
import { createChunkedReader, type ChunkedReader } from './chunked.ts'
import { headText, isFault, readRequest, type Fault, type ReadRequest } from './head.ts'
import { Http1Reply, type ReplyHost } from './reply.ts'

/** From the first byte of a request to the end of its head. */
export const REQUEST_HEAD_MILLISECONDS = 30_000
/** Between two requests on one connection. */
export const KEEP_ALIVE_MILLISECONDS = 75_000
/** A connection on which nothing moves in either direction: longer than any service is waited for. */
export const SILENCE_MILLISECONDS = 15 * 60_000
/** Bytes that may arrive before somebody wants them: the next request, or a body that is not read yet. */
export const AHEAD_MAXIMUM_BYTES = 128 * 1024
/** How often connections are looked over for the times above. */
const SWEEP_MILLISECONDS = 1_000

/** How HTTP/2 begins (RFC 9113 section 3.4): with what looks like a head. */
const PREFACE_HEAD = 'PRI * HTTP/2.0\r\n\r\n'
const PREFACE = Buffer.from(`${PREFACE_HEAD}SM\r\n\r\n`, 'latin1')
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n', 'latin1')
const nothing: Buffer = Buffer.alloc(0)

export interface Http1Times {
  readonly headMilliseconds: number
  readonly keepAliveMilliseconds: number
  readonly silenceMilliseconds: number
}

export const defaultTimes: Http1Times = {
  headMilliseconds: REQUEST_HEAD_MILLISECONDS,
  keepAliveMilliseconds: KEEP_ALIVE_MILLISECONDS,
  silenceMilliseconds: SILENCE_MILLISECONDS,
}

/** Keyward's own HTTP/1.1 codec for the side of the agents. */
export function createHttp1Codec(front: Front, times: Http1Times = defaultTimes): Codec {
  const open = new Set<ServerConnection>()
  const clock = { now: performance.now() }
  const sweeper = setInterval(
    () => {
      clock.now = performance.now()
      for (const connection of open) connection.look()
    },
    Math.min(SWEEP_MILLISECONDS, times.headMilliseconds / 2),
  )
  sweeper.unref()
  return {
    serve(connection) {
      const served = new ServerConnection(connection, front, times, clock)
      open.add(served)
      connection.stream.once('close', () => open.delete(served))
    },
    close: () => clearInterval(sweeper),
  }
}

/** `closing`: the last answer is out or on its way out, and whatever comes now is thrown away. */
type State = 'head' | 'body' | 'answer' | 'closing' | 'gone'

class ServerConnection {
  readonly #connection: Connection
  readonly #front: Front
  readonly #times: Http1Times
  /** Looked at once a sweep, because asking for the time on each byte costs more than the times are worth. */
  readonly #clock: { readonly now: number }
  #state: State = 'head'
  #held = nothing
  #pumping = false
  #movedAt: number
  #headSince: number | null = null
  #sink: BodySink | null = null
  #bodyLeft = 0
  #chunks: ChunkedReader | null = null
  #bodyPaused = false
  #reply: Http1Reply | null = null
  #expectsContinue = false
  /** What the answers on this connection need to know of it; one for all of them. */
  readonly #host: ReplyHost = {
    mayContinue: () => this.#state === 'answer' || this.#state === 'head',
    answered: (keepAlive) => this.#answered(keepAlive),
    hasMore: () => this.#held.length > 0,
    letGo: () => {
      this.#reply = null
      this.#letGo(this.#held)
    },
  }

  constructor(connection: Connection, front: Front, times: Http1Times, clock: { readonly now: number }) {
    this.#connection = connection
    this.#front = front
    this.#times = times
    this.#clock = clock
    this.#movedAt = clock.now
    const { stream } = connection
    stream.on('data', this.#onData)
    stream.on('drain', this.#onDrain)
    stream.on('end', this.#onEnd)
    stream.on('error', this.#onError)
    stream.on('close', this.#onClose)
    // Whoever had it before may have left it paused.
    stream.resume()
  }

  /** Ends the connection if it has been too quiet. */
  look(): void {
    const { now } = this.#clock
    const quiet = now - this.#movedAt
    if (this.#headSince !== null && now - this.#headSince > this.#times.headMilliseconds) {
      // Its first bytes were received, so it is told; a connection that never began is just closed.
      this.#refuse({ refusal: 'request_timeout' })
    } else if (this.#state === 'head' && this.#held.length === 0 && quiet > this.#times.keepAliveMilliseconds)
      this.#connection.stream.destroy()
    else if (quiet > this.#times.silenceMilliseconds) this.#connection.stream.destroy()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#movedAt = this.#clock.now
    if (this.#state === 'closing' || this.#state === 'gone') return
    // What cannot be the beginning of another request ends this one as well.
    if (this.#state === 'answer' && this.#held.length === 0 && !isCapital(chunk[0] ?? 0))
      return void this.#fault({ fault: 'malformed' })
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    this.#pump()
  }

  readonly #onDrain = (): void => {
    this.#movedAt = this.#clock.now
    this.#reply?.drained()
  }

  /** A client that has said its last word cannot be told from one that has gone. */
  readonly #onEnd = (): void => {
    if (this.#state === 'head' || this.#state === 'closing') this.#connection.stream.end()
    else this.#connection.stream.destroy()
  }

  readonly #onError = (): void => void this.#connection.stream.destroy()

  readonly #onClose = (): void => {
    this.#state = 'gone'
    this.#held = nothing
    this.#failBody()
    const reply = this.#reply
    this.#reply = null
    reply?.closed()
  }

  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#held.length > 0 && this.#step());
    } finally {
      this.#pumping = false
    }
    if (this.#state === 'gone') return
    const { stream } = this.#connection
    if (this.#held.length > AHEAD_MAXIMUM_BYTES) stream.pause()
    else if (stream.isPaused() && !this.#bodyPaused) stream.resume()
  }

  /** One step through what is held; false: nothing more can be done now. */
  #step(): boolean {
    if (this.#state === 'head') return this.#readHead()
    if (this.#state === 'body') return this.#readBody()
    if (this.#state === 'closing') this.#held = nothing
    return false
  }

  #readHead(): boolean {
    const held = this.#held
    const head = headText(held)
    if (head === null) {
      this.#headSince ??= performance.now()
      return canBecomeHead(held) ? false : this.#fault({ fault: 'malformed' })
    }
    this.#headSince = null
    if (typeof head !== 'string') return this.#fault(head)
    if (head === PREFACE_HEAD && held.length >= PREFACE.length && held.subarray(0, PREFACE.length).equals(PREFACE)) {
      this.#letGo(held)
      this.#front.preface(this.#connection)
      return false
    }
    const request = readRequest(head)
    if (isFault(request)) {
      if (!this.#isBeginningOfPreface(held)) return this.#fault(request)
      this.#headSince = performance.now()
      return false
    }
    this.#held = head.length === held.length ? nothing : held.subarray(head.length)
    this.#begin(request)
    return true
  }

  #isBeginningOfPreface(held: Buffer): boolean {
    return held.length < PREFACE.length && PREFACE.subarray(0, held.length).equals(held)
  }

  #begin(request: ReadRequest): void {
    const { tunnel, peer, remote } = this.#connection
    const { target, method } = request
    const arrival: Arrival = {
      door: tunnel !== null ? 'tunnel' : target.startsWith('/') ? 'base-url' : 'absolute',
      protocol: 'http/1.1',
      method,
      rawTarget: target,
      headers: request.headers,
      peer,
      remote,
      tunnel,
      upgrade: request.upgrade,
    }
    if (method === 'CONNECT') {
      if (request.framing.kind !== 'none') return void this.#fault({ fault: 'malformed' })
      const early = this.#held
      this.#letGo(nothing)
      return this.#front.connect(arrival, this.#connection, early)
    }
    const body = this.#beginBody(request)
    const reply = new Http1Reply(this.#connection.stream, request, this.#host)
    this.#reply = reply
    this.#front.request(arrival, body, reply)
  }

  #beginBody(request: ReadRequest): RequestBody {
    const { framing } = request
    this.#sink = null
    this.#chunks = null
    this.#bodyPaused = false
    if (framing.kind !== 'length' && framing.kind !== 'chunked') {
      this.#state = 'answer'
      return noBody
    }
    this.#state = 'body'
    this.#expectsContinue = request.expectsContinue
    if (framing.kind === 'chunked')
      this.#chunks = createChunkedReader((piece) => {
        this.#sink?.data(piece)
        return !this.#bodyPaused && this.#state === 'body'
      })
    else this.#bodyLeft = framing.bytes
    const current = (): boolean => this.#state === 'body'
    return {
      length: framing.kind === 'length' ? framing.bytes : null,
      read: (sink) => {
        if (this.#state !== 'body') return sink.fail(null)
        this.#sink = sink
        if (this.#expectsContinue && this.#held.length === 0 && this.#reply?.started === false)
          this.#connection.stream.write(CONTINUE)
        this.#expectsContinue = false
        this.#pump()
      },
      pause: () => {
        if (!current()) return
        this.#bodyPaused = true
        this.#connection.stream.pause()
      },
      resume: () => {
        if (!current()) return
        this.#bodyPaused = false
        this.#pump()
      },
    }
  }

  #readBody(): boolean {
    const sink = this.#sink
    if (sink === null || this.#bodyPaused) return false
    const held = this.#held
    const chunks = this.#chunks
    if (chunks !== null) {
      const outcome = chunks.push(held, 0)
      // Whoever took a piece may have closed the connection.
      if (this.#state !== 'body') return false
      this.#held = chunks.position === held.length ? nothing : held.subarray(chunks.position)
      if (outcome === 'malformed') return this.#faultInBody(sink)
      if (outcome === 'ended') this.#endBody(sink, chunks.trailers)
      return outcome === 'ended'
    }
    const take = Math.min(this.#bodyLeft, held.length)
    this.#bodyLeft -= take
    this.#held = take === held.length ? nothing : held.subarray(take)
    sink.data(take === held.length ? held : held.subarray(0, take))
    if (this.#bodyLeft === 0 && this.#state === 'body') this.#endBody(sink, [])
    return true
  }

  #endBody(sink: BodySink, trailers: ChunkedReader['trailers']): void {
    this.#sink = null
    this.#chunks = null
    // Whose answer was complete before its body has been closed; so this one is still being answered.
    this.#state = 'answer'
    sink.end(trailers)
  }

  #failBody(): void {
    const sink = this.#sink
    this.#sink = null
    this.#chunks = null
    sink?.fail(null)
  }

  #answered(keepAlive: boolean): void {
    this.#reply = null
    if (this.#state === 'gone') return
    if (!keepAlive || this.#state !== 'answer') {
      this.#state = 'closing'
      this.#failBody()
      this.#held = nothing
      tellAndClose(this.#connection.stream, null)
      return
    }
    this.#state = 'head'
    if (this.#held.length > 0) this.#pump()
    else if (this.#connection.stream.isPaused()) this.#connection.stream.resume()
  }

  #fault({ fault }: Fault): false {
    this.#refuse({ refusal: fault === 'too-large' ? 'request_too_large' : 'request_malformed' })
    return false
  }

  /** Whoever takes the body answers for it. */
  #faultInBody(sink: BodySink): false {
    this.#state = 'closing'
    this.#held = nothing
    this.#sink = null
    this.#chunks = null
    sink.fail({ refusal: 'request_malformed', detail: 'The chunks of the body cannot be read.' })
    return false
  }

  #refuse(refusal: Refusal): void {
    const { stream } = this.#connection
    const busy = this.#reply !== null
    this.#state = 'closing'
    this.#headSince = null
    this.#held = nothing
    this.#failBody()
    void this.#front.malformed(this.#connection, refusal).then((told) => {
      // In the middle of another answer these bytes would be taken for a part of it.
      if (busy) stream.destroy()
      else tellAndClose(stream, told)
    })
  }

  /** Hands the connection over to somebody else, with what was read and not used. */
  #letGo(unread: Buffer): void {
    const { stream } = this.#connection
    this.#state = 'gone'
    this.#held = nothing
    this.#headSince = null
    this.#movedAt = Number.POSITIVE_INFINITY
    stream.off('data', this.#onData)
    stream.off('drain', this.#onDrain)
    stream.off('end', this.#onEnd)
    stream.off('close', this.#onClose)
    stream.pause()
    if (unread.length > 0) stream.unshift(unread)
  }
}

/** What cannot become a head is not waited for: another protocol, or lines that end in another way. */
function canBecomeHead(bytes: Buffer): boolean {
  const lineEnd = bytes.indexOf(0x0a)
  return isCapital(bytes[0] ?? 0) && (lineEnd < 0 || bytes[lineEnd - 1] === 0x0d)
}

function isCapital(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a
}
