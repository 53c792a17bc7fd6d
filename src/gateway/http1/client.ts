import type { Duplex } from 'node:stream'
import type { HeaderPair, RequestHead } from '../../core/request.ts'
import type { RequestBody, UpstreamBody } from '../body.ts'
import type { AnswerListener, Flow, UpgradeListener } from '../dial.ts'
import type { Refusal } from '../refusal.ts'
import { createChunkedReader, type ChunkedReader } from './chunked.ts'
import { headText, isFault, readAnswer } from './head.ts'
import { chunkOf, headWith, lastChunk } from './write.ts'

/** Interim answers (1xx) before the one that counts. */
export const INTERIM_MAXIMUM_COUNT = 32

const nothing: Buffer = Buffer.alloc(0)
const broken: Refusal = { refusal: 'upstream_broken' }

export interface ClientTimes {
  /** From the end of the request to the end of the answer's head. */
  readonly headMilliseconds: number
  /** Silence within the body. */
  readonly bodyMilliseconds: number
}

/** What becomes of a connection when its exchange is over. */
export interface ClientHost {
  /** It may carry another request; the service said for how long it keeps it (milliseconds), or null. */
  free(connection: ClientConnection, keptMilliseconds: number | null): void
  gone(connection: ClientConnection): void
}

type State = 'idle' | 'head' | 'body' | 'gone'

/** Keyward's own HTTP/1.1 codec for the side of the services: one connection, one request at a time. */
export class ClientConnection {
  /** Since when it has been idle, or something last moved on it; in the host's time. */
  movedAt = 0
  readonly #socket: Duplex
  readonly #host: ClientHost
  readonly #times: ClientTimes
  readonly #clock: { readonly now: number }
  #state: State = 'idle'
  #listener: AnswerListener | null = null
  #method = ''
  #held = nothing
  #pumping = false
  #paused = false
  #left = 0
  #chunks: ChunkedReader | null = null
  #untilClose = false
  #keepAlive = false
  #keptMilliseconds: number | null = null
  #interim = 0
  #body: RequestBody | null = null
  #bodySent = true
  /** Who asked for another protocol. */
  #switching: UpgradeListener | null = null

