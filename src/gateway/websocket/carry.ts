import type { Duplex } from 'node:stream'
import type { ErrorCode } from '../../core/errors.ts'
import type { NeedleSet } from '../../core/needles.ts'
import type { RelayEnd } from '../relay.ts'
import { FrameReader, type FrameFault } from './frames.ts'
import { createMasks } from './masks.ts'
import { MessageWriter } from './messages.ts'
import type { FrameSwap } from './swap.ts'

/** A WebSocket on which nothing moves in either direction; pings move. */
export const WEBSOCKET_IDLE_MILLISECONDS = 15 * 60_000
/** How long the other side may take to answer a Close frame, and then to read what is still on its way and close. */
export const WEBSOCKET_CLOSE_MILLISECONDS = 10_000
/** The same where something was taken away: what is suspended ends within a second. */
export const WEBSOCKET_ENDED_MILLISECONDS = 500

/** How often it is asked again whether an open connection is still allowed: a grant may expire, or be replaced by a narrower one. */
export const WEBSOCKET_CHECK_MILLISECONDS = 500

/** RFC 6455 section 7.4.1: going away, policy violation. */
const GOING_AWAY = 1001
const POLICY = 1008

export interface CarryOptions {
  readonly client: Duplex
  readonly upstream: Duplex
  /** What the service's messages are searched for, asked anew for each; null: a host that nobody guards. */
  readonly needles: (() => NeedleSet) | null
  readonly swap: FrameSwap | null
  /** Sees what the agent says, after placeholders were replaced; null: nobody looks. */
  readonly notice?: ((piece: Uint8Array) => void) | null
  /** Registers how to end this from outside; returns how to take that back. */
  readonly watch: (end: (code: ErrorCode) => void) => () => void
  /** Why the connection may not go on, or null. */
  readonly check: () => ErrorCode | null
  readonly idleMilliseconds?: number
}

/** Carries messages both ways until the connection is over, whichever way. */
export function carry(options: CarryOptions): Promise<RelayEnd> {
  return new Promise((done) => new Carrier(options, done).start())
}

/** One direction: where it comes from, what is written, and where it goes. */
interface Way {
  readonly from: Duplex
  readonly to: Duplex
  readonly reader: FrameReader
  readonly writer: MessageWriter
  readonly frames: Buffer[]
}

const masks = createMasks()

class Carrier {
  readonly #options: CarryOptions
  readonly #done: (end: RelayEnd) => void
  readonly #up: Way
  readonly #down: Way
  readonly #idleMilliseconds: number
  #over = false
  #unwatch: () => void = () => undefined
  #idle: NodeJS.Timeout | null = null
  #closing: NodeJS.Timeout | null = null
  #checking: NodeJS.Timeout | null = null
  #movedAt = performance.now()

  constructor(options: CarryOptions, done: (end: RelayEnd) => void) {
    const { client, upstream, needles, swap, notice = null } = options
    this.#options = options
    this.#done = done
    this.#idleMilliseconds = options.idleMilliseconds ?? WEBSOCKET_IDLE_MILLISECONDS
    this.#up = wayOf(client, upstream, { masked: true, needles: null, swap, notice })
    this.#down = wayOf(upstream, client, { masked: false, needles, swap: null, notice: null })
  }

