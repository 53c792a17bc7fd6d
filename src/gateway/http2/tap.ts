import { Duplex } from 'node:stream'
import { FrameReader, PREFACE, type Frame } from './frames.ts'

/** Sees the frames of a connection pass by, both ways. */
export interface TapListener {
  received(frame: Frame): void
  sent(frame: Frame): void
}

/** A connection with somebody listening in: the library tells nothing of what it throws away, so it is counted before it gets there. */
export class Tap extends Duplex {
  readonly #inner: Duplex
  readonly #received: FrameReader
  readonly #sent: FrameReader

  constructor(inner: Duplex, listener: TapListener, side: 'server' | 'client') {
    super({ allowHalfOpen: true, autoDestroy: true })
    this.#inner = inner
    this.#received = new FrameReader((frame) => listener.received(frame), side === 'server' ? PREFACE.length : 0)
    this.#sent = new FrameReader((frame) => listener.sent(frame), side === 'client' ? PREFACE.length : 0)
    inner.on('data', this.#onData)
    inner.once('end', () => this.push(null))
    inner.on('error', () => this.destroy())
    // The library ends it with its own reason, which it has told its session already.
    this.on('error', () => undefined)
    inner.once('close', () => this.destroy())
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#received.push(chunk)
    if (!this.destroyed && !this.push(chunk)) this.#inner.pause()
  }

  override _read(): void {
    this.#inner.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#sent.push(chunk)
    this.#inner.write(chunk, done)
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer; readonly encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    const all = Buffer.concat(chunks.map(({ chunk }) => chunk))
    this.#sent.push(all)
    this.#inner.write(all, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#inner.end(() => done())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#inner.destroy()
    done(error)
  }
}
