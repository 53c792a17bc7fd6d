import { existsSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/** What of this installation is executed: a program that could change it would run as the operator next time. */
const EXECUTED = ['bin', 'dist', 'keyward', 'node_modules', 'package.json', 'package-lock.json', 'scripts', 'src']

/**
 * Paths of Keyward's own code, which an agent must not change. The whole installation, unless the agent
 * works inside it: then all that is executed of it.
 */
export function ownCode(workingDirectory: string): string[] {
  const root = installationRoot()
  const within = relative(root, workingDirectory)
  const worksInside = within === '' || (!within.startsWith('..') && !within.startsWith('/'))
  if (!worksInside) return [root]
  return EXECUTED.map((name) => join(root, name)).filter((path) => existsSync(path))
}

function installationRoot(): string {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder)
  return folder
}
