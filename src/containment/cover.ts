import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { HiddenPaths } from './hidden.ts'
import type { LaunchStep } from './launcher.ts'
import type { Mount } from './mounts.ts'
import { aliasesOf, contains, lockedOptions } from './mounts.ts'

export interface CoverRequest {
  readonly hide: HiddenPaths
  /** Sockets and terminals of other programs. They are made anew wherever their program likes, so nothing is gained by pinning the folders above them. */
  readonly sockets: readonly string[]
  /** Directories that become empty and the agent's own. */
  readonly own: readonly string[]
  /** Where programs share memory: empty and the agent's own as well. */
  readonly memory: readonly string[]
  readonly readOnly: readonly string[]
  readonly keep: readonly string[]
  readonly mounts: readonly Mount[]
}

export interface Cover {
  readonly steps: readonly LaunchStep[]
  /** Real paths that will be covered, aliases included. */
  readonly covered: readonly string[]
  /** Hidden files that have another name (hard link) somewhere: a mount covers a name, not the file. */
  readonly linked: readonly string[]
}

interface Entry {
  readonly path: string
  readonly kind: 'directory' | 'file' | 'own' | 'memory'
  readonly pinned: boolean
}

/**
 * Works out the mounts that make the wanted paths disappear: real paths, at every mount point that
 * shows them. Paths that do not exist are left out. Read-only binds come first, because a bind made
 * later would uncover what lies below it.
 */
export function coverSteps(request: CoverRequest): Cover {
  const { mounts } = request
  const keep = request.keep.flatMap((path) => existing(path) ?? [])
  const entries = new Map<string, Entry>()
  const linked: string[] = []
  const wanted = [
    ...request.own.map((path) => ({ path, kind: 'own' as const, pinned: false })),
    ...request.memory.map((path) => ({ path, kind: 'memory' as const, pinned: false })),
    ...[...request.hide.directories, ...request.hide.files].map((path) => ({ path, kind: null, pinned: true })),
    ...request.sockets.map((path) => ({ path, kind: null, pinned: false })),
  ]
  for (const { path, kind, pinned } of wanted) {
    const found = existing(path)
    if (found === undefined) continue
    if (!found.directory && found.links > 1) linked.push(found.path)
    for (const alias of aliasesOf(found.path, mounts)) {
      const seen = existing(alias)
      if (seen === undefined || entries.has(alias) || keep.some((kept) => kept.path === alias)) continue
      entries.set(alias, { path: alias, kind: kind ?? (seen.directory ? 'directory' : 'file'), pinned })
    }
  }
  const sorted = [...entries.values()].toSorted((a, b) => a.path.length - b.path.length)
  const outer: Entry[] = []
  const innerOfKept: Entry[] = []
  for (const entry of sorted) {
    const cover = outer.find((other) => other.kind !== 'file' && contains(other.path, entry.path))
    if (cover === undefined) outer.push(entry)
    else if (keep.some((kept) => contains(cover.path, kept.path) && contains(kept.path, entry.path)))
      innerOfKept.push(entry)
  }
  const readOnly = request.readOnly.flatMap((path) => existing(path) ?? [])
  const fixed = [...outer, ...innerOfKept].filter((entry) => entry.pinned)
  const pinned = renameable([...fixed, ...readOnly].map(({ path }) => path)).filter(
    (path) => !outer.some((entry) => contains(entry.path, path)) && !mounts.some((mount) => mount.point === path),
  )
  const buried = keep.filter((kept) => outer.some((entry) => contains(entry.path, kept.path)))
  const steps: LaunchStep[] = pinned.map((path) => ({ kind: 'pin', path }))
  for (const { path } of readOnly) steps.push({ kind: 'readOnly', path, options: lockedOptions(path, mounts) })
  for (const kept of buried) steps.push({ kind: kept.directory ? 'keepDirectory' : 'keepFile', path: kept.path })
  for (const entry of outer) {
    const holdsKept = buried.some((kept) => contains(entry.path, kept.path))
    steps.push({ kind: holdsKept ? 'own' : entry.kind, path: entry.path })
  }
  if (buried.length > 0) steps.push({ kind: 'restart', path: '' })
  for (const kept of buried) steps.push({ kind: 'return', path: kept.path })
  for (const { kind, path } of innerOfKept) steps.push({ kind, path })
  return { steps, covered: [...outer, ...innerOfKept].map((entry) => entry.path), linked }
}

/**
 * The folders above these paths that the agent could rename, outermost first: with one of them moved,
 * the next agent's cover would miss what lies in it.
 */
function renameable(paths: readonly string[]): string[] {
  const folders = new Set<string>()
  for (const path of paths) {
    for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder)) {
      if (!folders.has(folder) && isWritable(dirname(folder))) folders.add(folder)
    }
  }
  return [...folders].toSorted((a, b) => a.length - b.length)
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}

function existing(path: string): { path: string; directory: boolean; links: number } | undefined {
  try {
    const real = realpathSync(path)
    const stat = statSync(real)
    return { path: real, directory: stat.isDirectory(), links: stat.nlink }
  } catch {
    // Neither can the agent, which runs with the same rights, get there.
    return undefined
  }
}