  start(): void {
    this.#unwatch = this.#options.watch((code) => this.#end('ended', code, POLICY))
    for (const way of [this.#up, this.#down]) {
      way.from.on('data', (chunk: Buffer) => this.#read(way, chunk))
      way.from.on('end', () => this.#gone(way))
      way.from.on('error', () => this.#gone(way))
      way.from.on('close', () => this.#gone(way))
      way.to.on('drain', () => {
        this.#movedAt = performance.now()
        if (!this.#over) way.from.resume()
      })
    }
    if (this.#over) return
    this.#checking = setInterval(this.#check, WEBSOCKET_CHECK_MILLISECONDS)
    this.#checking.unref()
    this.#check()
    if (this.#over) return
    this.#idle = setTimeout(this.#look, this.#idleMilliseconds)
    this.#idle.unref()
    for (const way of [this.#up, this.#down]) {
      if (way.from.destroyed || way.from.readableEnded) this.#gone(way)
      else way.from.resume()
    }
  }

  #read(way: Way, chunk: Buffer): void {
    // Behind its Close frame a side has nothing more to say.
    if (this.#over || way.writer.closed) return
    this.#movedAt = performance.now()
    let fault: FrameFault | null
    try {
      fault = way.reader.push(chunk)
    } catch {
      return this.#end('broken', 'internal', 1011)
    }
    if (!way.reader.midFrame) way.writer.flush()
    if (!writeAll(way)) way.from.pause()
    if (fault !== null) return this.#end(way === this.#up ? 'ended' : 'broken', 'frame_refused', fault.closeCode)
    if (!way.writer.closed) return
    if (this.#up.writer.closed && this.#down.writer.closed) return this.#end('answered', null, null)
    this.#closing ??= setTimeout(() => this.#end('answered', null, GOING_AWAY), WEBSOCKET_CLOSE_MILLISECONDS)
  }

  /** A side that goes without a Close frame has broken off; one that said it is done may go. */
  #gone(way: Way): void {
    if (this.#over) return
    if (this.#up.writer.closed || this.#down.writer.closed) return this.#end('answered', null, GOING_AWAY)
    if (way === this.#up) this.#end('aborted', null, GOING_AWAY)
    else this.#end('broken', 'upstream_broken', GOING_AWAY)
  }

  readonly #check = (): void => {
    const code = this.#options.check()
    if (code !== null) this.#end('ended', code, POLICY)
  }

  readonly #look = (): void => {
    const quiet = performance.now() - this.#movedAt
    if (quiet >= this.#idleMilliseconds) return this.#end('ended', 'websocket_idle', GOING_AWAY)
    this.#idle = setTimeout(this.#look, this.#idleMilliseconds - quiet)
    this.#idle.unref()
  }

  /** Tells both sides what they have not been told yet, and closes. Nothing passes any more. */
  #end(outcome: RelayEnd['outcome'], code: ErrorCode | null, closeCode: number | null): void {
    if (this.#over) return
    this.#over = true
    this.#unwatch()
    if (this.#idle !== null) clearTimeout(this.#idle)
    if (this.#closing !== null) clearTimeout(this.#closing)
    if (this.#checking !== null) clearInterval(this.#checking)
    const { client, upstream } = this.#options
    // The agent is told why. The service is not: it is none of its business.
    this.#down.writer.close(closeCode, Buffer.from(code ?? ''))
    this.#up.writer.close(closeCode)
    writeAll(this.#down)
    writeAll(this.#up)
    const patience = outcome === 'ended' ? WEBSOCKET_ENDED_MILLISECONDS : WEBSOCKET_CLOSE_MILLISECONDS
    endWithin(client, patience)
    endWithin(upstream, patience)
    const { writer: up } = this.#up
    const { writer: down } = this.#down
    this.#done({
      outcome,
      code,
      status: 101,
      bytesUp: up.bytes,
      bytesDown: down.bytes,
      scrubbed: down.hits,
      messages: { up: up.messages, down: down.messages, swapped: up.swapped },
    })
  }
}

function wayOf(
  from: Duplex,
  to: Duplex,
  options: {
    readonly masked: boolean
    readonly needles: (() => NeedleSet) | null
    readonly swap: FrameSwap | null
    readonly notice: ((piece: Uint8Array) => void) | null
  },
): Way {
  const { masked, needles, swap, notice } = options
  const frames: Buffer[] = []
  const writer = new MessageWriter({
    mask: masked ? masks : null,
    needles,
    swap,
    notice,
    write: (frame) => void frames.push(frame),
  })
  return { from, to, writer, frames, reader: new FrameReader(masked, writer) }
}

/** False: the reader is behind. */
function writeAll({ to, frames }: Way): boolean {
  const [first] = frames
  if (first === undefined || to.destroyed) return true
  const bytes = frames.length === 1 ? first : Buffer.concat(frames)
  frames.length = 0
  return to.write(bytes)
}

/** Says that nothing more comes, reads what is still under way, and closes at the latest after a while. */
function endWithin(stream: Duplex, milliseconds: number): void {
  if (stream.destroyed) return
  stream.end()
  stream.resume()
  const timer = setTimeout(() => stream.destroy(), milliseconds)
  stream.once('close', () => clearTimeout(timer))
}
