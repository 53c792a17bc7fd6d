import { spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'

/** An ordinary user: containment is never judged as root. */
const ordinary = 65534
const asRoot = process.getuid?.() === 0
const base = mkdtempSync(join(realpathSync(tmpdir()), 'keyward-trial-'))
const secret = `trial-${randomUUID()}`
const node = realpathSync(process.execPath)
const prefix = asRoot ? ['setpriv', `--reuid=${ordinary}`, `--regid=${ordinary}`, '--clear-groups'] : []

const skipped = process.platform === 'linux' ? prepare() : 'containment by namespaces needs Linux'
if (skipped !== '') console.warn(`skipped: containment as an ordinary user: ${skipped}`)

afterAll(() => rmSync(base, { recursive: true, force: true }))

/** Copies what the ordinary user needs to where that user can read it. Says why it cannot be done, or nothing. */
function prepare(): string {
  chmodSync(base, 0o755)
  const source = join(import.meta.dirname, '..')
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

interface Ended {
  readonly out: string
  readonly err: string
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

interface Trial {
  readonly mode: 'files' | 'full' | 'none'
  readonly command: readonly string[]
  readonly attacks?: boolean
  readonly input?: string
  /** Runs the server under this command line, given as shell text with `"$@"` for it. */
  readonly under?: string
  readonly onError?: (text: string, processId: number) => void
  readonly onOutput?: (text: string, processId: number, input: NodeJS.WritableStream) => void
}

function runTrial(trial: Trial): Promise<Ended> {
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
const needed = ['gateway', 'ownSession', 'runtimeDirectoryUsable']
/** What `files` leaves open by design: the network. */
const network = ['abstractSocket', 'loopbackTcp', 'loopbackIpv6', 'outwardRoute', 'datagram']
/** Attempts that do not succeed even uncontained, because the kernel itself stands in the way. */
const closedAnyway = [
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
]

describe.skipIf(skipped !== '')('an agent run by an ordinary user', () => {
  const attack = async (mode: Trial['mode']): Promise<Record<string, string>> => {
    const { out, err } = await runTrial({
      mode,
      attacks: true,
      command: [node, join(base, 'src/containment/trial/attacks.cjs')],
      under: 'umask 077; printf %s "$TRIAL_SECRET" >work/opened; exec 8<work/opened; rm work/opened; exec "$@"',
    })
    if (mode !== 'none') expect(err).toBe('')
    return JSON.parse(out)
  }

  test('reaches nearly everything when it is not contained (so the attempts are real)', async () => {
    const said = await attack('none')
    const closed = Object.keys(said).filter((name) => said[name] === 'closed')
    expect(closed.filter((name) => !closedAnyway.includes(name))).toEqual([])
  })

  test('reaches nothing of Keyward under files', async () => {
    const { identity, ...said } = await attack('files')
    const open = Object.keys(said).filter((name) => said[name] === 'open')
    expect(open.filter((name) => !network.includes(name)).toSorted()).toEqual(needed.toSorted())
    expect(identity).toBe(asRoot ? `${ordinary}:${ordinary}` : `${process.getuid?.()}:${process.getgid?.()}`)
  })

  test('reaches nothing of Keyward, and no network but the gateway, under full', async () => {
    const { identity: _, ...said } = await attack('full')
    const open = Object.keys(said).filter((name) => said[name] === 'open')
    expect(open.toSorted()).toEqual(needed.toSorted())
  })

  test('leaves nothing behind', () => {
    const left = readdirSync(join(base, 'tmp'), { recursive: true })
    expect(left).toEqual([expect.stringMatching(/^keyward-\d+$/)])
  })

  test('does not inherit open descriptors, low or high', async () => {
    const opened = 'printf secret > work/opened; exec 5<work/opened 9<work/opened; exec "$@"'
    const listing = ['sh', '-c', 'for f in /proc/self/fd/*; do readlink "$f"; done']
    const contained = await runTrial({ mode: 'files', command: listing, under: opened })
    expect(contained.out).not.toContain('opened')
    const bash = await runTrial({
      mode: 'files',
      command: listing,
      under: `exec bash -c 'exec 77<work/opened; exec "$@"' bash "$@"`,
    })
    expect(bash.out).not.toContain('opened')
  })

  describe.each(['files', 'full'] as const)('%s', (mode) => {
    test.each([0, 1, 7, 124, 255])('passes exit status %i', async (code) => {
      expect(await runTrial({ mode, command: ['sh', '-c', `exit ${code}`] })).toMatchObject({ code, err: '' })
    })

    test.each([
      ['TERM', 143],
      ['KILL', 137],
      ['INT', 130],
      ['SEGV', 139],
    ])('tells a death by SIG%s as 128 + n', async (signal, code) => {
      expect(await runTrial({ mode, command: ['sh', '-c', `kill -${signal} $$`] })).toMatchObject({ code, err: '' })
    })

    test('says 127 for a command that does not exist', async () => {
      expect(await runTrial({ mode, command: ['no-such-command'] })).toMatchObject({ code: 127 })
    })

    test('passes standard input on', async () => {
      const input = 'x'.repeat(200_000)
      expect((await runTrial({ mode, command: ['wc', '-c'], input })).out.trim()).toBe(String(input.length))
    })

    test.each(['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGUSR2'] as const)('passes %s on to the agent', async (signal) => {
      const name = signal.slice(3)
      let sent = false
      const script = `trap 'echo got; exit 9' ${name}; echo ready; while :; do sleep 0.05; done`
      const ended = await runTrial({
        mode,
        command: ['sh', '-c', script],
        onOutput: (out, id) => {
          if (sent || !out.includes('ready')) return
          sent = true
          process.kill(id, signal)
        },
      })
      expect(ended).toMatchObject({ code: 9, out: 'ready\ngot\n' })
    })

    test.each(['server', 'launcher'])('takes everything down when the %s is killed', async (victim) => {
      const mark = `sleep-${randomUUID()}`
      let launcher = 0
      let sent = false
      await runTrial({
        mode,
        command: ['sh', '-c', `setsid sh -c 'sleep 60; : ${mark}' & echo ready; sleep 60; : ${mark}`],
        onError: (text) => (launcher = Number(/launcher (\d+)/.exec(text)?.[1] ?? 0)),
        onOutput: (_, id) => {
          if (sent) return
          sent = true
          process.kill(victim === 'server' ? id : launcher, 'SIGKILL')
        },
      })
      await expect.poll(() => spawnSync('pgrep', ['-f', mark], { encoding: 'utf8' }).stdout, { timeout: 5000 }).toBe('')
    })
  })

  test('carries data both ways through the only way out', async () => {
    const { out } = await runTrial({
      mode: 'full',
      command: [node, '-e', 'fetch(process.env.GATEWAY + "/x").then(async (a) => console.log(await a.text()))'],
    })
    expect(out).toBe('gateway /x\n')
  })

  test.skipIf(!existsSync('/usr/bin/script'))('keeps the terminal: size, job control and Ctrl-C', async () => {
    const script = `trap 'echo caught' INT; test -t 0 && test -t 1 && stty size; : </dev/tty && echo controlled; echo ready; while ! read line; do :; done; echo "line $line"; exit 3`
    let stage = 0
    const { out, code } = await runTrial({
      mode: 'files',
      command: ['sh', '-c', script],
      under: `export SHELL=/bin/sh A="$1" B="$2" C="$3" D="$4"; exec script -qec 'stty cols 91; exec "$A" "$B" "$C" "$D"' /dev/null`,
      onOutput: (out, _, input) => {
        if (stage === 0 && out.includes('ready')) {
          stage = 1
          input.write('\u0003')
        } else if (stage === 1 && out.includes('caught')) {
          stage = 2
          input.write('hello\n')
        }
      },
    })
    expect(out).toMatch(/\d+ 91\r\ncontrolled\r\nready/)
    expect(out.match(/^.*caught\r$/gm)).toHaveLength(1)
    expect(out).toContain('line hello')
    expect(code).toBe(3)
  })
})
