import type { KeyObject } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { KeywardError } from '../core/errors.ts'
import { originOf } from './checkpoint.ts'
import type { Checkpoint } from './checkpoint.ts'
import { entryBody } from './entry.ts'
import { encodeEvent } from './event.ts'
import type { JournalEvent } from './event.ts'
import type { FromWorker, ToWorker, WorkerStart } from './protocol.ts'
import { AppendQueue } from './queue.ts'
import { SEGMENT_BYTES } from './segments.ts'
import { workerUrl } from './worker-url.ts'

/** Batches live for a moment only: left to itself, the worker's heap grows to several times of what it needs, and stays so. */
const YOUNG_GENERATION_MEGABYTES = 6

export interface JournalOptions {
  /** Holds nothing but this journal; made with mode 0700. */
  readonly directory: string
  /** Names the node in every checkpoint: letters, digits, dot, dash and underscore. */
  readonly node: string
  /** Ed25519; handed to the worker, which signs the checkpoints. */
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** Milliseconds since the Unix epoch, for `at`. */
  readonly now: () => number
  /** A head that was kept elsewhere: a journal that does not contain it is refused as `journal_rolled_back`. */
  readonly anchor?: { readonly size: number; readonly root: string }
  /** Up to which entry it was pruned: one that begins later is refused as `journal_damaged`. */
  readonly prunedTo?: number
  readonly onCheckpoint?: (checkpoint: Checkpoint) => void
  /** How long an append may wait for its acknowledgement. */
  readonly deadlineMilliseconds?: number
  /** Where segments are rotated; 64 MiB unless a test wants less. */
  readonly segmentBytes?: number
  /** For tests: a module that exports another `files` (files.ts). */
  readonly filesModule?: URL
}

export interface AppendOptions {
  /** Wait for the disk, and not only for the operating system. */
  readonly sync?: boolean
}

export interface Journal {
  /**
   * Resolves when the operating system has the entry, which then survives the death of this process;
   * with `sync`, when it is on the disk. Rejects with `journal_unwritable` at the deadline, and at once
   * while the disk hangs or fails or the queue is full. An entry whose append was rejected by the
   * deadline may still be written when the disk comes back; a `finding` entry then says which ones.
   * Rejects with a TypeError when the event is not plain JSON.
   */
  append(event: JournalEvent, options?: AppendOptions): Promise<void>
  /**
   * An entry for which nobody waits. It may be kept back for a few milliseconds, to be written together
   * with others, and is lost without a word where `append` would reject. Throws a TypeError when the event is
   * not plain JSON.
   */
  note(event: JournalEvent): void
  /** Entries that the operating system has. */
  readonly size: number
  /** Why appends are refused at this moment; null where they are not. */
  readonly refusal: string | null
  /** Makes everything durable and signs it now. */
  checkpoint(): Promise<Checkpoint>
  /** Writes, syncs and signs what is left, within the deadline. */
  close(): Promise<void>
}

/** Opens the journal, or begins one. Throws `journal_damaged` when what is there is not as it was written, `journal_rolled_back` when it is older than its anchor, `journal_unwritable` when the place cannot be used. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { directory, node, privateKey, publicKey, now, onCheckpoint, deadlineMilliseconds = 1000 } = options
  const start: WorkerStart = {
    directory,
    origin: originOf(node),
    privateKey,
    publicKey,
    segmentBytes: options.segmentBytes ?? SEGMENT_BYTES,
    anchor: options.anchor ?? null,
    prunedTo: options.prunedTo ?? null,
    filesModule: options.filesModule?.href ?? null,
  }
  const worker = new Worker(workerUrl(), {
    workerData: start,
    name: 'journal',
    env: {},
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MEGABYTES },
  })
  const ready = await readiness(worker)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has no origin
  const tell = (message: ToWorker): void => worker.postMessage(message)
  const queue = new AppendQueue(tell, ready.size, deadlineMilliseconds)
  queue.onLate = (first, last) => void append({ finding: 'journal_late', first, kind: 'finding', last }).catch(() => {})
  let wanted: { resolve: (checkpoint: Checkpoint) => void; reject: (error: Error) => void }[] = []
  let closed: (() => void) | null = null

  worker.on('message', (message: FromWorker) => {
    if (message.type === 'checkpoint') {
      for (const { resolve } of wanted.splice(0)) resolve(message.checkpoint)
      if (message.fresh) onCheckpoint?.(message.checkpoint)
    } else if (message.type === 'closed') closed?.()
    else queue.receive(message)
    if (message.type === 'unsynced') for (const { reject } of wanted.splice(0)) reject(unwritable(message.detail))
  })
  const ended = (): void => {
    queue.end('The worker of the journal ended.')
    for (const { reject } of wanted.splice(0)) reject(unwritable('The worker of the journal ended.'))
    closed?.()
  }
  worker.on('error', ended)
  worker.on('exit', ended)

  const bodyOf = (event: JournalEvent): string => entryBody(Math.floor(now()), encodeEvent(event))

  function append(event: JournalEvent, { sync = false }: AppendOptions = {}): Promise<void> {
    try {
      return queue.push(bodyOf(event), sync)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  if (ready.cut !== null) {
    const { bytes, digest, file } = ready.cut
    await append({ bytes, digest, file, finding: 'journal_tail_cut', kind: 'finding' }, { sync: true })
  }

  return {
    append,
    note: (event) => queue.note(bodyOf(event)),
    get size() {
      return queue.size
    },
    get refusal() {
      return queue.refusal
    },
    async checkpoint() {
      await queue.drained()
      return await withDeadline<Checkpoint>(deadlineMilliseconds, (resolve, reject) => {
        wanted.push({ resolve, reject })
        tell({ type: 'checkpoint' })
      })
    },
    async close() {
      await queue.drained().catch(() => {})
      queue.end('The journal is closed.')
      await withDeadline<void>(deadlineMilliseconds, (resolve) => {
        closed = resolve
        tell({ type: 'close' })
      }).catch(() => {})
      worker.removeAllListeners()
      // A thread that the disk holds in a system call cannot be ended; it must not hold this one.
      await withDeadline<void>(deadlineMilliseconds, (resolve) => void worker.terminate().then(() => resolve())).catch(
        () => {},
      )
    },
  }
}

function readiness(worker: Worker): Promise<Extract<FromWorker, { type: 'ready' }>> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject)
    worker.once('message', (message: FromWorker) => {
      worker.removeAllListeners('error')
      if (message.type === 'ready') return resolve(message)
      void worker.terminate()
      if (message.type === 'failed') reject(new KeywardError(message.code, message.detail))
      else reject(unwritable('The worker of the journal did not start.'))
    })
  })
}

function withDeadline<T>(
  milliseconds: number,
  work: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(unwritable(`The disk has not answered for ${milliseconds} ms.`)),
      milliseconds,
    )
    const settle = (): void => clearTimeout(timer)
    work(
      (value) => {
        settle()
        resolve(value)
      },
      (error) => {
        settle()
        reject(error)
      },
    )
  })
}

function unwritable(detail: string): KeywardError {
  return new KeywardError('journal_unwritable', detail)
}