  constructor(socket: Duplex, host: ClientHost, times: ClientTimes, clock: { readonly now: number }) {
    this.#socket = socket
    this.#host = host
    this.#times = times
    this.#clock = clock
    this.movedAt = clock.now
    socket.on('data', this.#onData)
    socket.on('drain', this.#onDrain)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  get idle(): boolean {
    return this.#state === 'idle'
  }

  send(head: RequestHead, body: UpstreamBody, listener: AnswerListener): { abort(): void } {
    this.#state = 'head'
    this.#listener = listener
    this.#method = head.method
    this.#interim = 0
    this.#paused = false
    this.movedAt = this.#clock.now
    if (body === null || body instanceof Uint8Array) this.#sendWhole(head, body)
    else this.#sendStream(head, body)
    const own = (): boolean => this.#listener === listener
    return { abort: () => void (own() && this.destroy()) }
  }

  /** A request that asks to go on with another protocol. Should the service agree, the connection is the listener's, paused. */
  upgrade(head: RequestHead, listener: UpgradeListener): { abort(): void } {
    this.#switching = listener
    return this.send(head, null, listener)
  }

  /** Ends the exchange if the service has been silent for too long. */
  look(): void {
    if (this.#state !== 'head' && this.#state !== 'body') return
    if (this.#paused || !this.#bodySent) return
    const { headMilliseconds, bodyMilliseconds } = this.#times
    const most = this.#state === 'head' ? headMilliseconds : bodyMilliseconds
    if (this.#clock.now - this.movedAt > most) this.#fail({ refusal: 'upstream_timeout' })
  }

  destroy(): void {
    this.#listener = null
    this.#state = 'gone'
    this.#socket.destroy()
  }

  #sendWhole(head: RequestHead, body: Uint8Array | null): void {
    const length = body?.byteLength ?? 0
    const declared = length > 0 || body !== null || hasPayload(head.method)
    this.#bodySent = true
    if (body !== null && body.byteLength > 0) this.#listener?.onSent(body.byteLength)
    this.#socket.write(headWith(requestText(head, declared ? `content-length: ${length}\r\n` : ''), body))
  }

  #sendStream(head: RequestHead, body: RequestBody): void {
    const chunked = body.length === null
    let left = body.length ?? Number.POSITIVE_INFINITY
    this.#bodySent = false
    this.#body = body
    this.#socket.write(
      requestText(head, chunked ? 'transfer-encoding: chunked\r\n' : `content-length: ${body.length}\r\n`),
      'latin1',
    )
    const listener = this.#listener
    const own = (): boolean => this.#listener === listener && listener !== null
    body.read({
      data: (chunk) => {
        if (!own() || chunk.byteLength === 0) return
        left -= chunk.byteLength
        if (left < 0) return this.#fail(broken)
        this.movedAt = this.#clock.now
        listener?.onSent(chunk.byteLength)
        if (!this.#socket.write(chunked ? chunkOf(chunk) : chunk)) body.pause()
      },
      // Trailers come after everything that was judged, so they go nowhere (RFC 9110 section 6.5).
      end: () => {
        if (!own()) return
        if (!chunked && left > 0) return this.#fail(broken)
        this.#bodySent = true
        this.#body = null
        this.movedAt = this.#clock.now
        if (chunked) this.#socket.write(lastChunk([]))
      },
      fail: (why) => void (own() && this.#fail(why ?? broken)),
    })
  }

  readonly #onData = (chunk: Buffer): void => {
    // A head has its time as a whole: one that comes a byte at a time would never end.
    if (this.#state !== 'head') this.movedAt = this.#clock.now
    // Nobody asked: whatever this is, it is not the answer to the next request.
    if (this.#state === 'idle') return this.destroy()
    if (this.#state === 'gone') return
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    this.#pump()
  }

  readonly #onDrain = (): void => {
    this.movedAt = this.#clock.now
    this.#body?.resume()
  }

  readonly #onEnd = (): void => {
    // What is held back for a slow reader is still to be read; then the end is looked at again.
    if (!this.#paused) this.#ended()
  }

  #ended(): void {
    if (this.#state === 'body' && this.#untilClose && this.#held.length === 0) this.#finish([])
    else if (this.#state === 'idle') this.destroy()
    else this.#fail(broken)
  }

  readonly #onError = (): void => this.#fail(broken)

  readonly #onClose = (): void => {
    if (this.#state === 'head' || this.#state === 'body') this.#fail(broken)
    this.#state = 'gone'
    this.#host.gone(this)
  }

  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#held.length > 0 && !this.#paused && this.#step());
    } finally {
      this.#pumping = false
    }
  }

  #step(): boolean {
    if (this.#state === 'head') return this.#readHead()
    if (this.#state === 'body') return this.#readBody()
    // Behind the end of the answer there is nothing.
    if (this.#state === 'idle') this.destroy()
    return false
  }

  #readHead(): boolean {
    const head = headText(this.#held)
    if (head === null) return false
    const answer = typeof head === 'string' ? readAnswer(head, this.#method) : head
    if (isFault(answer) || typeof head !== 'string') {
      this.#fail(broken)
      return false
    }
    this.#held = head.length === this.#held.length ? nothing : this.#held.subarray(head.length)
    const { status, headers, framing } = answer
    if (status === 101 && this.#switching !== null) {
      this.#letGo(headers, this.#switching)
      return false
    }
    if (status < 200) {
      if (status === 101 || ++this.#interim > INTERIM_MAXIMUM_COUNT) this.#fail(broken)
      else if (status !== 100) this.#listener?.onInformation(status, headers)
      return this.#state === 'head'
    }
    this.#state = 'body'
    this.movedAt = this.#clock.now
    this.#keepAlive = answer.keepAlive
    this.#keptMilliseconds = keptMilliseconds(headers)
    this.#untilClose = framing.kind === 'close'
    this.#chunks = framing.kind === 'chunked' ? createChunkedReader(this.#onPiece) : null
    this.#left = framing.kind === 'length' ? framing.bytes : framing.kind === 'close' ? Number.POSITIVE_INFINITY : 0
    this.#listener?.onHead(status, headers, this.#flowOf(this.#listener))
    if (this.#state === 'body' && framing.kind === 'none') this.#whenRead(() => this.#finish([]))
    return this.#state === 'body'
  }

  #letGo(headers: readonly HeaderPair[], listener: UpgradeListener): void {
    const socket = this.#socket
    const unread = this.#held
    this.#held = nothing
    this.#listener = null
    this.#state = 'gone'
    socket.off('data', this.#onData)
    socket.off('drain', this.#onDrain)
    socket.off('end', this.#onEnd)
    socket.pause()
    if (unread.length > 0) socket.unshift(unread)
    listener.onSwitch(headers, socket)
  }

  readonly #onPiece = (piece: Buffer): boolean => {
    this.#listener?.onData(piece)
    return !this.#paused && this.#state === 'body'
  }

  #readBody(): boolean {
    const held = this.#held
    const chunks = this.#chunks
    if (chunks !== null) {
      const outcome = chunks.push(held, 0)
      if (this.#state !== 'body') return false
      this.#held = chunks.position === held.length ? nothing : held.subarray(chunks.position)
      if (outcome === 'malformed') this.#fail(broken)
      else if (outcome === 'ended') this.#whenRead(() => this.#finish(chunks.trailers))
      return outcome === 'stopped'
    }
    const take = Math.min(this.#left, held.length)
    this.#left -= take
    this.#held = take === held.length ? nothing : held.subarray(take)
    const more = this.#onPiece(take === held.length ? held : held.subarray(0, take))
    if (this.#left === 0 && this.#state === 'body') this.#whenRead(() => this.#finish([]))
    return more
  }

  /** What waits for the reader to have taken everything before it. */
  #afterPause: (() => void) | null = null

  #whenRead(step: () => void): void {
    if (this.#paused) this.#afterPause = step
    else step()
  }

  #flowOf(listener: AnswerListener): Flow {
    const own = (): boolean => this.#listener === listener
    return {
      pause: () => {
        if (!own()) return
        this.#paused = true
        this.#socket.pause()
      },
      resume: () => {
        if (!own()) return
        this.#paused = false
        this.movedAt = this.#clock.now
        const step = this.#afterPause
        this.#afterPause = null
        if (step !== null) return step()
        this.#pump()
        if (this.#paused || !own()) return
        if (this.#socket.readableEnded) this.#ended()
        else this.#socket.resume()
      },
      abort: () => void (own() && this.destroy()),
    }
  }

  #finish(trailers: readonly HeaderPair[]): void {
    const listener = this.#listener
    this.#listener = null
    this.#chunks = null
    // A service may answer before it has read the body; the rest of it would be taken for the next request.
    if (!this.#keepAlive || !this.#bodySent || this.#held.length > 0 || this.#socket.destroyed) this.destroy()
    else {
      this.#state = 'idle'
      this.#body = null
      if (this.#socket.isPaused()) this.#socket.resume()
      this.#host.free(this, this.#keptMilliseconds)
    }
    listener?.onEnd(trailers)
  }

  #fail(refusal: Refusal): void {
    const listener = this.#listener
    this.destroy()
    listener?.onFailure(refusal)
  }
}

function hasPayload(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH'
}

function requestText(head: RequestHead, framing: string): string {
  let text = `${head.method} ${head.target} HTTP/1.1\r\n`
  for (const [name, value] of head.headers) if (name !== 'content-length') text += `${name}: ${value}\r\n`
  return `${text}${framing}\r\n`
}

/** `Keep-Alive: timeout=SECONDS`, as many servers say it. */
function keptMilliseconds(headers: readonly HeaderPair[]): number | null {
  for (const [name, value] of headers) {
    if (name !== 'keep-alive') continue
    const seconds = /(?:^|[,;\s])timeout=([0-9]{1,6})/i.exec(value)?.[1]
    if (seconds !== undefined) return Number(seconds) * 1000
  }
  return null
}
