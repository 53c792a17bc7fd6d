import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import process from 'node:process'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Sabotage } from './doctor/sabotaged.ts'

/** An ordinary user, where the tests themselves run as root: root is not whom containment is judged by. */
const ordinary = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
const base = mkdtempSync(join(realpathSync(tmpdir()), 'kw-doctor-'))
const tree = readableTree()
const entry = join(tree, 'bin/keyward.cjs')
const node = realpathSync(process.execPath)
let home = ''
let servers: ChildProcess[] = []

const report = z.object({
  mode: z.string(),
  ok: z.boolean(),
  modes: z.array(
    z.object({ mode: z.string(), inUse: z.boolean(), findings: z.array(finding()), open: z.array(z.string()) }),
  ),
  findings: z.array(finding()),
})
type Report = z.infer<typeof report>

function finding() {
  return z.object({
    id: z.string(),
    state: z.enum(['closed', 'broken', 'open', 'unproven']),
    title: z.string(),
    detail: z.string().optional(),
    remedy: z.string().optional(),
  })
}

/** The clone itself where everybody may read it, else a copy. */
function readableTree(): string {
  const root = resolve(import.meta.dirname, '../..')
  chmodSync(base, 0o755)
  for (let folder = root; folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) !== 0) continue
    for (const name of ['bin', 'src', 'test/e2e/doctor', 'node_modules', 'package.json'])
      cpSync(join(root, name), join(base, 'tree', name), { recursive: true, verbatimSymlinks: true })
    return join(base, 'tree')
  }
  return root
}

function variables(): Record<string, string> {
  return {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: join(home, 'user'),
    TMPDIR: join(home, 'tmp'),
    KEYWARD_HOME: join(home, 'kw'),
    KEYWARD_ROOT_KEY_FILE: join(home, 'key'),
    KEYWARD_GATEWAY: '127.0.0.1:0',
    NODE_NO_WARNINGS: '1',
  }
}

interface Outcome {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function start(args: readonly string[], extra: Record<string, string> = {}): ChildProcess {
  return spawn(node, [...args], { cwd: join(home, 'work'), env: { ...variables(), ...extra }, ...ordinary })
}

function outcomeOf(child: ChildProcess): Promise<Outcome> {
  let out = ''
  let err = ''
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()))
  child.stdin?.end()
  return new Promise((done) => child.on('close', (code) => done({ code, out, err })))
}

const keyward = (args: readonly string[], extra?: Record<string, string>): Promise<Outcome> =>
  outcomeOf(start([entry, ...args], extra))

async function doctor(
  args: readonly string[] = [],
  extra?: Record<string, string>,
): Promise<Outcome & { report: Report }> {
  const outcome = await keyward(['doctor', '--json', ...args], extra)
  if (outcome.out === '') throw new Error(`doctor said: ${outcome.err}`)
  return { ...outcome, report: report.parse(JSON.parse(outcome.out)) }
}

async function sabotage(
  what: Sabotage,
  contain: 'files' | 'full',
): Promise<{ code: number | null; states: Map<string, string>; report: Report }> {
  const script = join(tree, 'test/e2e/doctor/sabotaged.ts')
  const { code, out, err } = await outcomeOf(start([script, JSON.stringify({ sabotage: what, contain, entry })]))
  if (out === '') throw new Error(`doctor said: ${err}`)
  const read = report.parse(JSON.parse(out))
  return { code, report: read, states: statesOf(read) }
}

function statesOf({ modes, findings }: Report): Map<string, string> {
  return new Map(
    [...modes.filter((one) => one.inUse).flatMap((one) => one.findings), ...findings].map((one) => [one.id, one.state]),
  )
}

const idsIn = (states: ReadonlyMap<string, string>, state: string): string[] =>
  [...states].flatMap(([id, is]) => (is === state ? [id] : []))

/** Serves the home; `args` stand where the command's entry would. */
async function serve(args: readonly string[] = ['--disable-sigusr1', entry]): Promise<ChildProcess> {
  const server = start([...args, 'up'])
  servers.push(server)
  server.stdout?.resume()
  server.stderr?.resume()
  await expect.poll(async () => (await keyward(['status'])).code, { timeout: 20_000, interval: 100 }).toBe(0)
  return server
}

async function leftovers(): Promise<string[]> {
  const lists = await Promise.all(
    ['agent', 'credential', 'service', 'grant'].map((noun) => keyward([noun, 'list', '--json'])),
  )
  const files = [
    ...readdirSync(join(home, 'kw')),
    ...readdirSync(join(home, 'tmp')),
    ...readdirSync(join(home, 'work')),
  ]
  return [
    ...files.filter((name) => /doctor|agent|contain/.test(name)),
    ...lists.filter(({ out }) => out.includes('keyward-doctor-')).map(({ out }) => out),
  ]
}

