import { readdirSync } from 'node:fs'
import { KeywardError } from '../core/errors.ts'

/** What may lie in a home that has neither a database nor the lock of one elsewhere: not yet, or no more. */
const own: ReadonlySet<string> = new Set([
  'control.sock',
  'gateway',
  'journal',
  'keyward.db-shm',
  'keyward.db-wal',
  'keyward.yaml',
  'log',
  'log.old',
  'restoring',
  'trust',
])

/** A mistyped home must not fill somebody's folder, nor have them close it to others. Throws `config_invalid`. */
export function refuseForeignHome(home: string): void {
  const names = namesIn(home)
  if (names.includes('keyward.db') || names.includes('keyward.lock') || names.every((name) => own.has(name))) return
  throw new KeywardError('config_invalid', `home: ${home} is neither empty nor a home of Keyward.`)
}

function namesIn(home: string): readonly string[] {
  try {
    return readdirSync(home)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw new KeywardError('config_invalid', `home: ${home} is not a folder that can be read.`, { cause: error })
  }
}
