import { join } from 'node:path'

/** Where the server of a home writes what it has no other place for. */
export function logPath(home: string): string {
  return join(home, 'log')
}
