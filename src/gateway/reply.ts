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
  /** The whole answer at once; `headers` hold its length. */
  respond(status: number, headers: readonly HeaderPair[], body: Uint8Array): void
  /** Breaks the connection, so that a cut answer cannot be taken for a whole one. */
  destroy(): void
  onDrain(listener: () => void): void
  /** The agent has gone, or the answer is complete. Called at once where that has happened already. */
  onClose(listener: () => void): void
}

/** The body of a request on its way up: nothing, all of it, or bytes as they come. */
export type UpstreamBody = Uint8Array | Readable | null

/** A body announced as no longer than this is read whole while the journal writes, and goes out in one piece with its head. */
export const WHOLE_REQUEST_BYTES = 64 * 1024

/** How long such a body may take to arrive. */
export const WHOLE_REQUEST_MILLISECONDS = 60_000

/** The body as it is sent: small ones whole. `gone`: the agent went away before it was complete; `late`: it took too long. */
export async function gather(body: RequestBody): Promise<{ readonly body: UpstreamBody } | 'gone' | 'late'> {
  const { stream, length } = body
  if (stream === null || length === null || length > WHOLE_REQUEST_BYTES) return { body: stream }
  return new Promise((done) => {
    const pieces: Uint8Array[] = []
    const timer = setTimeout(() => done('late'), WHOLE_REQUEST_MILLISECONDS)
    const settle = (outcome: { readonly body: UpstreamBody } | 'gone'): void => {
      clearTimeout(timer)
      done(outcome)
    }
    stream.on('data', (piece: Uint8Array) => pieces.push(piece))
    stream.once('end', () => settle({ body: pieces.length === 1 ? (pieces[0] ?? null) : Buffer.concat(pieces) }))
    stream.once('error', () => settle('gone'))
    stream.once('close', () => settle('gone'))
  })
}

/** The body of a request: bytes as they come, or nothing. */
export interface RequestBody {
  /** Null: no body follows. */
  readonly stream: Readable | null
  /** As declared; null when the length is not known before its end. */
  readonly length: number | null
}
