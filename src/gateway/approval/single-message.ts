import type { BodySink, RequestBody } from '../body.ts'
import type { Refusal } from '../refusal.ts'

/** How long after its message the end of a gRPC call may take, before it counts as a stream of messages. */
export const GRPC_END_MILLISECONDS = 2_000
/** A flag and the length of the message. */
const PREFIX_BYTES = 5

const streamed: Refusal = { refusal: 'approval_streamed' }

/** The body of a gRPC call, as long as it is one message and then ends: what else comes cannot be asked about beforehand. */
export function singleMessage(body: RequestBody): RequestBody {
  return {
    length: body.length,
    pause: () => body.pause(),
    resume: () => body.resume(),
    read: (sink) => body.read(new SingleMessage(sink)),
  }
}

class SingleMessage implements BodySink {
  readonly #sink: BodySink
  readonly #prefix = Buffer.alloc(PREFIX_BYTES)
  readonly #timer: NodeJS.Timeout
  #length = 0
  #isOver = false

  constructor(sink: BodySink) {
    this.#sink = sink
    this.#timer = setTimeout(() => this.#refuse(), GRPC_END_MILLISECONDS)
  }

  data(chunk: Uint8Array): void {
    if (this.#isOver) return
    if (this.#length < PREFIX_BYTES) this.#prefix.set(chunk.subarray(0, PREFIX_BYTES - this.#length), this.#length)
    this.#length += chunk.byteLength
    if (this.#length >= PREFIX_BYTES && this.#length > PREFIX_BYTES + this.#prefix.readUInt32BE(1))
      return this.#refuse()
    this.#timer.refresh()
    this.#sink.data(chunk)
  }

  end(): void {
    if (this.#isOver) return
    if (
      this.#length > 0 &&
      (this.#length < PREFIX_BYTES || this.#length !== PREFIX_BYTES + this.#prefix.readUInt32BE(1))
    )
      return this.#refuse()
    this.#finish()
    this.#sink.end([])
  }

  fail(why: Refusal | null): void {
    if (this.#isOver) return
    this.#finish()
    this.#sink.fail(why)
  }

  #refuse(): void {
    if (this.#isOver) return
    this.#finish()
    this.#sink.fail(streamed)
  }

  #finish(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
  }
}
