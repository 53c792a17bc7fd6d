import type { Readable } from 'node:stream'
import type { HeaderPair } from '../core/request.ts'

/**
 * The way back to the agent, as the exchange sees it: whichever codec feeds the exchange implements
 * these few calls over its own socket.
 */
export interface Reply {
  readonly started: boolean
  start(status: number, headers: readonly HeaderPair[]): void
  /** Returns false when the reader is behind: wait for `onDrain` before writing more. */
  write(chunk: Uint8Array): boolean
  end(trailers?: readonly HeaderPair[]): void
  /** Breaks the connection, so that a cut answer cannot be taken for a whole one. */
  destroy(): void
  onDrain(listener: () => void): void
  /** The agent has gone, or the answer is complete. */
  onClose(listener: () => void): void
}

/** The body of a request: bytes as they come, or nothing. */
export interface RequestBody {
  /** Null: no body follows. */
  readonly stream: Readable | null
  /** As declared; null when the length is not known before its end. */
  readonly length: number | null
}
