import { KeywardError } from '../core/errors.ts'
import type { NeedleSet } from '../core/needles.ts'
import type { HeaderPair } from '../core/request.ts'
import { headerValues } from '../core/request.ts'
import { createScrubber, scrubBytes, scrubText, type Scrubber } from '../core/scrub.ts'
import { contentDecoder } from './codings.ts'
import type { ContentDecoder, Sink } from './codings.ts'
import { isTypeOfHandedOut } from './handed-out.ts'
import { isGrpc, messageCoding, MessageScrubber, scrubBinary, type MessageCoding } from './grpc/messages.ts'
import { withoutHopByHop } from './hop-by-hop.ts'
import { JoinedEvents } from './joined-events.ts'
import { codingOf, Undeclared } from './undeclared.ts'

/** Bodies up to this length may be gathered, so that their answer keeps a Content-Length. */
export const WHOLE_BODY_BYTES = 65_536

/** Headers of an answer that speak of the connection to the upstream, or of Keyward itself. */
const DROPPED = new Set([
  'alt-svc',
  'content-encoding',
  'content-length',
  'http2-settings',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-status',
])
/** What is no longer true of a body whose coding was undone. */
const OF_THE_CODED_BODY = new Set(['content-md5', 'content-digest', 'digest', 'accept-ranges'])

export interface UpstreamHead {
  /** Of the request: the answer to HEAD has no body. */
  readonly method: string
  readonly status: number
  readonly headers: readonly HeaderPair[]
}

/** The head as the agent gets it, and how its body is to be read. */
export interface AnswerHead {
  readonly status: number
  /** Scrubbed; without framing, which the codec adds, unless the answer has no body. */
  readonly headers: readonly HeaderPair[]
  /** Places replaced in the headers. */
  readonly hits: number
  /** Null: no body follows. */
  readonly decoder: ContentDecoder | null
  /** The compression of its messages, if the body is one of gRPC. */
  readonly messages: MessageCoding | null
  /** The body is a stream of events, whose reader joins what they carry. */
  readonly events: boolean
  /** The body is announced as small: gather it and send its length, instead of chunks. */
  readonly gather: boolean
  /** Its length is not announced, and credentials are handed out in bodies of this type: hold it until that can be judged. */
  readonly judge: boolean
}

/**
 * The scrubbed head of an answer, or the refusal to pass it on (`answer_withheld`: a coding that cannot be
 * undone). Reason phrases are never taken over, nor are 1xx answers, which the caller does not bring here.
 */
export function answerHead(
  upstream: UpstreamHead,
  needles: NeedleSet,
): AnswerHead | { readonly refusal: 'answer_withheld' | 'upstream_broken'; readonly detail: string } {
  const { status, method } = upstream
  if (!Number.isInteger(status) || status < 200 || status > 599)
    return { refusal: 'upstream_broken', detail: 'The status of the answer is none that ends an exchange.' }
  // Range never goes upstream, so nobody asked: parts that are put together elsewhere are seen by no search.
  if (status === 206)
    return { refusal: 'answer_withheld', detail: 'The answer is a part, and the whole was asked for.' }
  const hasBody = method !== 'HEAD' && status !== 204 && status !== 205 && status !== 304
  const transfer = headerValues(upstream.headers, 'transfer-encoding').join(',').trim().toLowerCase()
  if (transfer !== '' && transfer !== 'chunked')
    return { refusal: 'answer_withheld', detail: 'The answer has an unknown transfer coding.' }
  const coding = headerValues(upstream.headers, 'content-encoding').join(',')
  const decoder = contentDecoder(coding)
  if (hasBody && decoder === null)
    return { refusal: 'answer_withheld', detail: 'The answer has an unknown content coding.' }
  const coded = decoder === null || !decoder.identity
  if (hasBody && coded && headerValues(upstream.headers, 'content-range').length > 0) {
    decoder?.destroy()
    return { refusal: 'answer_withheld', detail: 'A part of a coded body cannot be decoded.' }
  }
  const grpc = hasBody && isGrpc(upstream.headers)
  const messages = grpc ? messageCoding(upstream.headers) : null
  if (grpc && (messages === null || coded)) {
    decoder?.destroy()
    return {
      refusal: 'answer_withheld',
      detail: 'The messages of the answer are coded in a way that cannot be undone.',
    }
  }
  if (!hasBody) decoder?.destroy()
  const length = lengthOf(upstream.headers)
  const { headers, hits } = scrubHeaders(
    withoutHopByHop(upstream.headers).filter(
      ([name]) =>
        !DROPPED.has(name) &&
        !name.startsWith('keyward-') &&
        !(coded && OF_THE_CODED_BODY.has(name)) &&
        // Compressed messages go on without compression.
        !(grpc && name === 'grpc-encoding'),
    ),
    needles,
  )
  // Without a body the length tells what a GET would bring, which is right only if nothing is decoded.
  const keepsLength = !hasBody && !coded && length !== null && status !== 204 && status !== 205
  return {
    status,
    headers: keepsLength ? [...headers, ['content-length', String(length)]] : headers,
    hits,
    decoder: hasBody ? decoder : null,
    messages,
    events: hasBody && !grpc && isEventStream(upstream.headers),
    judge: hasBody && length === null && !grpc && isTypeOfHandedOut(upstream.headers),
    gather: hasBody && length !== null && length <= WHOLE_BODY_BYTES && !isEventStream(upstream.headers),
  }
}

