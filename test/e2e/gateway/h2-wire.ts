import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { Tap, type TapListener } from '../../../src/gateway/http2/tap.ts'
import type { Answer } from './wire.ts'

export type Fields = readonly (readonly [name: string, value: string])[]

/** An HTTP/2 client that sends fields as they are given, hostile ones too, and reads answers with Node's own client. */
export interface H2Wire {
  readonly session: ClientHttp2Session
  /** One stream. `fields` with the pseudo-headers, in the order in which they are sent. */
  stream(fields: Fields, options?: { readonly endStream?: boolean }): ClientHttp2Stream
  /** One request and its answer; rejects with the code of the reset when no answer begins. */
  request(fields: Fields, body?: string | Uint8Array): Promise<Answer>
  /** Bytes on the wire, between the library's. */
  write(bytes: Uint8Array): void
  readonly closed: Promise<void>
  close(): void
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** HPACK (RFC 7541 section 6.2.2): literals that no table remembers, without Huffman. */
export function block(fields: Fields): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const length = [127]
  let rest = bytes.length - 127
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128)
  return Buffer.concat([Buffer.from([...length, rest]), bytes])
}

/** HEADERS and as many CONTINUATION frames as it takes. */
export function headersFrames(stream: number, fields: Fields, endStream: boolean): Buffer {
  const all = block(fields)
  const pieces: Buffer[] = []
  for (let at = 0; at === 0 || at < all.length; at += 16_384) pieces.push(all.subarray(at, at + 16_384))
  return Buffer.concat(
    pieces.map((piece, i) =>
      frame(i === 0 ? 1 : 9, (i === 0 && endStream ? 1 : 0) | (i === pieces.length - 1 ? 4 : 0), stream, piece),
    ),
  )
}

const nobody: TapListener = {
  wanted: () => true,
  stranger: () => undefined,
  received: () => undefined,
  sent: () => undefined,
}

/** Passes bytes through, but for the library's header blocks, in whose place those in `blocks` go. */
class Swap extends Tap {
  readonly #blocks: Fields[]
  #unsent: Buffer = Buffer.alloc(0)
  #preface = 24

  constructor(inner: Duplex, blocks: Fields[], listener: TapListener) {
    super(inner, listener, 'client')
    this.#blocks = blocks
  }

  protected override outgoing(bytes: Buffer): Buffer {
    this.#unsent = Buffer.concat([this.#unsent, bytes])
    const out: Buffer[] = []
    if (this.#preface > 0) {
      const taken = Math.min(this.#preface, this.#unsent.length)
      out.push(this.#take(taken))
      this.#preface -= taken
    }
    while (this.#preface === 0 && this.#unsent.length >= 9) {
      const length = 9 + this.#unsent.readUIntBE(0, 3)
      if (this.#unsent.length < length) break
      const whole = this.#take(length)
      const fields = whole.readUInt8(3) === 1 ? this.#blocks.shift() : undefined
      out.push(
        fields === undefined ? whole : headersFrames(whole.readUInt32BE(5), fields, (whole.readUInt8(4) & 1) !== 0),
      )
    }
    return Buffer.concat(out)
  }

  #take(length: number): Buffer {
    const taken = this.#unsent.subarray(0, length)
    this.#unsent = this.#unsent.subarray(length)
    return taken
  }
}

const WAIT_MILLISECONDS = 15_000

export function h2WireOf(socket: Duplex): H2Wire {
  const blocks: Fields[] = []
  const swap: Swap = new Swap(socket, blocks, { ...nobody, wanted: () => !session.destroyed })
  const session = connect('http://gateway.test', { createConnection: () => swap })
  session.on('error', () => undefined)
  const gone = Promise.withResolvers<void>()
  session.once('close', () => gone.resolve())

  function stream(fields: Fields, { endStream = true } = {}): ClientHttp2Stream {
    const method = fields.find(([name]) => name === ':method')?.[1] ?? 'GET'
    blocks.push(fields)
    const opened = session.request({ ':method': method === 'HEAD' ? 'HEAD' : 'POST', ':path': '/' }, { endStream })
    opened.on('error', () => undefined)
    return opened
  }

  return {
    session,
    stream,
    request: (fields, body) => {
      const opened = stream(fields, { endStream: body === undefined })
      if (body !== undefined) opened.end(Buffer.from(body))
      return answerOf(opened)
    },
    write: (bytes) => void socket.write(bytes),
    closed: gone.promise,
    close: () => session.destroy(),
  }
}

/** The answer on a stream, to its end or to where it was cut. */
export function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((done, fail) => {
    const pieces: Buffer[] = []
    let head: Pick<Answer, 'status' | 'headers' | 'rawHead'> | null = null
    let trailers: Answer['trailers'] = []
    let ended = false
    const timer = setTimeout(() => fail(new Error('No answer came.')), WAIT_MILLISECONDS)
    stream.on('response', (_headers: unknown, _flags: number, raw: readonly string[]) => {
      const pairs = pairsOf(raw)
      head = {
        status: Number(pairs.find(([name]) => name === ':status')?.[1]),
        headers: pairs.filter(([name]) => !name.startsWith(':')),
        rawHead: pairs.map(([name, value]) => `${name}: ${value}\r\n`).join(''),
      }
    })
    stream.on('trailers', (_headers: unknown, _flags: number, raw: readonly string[]) => void (trailers = pairsOf(raw)))
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('end', () => void (ended = true))
    stream.once('close', () => {
      clearTimeout(timer)
      const whole = ended && stream.rstCode === constants.NGHTTP2_NO_ERROR
      if (head === null) fail(new Error(`The stream was reset with ${stream.rstCode}.`))
      else done({ ...head, reason: '', trailers, body: Buffer.concat(pieces), whole })
    })
  })
}

function pairsOf(raw: readonly string[]): (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) pairs.push([raw[at] ?? '', raw[at + 1] ?? ''])
  return pairs
}
