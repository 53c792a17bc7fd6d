import type { HeaderPair } from '../core/request.ts'
import type { Refusal } from './refusal.ts'

/** The body of a request on its way up: bytes as they come, at the pace of whoever takes them. */
export interface RequestBody {
  /** As declared: 0 where no body follows, null where its length is not known before its end. */
  readonly length: number | null
  /** Begins the flow; called at most once. Until then nothing of the body is asked for (`Expect: 100-continue` is answered here). */
  read(sink: BodySink): void
  pause(): void
  resume(): void
}

/** Takes the pieces of one body. After `end` or `fail` nothing follows. */
export interface BodySink {
  data(chunk: Uint8Array): void
  end(trailers: readonly HeaderPair[]): void
  /** What came is not a body; null: the agent went away. */
  fail(why: Refusal | null): void
}

export const noBody: RequestBody = {
  length: 0,
  read: (sink) => sink.end([]),
  pause: () => undefined,
  resume: () => undefined,
}

/** What a dialler sends: nothing, all of it, or bytes as they come. */
export type UpstreamBody = Uint8Array | RequestBody | null

/** A body announced as no longer than this is read whole while the journal writes, and goes out in one piece with its head. */
export const WHOLE_REQUEST_BYTES = 64 * 1024

/** How long such a body may take to arrive. */
export const WHOLE_REQUEST_MILLISECONDS = 60_000

/** The body as it is sent: small ones whole. `gone`: the agent went away before it was complete. */
export async function gather(body: RequestBody): Promise<{ readonly body: UpstreamBody } | Refusal | 'gone'> {
  if (body.length === 0) return { body: null }
  if (body.length === null || body.length > WHOLE_REQUEST_BYTES) return { body }
  return new Promise((done) => {
    const pieces: Uint8Array[] = []
    let timer: NodeJS.Timeout | null = null
    let isOver = false
    function finish(outcome: { readonly body: UpstreamBody } | Refusal | 'gone'): void {
      isOver = true
      if (timer !== null) clearTimeout(timer)
      done(outcome)
    }
    body.read({
      data: (piece) => void pieces.push(piece),
      end: () => finish({ body: pieces.length === 1 ? (pieces[0] ?? null) : Buffer.concat(pieces) }),
      fail: (why) => finish(why ?? 'gone'),
    })
    // Most bodies are there already, and a timer costs more than reading them.
    if (!isOver) timer = setTimeout(() => done({ refusal: 'request_timeout' }), WHOLE_REQUEST_MILLISECONDS)
  })
}
