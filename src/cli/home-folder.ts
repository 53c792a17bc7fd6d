import { readdirSync } from 'node:fs'
import { KeywardError } from '../core/errors.ts'

/** What may lie in a home before its first start has come to the database. */
const early: ReadonlySet<string> = new Set(['gateway', 'journal', 'keyward.yaml', 'log', 'log.old'])

/** A mistyped home must not fill somebody's folder, nor have them close it to others. Throws `config_invalid`. */
export function refuseForeignHome(home: string): void {
  const names = namesIn(home)
  if (names.includes('keyward.db') || names.every((name) => early.has(name))) return
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
