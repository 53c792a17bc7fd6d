import { accessSync, constants, existsSync, fstatSync, readFileSync, readdirSync, statSync } from 'node:fs'
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
  /**
   * The command that starts another one with a session keyring of its own (session-keyring(7)); empty
   * where the kernel keeps none, null where no tool here can do it.
   */
  readonly freshKeyring: readonly string[] | null
  /** Whether the kernel speaks vsock, which no network namespace holds back. */
  readonly vsock: boolean
  /** Terminals that this user could read from and write to, other than those of this process. */
  readonly otherTerminals: readonly string[]
}

const linuxTools = ['unshare', 'setpriv', 'mount', 'sh', 'ip', 'ifconfig', 'perl'] as const
const maximumRawDevices = 256

export function platformFacts(freshProc = true): PlatformFacts {
  const linux = process.platform === 'linux'
  const tools = Object.fromEntries(linuxTools.map((tool) => [tool, findTool(tool)]))
  return {
    platform: process.platform,
    tools,
    mountInfo: linux ? read('/proc/self/mountinfo') : '',
    unixSockets: linux ? read('/proc/net/unix') : '',
    freshProc,
    // Kernels before 6.2 have no such switch and always allow it.
    terminalInjection: linux && read('/proc/sys/dev/tty/legacy_tiocsti').trim() !== '0',
    rawDevices: linux && process.getuid?.() === 0 ? rawDevices() : [],
    freshKeyring: linux && existsSync('/proc/keys') ? keyringCommand(tools['perl']) : [],
    vsock: linux && (existsSync('/dev/vsock') || read('/proc/net/protocols').includes('AF_VSOCK')),
    otherTerminals: linux ? otherTerminals() : [],
  }
}

/** The number of keyctl(2) on each processor (the kernel's tables of system calls). */
const keyctlNumbers: Readonly<Record<string, number>> = {
  x64: 250,
  arm64: 219,
  riscv64: 219,
  loong64: 219,
  s390x: 280,
  ppc64: 271,
  ia32: 288,
  arm: 311,
}

/**
 * KEYCTL_JOIN_SESSION_KEYRING (1) with no name makes a new one. Where the call itself is forbidden (1) or
 * unknown (38) there is nothing that the agent could reach; any other failure starts nothing.
 */
function keyringCommand(perl: string | undefined): string[] | null {
  const number = keyctlNumbers[process.arch]
  if (perl === undefined || number === undefined) return null
  return [
    perl,
    '-e',
    `syscall(${number}, 1, 0) < 0 && $! != 1 && $! != 38 && exit 125; exec { $ARGV[0] } @ARGV; exit 125`,
    '--',
  ]
}

function otherTerminals(): string[] {
  const own = new Set([0, 1, 2].map((descriptor) => fstatSync(descriptor).rdev))
  // Field 7 of proc_pid_stat(5): the controlling terminal, by its device number.
  const stat = read('/proc/self/stat')
  own.add(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[4]))
  const names = existsSync('/dev/pts') ? readdirSync('/dev/pts') : []
  return names
    .filter((name) => /^\d+$/.test(name))
    .map((name) => join('/dev/pts', name))
    .filter((path) => {
      const device = statSync(path, { throwIfNoEntry: false })?.rdev
      return device !== undefined && !own.has(device) && isReadable(path)
    })
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch {
    return false
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
