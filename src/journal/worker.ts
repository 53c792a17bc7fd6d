import { parentPort, workerData } from 'node:worker_threads'
import { KeywardError } from '../core/errors.ts'
import { checkpointKey } from './checkpoint.ts'
import type { Checkpoint } from './checkpoint.ts'
import { files as realFiles } from './files.ts'
import type { Files } from './files.ts'
import type { FromWorker, ToWorker, WorkerStart } from './protocol.ts'
import { recoverJournal } from './recover.ts'
import { JournalWriter } from './writer.ts'

/** The longest that written entries stay without fdatasync being called. */
const SYNC_MILLISECONDS = 100
/** A checkpoint is signed this long after the first entry that none covers yet, or at this many of them. */
const CHECKPOINT_MILLISECONDS = 1000
const CHECKPOINT_ENTRIES = 1000

const port = parentPort
if (port === null) throw new Error('this module runs as a worker')
const start: WorkerStart = workerData
const say = (message: FromWorker): void => port.postMessage(message)

const key = checkpointKey(start.origin, start.publicKey)
let writer: JournalWriter | null = null
let syncTimer: NodeJS.Timeout | undefined
let checkpointTimer: NodeJS.Timeout | undefined
let syncing: Promise<void> | null = null
let syncAgain = false
let checkpointDue = false
/** The last one of which the event loop knows: a rotation signs without telling. */
let announced: Checkpoint | null = null

function handle(open: JournalWriter, message: ToWorker): void {
  if (message.type === 'batch') return append(open, message.bodies, message.sync)
  checkpointDue = true
  const due = syncNow(open)
  if (message.type === 'close') void due.then(() => close(open))
}

function append(open: JournalWriter, bodies: string, sync: boolean): void {
  try {
    open.append(bodies.split('\n'), (size) => say({ type: 'written', size }))
  } catch (error) {
    return say({ type: 'refused', detail: reason(error) })
  }
  const unsigned = open.size - (open.checkpoint?.size ?? 0)
  if (unsigned >= CHECKPOINT_ENTRIES) checkpointDue = true
  checkpointTimer ??= setTimeout(() => {
    checkpointDue = true
    void syncNow(open)
  }, CHECKPOINT_MILLISECONDS)
  if (sync || checkpointDue) void syncNow(open)
  else syncTimer ??= setTimeout(() => void syncNow(open), SYNC_MILLISECONDS)
}

/** One sync at a time; whoever asks meanwhile gets another round after it. */
function syncNow(open: JournalWriter): Promise<void> {
  syncAgain = true
  syncing ??= syncRounds(open).finally(() => {
    syncing = null
  })
  return syncing
}

async function syncRounds(open: JournalWriter): Promise<void> {
  while (syncAgain) {
    syncAgain = false
    clearTimeout(syncTimer)
    syncTimer = undefined
    const sign = checkpointDue
    checkpointDue = false
    if (sign) {
      clearTimeout(checkpointTimer)
      checkpointTimer = undefined
    }
    try {
      const checkpoint = await open.sync(sign)
      say({ type: 'synced', size: open.syncedSize })
      if (checkpoint !== null) say({ type: 'checkpoint', checkpoint, fresh: checkpoint !== announced })
      announced = checkpoint ?? announced
    } catch (error) {
      say({ type: 'unsynced', detail: reason(error) })
    }
  }
}

function close(open: JournalWriter): void {
  clearTimeout(syncTimer)
  clearTimeout(checkpointTimer)
  open.close()
  say({ type: 'closed' })
  port?.close()
}

/** The error in words that may be shown: the code of a system error, never a path. */
function reason(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string')
    return `The disk answers ${error.code}.`
  return error instanceof Error ? `${error.message}.` : 'The worker failed.'
}

try {
  const other: { files: Files } | null = start.filesModule === null ? null : await import(start.filesModule)
  const end = await recoverJournal(start.directory, key, start)
  const opened = new JournalWriter({ ...start, key, files: other?.files ?? realFiles }, end)
  writer = opened
  announced = opened.checkpoint
  port.on('message', (message: ToWorker) => handle(opened, message))
  say({ type: 'ready', size: opened.size, cut: end.cut })
} catch (error) {
  const code = error instanceof KeywardError ? error.code : 'journal_unwritable'
  const detail = error instanceof KeywardError ? (error.detail ?? '') : reason(error)
  writer?.close()
  say({ type: 'failed', code, detail })
}
