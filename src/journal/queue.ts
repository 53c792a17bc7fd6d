import { KeywardError } from '../core/errors.ts'
import type { FromWorker, ToWorker } from './protocol.ts'

/** Entries, and characters of them, that may wait for the disk before further ones are refused. */
export const MAX_QUEUED_ENTRIES = 20_000
export const MAX_QUEUED_CHARACTERS = 16 * 1024 * 1024
/** An entry for which nobody waits is kept back for company at most this long: each batch wakes the worker, and the worker the event loop. */
export const LINGER_MILLISECONDS = 5
/** So many of them need no further company. */
const LINGERING_MAXIMUM_ENTRIES = 256
/** After an error of the disk, appends are refused without trying for this long. */
export const RETRY_MILLISECONDS = 250

/** All who wait for the same thing share one promise. */
type Waiting = PromiseWithResolvers<void>

interface Batch {
  readonly bodies: string[]
  /** For the operating system to have it. */
  written: Waiting | null
  /** For the disk to have it. */
  durable: Waiting | null
  characters: number
  readonly since: number
}

/**
 * The event loop's side of the journal: gathers the entries of a turn, hands them to the worker in one
 * message, one batch at a time (so batches grow with load, and a hung worker holds one of them), and
 * answers every append within the deadline.
 */
export class AppendQueue {
  /** Entries `first` to `last` were written after their appends had been rejected. */
  onLate: (first: number, last: number) => void = () => {}
  readonly #post: (message: ToWorker) => void
  readonly #deadline: number
  #size: number
  #gathering: Batch | null = null
  #inFlight: Batch | null = null
  #abandoned = false
  #scheduled = false
  #unsynced: { readonly size: number; readonly since: number; readonly waiting: Waiting }[] = []
  /** When the oldest entry that is not on the disk was written. */
  #dirtySince: number | null = null
  #entries = 0
  #characters = 0
  #refusal: string | null = null
  #ended = false
  #watch: NodeJS.Timeout | null = null
  #retry: NodeJS.Timeout | null = null
  #lingering: NodeJS.Timeout | null = null
  #drained: (() => void)[] = []

  constructor(post: (message: ToWorker) => void, size: number, deadlineMilliseconds: number) {
    this.#post = post
    this.#size = size
    this.#deadline = deadlineMilliseconds
  }

  get size(): number {
    return this.#size
  }

  get refusal(): string | null {
    return this.#refusal
  }

