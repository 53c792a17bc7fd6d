/**
 * Runs the trial as an ordinary user, whoever runs the tests: copies what is needed to where that user can
 * read it, starts the stand-in for Keyward, and says which attempts got what they wanted.
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** An ordinary user: containment is never judged as root. */
export const ordinary = 65534
export const asRoot = process.getuid?.() === 0
export const base = mkdtempSync(join(realpathSync(tmpdir()), 'keyward-trial-'))
const secret = `trial-${randomUUID()}`
export const node = realpathSync(process.execPath)
const prefix = asRoot ? ['setpriv', `--reuid=${ordinary}`, `--regid=${ordinary}`, '--clear-groups'] : []

/** Why the trial cannot be run here; empty where it can. */
export const skipped = process.platform === 'linux' ? prepare() : 'containment by namespaces needs Linux'
if (skipped !== '') console.warn(`skipped: containment as an ordinary user: ${skipped}`)

export function removeTrial(): void {
  rmSync(base, { recursive: true, force: true })
}

/** Copies what the ordinary user needs to where that user can read it. Says why it cannot be done, or nothing. */
function prepare(): string {
  chmodSync(base, 0o755)
  const source = join(import.meta.dirname, '../..')
  for (const folder of ['containment', 'core']) {
    cpSync(join(source, folder), join(base, 'src', folder), {
      recursive: true,
      filter: (path) => !path.endsWith('.test.ts'),
    })
  }
  const zod = dirname(realpathSync(join(source, '../node_modules/zod/package.json')))
  cpSync(zod, join(base, 'node_modules/zod'), { recursive: true })
  for (const name of ['home', 'work', 'runtime', 'agent', 'tmp']) {
    mkdirSync(join(base, name), { mode: 0o700 })
    if (asRoot) chownSync(join(base, name), ordinary, ordinary)
  }
  symlinkSync(join(base, 'home/.keyward/keyward.db'), join(base, 'work/link'))
  symlinkSync(join(base, 'home/.keyward'), join(base, 'work/directory-link'))
  if (asRoot && !existsSync('/usr/bin/setpriv')) return 'setpriv is missing'
  const [command = '', ...rest] = [
    ...prefix,
    node,
    '-e',
    "import(process.argv[1]).then((m) => process.stdout.write(JSON.stringify(['files', 'full'].map(m.containmentAvailable))))",
    join(base, 'src/containment/probe.ts'),
  ]
  const probe = spawnSync(command, rest, { encoding: 'utf8' })
  if (probe.status !== 0) return `the ordinary user cannot run ${node}`
  return probe.stdout.includes('"available":false') ? probe.stdout : ''
}

export interface Ended {
  readonly out: string
  readonly err: string
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Trial {
  readonly mode: 'files' | 'full' | 'none'
  readonly command: readonly string[]
  readonly attacks?: boolean
  readonly input?: string
  /** Runs the server under this command line, given as shell text with `"$@"` for it. */
  readonly under?: string
  readonly onError?: (text: string, processId: number) => void
  readonly onOutput?: (text: string, processId: number, input: NodeJS.WritableStream) => void
}

export function runTrial(trial: Trial): Promise<Ended> {
  const settings = JSON.stringify({ base, mode: trial.mode, command: trial.command, attacks: trial.attacks === true })
  const line = [
    ...prefix,
    ...(trial.under === undefined ? [] : ['sh', '-c', trial.under, 'sh']),
    node,
    '--no-warnings',
    join(base, 'src/containment/trial/server.ts'),
    settings,
  ]
  const [command = '', ...args] = line
  const child = spawn(command, args, {
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      TRIAL_SECRET: secret,
      TRIAL_KEY: `keyward-trial-${randomUUID()}`,
      TRIAL_ANNOUNCE: trial.onError === undefined ? '' : '1',
      TMPDIR: join(base, 'tmp'),
    },
    cwd: base,
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
    trial.onOutput?.(out, child.pid ?? 0, child.stdin)
  })
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString()
    trial.onError?.(err, child.pid ?? 0)
  })
  if (trial.input !== undefined) child.stdin.end(trial.input)
  return new Promise((done) => child.on('close', (code, signal) => done({ out, err, code, signal })))
}

