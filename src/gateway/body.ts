import type { HeaderPair } from '../core/request.ts'
import { Collected } from './collected.ts'
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

/** `gone`: the agent went away before the body was complete. */
export type Gathered = { readonly body: UpstreamBody } | Refusal | 'gone'

/** The body as it is sent: small ones whole. At once where all of it is there already, as it mostly is. */
export function gather(body: RequestBody): Gathered | Promise<Gathered> {
  if (body.length === 0) return { body: null }
  if (body.length === null || body.length > WHOLE_REQUEST_BYTES) return { body }
  const gathering = new Gathering()
  body.read(gathering)
  return gathering.outcome()
}

class Gathering implements BodySink {
  readonly #collected = new Collected()
  #outcome: Gathered | null = null
  #waiting: PromiseWithResolvers<Gathered> | null = null
  #timer: NodeJS.Timeout | null = null

  data(piece: Uint8Array): void {
    this.#collected.push(piece)
  }

  end(): void {
    this.#finish({ body: this.#collected.length === 0 ? null : this.#collected.take() })
  }

  fail(why: Refusal | null): void {
    this.#finish(why ?? 'gone')
  }

  outcome(): Gathered | Promise<Gathered> {
    if (this.#outcome !== null) return this.#outcome
    this.#waiting = Promise.withResolvers()
    this.#timer = setTimeout(() => this.#finish({ refusal: 'request_timeout' }), WHOLE_REQUEST_MILLISECONDS)
    return this.#waiting.promise
  }

  #finish(outcome: Gathered): void {
    this.#outcome = outcome
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#waiting?.resolve(outcome)
  }
}