/** Trailers as the agent gets them: scrubbed, and nothing that frames or routes (RFC 9110 section 6.5.1). */
export function answerTrailers(
  trailers: readonly HeaderPair[],
  needles: NeedleSet,
): { headers: HeaderPair[]; hits: number } {
  return scrubHeaders(
    withoutHopByHop(trailers).filter(
      ([name]) => !DROPPED.has(name) && !OF_THE_CODED_BODY.has(name) && !name.startsWith('keyward-'),
    ),
    needles,
  )
}

/**
 * Header pairs with every value scrubbed. A name that holds a secret is dropped with its value. The values
 * are read as they arrive from the codec: one character a byte.
 */
export function scrubHeaders(
  pairs: readonly HeaderPair[],
  needles: NeedleSet,
): { headers: HeaderPair[]; hits: number } {
  // One look at all of them decides nearly every answer. A line break is never part of a header, so joining creates nothing.
  let all = ''
  for (const [name, value] of pairs) all += `${name}\n${value}\n`
  if (scrubText(needles, all).hits === 0) return { headers: [...pairs], hits: 0 }
  const headers: HeaderPair[] = []
  let hits = 0
  for (const [name, value] of pairs) {
    const inName = scrubText(needles, name).hits
    const clean = scrubBinary(needles, name, value) ?? scrubText(needles, value)
    hits += inName + clean.hits
    if (inName === 0)
      headers.push([
        name,
        clean.hits === 0 ? value : clean.text.replaceAll(/[^\t\u0020-\u007e\u0080-\u00ff]+/g, ' ').trim(),
      ])
  }
  return { headers, hits }
}

/** The way of one body: content coding undone, secrets replaced, handed to the sink as soon as it is certain. */
export interface BodyScrubber {
  /** A returned promise means: send no more until it is settled. Rejects with `upstream_broken` if the coding lies. */
  push(chunk: Uint8Array): void | Promise<void>
  end(): void | Promise<void>
  /** Gives the body up. */
  destroy(): void
  /** Places replaced so far. */
  readonly hits: number
}

export function bodyScrubber(head: AnswerHead, needles: NeedleSet, sink: Sink): BodyScrubber {
  if (head.messages !== null) return new MessageScrubber(needles, head.messages, sink)
  return head.gather && head.decoder?.identity === true
    ? new WholeScrubber(needles, sink)
    : new DecodingScrubber(head, needles, sink)
}

/** A small body is looked at once, when it is there. */
class WholeScrubber implements BodyScrubber {
  hits = 0
  readonly #needles: NeedleSet
  readonly #sink: Sink
  readonly #pieces: Uint8Array[] = []

  constructor(needles: NeedleSet, sink: Sink) {
    this.#needles = needles
    this.#sink = sink
  }

  push(chunk: Uint8Array): void {
    this.#pieces.push(chunk)
  }

