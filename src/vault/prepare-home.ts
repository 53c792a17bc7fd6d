import { mkdirSync, statSync } from 'node:fs'
import { KeywardError } from '../core/errors.ts'

/** Makes the home, or checks that nobody else can read it. Throws `home_unsafe`. */
export function prepareHome(home: string): void {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const found = statSync(home)
  if (found.uid === process.getuid?.() && (found.mode & 0o077) !== 0) {
    throw new KeywardError('home_unsafe', `${home} has mode ${(found.mode & 0o777).toString(8)}.`)
  }
}
