import { constants, type ServerHttp2Stream } from 'node:http2'
import type { HeaderPair } from '../../core/request.ts'
import type { Reply } from '../reply.ts'
import { fieldRecord, flatFields } from './fields.ts'

/** One answer on its stream. */
export class Http2Reply implements Reply {
  started = false
  readonly #stream: ServerHttp2Stream
  readonly #method: string
  #over = false
  #bodiless = false
  #trailers: readonly HeaderPair[] = []
  #onClose: (() => void) | null = null

  constructor(stream: ServerHttp2Stream, method: string) {
    this.#stream = stream
    this.#method = method
    stream.on('wantTrailers', this.#onWantTrailers)
    stream.once('close', this.#onStreamClose)
  }

  inform(status: number, headers: readonly HeaderPair[]): void {
    if (this.started || this.#gone()) return
    this.#stream.additionalHeaders({ ...fieldRecord(headers), ':status': status })
  }

  start(status: number, headers: readonly HeaderPair[]): void {
    this.started = true
    if (this.#gone()) return
    this.#bodiless = this.#method === 'HEAD' || status === 204 || status === 304
    this.#respond(status, headers, this.#bodiless)
  }

  write(chunk: Uint8Array): boolean {
    if (this.#bodiless || chunk.byteLength === 0 || this.#gone()) return true
    return this.#stream.write(chunk)
  }

  end(trailers: readonly HeaderPair[] = []): void {
    if (this.#over) return
    this.#over = true
    this.#onClose = null
    if (this.#stream.destroyed || this.#bodiless) return
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

  #gone(): boolean {
    return this.#over || this.#stream.destroyed || this.#stream.closed
  }

  #respond(status: number, headers: readonly HeaderPair[], endStream: boolean): void {
    this.#stream.respond(flatFields(headers, [':status', String(status)]), {
      endStream,
      waitForTrailers: !endStream && !this.#over,
    })
  }

  readonly #onWantTrailers = (): void => {
    // Broken off in the meantime: what was cut must not look whole.
    if (!this.#over || this.#stream.destroyed || this.#stream.closed) return
    this.#stream.sendTrailers(fieldRecord(this.#trailers))
  }

  readonly #onStreamClose = (): void => {
    this.#over = true
    this.#onClose?.()
    this.#onClose = null
  }
}
