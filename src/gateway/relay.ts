import { KeywardError, type ErrorCode } from '../core/errors.ts'
import type { NeedleSet } from '../core/needles.ts'
import type { HeaderPair, RequestHead } from '../core/request.ts'
import type { Service } from '../services/service.ts'
import {
  answerHead,
  answerTrailers,
  bodyScrubber,
  scrubHeaders,
  WHOLE_BODY_BYTES,
  type AnswerHead,
  type BodyScrubber,
} from './answer.ts'
import type { Protocol } from './arrival.ts'
import type { AnswerListener, Dialler, Flow } from './dial.ts'
import type { Sink } from './codings.ts'
import { FirstObject, handsOutCredential } from './handed-out.ts'
import { withoutHopByHop } from './hop-by-hop.ts'
import { isRefusal, sendRefusal, type Refusal } from './refusal.ts'
import type { UpstreamBody } from './body.ts'
import type { Reply } from './reply.ts'

export interface RelayOptions {
  readonly head: RequestHead
  readonly body: UpstreamBody
  readonly reply: Reply
  /** Null: a host that nobody guards; nothing was put in, so nothing is looked for. */
  readonly service: Service | null
  readonly needles: NeedleSet | null
  /** Whether the service says that this very call may hand out a credential. Absent: it may not. */
  readonly mayHandOut?: () => boolean
  readonly dialler: Pick<Dialler, 'send'>
  /** What the request came over. */
  readonly protocol: Protocol
  /** Registers how to end this exchange from outside; returns how to take that back. */
  readonly watch: (end: (code: ErrorCode) => void) => () => void
}

export interface RelayEnd {
  /** answered: to the last byte. refused: nothing of the answer was passed on. aborted: the agent went away. ended: Keyward broke it off. broken: the service did. */
  readonly outcome: 'answered' | 'refused' | 'aborted' | 'ended' | 'broken'
  readonly code: ErrorCode | null
  readonly status: number | null
  readonly bytesUp: number
  readonly bytesDown: number
  /** Places in the answer where a secret was replaced. */
  readonly scrubbed: number
  /** Of a connection that went on with messages. */
  readonly messages?: { readonly up: number; readonly down: number; readonly swapped: number }
}

/** Of what ended before anything went out. */
export const nothingSent = { status: null, bytesUp: 0, bytesDown: 0, scrubbed: 0 } as const

/** Sends the request and brings the answer back, cleaned and at the reader's pace. Resolves when the exchange is over, whichever way. */
export function relay(options: RelayOptions): Promise<RelayEnd> {
  return new Promise((done) => {
    const exchange = new Relay(options, done)
    exchange.start()
  })
}

class Relay implements AnswerListener {
  readonly #options: RelayOptions
  readonly #done: (end: RelayEnd) => void
  #over = false
  #flow: Flow | null = null
  #abortRequest: (() => void) | null = null
  #unwatch: () => void = () => undefined
  #answer: AnswerHead | null = null
  #scrubber: BodyScrubber | null = null
  /** Pieces of a small body that will be sent with its length; null once chunks go out as they come. */
  #gathered: Uint8Array[] | null = null
  #gatheredBytes = 0
  readonly #firstObject = new FirstObject()
  #wakeWriter: (() => void) | null = null
  #status: number | null = null
  #bytesUp = 0
  #bytesDown = 0

  constructor(options: RelayOptions, done: (end: RelayEnd) => void) {
    this.#options = options
    this.#done = done
  }

