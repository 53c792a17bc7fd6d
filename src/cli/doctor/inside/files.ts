import { spawnSync } from 'node:child_process'
import {
  closeSync,
  linkSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { Untried } from './places.ts'
import type { Attempt, Places } from './places.ts'

const SHELL_MILLISECONDS = 3_000

/** Ways to Keyward's files. Only the canary file is ever renamed; what succeeds is undone at once. */
export function fileAttempts(places: Places): Record<string, Attempt> {
  const { home, database, canaryFile, fileMark, keyFile } = places
  const own = mkdtempSync(join(process.cwd(), 'mine-'))
  const isMark = (path: string): boolean => readFileSync(path, 'latin1').includes(fileMark)
  const namespace = (script: string): boolean => {
    const made = spawnSync('unshare', ['-Urm', 'sh', '-c', script, 'sh', canaryFile, home, dirname(home), own], {
      encoding: 'latin1',
      timeout: SHELL_MILLISECONDS,
    })
    return made.stdout.includes(fileMark)
  }
  const below = join(basename(home), basename(canaryFile))
  return {
    'home-database': () => hasBytes(database),
    'home-listing': () => readdirSync(home).length > 0,
    'home-journal': () => hasBytes(places.journal),
    'home-log': () => opens(places.log),
    'home-file': () => isMark(canaryFile),
    'home-symlink': () => hasBytes(places.link),
    'home-symlinked-directory': () => readdirSync(places.directoryLink).length > 0,
    'home-new-symlink': () => {
      symlinkSync(canaryFile, join(own, 'symlink'))
      return isMark(join(own, 'symlink'))
    },
    'home-hard-link': () => undone(join(own, 'link'), (path) => linkSync(canaryFile, path), isMark),
    'home-rename': () => {
      const path = join(own, 'renamed')
      renameSync(canaryFile, path)
      try {
        return isMark(path)
      } finally {
        renameSync(path, canaryFile)
      }
    },
    'home-own-root': () => isMark(`/proc/self/root${canaryFile}`),
    'home-first-root': () => isMark(`/proc/1/root${canaryFile}`),
    'home-other-roots': () => eachProcess((id) => isMark(`/proc/${id}/root${canaryFile}`)),
    'home-unmount': () => namespace('umount -l "$2"; umount -R -l /; cat "$1"'),
    'home-bind': () => namespace(`mount --bind "$3" "$4"; cat "$4/${below}"`),
    'home-bind-uncovered': () =>
      namespace(`mount --rbind "$3" "$4"; umount -l "$4/${basename(home)}"; cat "$4/${below}"`),
    'home-overlay': () => namespace(`mount -t overlay o -o "lowerdir=$3" "$4"; cat "$4/${below}"`),
    'key-file': () => hasBytes(keyFile),
    'key-symlink': () => {
      symlinkSync(keyFile, join(own, 'key'))
      return hasBytes(join(own, 'key'))
    },
    'key-hard-link': () => undone(join(own, 'key-link'), (path) => linkSync(keyFile, path), hasBytes),
    'key-own-root': () => hasBytes(`/proc/self/root${keyFile}`),
    'shared-memory': () => {
      const { sharedFile } = places
      if (sharedFile === null) throw new Untried('there is no /dev/shm here')
      if (process.cwd().startsWith('/dev/shm/')) throw new Untried('the trial itself runs in /dev/shm')
      return isMark(sharedFile)
    },
    'program-folder': () =>
      undone(
        join(places.programs, 'program'),
        (path) => writeFileSync(path, ''),
        () => true,
      ),
    'stored-logins': () =>
      namesOf(places.logins, (path) => (statSync(path).isDirectory() ? readdirSync(path).length > 0 : hasBytes(path))),
  }
}

/** A log may well be empty. */
function opens(path: string): boolean {
  closeSync(openSync(path, 'r'))
  return true
}

/** Whether the file can be read and holds anything; what it holds is not kept. */
function hasBytes(path: string): boolean {
  const file = openSync(path, 'r')
  try {
    return readSync(file, Buffer.alloc(1), 0, 1, 0) === 1
  } finally {
    closeSync(file)
  }
}

function undone(path: string, make: (path: string) => void, got: (path: string) => boolean): boolean {
  try {
    make(path)
    return got(path)
  } finally {
    rmSync(path, { force: true })
  }
}

/** The paths for which `got` holds, or false where there is none. */
export function namesOf(paths: readonly string[], got: (path: string) => boolean): string | false {
  const found = paths.filter((path) => {
    try {
      return got(path)
    } catch {
      return false
    }
  })
  return found.length > 0 ? found.join(', ') : false
}

/** Whether it works with any process but this one. */
export function eachProcess(use: (id: number) => boolean): boolean {
  return readdirSync('/proc').some((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return false
    try {
      return use(Number(name))
    } catch {
      return false
    }
  })
}
