import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'
import { KeywardError } from '../../core/errors.ts'
import type { NeedleSet } from '../../core/needles.ts'
import { headerValues, type HeaderPair } from '../../core/request.ts'
import { createScrubber, scrubText, type Scrubber } from '../../core/scrub.ts'
import type { Sink } from '../codings.ts'

/** A compressed message, before and after: such a one is held whole. Others pass as they come, however long. */
export const COMPRESSED_MESSAGE_MAXIMUM_BYTES = 8 * 1024 * 1024
/** Compressed-Flag and Message-Length (gRPC over HTTP/2, Length-Prefixed-Message). */
const PREFIX_BYTES = 5
const COMPRESSED = 1
/** gRPC-Web sends its trailers as a last message that is marked so. */
const TRAILERS = 0x80

const GRPC = /^application\/grpc(?:-web)?(?:\+[a-z0-9.-]+)?\s*(?:;|$)/i

/** Compressions of messages that Keyward can undo, as they are asked for upstream. */
export const MESSAGE_CODINGS: readonly string[] = ['identity', 'gzip', 'deflate']

export type MessageCoding = 'identity' | 'gzip' | 'deflate'

export function isGrpc(headers: readonly HeaderPair[]): boolean {
  return headerValues(headers, 'content-type').some((value) => GRPC.test(value))
}

/** How the messages of an answer are compressed, where they are; null: in a way that cannot be undone. */
export function messageCoding(headers: readonly HeaderPair[]): MessageCoding | null {
  const [value = 'identity', ...others] = headerValues(headers, 'grpc-encoding')
  if (others.length > 0) return null
  return value === 'identity' || value === 'gzip' || value === 'deflate' ? value : null
}

/**
 * The value of binary metadata (a name in `-bin`: base64, most often of a message), with secrets overwritten
 * at their own length; null: it is nothing of the kind, or not clean after that.
 */
export function scrubBinary(needles: NeedleSet, name: string, value: string): { text: string; hits: number } | null {
  if (!name.endsWith('-bin')) return null
  const scrubber = createScrubber(needles, { sameLength: true })
  const clean = Buffer.concat([...scrubber.push(Buffer.from(value, 'base64')), ...scrubber.end()])
  // Padding may be left out, so it stays as it was.
  const text = clean.toString('base64').slice(0, value.length)
  return scrubber.hits > 0 && scrubText(needles, text).hits === 0 ? { text, hits: scrubber.hits } : null
}

const decoders = { gzip: promisify(gunzip), deflate: promisify(inflate) }

/**
 * Replaces secrets in the messages of a gRPC answer. What is replaced keeps its length, so that neither the
 * length of the message nor any within it becomes wrong; a compressed message goes on without compression.
 * A message ends what is looked for: its end may not wait for the next one.
 */
export class MessageScrubber {
  hits = 0
  readonly #needles: NeedleSet
  readonly #coding: MessageCoding
  readonly #sink: Sink
  #held: Buffer = Buffer.alloc(0)
  /** Room for a compressed message that is not all there, and how much of it is: joining its pieces anew for each would take ever longer. */
  #room: Buffer | null = null
  #filled = 0
  #scrubber: Scrubber | null = null
  #left = 0

  constructor(needles: NeedleSet, coding: MessageCoding, sink: Sink) {
    this.#needles = needles
    this.#coding = coding
    this.#sink = sink
  }

  push(chunk: Uint8Array): void | Promise<void> {
    let rest = chunk
    if (this.#room !== null) {
      const taken = Math.min(this.#room.length - this.#filled, chunk.length)
      this.#room.set(chunk.subarray(0, taken), this.#filled)
      this.#filled += taken
      if (this.#filled < this.#room.length) return
      this.#held = this.#room
      this.#room = null
      rest = chunk.subarray(taken)
    }
    if (rest.length > 0) this.#held = this.#held.length === 0 ? Buffer.from(rest) : Buffer.concat([this.#held, rest])
    return this.#advance()
  }

  destroy(): void {
    this.#held = Buffer.alloc(0)
    this.#room = null
  }

  /** Rejects what was cut in the middle of a message. */
  end(): void {
    if (this.#scrubber !== null || this.#held.length > 0 || this.#room !== null)
      throw new KeywardError('upstream_broken', 'The last message was cut short.')
  }

  #advance(): void | Promise<void> {
    const out: Uint8Array[] = []
    let compressed: Promise<Uint8Array[]> | null = null
    while (compressed === null) {
      if (this.#scrubber !== null) {
        this.#pass(this.#scrubber, out)
        if (this.#scrubber !== null) break
      } else {
        if (this.#held.length < PREFIX_BYTES) break
        const flag = this.#held.readUInt8(0)
        const length = this.#held.readUInt32BE(1)
        if ((flag & ~(COMPRESSED | TRAILERS)) !== 0)
          throw new KeywardError('upstream_broken', 'A message has an unknown mark.')
        if ((flag & COMPRESSED) === 0) {
          out.push(this.#take(PREFIX_BYTES))
          this.#left = length
          this.#scrubber = createScrubber(this.#needles, { sameLength: true })
        } else {
          if (length > COMPRESSED_MESSAGE_MAXIMUM_BYTES)
            throw new KeywardError('answer_withheld', 'A compressed message is too large.')
          if (this.#held.length < PREFIX_BYTES + length) {
            this.#await(PREFIX_BYTES + length)
            break
          }
          compressed = this.#decoded(flag, this.#take(PREFIX_BYTES + length).subarray(PREFIX_BYTES))
        }
      }
    }
    const waiting = out.length === 0 ? undefined : this.#sink(Buffer.concat(out))
    if (compressed === null) return waiting
    return this.#afterCompressed(waiting, compressed)
  }

  #await(bytes: number): void {
    this.#room = Buffer.allocUnsafe(bytes)
    this.#filled = this.#held.copy(this.#room)
    this.#held = Buffer.alloc(0)
  }

  async #afterCompressed(waiting: void | Promise<void>, compressed: Promise<Uint8Array[]>): Promise<void> {
    const pieces = await compressed
    await waiting
    await this.#sink(Buffer.concat(pieces))
    await this.#advance()
  }

  /** What there is of a message that is not compressed. */
  #pass(scrubber: Scrubber, out: Uint8Array[]): void {
    const taken = this.#take(Math.min(this.#left, this.#held.length))
    this.#left -= taken.length
    out.push(...scrubber.push(taken))
    if (this.#left > 0) return
    out.push(...scrubber.end())
    this.hits += scrubber.hits
    this.#scrubber = null
  }

  async #decoded(flag: number, payload: Buffer): Promise<Uint8Array[]> {
    if (this.#coding === 'identity')
      throw new KeywardError('upstream_broken', 'A message is marked as compressed, and nothing says how.')
    const decode = decoders[this.#coding]
    const plain = await decode(payload, { maxOutputLength: COMPRESSED_MESSAGE_MAXIMUM_BYTES }).catch(() => {
      throw new KeywardError('answer_withheld', 'A message cannot be decompressed within its bound.')
    })
    const prefix = Buffer.alloc(PREFIX_BYTES)
    prefix.writeUInt8(flag & TRAILERS, 0)
    prefix.writeUInt32BE(plain.length, 1)
    const scrubber = createScrubber(this.#needles, { sameLength: true })
    const pieces = [prefix, ...scrubber.push(plain), ...scrubber.end()]
    this.hits += scrubber.hits
    return pieces
  }

  #take(length: number): Buffer {
    const taken = this.#held.subarray(0, length)
    this.#held = this.#held.subarray(length)
    return taken
  }
}
