import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import { coverSteps } from './cover.ts'
import type { HiddenPaths } from './hidden.ts'
import { listeningSockets, runtimeDirectories } from './hidden.ts'
import { launcherScript, stepArguments } from './launcher.ts'
import { contains, parseMounts } from './mounts.ts'
import type { PlatformFacts } from './platform.ts'
import { platformFacts } from './platform.ts'
import { containmentAvailable } from './probe.ts'
import { seatbeltProfile } from './seatbelt.ts'
import { sessionRoot } from './session-directory.ts'

export type ContainmentMode = 'files' | 'full' | 'none'

export interface ContainmentRequest {
  readonly mode: ContainmentMode
  readonly command: string
  readonly args: readonly string[]
  /** The caller's own ids, which the agent also sees as its own. */
  readonly uid: number
  readonly gid: number
  readonly cwd: string
  /** The variables of the caller, for the places that they name (XDG_RUNTIME_DIR). */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Keyward's home, root key and control socket, stored logins, agent sockets. What does not exist is left out. */
  readonly hide: HiddenPaths
  /** Paths which the agent may read but not change, as far as they exist. */
  readonly readOnly?: readonly string[]
  /** Paths that stay visible although they lie in, or are, a hidden place: the session directory at least. */
  readonly keep?: readonly string[]
  /** Where the gateway listens on loopback, the same inside and outside; `socketPath` is dialled instead where given. Needed by `full`. */
  readonly gateway?: GatewayPlace
  readonly facts?: PlatformFacts
}

export interface GatewayPlace {
  readonly port: number
  readonly socketPath?: string
}

export interface ContainmentPlan {
  readonly mode: ContainmentMode
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  /** To be added to the child's variables. */
  readonly variables: Readonly<Record<string, string>>
  /** Whom `runContained` connects the agent's only way out to; null unless `full`. */
  readonly gateway: GatewayPlace | null
  /** Real paths that are hidden, for `doctor`. */
  readonly covered: readonly string[]
  /** What stays open in this mode wherever it runs, one sentence each, fit to be shown. */
  readonly open: readonly string[]
  /** What stays open beside that because this machine or this run is as it is. */
  readonly openHere: readonly string[]
  /** Removes what the plan laid down; call it when the child has ended. May be called twice. */
  cleanup(): void
}

/**
 * Plans how a command is started so that it cannot reach what is hidden. Starts nothing. Throws
 * `containment_unavailable` when the mode cannot be had here, naming what is missing.
 */
export function planContainment(request: ContainmentRequest): ContainmentPlan {
  if (request.mode === 'none') return uncontained(request)
  const facts = request.facts ?? factsByTrying(request.mode)
  if (facts.platform === 'linux') return planLinux(request, facts)
  if (facts.platform === 'darwin') return planSeatbelt(request)
  throw new KeywardError(
    'containment_unavailable',
    `${facts.platform} has no containment; use WSL 2 or another machine`,
  )
}

function factsByTrying(mode: 'files' | 'full'): PlatformFacts {
  const tried = containmentAvailable(mode)
  if (!tried.available) throw new KeywardError('containment_unavailable', `${tried.missing} ${tried.remedy}`)
  return platformFacts(tried.freshProc)
}

function planLinux(request: ContainmentRequest, facts: PlatformFacts): ContainmentPlan {
  const { unshare, setpriv, sh, mount } = facts.tools
  if (unshare === undefined || setpriv === undefined || sh === undefined || mount === undefined) {
    throw new KeywardError('containment_unavailable', 'unshare, setpriv and mount of util-linux are needed')
  }
  const full = request.mode === 'full'
  if (full && request.gateway === undefined)
    throw new KeywardError('containment_unavailable', 'full containment needs the gateway')
  const asRoot = request.uid === 0
  const sockets = new Set([...(full ? listeningSockets(facts.unixSockets) : []), ...facts.otherTerminals])
  const shared = sharedMemory(request)
  const cover = coverSteps({
    hide: {
      directories: [...request.hide.directories, sessionRoot()],
      files: [...request.hide.files, ...(asRoot ? facts.rawDevices : [])],
    },
    sockets: [...sockets],
    own: runtimeDirectories(request.uid, request.environment),
    memory: shared.private ? [SHARED_MEMORY] : [],
    // Who may write to a control group freezes and kills the processes in it, wherever they run.
    readOnly: [...(request.readOnly ?? []), CONTROL_GROUPS, ...(asRoot ? ['/proc/sys', '/sys'] : [])],
    keep: request.keep ?? [],
    mounts: parseMounts(facts.mountInfo),
  })
  refuseHiddenDirectory(request, cover.covered)
  const scratch = mkdtempSync(join(tmpdir(), 'keyward-contain-'))
  const namespaces = [
    '-U',
    '-r',
    '-m',
    '-p',
    '-i',
    '-f',
    '--kill-child',
    ...(full ? ['-n'] : []),
    ...(facts.freshProc ? ['--mount-proc'] : []),
  ]
  return {
    mode: request.mode,
    command: setpriv,
    args: [
      '--pdeathsig',
      'KILL',
      '--',
      unshare,
      ...namespaces,
      '--',
      ...(facts.freshKeyring ?? []),
      sh,
      '-c',
      launcherScript,
      'keyward-launcher',
    ].concat(
      [scratch, String(request.uid), String(request.gid), request.cwd],
      [full ? 'gateway' : 'open', process.execPath, String(request.gateway?.port ?? 0)],
      stepArguments(
        cover.steps.map((step) =>
          step.kind === 'file' && sockets.has(step.path) ? { ...step, kind: 'socket' } : step,
        ),
      ),
      ['--', request.command, ...request.args],
    ),
    cwd: request.cwd,
    variables: {},
    gateway: full ? (request.gateway ?? null) : null,
    covered: cover.covered,
    open: request.mode === 'files' ? [openNetwork] : [],
    openHere: openWaysHere(request, facts, cover.linked, shared.private),
    cleanup: () => rmSync(scratch, { recursive: true, force: true }),
  }
}

