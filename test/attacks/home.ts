import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openApp, type App, type AppOptions } from '../../src/app.ts'
import { KeywardError } from '../../src/core/errors.ts'
import { configIn } from '../e2e/gateway/harness.ts'

const FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** A home that is opened, closed, changed by an intruder and opened again. */
export interface Home {
  readonly home: string
  readonly database: string
  /** Folder of the node's journal. */
  readonly journal: string
  open(options?: Partial<AppOptions>): Promise<App>
  /** The code with which it refuses to open; null: it opens, and was closed again. */
  refusal(): Promise<string | null>
  remove(): void
}

export function makeHome(): Home {
  const folder = mkdtempSync(join(FOLDER, 'keyward-attack-'))
  const config = configIn(folder)
  const { home } = config
  const made: Home = {
    home,
    database: join(home, 'keyward.db'),
    journal: join(home, 'journal', 'test'),
    open: (options = {}) =>
      openApp({
        config,
        ephemeral: false,
        askPassphrase: null,
        onError: String,
        resolve: () => Promise.reject(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })),
        ...options,
      }),
    async refusal() {
      try {
        await (await made.open()).close()
        return null
      } catch (error) {
        if (error instanceof KeywardError) return error.code
        throw error
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
  return made
}
