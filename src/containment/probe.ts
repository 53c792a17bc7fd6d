import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { toolDirectories } from './launcher.ts'
import { platformFacts } from './platform.ts'

export interface Availability {
  readonly available: boolean
  /** One sentence; empty when available. */
  readonly missing: string
  /** What a person can do about it; empty when available. */
  readonly remedy: string
  /** Whether the namespaces may have a /proc of their own. */
  readonly freshProc: boolean
}

const timeoutMilliseconds = 3000
const found = new Map<string, Availability>()

/** Tries the mode on this machine with a command that does nothing (about 50 ms); remembered while the process lives. */
export function containmentAvailable(mode: 'files' | 'full'): Availability {
  const known = found.get(mode)
  if (known !== undefined) return known
  const availability = tryContainment(mode)
  found.set(mode, availability)
  return availability
}

function tryContainment(mode: 'files' | 'full'): Availability {
  const { platform } = process
  const { tools } = platformFacts()
  const settled = withoutTrying(mode, platform, tools)
  if (settled !== null) return settled
  const { unshare = '', sh = '' } = tools
  const first = attempt(unshare, sh, mode, true)
  if (first === '') return available(true)
  const second = attempt(unshare, sh, mode, false)
  return second === '' ? available(false) : explain(second)
}

/** What platform and tools alone settle; null: it must be tried. */
export function withoutTrying(
  mode: 'files' | 'full',
  platform: NodeJS.Platform,
  tools: Readonly<Record<string, string | undefined>>,
): Availability | null {
  if (platform === 'darwin') {
    if (mode === 'full')
      return unavailable('macOS offers no network containment.', 'Use `--contain files`, or run the agent on Linux.')
    return existsSync('/usr/bin/sandbox-exec')
      ? available(true)
      : unavailable('sandbox-exec is missing.', 'It is part of macOS.')
  }
  if (platform !== 'linux') return unavailable(`${platform} offers no containment.`, 'Use WSL 2.')
  const lacking = ['unshare', 'setpriv', 'mount', 'sh'].filter((tool) => tools[tool] === undefined)
  if (lacking.length > 0) return unavailable(`Not installed: ${lacking.join(', ')}.`, 'Install util-linux.')
  if (mode === 'full' && tools['ip'] === undefined && tools['ifconfig'] === undefined) {
    return unavailable('Not installed: ip.', 'Install iproute2, or use `--contain files`.')
  }
  return null
}

/** Empty when it worked, else what the tools said. */
function attempt(unshare: string, sh: string, mode: 'files' | 'full', freshProc: boolean): string {
  const namespaces = [
    '-U',
    '-r',
    '-m',
    '-p',
    '-i',
    '-f',
    '--kill-child',
    ...(mode === 'full' ? ['-n'] : []),
    ...(freshProc ? ['--mount-proc'] : []),
  ]
  const script = [
    `PATH=${toolDirectories.join(':')}`,
    'mount -n -t tmpfs keyward /tmp',
    ...(mode === 'full' ? ['if command -v ip >/dev/null; then ip link set lo up; else ifconfig lo up; fi'] : []),
    // As the launcher does: where that cannot be forbidden, the agent could undo what is covered.
    'echo 1 >/proc/sys/user/max_user_namespaces',
    'unshare -U --map-user="$1" --map-group="$2" -- setpriv --no-new-privs -- true',
  ]
  const ids = [String(process.getuid?.() ?? 0), String(process.getgid?.() ?? 0)]
  const result = spawnSync(unshare, [...namespaces, '--', sh, '-c', script.join(' && '), 'keyward-probe', ...ids], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: timeoutMilliseconds,
    encoding: 'utf8',
    env: {},
    cwd: '/',
  })
  return result.status === 0 ? '' : result.stderr.trim() || result.error?.message || `exit status ${result.status}`
}

function explain(said: string): Availability {
  if (setting('kernel/apparmor_restrict_unprivileged_userns') === '1') {
    return unavailable(
      'AppArmor forbids user namespaces to ordinary programs here.',
      'Allow them with `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or with an AppArmor profile for unshare that has `userns,`.',
    )
  }
  if (setting('user/max_user_namespaces') === '0') {
    return unavailable(
      'User namespaces are switched off here.',
      'Allow them with `sudo sysctl user.max_user_namespaces=10000`.',
    )
  }
  if (setting('kernel/unprivileged_userns_clone') === '0') {
    return unavailable(
      'User namespaces are switched off here.',
      'Allow them with `sudo sysctl kernel.unprivileged_userns_clone=1`.',
    )
  }
  if (/unrecognized option|invalid option|unknown option/.test(said)) {
    return unavailable(
      'unshare or setpriv of this machine is too old or too small.',
      'Install util-linux 2.38 or newer.',
    )
  }
  return unavailable(
    `Namespaces cannot be made here (${said.split('\n')[0]?.slice(0, 200) ?? ''}).`,
    'In a container, its seccomp profile must allow unshare and mount; or let the container itself be the boundary: run Keyward outside it.',
  )
}

function setting(name: string): string {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim()
  } catch {
    return ''
  }
}

function available(freshProc: boolean): Availability {
  return { available: true, missing: '', remedy: '', freshProc }
}

function unavailable(missing: string, remedy: string): Availability {
  return { available: false, missing, remedy, freshProc: false }
}
