import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { toolDirectories } from './launcher.ts'

/** What the plan must know of the machine; tests pass their own. */
export interface PlatformFacts {
  readonly platform: NodeJS.Platform
  /** Name of a tool to its absolute path, found in the system's own directories only. */
  readonly tools: Readonly<Record<string, string | undefined>>
  /** Text of /proc/self/mountinfo; empty elsewhere. */
  readonly mountInfo: string
  /** Text of /proc/net/unix; empty elsewhere. */
  readonly unixSockets: string
  /** Whether a fresh /proc can be mounted in a namespace (not under many container engines). */
  readonly freshProc: boolean
  /** Whether a program may push characters into the terminal that it shares with the user's shell. */
  readonly terminalInjection: boolean
  /** Devices through which root could read the disk or memory past every mount. */
  readonly rawDevices: readonly string[]
}

const linuxTools = ['unshare', 'setpriv', 'mount', 'sh', 'ip', 'ifconfig'] as const
const maximumRawDevices = 256

export function platformFacts(freshProc = true): PlatformFacts {
  const linux = process.platform === 'linux'
  return {
    platform: process.platform,
    tools: Object.fromEntries(linuxTools.map((tool) => [tool, findTool(tool)])),
    mountInfo: linux ? read('/proc/self/mountinfo') : '',
    unixSockets: linux ? read('/proc/net/unix') : '',
    freshProc,
    // Kernels before 6.2 have no such switch and always allow it.
    terminalInjection: linux && read('/proc/sys/dev/tty/legacy_tiocsti').trim() !== '0',
    rawDevices: linux && process.getuid?.() === 0 ? rawDevices() : [],
  }
}

function findTool(name: string): string | undefined {
  return toolDirectories.map((directory) => join(directory, name)).find((path) => existsSync(path))
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function rawDevices(): string[] {
  const found: string[] = []
  for (const name of readdirSync('/dev')) {
    const path = join('/dev', name)
    try {
      if (statSync(path).isBlockDevice() || /^(mem|kmem|port|mapper|nvme\d+|sg\d+)$/.test(name)) found.push(path)
    } catch {
      continue
    }
    if (found.length === maximumRawDevices) break
  }
  return found
}
