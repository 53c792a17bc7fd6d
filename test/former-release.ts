import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './harness.ts'

/** The last commit of release 0.1.0. */
const COMMIT = 'af689c69eb5019be67ab0691317b2f8d9eba167f'

/** The files of the former release, as they were. */
export interface FormerRelease {
  readonly folder: string
  readonly version: string
  /** Its command. */
  readonly entry: string
  remove(): void
}

/** Why it cannot be had here, or null: an archive of the sources has no history, and a shallow clone not enough of it. */
export const withoutFormerRelease: string | null = existsSync(join(root, '.git'))
  ? spawnSync('git', ['cat-file', '-e', `${COMMIT}^{commit}`], { cwd: root }).status === 0
    ? null
    : 'the history here does not reach back to release 0.1.0'
  : 'there is no history here'

/** Takes the former release out of the history. It runs on the packages of this one. */
export function takeFormerRelease(): FormerRelease {
  const folder = mkdtempSync('/tmp/keyward-former-')
  const archive = execFileSync('git', ['archive', '--format=tar', COMMIT, 'bin', 'src', 'package.json'], {
    cwd: root,
    maxBuffer: 256 * 1024 * 1024,
  })
  execFileSync('tar', ['-xf', '-', '-C', folder], { input: archive })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  chmodSync(folder, 0o755)
  const { version }: { version: string } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return {
    folder,
    version,
    entry: join(folder, 'bin/keyward.cjs'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
