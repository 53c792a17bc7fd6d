import type { KeyObject } from 'node:crypto'
import type { ErrorCode } from '../core/errors.ts'
import type { Checkpoint } from './checkpoint.ts'

/** What the worker is started with. */
export interface WorkerStart {
  readonly directory: string
  readonly origin: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly segmentBytes: number
  /** A head that was kept elsewhere: the journal must contain it. */
  readonly anchor: { readonly size: number; readonly root: string } | null
  /** Up to which entry it was pruned, where somebody remembers. */
  readonly prunedTo: number | null
  /** A module that exports another `files`, for tests of a disk that fails. */
  readonly filesModule: string | null
}

/** A torn last line that was cut off when the journal was opened. */
export interface CutTail {
  readonly file: string
  readonly bytes: number
  /** SHA-256 of what was cut off, base64url. */
  readonly digest: string
}

/** From the event loop to the worker. A batch is the bodies of its entries, one a line (JSON has no raw newline). */
export type ToWorker =
  | { readonly type: 'batch'; readonly bodies: string; readonly sync: boolean }
  | { readonly type: 'checkpoint' }
  | { readonly type: 'close' }

/** From the worker to the event loop. Every batch is answered by exactly one `written` or `refused`. */
export type FromWorker =
  | { readonly type: 'ready'; readonly size: number; readonly cut: CutTail | null }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly detail: string }
  | { readonly type: 'written'; readonly size: number }
  | { readonly type: 'refused'; readonly detail: string }
  | { readonly type: 'synced'; readonly size: number }
  | { readonly type: 'unsynced'; readonly detail: string }
  | { readonly type: 'checkpoint'; readonly checkpoint: Checkpoint; readonly fresh: boolean }
  | { readonly type: 'closed' }
