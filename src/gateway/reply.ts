import type { Duplex } from 'node:stream'
import type { HeaderPair } from '../core/request.ts'

/**
 * The way back to the agent, as the exchange sees it: whichever codec feeds the exchange implements
 * these few calls over its own socket.
 */
export interface Reply {
  readonly started: boolean
  /** The agent speaks gRPC, so a refusal is told in its way. */
  readonly grpc?: boolean
  /** An interim answer (1xx), before `start`. */
  inform(status: number, headers: readonly HeaderPair[]): void
  start(status: number, headers: readonly HeaderPair[]): void
  /** Returns false when the reader is behind: wait for `onDrain` before writing more. */
  write(chunk: Uint8Array): boolean
  end(trailers?: readonly HeaderPair[]): void
  /** The whole answer at once; `headers` hold its length. */
  respond(status: number, headers: readonly HeaderPair[], body: Uint8Array): void
  /** Breaks the connection, so that a cut answer cannot be taken for a whole one. */
  destroy(): void
  onDrain(listener: () => void): void
  /** The agent has gone before its answer was complete. Called at once where that has happened already. */
  onClose(listener: () => void): void
  /** Absent where the connection cannot go on with another protocol. */
  readonly switching?: Switching
}

/** How a connection goes on with other bytes than HTTP. */
export interface Switching {
  /** Whether nothing came behind the request: what a client sends before it was told to has two readings. */
  readonly clean: boolean
  /** Answers 101 and lets go of the connection, paused; called instead of `start`. */
  begin(headers: readonly HeaderPair[]): Duplex
}