  push(body: string, sync: boolean): Promise<void> {
    const refusal = this.#refusalOf(body)
    if (refusal !== null) return Promise.reject(unwritable(refusal))
    const batch = this.#take(body)
    if (this.#inFlight === null) this.#schedule()
    const waiting = sync ? (batch.durable ??= newWaiting()) : (batch.written ??= newWaiting())
    return waiting.promise
  }

  /** Nobody waits for the entry: it may be kept back until others are to be sent, and is dropped where it would be refused. */
  note(body: string): void {
    if (this.#refusalOf(body) !== null) return
    const batch = this.#take(body)
    if (this.#inFlight !== null) return
    if (batch.bodies.length >= LINGERING_MAXIMUM_ENTRIES) this.#schedule()
    else this.#lingering ??= setTimeout(this.#lingered, LINGER_MILLISECONDS)
  }

  #refusalOf(body: string): string | null {
    if (this.#refusal !== null) return this.#refusal
    const isFull = this.#entries >= MAX_QUEUED_ENTRIES || this.#characters + body.length > MAX_QUEUED_CHARACTERS
    return isFull ? 'Too many entries wait for the disk.' : null
  }

  #take(body: string): Batch {
    this.#entries++
    this.#characters += body.length
    this.#gathering ??= { bodies: [], written: null, durable: null, characters: 0, since: performance.now() }
    this.#gathering.bodies.push(body)
    this.#gathering.characters += body.length
    this.#watch ??= setTimeout(this.#look, this.#deadline)
    return this.#gathering
  }

  /** Resolves when nothing waits any more, whatever became of it. */
  drained(): Promise<void> {
    if (this.#idle()) return Promise.resolve()
    this.#lingered()
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  receive(message: FromWorker): void {
    if (message.type === 'written') this.#written(message.size)
    else if (message.type === 'refused') this.#refused(message.detail)
    else if (message.type === 'synced') this.#synced(message.size)
    else if (message.type === 'unsynced') this.#fail(message.detail)
    this.#tellDrained()
  }

  /** Refuses everything from now on. */
  end(detail: string): void {
    this.#ended = true
    this.#refusal = detail
    this.#rejectAll(detail)
    if (this.#watch !== null) clearTimeout(this.#watch)
    if (this.#retry !== null) clearTimeout(this.#retry)
    if (this.#lingering !== null) clearTimeout(this.#lingering)
    this.#tellDrained()
  }

  #tellDrained(): void {
    if (this.#idle()) for (const done of this.#drained.splice(0)) done()
  }

  #idle(): boolean {
    return this.#gathering === null && (this.#inFlight === null || this.#abandoned) && this.#unsynced.length === 0
  }

  readonly #lingered = (): void => {
    this.#lingering = null
    if (this.#gathering !== null && this.#inFlight === null) this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#send)
  }

  readonly #send = (): void => {
    this.#scheduled = false
    const batch = this.#gathering
    if (batch === null || this.#inFlight !== null) return
    this.#gathering = null
    this.#inFlight = batch
    this.#post({ type: 'batch', bodies: batch.bodies.join('\n'), sync: batch.durable !== null })
  }

  #written(size: number): void {
    const batch = this.#settle()
    if (batch === null) return
    this.#size = size
    this.#dirtySince ??= performance.now()
    this.#watch ??= setTimeout(this.#look, this.#deadline)
    if (this.#abandoned) {
      this.#abandoned = false
      this.#recover()
      this.onLate(size - batch.bodies.length + 1, size)
      return
    }
    batch.written?.resolve()
    if (batch.durable !== null) this.#unsynced.push({ size, since: batch.since, waiting: batch.durable })
    if (this.#gathering !== null) this.#schedule()
  }

  #refused(detail: string): void {
    const batch = this.#settle()
    if (batch !== null && !this.#abandoned) reject(batch, detail)
    this.#abandoned = false
    this.#fail(detail)
  }

  #settle(): Batch | null {
    const batch = this.#inFlight
    this.#inFlight = null
    if (batch !== null) this.#release(batch)
    return batch
  }

  #release(batch: Batch): void {
    this.#entries -= batch.bodies.length
    this.#characters -= batch.characters
  }

  #synced(size: number): void {
    while (this.#unsynced[0] !== undefined && this.#unsynced[0].size <= size) {
      this.#unsynced.shift()?.waiting.resolve()
    }
    const stalled = this.#dirtySince === null && this.#refusal !== null
    this.#dirtySince = size >= this.#size ? null : performance.now()
    if (stalled && this.#inFlight === null && this.#retry === null) this.#recover()
  }

  #recover(): void {
    if (!this.#ended) this.#refusal = null
  }

  /** The disk answered with an error: refuse for a while, then let the next append try again. */
  #fail(detail: string): void {
    if (this.#ended) return
    this.#stop(detail)
    this.#retry ??= setTimeout(() => {
      this.#retry = null
      if (!this.#abandoned) this.#recover()
    }, RETRY_MILLISECONDS)
  }

  #stop(detail: string): void {
    this.#refusal = detail
    this.#dirtySince = null
    this.#rejectAll(detail)
    this.#tellDrained()
  }

  #rejectAll(detail: string): void {
    const gathering = this.#gathering
    this.#gathering = null
    if (gathering !== null) {
      this.#release(gathering)
      reject(gathering, detail)
    }
    for (const { waiting } of this.#unsynced.splice(0)) waiting.reject(unwritable(detail))
    if (this.#inFlight === null || this.#abandoned) return
    this.#abandoned = true
    reject(this.#inFlight, detail)
  }

  /** The acknowledgement may lie in the queue of a busy event loop: only what is still open after one more turn is late. */
  readonly #look = (): void => {
    this.#watch = null
    setImmediate(() => {
      if (this.#ended) return
      const oldest = this.#oldest()
      if (oldest === null) return
      const left = oldest + this.#deadline - performance.now()
      if (left > 0) this.#watch ??= setTimeout(this.#look, left)
      else this.#stop(`The disk has not answered for ${this.#deadline} ms.`)
    })
  }

  #oldest(): number | null {
    const open = [this.#unsynced[0]?.since, this.#gathering?.since, this.#dirtySince]
    if (!this.#abandoned) open.push(this.#inFlight?.since)
    const times = open.filter((time) => typeof time === 'number')
    return times.length === 0 ? null : Math.min(...times)
  }
}

function newWaiting(): Waiting {
  return Promise.withResolvers()
}

function reject({ written, durable }: Batch, detail: string): void {
  written?.reject(unwritable(detail))
  durable?.reject(unwritable(detail))
}

function unwritable(detail: string): KeywardError {
  return new KeywardError('journal_unwritable', detail)
}
