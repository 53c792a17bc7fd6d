import type { Transform } from 'node:stream'
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib'
import { KeywardError } from '../core/errors.ts'

/** Content codings that Keyward can undo, as they are asked for upstream. */
export const CODINGS: readonly string[] = ['gzip', 'x-gzip', 'deflate', 'br', 'zstd', 'identity']
/** Codings applied one over the other; more than that nobody needs. */
export const LAYERS_MAXIMUM = 3
/** Decoded bytes that one layer produces before it waits for the reader. */
export const PIECE_BYTES = 16_384
/** RFC 9659 section 3: no encoder for the web may need a larger window than 8 MiB, so no answer may make us take more. */
const ZSTD_WINDOW_LOG_MAXIMUM = 23

/** Takes a piece; a promise says that the reader is behind, and nothing more is produced until it is settled. */
export type Sink = (piece: Uint8Array) => void | Promise<void>

/**
 * Undoes the content codings of one body. However much a chunk expands, no more than a piece per layer is
 * ever held: decoding goes on as the sink takes what there is. Damaged or cut input rejects with
 * `upstream_broken`; bytes after the end of the coded data are dropped, since no reader may rely on them.
 */
export interface ContentDecoder {
  /** True: there is no coding, and `push` hands its chunk straight to the sink. */
  readonly identity: boolean
  push(chunk: Uint8Array, sink: Sink): void | Promise<void>
  end(sink: Sink): void | Promise<void>
  /** Frees what the decoder holds; needed when a body is given up before its end. */
  destroy(): void
}

/**
 * The decoder for the value of Content-Encoding (several headers joined by commas), or null if the coding
 * cannot be undone: such an answer is withheld. RFC 9110 section 8.4.
 */
export function contentDecoder(contentEncoding: string): ContentDecoder | null {
  const names = contentEncoding
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity')
  if (names.length === 0) return identity
  if (names.length > LAYERS_MAXIMUM || !names.every((name) => CODINGS.includes(name))) return null
  return new LayeredDecoder(
    names.toReversed().map((name) => (name === 'deflate' ? new DeflateLayer() : new Layer(streamFor(name)))),
  )
}

const identity: ContentDecoder = {
  identity: true,
  push: (chunk, sink) => sink(chunk),
  end: () => undefined,
  destroy: () => undefined,
}

function streamFor(name: string): Transform {
  const options = { chunkSize: PIECE_BYTES }
  if (name === 'br') return createBrotliDecompress(options)
  if (name === 'zstd')
    return createZstdDecompress({ ...options, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAXIMUM } })
  return createGunzip(options)
}

interface Stage {
  push(chunk: Uint8Array, sink: Sink): Promise<void>
  end(sink: Sink): Promise<void>
  destroy(): void
}

class LayeredDecoder implements ContentDecoder {
  readonly identity = false
  readonly #stages: readonly Stage[]
  #begun = false

  constructor(stages: readonly Stage[]) {
    this.#stages = stages
  }

  push(chunk: Uint8Array, sink: Sink): Promise<void> {
    if (chunk.length > 0) this.#begun = true
    return this.#pushFrom(0, chunk, sink)
  }

  async end(sink: Sink): Promise<void> {
    // Many servers name a coding for an empty body, which is not an empty coded body.
    if (!this.#begun) return this.destroy()
    for (const [i, stage] of this.#stages.entries()) await stage.end((piece) => this.#pushFrom(i + 1, piece, sink))
  }

  destroy(): void {
    for (const stage of this.#stages) stage.destroy()
  }

  async #pushFrom(first: number, chunk: Uint8Array, sink: Sink): Promise<void> {
    const stage = this.#stages[first]
    if (stage === undefined) await sink(chunk)
    else await stage.push(chunk, (piece) => this.#pushFrom(first + 1, piece, sink))
  }
}

/** One of the platform's decompressors, driven by hand so that its output is taken before more input is given. */
class Layer implements Stage {
  readonly #stream: Transform
  #failed = false
  #ended = false
  #wake: () => void = () => undefined

  constructor(stream: Transform) {
    this.#stream = stream
    stream.on('readable', () => this.#wake())
    stream.on('end', () => {
      this.#ended = true
      this.#wake()
    })
    stream.on('error', () => {
      this.#failed = true
      this.#wake()
    })
  }

  async push(chunk: Uint8Array, sink: Sink): Promise<void> {
    if (this.#ended || chunk.length === 0) return
    let taken = false
    this.#stream.write(chunk, () => {
      taken = true
      this.#wake()
    })
    await this.#drain(() => taken, sink)
  }

  async end(sink: Sink): Promise<void> {
    this.#stream.end()
    await this.#drain(() => false, sink)
    this.#stream.destroy()
  }

  destroy(): void {
    this.#stream.destroy()
  }

  async #drain(done: () => boolean, sink: Sink): Promise<void> {
    for (;;) {
      if (this.#failed || (this.#stream.destroyed && !this.#ended)) throw broken()
      const piece: unknown = this.#stream.read()
      if (piece instanceof Uint8Array) await sink(piece)
      else if (this.#ended || done()) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }
}

/** Some servers send `deflate` without the zlib wrapping that RFC 9110 section 8.4.1.2 asks for; the first two bytes tell. */
class DeflateLayer implements Stage {
  #layer: Layer | undefined
  #start: Uint8Array = new Uint8Array(0)

  async push(chunk: Uint8Array, sink: Sink): Promise<void> {
    if (this.#layer !== undefined) return this.#layer.push(chunk, sink)
    this.#start = Buffer.concat([this.#start, chunk])
    if (this.#start.length >= 2) await this.#open().push(this.#start, sink)
  }

  async end(sink: Sink): Promise<void> {
    if (this.#layer === undefined) await this.#open().push(this.#start, sink)
    await this.#layer?.end(sink)
  }

  destroy(): void {
    this.#layer?.destroy()
  }

  #open(): Layer {
    const [first = 0, second = 0] = this.#start
    const wrapped = this.#start.length >= 2 && (first & 0x0f) === 8 && (first * 256 + second) % 31 === 0
    this.#layer = new Layer(
      wrapped ? createInflate({ chunkSize: PIECE_BYTES }) : createInflateRaw({ chunkSize: PIECE_BYTES }),
    )
    return this.#layer
  }
}

function broken(): KeywardError {
  return new KeywardError('upstream_broken', 'The body is not what its content coding says, or it was cut short.')
}