  end(): void | Promise<void> {
    const [first] = this.#pieces
    if (first === undefined) return
    const whole = this.#pieces.length === 1 ? first : Buffer.concat(this.#pieces)
    return typeof codingOf(whole) === 'string' ? this.#unfolded(whole) : this.#scrubbed(whole)
  }

  destroy(): void {
    this.#pieces.length = 0
  }

  #scrubbed(whole: Uint8Array): void | Promise<void> {
    const { bytes, hits } = scrubBytes(this.#needles, whole)
    this.hits = hits
    return this.#sink(bytes)
  }

  async #unfolded(whole: Uint8Array): Promise<void> {
    const undeclared = new Undeclared(this.#needles)
    const nothing: Sink = () => undefined
    try {
      await undeclared.push(whole, nothing)
      await undeclared.end(nothing)
    } finally {
      undeclared.destroy()
    }
    return this.#scrubbed(whole)
  }
}

/**
 * `#clean` and those around it are made where they are declared and see nothing but their object. Made in the
 * constructor, with a view of its parameters, such a function kept every exchange in memory until the next full
 * collection, and those cost more than all the rest of an answer (V8 13.6; seen as objects that each scavenge
 * moves to old space).
 */
class DecodingScrubber implements BodyScrubber {
  readonly #decoder: ContentDecoder | null
  readonly #scrubber: Scrubber
  readonly #sink: Sink
  readonly #undeclared: Undeclared
  readonly #events: JoinedEvents | null
  readonly #joined: Sink = (piece) => (this.#events === null ? this.#sink(piece) : this.#events.push(piece, this.#sink))
  readonly #clean: Sink = (piece) => drain(this.#scrubber.push(piece), this.#joined)
  readonly #decoded: Sink = (piece) => this.#undeclared.push(piece, this.#clean)

  constructor({ decoder, events }: AnswerHead, needles: NeedleSet, sink: Sink) {
    this.#decoder = decoder
    this.#events = events && needles.count > 0 ? new JoinedEvents(needles) : null
    this.#scrubber = createScrubber(needles)
    this.#undeclared = new Undeclared(needles)
    this.#sink = sink
  }

  get hits(): number {
    return this.#scrubber.hits
  }

  push(chunk: Uint8Array): void | Promise<void> {
    // An answer that may not have a body is not allowed to smuggle one.
    if (this.#decoder === null) throw new KeywardError('upstream_broken', 'A body came with an answer that has none.')
    return this.#decoder.push(chunk, this.#decoded)
  }

  end(): void | Promise<void> {
    const ended = this.#decoder?.end(this.#decoded)
    return ended === undefined ? this.#judged() : ended.then(() => this.#judged())
  }

  destroy(): void {
    this.#decoder?.destroy()
    this.#undeclared.destroy()
  }

  #judged(): void | Promise<void> {
    const judged = this.#undeclared.end(this.#clean)
    return judged === undefined ? this.#rest() : judged.then(() => this.#rest())
  }

  #rest(): void | Promise<void> {
    const drained = drain(this.#scrubber.end(), this.#joined)
    return drained === undefined ? this.#events?.end(this.#sink) : drained.then(() => this.#events?.end(this.#sink))
  }
}

/** Hands the pieces on, waiting only where the sink asks for it. */
function drain(pieces: readonly Uint8Array[], sink: Sink): void | Promise<void> {
  let next = 0
  for (const piece of pieces) {
    next++
    const waiting = sink(piece)
    if (waiting !== undefined) return waiting.then(() => drain(pieces.slice(next), sink))
  }
}

function lengthOf(headers: readonly HeaderPair[]): number | null {
  const [value, ...others] = headerValues(headers, 'content-length')
  return value !== undefined && others.length === 0 && /^[0-9]{1,15}$/.test(value) ? Number(value) : null
}

function isEventStream(headers: readonly HeaderPair[]): boolean {
  return headerValues(headers, 'content-type').some((value) =>
    /^\s*(?:text\/event-stream|application\/(?:x-ndjson|ndjson|jsonl|x-jsonlines|stream\+json|json-seq|grpc))/i.test(
      value,
    ),
  )
}
