import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { pino } from 'pino'
import { KeywardError } from '../core/errors.ts'
import { logPath } from './log-path.ts'

/** One old log is kept beside the current one, so the two never take more than twice this. */
const MAX_LOG_BYTES = 8 * 1024 * 1024

export interface Log {
  /** Records an unexpected error; gives the reference by which it is found. */
  error(error: unknown): string
  record(reference: string, error: unknown): void
  close(): void
}

/** `<home>/log`, one JSON object a line. Holds names, codes and places in the code, never values. */
export function openLog(home: string): Log {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new KeywardError('config_invalid', `The home ${home} cannot be made.`, { cause: error })
  }
  const path = logPath(home)
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES) renameSync(path, `${path}.old`)
  const destination = pino.destination({ dest: path, sync: true, mode: 0o600 })
  chmodSync(path, 0o600)
  const logger = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination)
  const record = (reference: string, error: unknown): void =>
    logger.error({ reference, ...describe(error) }, 'unexpected error')
  return {
    record,
    error(error) {
      const reference = randomBytes(6).toString('hex')
      record(reference, error)
      return reference
    },
    close: () => destination.end(),
  }
}

/** Messages of foreign errors may quote input, so only the frames are kept; our own messages are written to be shown. */
function describe(error: unknown): { error: string; frames: readonly string[]; detail?: string } {
  if (!(error instanceof Error)) return { error: typeof error, frames: [] }
  const code = 'code' in error && typeof error.code === 'string' ? ` ${error.code}` : ''
  const frames = (error.stack ?? '')
    .split('\n')
    .filter((line) => /^ {4}at /.test(line))
    .slice(0, 10)
    .map((line) => line.trim())
  return { error: `${error.name}${code}`, frames, ...(error instanceof KeywardError ? { detail: error.message } : {}) }
}
