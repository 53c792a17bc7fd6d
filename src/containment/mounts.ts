/** One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)). */
export interface Mount {
  readonly device: string
  /** The path inside the file system that is mounted here. */
  readonly root: string
  readonly point: string
  /** Flags of this mount (`ro`, `nosuid`, `relatime`, …). */
  readonly options: readonly string[]
}

/** Reads mountinfo text; lines that do not parse are left out. Later lines lie on top of earlier ones. */
export function parseMounts(text: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const [, , device, root, point, options] = line.split(' ')
    if (device === undefined || root === undefined || point === undefined || options === undefined) continue
    mounts.push({ device, root: unescape(root), point: unescape(point), options: options.split(',') })
  }
  return mounts
}

/**
 * Every path under which `path` (absolute, real) can be reached: itself, and wherever a bind mount
 * shows the same part of its file system again, or a part of what lies inside it.
 */
export function aliasesOf(path: string, mounts: readonly Mount[]): string[] {
  const home = mountOf(path, mounts)
  if (home === undefined) return [path]
  const inside = join(home.root, relative(path, home.point))
  const found = new Set([path])
  for (const mount of mounts) {
    if (mount.device !== home.device) continue
    if (contains(mount.root, inside)) found.add(join(mount.point, relative(inside, mount.root)))
    else if (contains(inside, mount.root)) found.add(mount.point)
  }
  return [...found]
}

/** The mount on which `path` lies: the longest mount point above it, the last of equals. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  let best: Mount | undefined
  for (const mount of mounts) {
    if (contains(mount.point, path) && (best === undefined || mount.point.length >= best.point.length)) best = mount
  }
  return best
}

/** The flags that a mount inside a user namespace may not lose, and so must be named again when it is made read-only. */
export function lockedOptions(path: string, mounts: readonly Mount[]): string[] {
  const kept = new Set(['nosuid', 'nodev', 'noexec', 'noatime', 'nodiratime', 'relatime', 'strictatime'])
  return (mountOf(path, mounts)?.options ?? []).filter((option) => kept.has(option))
}

/** Whether `path` is `directory` or lies below it. */
export function contains(directory: string, path: string): boolean {
  return path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`)
}

function relative(path: string, directory: string): string {
  return path === directory ? '' : path.slice(directory === '/' ? 1 : directory.length + 1)
}

function join(directory: string, rest: string): string {
  if (rest === '') return directory
  return directory.endsWith('/') ? directory + rest : `${directory}/${rest}`
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
