import { constants, type ServerHttp2Stream } from 'node:http2'
import type { HeaderPair } from '../../core/request.ts'
import type { Reply } from '../reply.ts'
import { fieldRecord, flatFields } from './fields.ts'

/** One answer on its stream. */
export class Http2Reply implements Reply {
  started = false
  readonly grpc: boolean
  readonly #stream: ServerHttp2Stream
  readonly #method: string
  #over = false
  #bodiless = false
  /** Waits for what comes in the same tick. */
  #head: { readonly status: number; readonly headers: readonly HeaderPair[] } | null = null
  #trailers: readonly HeaderPair[] = []
  #onClose: (() => void) | null = null

  constructor(stream: ServerHttp2Stream, method: string, grpc: boolean) {
    this.grpc = grpc
    this.#stream = stream
    this.#method = method
    stream.on('wantTrailers', this.#onWantTrailers)
    stream.once('close', this.#onStreamClose)
  }

  inform(status: number, headers: readonly HeaderPair[]): void {
    if (this.started || this.#gone()) return
    this.#say(() => this.#stream.additionalHeaders({ ...fieldRecord(headers), ':status': status }))
  }

  start(status: number, headers: readonly HeaderPair[]): void {
    this.started = true
    if (this.#gone()) return
    this.#bodiless = this.#method === 'HEAD' || status === 204 || status === 304
    this.#head = { status, headers }
    process.nextTick(() => this.#flushHead(this.#bodiless))
  }

  write(chunk: Uint8Array): boolean {
    if (this.#bodiless || chunk.byteLength === 0 || this.#gone()) return true
    this.#flushHead(false)
    return this.#stream.write(chunk)
  }

  end(trailers: readonly HeaderPair[] = []): void {
    if (this.#over) return
    this.#over = true
    this.#onClose = null
    if (this.#stream.destroyed) return
    // Ended with its head: for gRPC that is how a status is told without any message.
    const withHead = this.#head !== null && trailers.length === 0
    this.#flushHead(withHead || this.#bodiless)
    if (withHead || this.#bodiless) return
    this.#trailers = trailers
    this.#stream.end()
  }

  respond(status: number, headers: readonly HeaderPair[], body: Uint8Array): void {
    this.started = true
    if (this.#gone()) return
    this.#over = true
    this.#onClose = null
    const bodiless = this.#method === 'HEAD' || status === 204 || status === 304 || body.byteLength === 0
    this.#respond(status, headers, bodiless)
    if (!bodiless) this.#stream.end(body)
  }

  /** Breaks off this stream; the others of its connection go on. */
  destroy(): void {
    this.#over = true
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  onDrain(listener: () => void): void {
    this.#stream.on('drain', listener)
  }

  onClose(listener: () => void): void {
    // The agent may have gone while the journal wrote; what has happened is not told again.
    if (this.#gone()) listener()
    else this.#onClose = listener
  }

  #flushHead(endStream: boolean): void {
    const head = this.#head
    this.#head = null
    if (head !== null && !this.#stream.destroyed && !this.#stream.closed)
      this.#respond(head.status, head.headers, endStream)
  }

  #gone(): boolean {
    return this.#over || this.#stream.destroyed || this.#stream.closed
  }

  #respond(status: number, headers: readonly HeaderPair[], endStream: boolean): void {
    this.#say(() =>
      this.#stream.respond(flatFields(headers, [':status', String(status)]), {
        endStream,
        waitForTrailers: !endStream,
      }),
    )
    if (endStream) this.#refuseRest()
  }

  /** RFC 9113 section 8.1: who is answered before the body was read need not send the rest. */
  #refuseRest(): void {
    process.nextTick(() => {
      if (!this.#stream.readableEnded && !this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_NO_ERROR)
    })
  }

  /** The library throws at fields that it will not send: that ends this stream and nothing else. */
  #say(step: () => void): void {
    try {
      step()
    } catch {
      this.destroy()
    }
  }

  readonly #onWantTrailers = (): void => {
    // Broken off in the meantime: what was cut must not look whole.
    if (!this.#over || this.#stream.destroyed || this.#stream.closed) return
    this.#say(() => this.#stream.sendTrailers(fieldRecord(this.#trailers)))
    this.#refuseRest()
  }

  readonly #onStreamClose = (): void => {
    this.#over = true
    this.#onClose?.()
    this.#onClose = null
  }
}
