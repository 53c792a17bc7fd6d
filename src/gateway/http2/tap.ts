import { Duplex } from 'node:stream'
import { FrameReader, PREFACE, type Frame } from './frames.ts'

/** Sees the frames of a connection pass by, both ways. */
export interface TapListener {
  /** False: the library has given the connection up, and must be told of nothing more. */
  wanted(): boolean
  /** What comes is not HTTP/2. */
  stranger(): void
  received(frame: Frame): void
  sent(frame: Frame): void
}

/**
 * A connection with somebody listening in: the library tells nothing of what it throws away, so it is
 * counted before it gets there.
 *
 * Node's session ends the whole process if DATA reaches it while it writes and has not yet stopped reading
 * (`CHECK(session->is_reading_stopped())` in node_http2.cc). Its write runs what waits for the next tick,
 * so from the moment in which it begins to write until the next turn of the event loop nothing is handed
 * over here; nor is anything once the session is destroyed.
 */
export class Tap extends Duplex {
  readonly #inner: Duplex
  readonly #listener: TapListener
  readonly #received: FrameReader
  readonly #sent: FrameReader
  readonly #waiting: Buffer[] = []
  #ended = false
  #held = false

  constructor(inner: Duplex, listener: TapListener, side: 'server' | 'client') {
    super({ allowHalfOpen: true, autoDestroy: true })
    this.#inner = inner
    this.#listener = listener
    this.#received = new FrameReader((frame) => listener.received(frame), side === 'server' ? PREFACE : undefined)
    this.#sent = new FrameReader((frame) => listener.sent(frame), side === 'client' ? PREFACE : undefined)
    inner.on('data', this.#onData)
    inner.once('end', this.#onEnd)
    inner.on('error', () => this.destroy())
    // The library ends it with its own reason, which it has told its session already.
    this.on('error', () => undefined)
    inner.once('close', () => this.destroy())
  }

  readonly #onData = (chunk: Buffer): void => {
    if (!this.#listener.wanted()) return
    if (!this.#received.push(chunk)) return this.#listener.stranger()
    this.#waiting.push(chunk)
    this.#handOver()
  }

  readonly #onEnd = (): void => {
    this.#ended = true
    this.#handOver()
  }

  #handOver(): void {
    if (this.#held) return
    while (this.#waiting.length > 0 && this.readableFlowing === true && !this.destroyed && this.#listener.wanted())
      this.push(this.#waiting.shift())
    if (this.#waiting.length > 0 && this.#listener.wanted()) this.#inner.pause()
    else if (!this.#ended) this.#inner.resume()
    else if (!this.readableEnded) this.push(null)
  }

  #hold(): void {
    if (this.#held) return
    this.#held = true
    setImmediate(() => {
      this.#held = false
      if (!this.destroyed) this.#handOver()
    })
  }

  /** What is there is handed over when the reader says so, one way or the other. */
  override _read(): void {
    if (this.#waiting.length > 0 || this.#inner.isPaused()) this.#hold()
  }

  override resume(): this {
    this.#hold()
    return super.resume()
  }

  /** The session's write begins with this. */
  override cork(): void {
    this.#hold()
    super.cork()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#hold()
    this.#inner.write(this.outgoing(chunk), done)
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer; readonly encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#hold()
    this.#inner.write(this.outgoing(Buffer.concat(chunks.map(({ chunk }) => chunk))), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#inner.end(() => done())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#waiting.length = 0
    this.#inner.destroy()
    done(error)
  }

  /** What is sent in the place of these bytes. */
  protected outgoing(bytes: Buffer): Buffer {
    this.#sent.push(bytes)
    return bytes
  }
}