beforeEach(() => {
  home = mkdtempSync(join(base, 'h'))
  for (const name of ['.', 'user', 'tmp', 'work']) {
    mkdirSync(join(home, name), { recursive: true, mode: 0o700 })
    if (ordinary.uid !== undefined) chownSync(join(home, name), ordinary.uid, ordinary.gid)
  }
})

afterEach(async () => {
  await keyward(['down'])
  for (const server of servers) server.kill('SIGTERM')
  servers = []
})

afterAll(() => rmSync(base, { recursive: true, force: true, maxRetries: 3 }))

/** What `files` leaves open by design. */
const network = [
  'network-tcp',
  'network-udp',
  'network-dns',
  'network-abstract-socket',
  'network-route',
  'network-route-6',
  'network-inspector',
]
/** What the kernel itself refuses an ordinary user, contained or not, or what is not there to be had. */
const closedAnyway = [
  'home-first-root',
  'home-overlay',
  'home-bind-uncovered',
  'home-bind',
  'home-unmount',
  'server-parent',
  'own-descriptors',
  'own-core-dump',
  'control-gateway',
  'control-gateway-proxy',
  'agent-variables',
  'agent-files',
  ...network.slice(4),
]

describe.skipIf(process.platform !== 'linux')('keyward doctor, as an ordinary user', () => {
  test('finds every promise kept in files and full, in time, and leaves nothing behind', async () => {
    await serve()
    const began = performance.now()
    const { code, report: found } = await doctor()
    const took = performance.now() - began
    expect(idsIn(statesOf(found), 'broken')).toEqual([])
    expect(idsIn(statesOf(found), 'unproven')).toEqual([])
    expect({ code, ok: found.ok, mode: found.mode }).toEqual({ code: 0, ok: true, mode: 'files' })
    const [files, full] = found.modes
    expect(files?.findings.filter((one) => one.state === 'open' && !network.includes(one.id))).toEqual([])
    expect(full?.findings.filter((one) => one.state !== 'closed')).toEqual([])
    expect(
      found.modes.flatMap((one) => one.findings).every((one) => one.state === 'closed' || (one.remedy ?? '') !== ''),
    ).toBe(true)
    expect(took).toBeLessThan(15_000)
    // However they are taken: a pipe asks for no limit.
    expect(found.findings.find((one) => one.id === 'server-core-dump')?.title).toContain('none of its memory')
    expect(await leftovers()).toEqual([])
  })

  test('needs no server: it starts one for itself', async () => {
    const { code, report: found } = await doctor(['--contain', 'full'])
    expect({ code, modes: found.modes.map((one) => one.mode) }).toEqual({ code: 0, modes: ['full'] })
  })

  test('uncontained, nearly everything that it tries succeeds (so the attempts are real), and it says so', async () => {
    await serve()
    const { code, report: found } = await doctor(['--contain', 'none'])
    const tried = (found.modes[0]?.findings ?? []).filter((one) => !one.id.startsWith('echo-'))
    expect(tried.filter((one) => one.state !== 'open' && !closedAnyway.includes(one.id))).toEqual([])
    expect(code).toBe(0)
    expect(await leftovers()).toEqual([])
  })

  test('speaks plainly without colour, and says what is open and how to close it', async () => {
    await serve()
    const { code, out } = await keyward(['doctor', '--contain', 'files'])
    expect(code).toBe(0)
    expect(out).toMatch(/^ {2}ok {7}cannot read the root key$/m)
    expect(out).toMatch(/^ {2}open {5}can connect to a port past the gateway$/m)
    expect(out).toMatch(/^Open in files, and how to close it$[\s\S]*--contain full/m)
    expect(out).not.toContain('\u001b')
  })

  test('a containment without walls is reported', async () => {
    await serve()
    const { code, states } = await sabotage('walls', 'files')
    expect(code).toBe(1)
    const broken = idsIn(states, 'broken')
    const expected = [
      'home-database',
      'home-symlink',
      'home-hard-link',
      'home-rename',
      'home-own-root',
      'key-file',
      'key-hard-link',
      'control-socket',
      'control-reveal',
    ]
    expect(broken).toEqual(
      expect.arrayContaining([
        ...expected,
        'server-environ',
        'server-memory',
        'server-signal',
        'other-environ',
        'sockets',
        'stored-logins',
        'own-privileges',
      ]),
    )
    expect(await leftovers()).toEqual([])
  })

  test('a network that stays open under full is reported', async () => {
    await serve()
    const { code, states } = await sabotage('network', 'full')
    expect(code).toBe(1)
    expect(idsIn(states, 'broken')).toEqual(expect.arrayContaining(network.slice(0, 4)))
  })

  test('a gateway that does not scrub is reported', async () => {
    await serve()
    const { code, report: found, states } = await sabotage('gateway', 'files')
    expect(code).toBe(1)
    expect(states.get('echo-base')).toBe('broken')
    expect(states.get('echo-absolute')).toBe('broken')
    const detail = found.modes[0]?.findings.find((one) => one.id === 'echo-base')?.detail ?? ''
    for (const form of [
      'plain',
      'split',
      'header',
      'gzip',
      'br',
      'deflate',
      'zstd',
      'unknown-coding',
      'base64',
      'base64-shifted-1',
      'base64-shifted-2',
      'base64url',
      'hex',
      'percent',
      'json-escaped',
    ])
      expect(detail).toMatch(new RegExp(`(^|[ ,])${form} \\(`))
  })

  test('a secret in the agent’s variables is reported', async () => {
    await serve()
    const { code, states } = await sabotage('variables', 'files')
    expect(code).toBe(1)
    expect(idsIn(states, 'broken')).toEqual(['agent-variables'])
  })

  test('attempts that were never made prove nothing', async () => {
    await serve()
    const { code, states } = await sabotage('command', 'files')
    expect(code).toBe(1)
    expect(idsIn(states, 'broken')).toEqual(['trial'])
  })

  test('the same set-up with nothing broken passes', async () => {
    await serve()
    const { code, states } = await sabotage('nothing', 'files')
    expect({ code, broken: idsIn(states, 'broken') }).toEqual({ code: 0, broken: [] })
  })

  test('whatever others may read is reported, each with the command that mends it', async () => {
    await serve()
    const loose = { key: 'key-mode', kw: 'home-mode', 'kw/keyward.db': 'database-mode' }
    for (const path of Object.keys(loose)) chmodSync(join(home, path), 0o755)
    const { code, report: found } = await doctor(['--contain', 'files'])
    for (const path of Object.keys(loose)) chmodSync(join(home, path), 0o700)
    expect(code).toBe(1)
    expect(idsIn(statesOf(found), 'broken').toSorted()).toEqual(Object.values(loose).toSorted())
    for (const id of Object.values(loose))
      expect(found.findings.find((one) => one.id === id)?.remedy).toContain('chmod go=')
  })

  test('a root key that others may read is reported by itself', async () => {
    await serve()
    chmodSync(join(home, 'key'), 0o644)
    const { code, report: found } = await doctor(['--contain', 'files'])
    expect({ code, broken: idsIn(statesOf(found), 'broken') }).toEqual({ code: 1, broken: ['key-mode'] })
    chmodSync(join(home, 'key'), 0o600)
  })

  test('a damaged journal is reported', async () => {
    await serve()
    const folder = join(home, 'kw/journal/node-1')
    const segment = join(
      folder,
      readdirSync(folder)
        .filter((name) => name.endsWith('.jsonl'))
        .toSorted()[0] ?? '',
    )
    flipByte(segment, 40)
    const { code, report: found } = await doctor(['--contain', 'files'])
    expect(code).toBe(1)
    expect(idsIn(statesOf(found), 'broken')).toEqual(['journal'])
  })

  test('a server in which a signal opens a debugger is reported', async () => {
    await serve([join(tree, 'src/cli/main.ts')])
    const { code, report: found } = await doctor(['--contain', 'files'])
    expect(code).toBe(1)
    expect(idsIn(statesOf(found), 'broken')).toEqual(['server-debugger-signal'])
  })

  test('a server refuses to serve under a debugger', async () => {
    const { code, err } = await outcomeOf(start(['--inspect=127.0.0.1:0', join(tree, 'src/cli/main.ts'), 'up']))
    expect(code).not.toBe(0)
    expect(err).toContain('debugger')
  })

  test('keys in the shell are named, and never shown', async () => {
    await serve()
    const secret = randomBytes(24).toString('hex')
    const { code, out, report: found } = await doctor(['--contain', 'files'], { TAVILY_API_KEY: secret })
    expect(code).toBe(0)
    expect(found.findings.find((one) => one.id === 'shell-variables')).toMatchObject({
      state: 'open',
      detail: 'TAVILY_API_KEY',
    })
    expect(out).not.toContain(secret)
  })

  test('Ctrl-C ends it, and nothing is left behind', async () => {
    await serve()
    const child = start([entry, 'doctor', '--json'])
    const ending = outcomeOf(child)
    await expect
      .poll(async () => (await keyward(['session', 'list', '--json'])).out, { timeout: 20_000, interval: 50 })
      .toContain('keyward-doctor-')
    child.kill('SIGINT')
    const { code } = await ending
    expect(code).toBe(130)
    expect(await leftovers()).toEqual([])
  })
})

function flipByte(path: string, at: number): void {
  const file = openSync(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, at)
    byte[0] = (byte[0] ?? 0) ^ 1
    writeSync(file, byte, 0, 1, at)
  } finally {
    closeSync(file)
  }
}
