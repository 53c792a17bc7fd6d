import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'

/**
 * Why a program cannot be started, in the exit codes of a shell: 127 it is not there, 126 it may not
 * be run; null where it can. Looks where execvp(3) does; without a `path` that is for the system to say.
 */
export function startFailure(command: string, workingDirectory: string, path: string | undefined): 126 | 127 | null {
  if (path === undefined && !command.includes('/')) return null
  const candidates = command.includes('/')
    ? [resolve(workingDirectory, command)]
    : (path ?? '').split(delimiter).map((folder) => resolve(workingDirectory, join(folder, command)))
  const there = candidates.filter(isThere)
  if (there.some(mayRun)) return null
  return there.length > 0 ? 126 : 127
}

/** A folder that may not be searched counts as holding it, as for execvp. */
function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    return true
  }
}

function mayRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
