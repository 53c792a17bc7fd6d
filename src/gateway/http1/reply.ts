import type { Duplex } from 'node:stream'
import type { HeaderPair } from '../../core/request.ts'
import type { Reply, Switching } from '../reply.ts'
import type { ReadRequest } from './head.ts'
import { chunkOf, fieldLines, headWith, lastChunk, statusLine } from './write.ts'

/** Pieces of at least this size are handed to the system as they are; smaller ones are copied next to their framing. */
const COPY_MAXIMUM_BYTES = 16 * 1024

/** What the answer needs to know of its connection. */
export interface ReplyHost {
  /** Whether the request has been read to its end, so that another may follow. */
  mayContinue(): boolean
  answered(keepAlive: boolean): void
  /** Whether bytes wait that came behind the request. */
  hasMore(): boolean
  /** Gives the connection up to whoever goes on with it. */
  letGo(): void
}

type Coding = 'length' | 'chunked' | 'close' | 'none'

/** One answer on its way to the agent. */
export class Http1Reply implements Reply {
  /** A byte of the answer is on its way: from here on it can only be broken off. */
  started = false
  readonly #stream: Duplex
  readonly #host: ReplyHost
  readonly #method: string
  readonly #version: '1.0' | '1.1'
  #keepAlive: boolean
  #coding: Coding = 'none'
  #left = 0
  /** Waits for the first piece, to be sent with it. */
  #head: string | null = null
  #over = false
  #onDrain: () => void = () => undefined
  #onClose: (() => void) | null = null

  constructor(stream: Duplex, request: Pick<ReadRequest, 'method' | 'version' | 'keepAlive'>, host: ReplyHost) {
    this.#stream = stream
    this.#host = host
    this.#method = request.method
    this.#version = request.version
    this.#keepAlive = request.keepAlive
  }

  inform(status: number, headers: readonly HeaderPair[]): void {
    if (this.started || this.#head !== null || this.#over || this.#version === '1.0') return
    this.#stream.write(`${statusLine(status)}${fieldLines(headers)}\r\n`, 'latin1')
  }

  start(status: number, headers: readonly HeaderPair[]): void {
    this.#head = this.#begin(status, headers)
    process.nextTick(this.#flushHead)
  }

  write(chunk: Uint8Array): boolean {
    if (this.#over) return true
    if (chunk.byteLength === 0 || this.#coding === 'none') return !this.#stream.writableNeedDrain
    if (this.#coding === 'length') {
      this.#left -= chunk.byteLength
      if (this.#left < 0) {
        this.destroy()
        return true
      }
    }
    const head = this.#takeHead()
    if (chunk.byteLength >= COPY_MAXIMUM_BYTES) return this.#writeLarge(head, chunk)
    const piece = this.#coding === 'chunked' ? chunkOf(chunk) : chunk
    return this.#stream.write(head === null ? piece : headWith(head, piece))
  }

  end(trailers: readonly HeaderPair[] = []): void {
    if (this.#over) return
    // A body shorter than announced must not be taken for a whole one.
    if (this.#coding === 'length' && this.#left > 0) return this.destroy()
    const last = this.#coding === 'chunked' ? lastChunk(trailers) : null
    const head = this.#takeHead()
    if (head !== null) this.#stream.write(headWith(head, last))
    else if (last !== null) this.#stream.write(last)
    this.#complete()
  }

  respond(status: number, headers: readonly HeaderPair[], body: Uint8Array): void {
    // What was begun and not sent yet is forgotten.
    this.#head = this.#begin(status, headers)
    const head = this.#takeHead() ?? ''
    this.#stream.write(headWith(head, this.#method === 'HEAD' ? null : body))
    this.#complete()
  }

  destroy(): void {
    this.#over = true
    this.#stream.destroy()
  }

  get switching(): Switching {
    const host = this.#host
    return {
      clean: this.#version === '1.1' && !host.hasMore(),
      begin: (headers) => {
        this.started = true
        this.#over = true
        this.#onClose = null
        host.letGo()
        this.#stream.write(`${statusLine(101)}${fieldLines(headers)}\r\n`, 'latin1')
        return this.#stream
      },
    }
  }

  onDrain(listener: () => void): void {
    this.#onDrain = listener
  }

  onClose(listener: () => void): void {
    // The agent may have gone while the journal wrote; what has happened is not told again.
    if (this.#over || this.#stream.destroyed) listener()
    else this.#onClose = listener
  }

  /** The stream has room again. */
  drained(): void {
    this.#onDrain()
  }

  /** The connection is gone. */
  closed(): void {
    this.#over = true
    this.#onClose?.()
  }

  readonly #flushHead = (): void => {
    const head = this.#takeHead()
    if (head !== null && !this.#over) this.#stream.write(head, 'latin1')
  }

  #takeHead(): string | null {
    const head = this.#head
    this.#head = null
    this.started ||= head !== null
    return head
  }

  /** Settles how the body is delimited, and gives the head. */
  #begin(status: number, headers: readonly HeaderPair[]): string {
    const length = headers.find(([name]) => name === 'content-length')?.[1]
    let framing = ''
    if (this.#method === 'HEAD' || status === 204 || status === 304) this.#coding = 'none'
    else if (length !== undefined) {
      this.#coding = 'length'
      this.#left = Number(length)
    } else if (this.#version === '1.0') {
      this.#coding = 'close'
      this.#keepAlive = false
    } else {
      this.#coding = 'chunked'
      framing = 'transfer-encoding: chunked\r\n'
    }
    // An unread request body would be taken for the next request: such a connection is not used again.
    if (!this.#host.mayContinue()) this.#keepAlive = false
    const connection = this.#keepAlive
      ? this.#version === '1.0'
        ? 'connection: keep-alive\r\n'
        : ''
      : 'connection: close\r\n'
    return `${statusLine(status)}${fieldLines(headers)}${framing}${connection}\r\n`
  }

  #writeLarge(head: string | null, chunk: Uint8Array): boolean {
    this.#stream.cork()
    if (head !== null) this.#stream.write(head, 'latin1')
    if (this.#coding === 'chunked') this.#stream.write(`${chunk.byteLength.toString(16)}\r\n`, 'latin1')
    let room = this.#stream.write(chunk)
    if (this.#coding === 'chunked') room = this.#stream.write('\r\n', 'latin1')
    this.#stream.uncork()
    return room
  }

  #complete(): void {
    this.#over = true
    this.#onClose = null
    this.#host.answered(this.#keepAlive)
  }
}
