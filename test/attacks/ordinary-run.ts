import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

export type Mode = 'none' | 'files' | 'full'

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** A home, a server, a service on loopback and one credential, all of an ordinary user, and `keyward run` as that user types it. */
export interface OrdinaryRun {
  readonly secret: string
  readonly home: string
  /** The program that `keyward` is. */
  readonly entry: string
  /** The user's own folder, in which the agent works. */
  readonly work: string
  readonly user: { readonly uid?: number; readonly gid?: number }
  /** What the service received as Authorization. */
  readonly received: string[]
  /** The key file's bytes, the first secret of all. */
  readonly rootKeyFile: string
  keyward(args: readonly string[], variables?: Readonly<Record<string, string>>): Promise<Ended>
  /** Starts a Node program (text of a module) under `run`. */
  start(mode: Mode, program: string, variables?: Readonly<Record<string, string>>): ChildProcess
  run(mode: Mode, program: string, variables?: Readonly<Record<string, string>>): Promise<Ended>
  close(): Promise<void>
}

const READY_MILLISECONDS = 30_000

export async function openOrdinaryRun(): Promise<OrdinaryRun> {
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const base = mkdtempSync(join(realpathSync(tmpdir()), 'kw-run-'))
  chmodSync(base, 0o755)
  const entry = join(readableTree(base), 'bin/keyward.cjs')
  const node = realpathSync(process.execPath)
  for (const name of ['user', 'tmp', 'user/work', 'kw', 'root']) {
    mkdirSync(join(base, name), { mode: 0o700 })
    if (user.uid !== undefined) chownSync(join(base, name), user.uid, user.gid)
  }
  const work = join(base, 'user/work')
  const environment = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: join(base, 'user'),
    TMPDIR: join(base, 'tmp'),
    KEYWARD_HOME: join(base, 'kw'),
    KEYWARD_ROOT_KEY_FILE: join(base, 'root/key'),
    KEYWARD_GATEWAY: '127.0.0.1:0',
    NODE_NO_WARNINGS: '1',
  }
  const secret = `echo-${randomBytes(24).toString('hex')}`
  const received: string[] = []
  const upstream: Server = createServer((request, response) => {
    received.push(request.headers.authorization ?? '')
    response.end('ok')
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const { port } = upstream.address() as AddressInfo

  const begin = (args: readonly string[], variables: Readonly<Record<string, string>> = {}): ChildProcess =>
    spawn(node, [entry, ...args], { cwd: work, env: { ...environment, ...variables }, ...user })
  const keyward = (args: readonly string[], variables?: Readonly<Record<string, string>>): Promise<Ended> => {
    const child = begin(args, variables)
    child.stdin?.end()
    return ended(child)
  }
  const done = async (args: readonly string[], variables?: Readonly<Record<string, string>>): Promise<void> => {
    const { code, err } = await keyward(args, variables)
    if (code !== 0) throw new Error(`keyward ${args.slice(0, 2).join(' ')} ended with ${code}: ${err}`)
  }

  const server = begin(['up'])
  server.stdin?.end()
  await said(server, /gateway is/)
  writeFileSync(
    join(work, 'echo.yaml'),
    `id: echo\nname: Echo\nhosts: [echo.example.test]\nendpoint: http://127.0.0.1:${port}\ninject: { kind: bearer }\nvariables: { key: ECHO_API_KEY, baseUrl: ECHO_BASE_URL }\n`,
    { mode: 0o644 },
  )
  await done(['service', 'add', 'echo.yaml'])
  await done(['credential', 'add', 'echo', '--service', 'echo', '--from-variable', 'FIRST'], { FIRST: secret })
  await done(['agent', 'add', 'triage'])
  await done(['grant', 'add', '--agent', 'triage', '--credential', 'echo', '--allow', '*'])

  const start = (mode: Mode, program: string, variables?: Readonly<Record<string, string>>): ChildProcess =>
    begin(['run', '--agent', 'triage', '--contain', mode, '--', node, '--input-type=module', '-e', program], variables)
  return {
    secret,
    home: environment.KEYWARD_HOME,
    entry,
    work,
    user,
    received,
    rootKeyFile: environment.KEYWARD_ROOT_KEY_FILE,
    keyward,
    start,
    run(mode, program, variables) {
      const child = start(mode, program, variables)
      child.stdin?.end()
      return ended(child)
    },
    async close() {
      const gone = ended(server)
      server.kill('SIGTERM')
      await gone
      upstream.close()
      upstream.closeAllConnections()
      rmSync(base, { recursive: true, force: true })
    },
  }
}

/** Resolves with what the program has printed once that matches. */
export function said(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((done, fail) => {
    let text = ''
    const timer = setTimeout(() => fail(new Error(`It said only: ${text}`)), READY_MILLISECONDS)
    const hear = (chunk: Buffer): void => {
      text += chunk.toString()
      if (!pattern.test(text)) return
      clearTimeout(timer)
      done(text)
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('exit', (code) => fail(new Error(`It ended with ${code}: ${text}`)))
  })
}

function ended(child: ChildProcess): Promise<Ended> {
  let out = ''
  let err = ''
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()))
  return new Promise((done) => child.on('close', (code) => done({ code, out, err })))
}

/** The clone itself where everybody may read it, else a copy. */
function readableTree(base: string): string {
  const root = resolve(import.meta.dirname, '../..')
  for (let folder = root; folder !== dirname(folder); folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) !== 0) continue
    for (const name of ['bin', 'src', 'node_modules', 'package.json'])
      cpSync(join(root, name), join(base, 'tree', name), { recursive: true, verbatimSymlinks: true })
    return join(base, 'tree')
  }
  return root
}