/** Open in every mode, because the agent needs it. */
const needed: readonly string[] = ['gateway', 'ownSession', 'runtimeDirectoryUsable']
/** What `files` leaves open by design: the network. */
const network: readonly string[] = [
  'abstractSocket',
  'loopbackTcp',
  'loopbackIpv6',
  'outwardRoute',
  'datagram',
  'datagramIpv6',
  'quic',
  'nameServer',
  'withoutProxyVariables',
  'everyAbstractSocket',
  'debuggerPort',
  'pingSocket',
  'ring',
  'otherInterfaces',
]
/** Open in every mode, and said to be so: SECURITY.md, docs/guide/containment.md. */
const told: readonly string[] = ['laterSocket', 'newStartupFile', 'machineSocket']
/** Attempts that do not succeed even uncontained, because the kernel itself stands in the way, or this machine has not what they need. */
const closedAnyway: readonly string[] = [
  'ownDescriptors',
  'leftovers',
  'namespaceMove',
  'namespaceProc',
  'namespaceOverlay',
  'namespaceUnmount',
  'namespaceUnmountParent',
  'unmount',
  'enterNamespaces',
  'outwardRoute',
  'loopbackIpv6',
  'namespaceBindRecursive',
  'namespaceBind',
  'rawSocket',
  'packetSocket',
  'pingSocket',
  'machineSocket',
  'corePattern',
  'controlGroup',
  'jobForLater',
  'datagramIpv6',
  'otherInterfaces',
]
/** These need perl to make calls for which Node has no words, and a kernel that has what they are about. */
const byPerl: readonly string[] = [
  'ptrace',
  'readMemory',
  'takeDescriptors',
  'sessionKeyring',
  'listedKeys',
  'sharedMemory',
  'messageQueue',
  'otherTerminal',
  'ring',
  'throughRing',
]
const perl = existsSync('/usr/bin/perl') && ['x64', 'arm64'].includes(process.arch)
/** Gives the server, and so whoever inherits it, a session keyring with the secret in it: JOIN_SESSION_KEYRING, then add_key to it (-3). */
const withKey = `exec perl -e 'my ($join, $add) = splice @ARGV, 0, 2; my $type = "user"; syscall($join, 1, 0); syscall($add, $type, $ENV{TRIAL_KEY}, $ENV{TRIAL_SECRET}, length $ENV{TRIAL_SECRET}, -3); exec @ARGV' ${process.arch === 'arm64' ? '219 217' : '250 248'} "$@"`

export interface Reached {
  /** Names of attempts that got what they wanted. */
  readonly open: readonly string[]
  readonly closed: readonly string[]
  /** What the run itself printed beside them. */
  readonly said: string
  /** uid:gid of the agent, as it sees itself. */
  readonly identity: string
}

/** Makes every attempt in this mode. */
export async function attackFromInside(mode: Trial['mode']): Promise<Reached> {
  const { out, err } = await runTrial({
    mode,
    attacks: true,
    command: [node, join(base, 'src/containment/trial/attacks.cjs')],
    under:
      'umask 077; printf %s "$TRIAL_SECRET" >work/opened; exec 8<work/opened; rm work/opened; ' +
      (perl ? withKey : 'exec "$@"'),
  })
  const { identity = '', ...outcomes }: Record<string, string> = JSON.parse(out)
  const named = (outcome: string): string[] => Object.keys(outcomes).filter((name) => outcomes[name] === outcome)
  return { open: named('open').toSorted(), closed: named('closed'), said: err, identity }
}

/** What must be open in this mode, because the agent needs it, and what may be, because it is said to be. */
export function expectedIn(mode: Trial['mode']): { readonly must: readonly string[]; readonly may: readonly string[] } {
  const must = needed.toSorted()
  return mode === 'full' ? { must, may: told } : { must, may: [...network, ...told] }
}

/** What an uncontained program may fail at on this machine. */
export const excusedUncontained: readonly string[] = [...closedAnyway, ...(perl ? [] : byPerl)]
