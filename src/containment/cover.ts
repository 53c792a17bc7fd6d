import { realpathSync, statSync } from 'node:fs'
import type { HiddenPaths } from './hidden.ts'
import type { LaunchStep } from './launcher.ts'
import type { Mount } from './mounts.ts'
import { aliasesOf, contains, lockedOptions } from './mounts.ts'

export interface CoverRequest {
  readonly hide: HiddenPaths
  /** Directories that become empty and the agent's own. */
  readonly own: readonly string[]
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
  readonly kind: 'directory' | 'file' | 'own'
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
    ...request.own.map((path) => ({ path, own: true })),
    ...[...request.hide.directories, ...request.hide.files].map((path) => ({ path, own: false })),
  ]
  for (const { path, own } of wanted) {
    const found = existing(path)
    if (found === undefined) continue
    if (!found.directory && found.links > 1) linked.push(found.path)
    for (const alias of aliasesOf(found.path, mounts)) {
      const seen = existing(alias)
      if (seen === undefined || entries.has(alias) || keep.some((kept) => kept.path === alias)) continue
      entries.set(alias, { path: alias, kind: own ? 'own' : seen.directory ? 'directory' : 'file' })
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
  const buried = keep.filter((kept) => outer.some((entry) => contains(entry.path, kept.path)))
  const steps: LaunchStep[] = []
  for (const path of request.readOnly) {
    const found = existing(path)
    if (found !== undefined)
      steps.push({ kind: 'readOnly', path: found.path, options: lockedOptions(found.path, mounts) })
  }
  for (const kept of buried) steps.push({ kind: kept.directory ? 'keepDirectory' : 'keepFile', path: kept.path })
  for (const entry of outer) {
    const holdsKept = buried.some((kept) => contains(entry.path, kept.path))
    steps.push({ kind: holdsKept ? 'own' : entry.kind, path: entry.path })
  }
  if (buried.length > 0) steps.push({ kind: 'restart', path: '' })
  for (const kept of buried) steps.push({ kind: 'return', path: kept.path })
  for (const entry of innerOfKept) steps.push(entry)
  return { steps, covered: [...outer, ...innerOfKept].map((entry) => entry.path), linked }
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