function planSeatbelt(request: ContainmentRequest): ContainmentPlan {
  if (request.mode === 'full') throw new KeywardError('containment_unavailable', 'macOS offers `files` only')
  const hidden = [
    sessionRoot(),
    ...request.hide.directories,
    ...request.hide.files,
    ...runtimeDirectories(request.uid, request.environment),
  ]
  const keep = new Set(request.keep)
  const covered = hidden.filter((path) => !keep.has(path)).flatMap(realPath)
  refuseHiddenDirectory(request, covered)
  const profile = seatbeltProfile({
    hidden: covered,
    readOnly: (request.readOnly ?? []).flatMap(realPath),
    keep: [...keep].flatMap(realPath),
  })
  return {
    ...uncontained(request),
    mode: 'files',
    command: '/usr/bin/sandbox-exec',
    args: ['-p', profile, request.command, ...request.args],
    covered,
    open: [
      'The macOS profile is untested.',
      'The network is open: local services and other hosts are reached without the gateway.',
      'Processes of the same user can be listed, and Mach services (the keychain daemon among them) can be asked.',
    ],
  }
}

function uncontained(request: ContainmentRequest): ContainmentPlan {
  const { command, args, cwd, mode } = request
  return {
    mode,
    command,
    args,
    cwd,
    variables: {},
    gateway: null,
    covered: [],
    open: [
      'Nothing is contained: the agent runs with your rights and can read whatever you can read, Keyward’s root key included.',
    ],
    openHere: [],
    cleanup: () => undefined,
  }
}

function refuseHiddenDirectory(request: ContainmentRequest, covered: readonly string[]): void {
  const [cwd = request.cwd] = realPath(request.cwd)
  const keep = (request.keep ?? []).flatMap(realPath)
  const hidden = covered.find((path) => contains(path, cwd))
  if (hidden !== undefined && !keep.some((kept) => contains(kept, cwd))) {
    throw new KeywardError(
      'containment_unavailable',
      `the working directory lies in ${hidden}, which agents may not see; start from another directory`,
    )
  }
}

const SHARED_MEMORY = '/dev/shm'
const CONTROL_GROUPS = '/sys/fs/cgroup'
const openNetwork =
  'The network is open: local ports, abstract sockets and other hosts are reached without the gateway; `--contain full` closes this.'

/** Shared memory becomes the agent's own, unless something that it must see lies there. */
function sharedMemory(request: ContainmentRequest): { readonly private: boolean } {
  const seen = [request.cwd, tmpdir(), ...(request.keep ?? [])].flatMap(realPath)
  return { private: !seen.some((path) => contains(SHARED_MEMORY, path)) }
}

function openWaysHere(
  request: ContainmentRequest,
  facts: PlatformFacts,
  linked: readonly string[],
  ownMemory: boolean,
): string[] {
  const ways: string[] = []
  if (request.uid === 0)
    ways.push(
      'The agent runs as root: this is weaker than an ordinary user; root owns the files and devices of this machine.',
    )
  if (!facts.freshProc)
    ways.push(
      'No fresh /proc can be mounted here: names and arguments of other processes can be read, their memory and variables cannot; and further user namespaces cannot be forbidden, from which hidden folders can be renamed.',
    )
  if (facts.terminalInjection && process.stdin.isTTY) {
    ways.push(
      'This kernel lets a program type into its terminal; `sysctl dev.tty.legacy_tiocsti=0` (Linux 6.2 or newer) closes this.',
    )
  }
  if (facts.freshKeyring === null)
    ways.push('The kernel’s session keyring is inherited, for perl is not installed, which would leave it behind.')
  if (facts.vsock && request.mode === 'full')
    ways.push(
      'The kernel speaks vsock, which namespaces do not hold back: services of the host of this virtual machine can be reached; `install vsock /bin/false` in /etc/modprobe.d closes this.',
    )
  if (!ownMemory) ways.push(`${SHARED_MEMORY} is shared with your other programs, because this run works there.`)
  for (const path of linked) ways.push(`${path} has a second name (hard link), which is not hidden; remove that name.`)
  return ways
}

function realPath(path: string): string[] {
  try {
    return [realpathSync(path)]
  } catch {
    return []
  }
}