  start(): void {
    const { head, body, service, dialler, protocol, reply, watch } = this.#options
    this.#unwatch = watch((code) => this.#finish('ended', code, { refusal: code }))
    reply.onClose(() => this.#finish('aborted', null, null))
    reply.onDrain(() => {
      this.#wakeWriter?.()
      this.#wakeWriter = null
    })
    if (this.#over) return
    this.#abortRequest = dialler.send(head, body, service, this, protocol).abort
  }

  onSent(byteLength: number): void {
    this.#bytesUp += byteLength
  }

  onInformation(status: number, headers: readonly HeaderPair[]): void {
    const { needles, reply } = this.#options
    if (this.#over || reply.started) return
    const told = withoutHopByHop(headers).filter(([name]) => !name.startsWith('keyward-'))
    reply.inform(status, needles === null ? told : scrubHeaders(told, needles).headers)
  }

  onHead(status: number, headers: readonly HeaderPair[], flow: Flow): void {
    this.#flow = flow
    this.#status = status
    if (this.#over) return flow.abort()
    const { needles, head, reply } = this.#options
    if (needles === null)
      return reply.start(
        status,
        withoutHopByHop(headers).filter(([name]) => !name.startsWith('keyward-')),
      )
    const answer = answerHead({ method: head.method, status, headers }, needles)
    if (isRefusal(answer)) return this.#finish('refused', answer.refusal, answer)
    this.#answer = answer
    this.#scrubber = bodyScrubber(answer, needles, this.#sink)
    if (answer.gather || answer.judge) this.#gathered = []
    else reply.start(answer.status, answer.headers)
  }

  onData(chunk: Uint8Array): void {
    if (this.#over) return
    if (this.#scrubber === null) {
      // A body before its head could not be looked through.
      if (this.#options.needles !== null) return this.onFailure({ refusal: 'upstream_broken' })
      const waiting = this.#write(chunk)
      if (waiting !== undefined) this.#pauseUntil(waiting)
      return
    }
    this.#guarded(() => {
      const waiting = this.#scrubber?.push(chunk)
      if (waiting !== undefined) this.#pauseUntil(waiting)
    })
  }

  onEnd(trailers: readonly HeaderPair[]): void {
    if (this.#over) return
    this.#guarded(() => {
      const waiting = this.#scrubber?.end()
      if (waiting === undefined) this.#complete(trailers)
      else
        waiting.then(
          () => this.#guarded(() => this.#complete(trailers)),
          (error: unknown) => this.#failed(error),
        )
    })
  }

  onFailure(refusal: Refusal): void {
    if (this.#over) return
    const begun = this.#answer !== null || this.#options.reply.started
    this.#finish(
      begun ? 'broken' : 'refused',
      begun ? 'upstream_broken' : refusal.refusal,
      begun ? { refusal: 'upstream_broken' } : refusal,
    )
  }

  readonly #sink: Sink = (piece) => {
    if (this.#gathered === null || this.#answer === null) return this.#write(piece)
    this.#gathered.push(piece)
    this.#gatheredBytes += piece.byteLength
    // The announced length is that of the coded body; decoded, it may be anything.
    if (this.#gatheredBytes > WHOLE_BODY_BYTES) return this.#writeGathered(this.#answer, this.#gathered)
    if (!this.#answer.judge) return undefined
    if (this.#firstObject.push(piece)) return this.#writeGathered(this.#answer, this.#judged(this.#gathered))
    // White space at the beginning tells the reader that the answer is still being made.
    if (this.#firstObject.isBlank) {
      this.#gathered = []
      if (!this.#options.reply.started) this.#options.reply.start(this.#answer.status, this.#answer.headers)
      return this.#write(piece)
    }
    return undefined
  }

  /** From here on the body goes out as it comes. */
  #writeGathered(answer: AnswerHead, gathered: readonly Uint8Array[]): Promise<void> | undefined {
    this.#gathered = null
    if (!this.#options.reply.started) this.#options.reply.start(answer.status, answer.headers)
    return gathered.length === 0 ? undefined : this.#write(Buffer.concat(gathered))
  }

  /** The same pieces, unless they hand out a credential. */
  #judged(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
    const [first = new Uint8Array(0), ...others] = pieces
    if (
      !handsOutCredential(others.length === 0 ? first : Buffer.concat(pieces)) ||
      this.#options.mayHandOut?.() === true
    )
      return pieces
    throw new KeywardError('credential_withheld')
  }

  #write(piece: Uint8Array): Promise<void> | undefined {
    this.#bytesDown += piece.byteLength
    if (this.#options.reply.write(piece)) return undefined
    return new Promise((wake) => {
      this.#wakeWriter = wake
    })
  }

  #pauseUntil(waiting: Promise<void>): void {
    this.#flow?.pause()
    waiting.then(
      () => {
        if (!this.#over) this.#flow?.resume()
      },
      (error: unknown) => this.#failed(error),
    )
  }

  #complete(trailers: readonly HeaderPair[]): void {
    if (this.#over) return
    const { reply, needles } = this.#options
    if (this.#gathered !== null && this.#answer !== null) {
      const pieces = this.#judged(this.#gathered)
      if (this.#answer.judge) void this.#writeGathered(this.#answer, pieces)
    }
    if (this.#gathered !== null && this.#answer !== null) {
      const whole =
        this.#gathered.length === 1 ? (this.#gathered[0] ?? new Uint8Array(0)) : Buffer.concat(this.#gathered)
      this.#bytesDown += whole.byteLength
      reply.respond(this.#answer.status, [...this.#answer.headers, ['content-length', String(whole.byteLength)]], whole)
    } else {
      reply.end(needles === null ? trailers : answerTrailers(trailers, needles).headers)
    }
    this.#finish('answered', null, null)
  }

  #guarded(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    const code: ErrorCode = error instanceof KeywardError ? error.code : 'internal'
    this.#finish(this.#options.reply.started ? 'broken' : 'refused', code, { refusal: code })
  }

  #finish(outcome: RelayEnd['outcome'], code: ErrorCode | null, refusal: Refusal | null): void {
    if (this.#over) return
    this.#over = true
    this.#unwatch()
    this.#wakeWriter?.()
    if (outcome !== 'answered') {
      this.#flow?.abort()
      this.#abortRequest?.()
      this.#scrubber?.destroy()
    }
    if (refusal !== null) sendRefusal(this.#options.reply, refusal)
    this.#done({
      outcome,
      code,
      status: this.#status,
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
      scrubbed: (this.#answer?.hits ?? 0) + (this.#scrubber?.hits ?? 0),
    })
  }
}
