import { spawn, type ChildProcess } from 'node:child_process'
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import process from 'node:process'
import { createControlClient } from '../src/client/control-client.ts'
import type { ControlClient } from '../src/client/control-client.ts'
import { controlSocketPath } from '../src/core/socket-path.ts'

export const root = resolve(import.meta.dirname, '..')
/** The command as it is installed: it cleans its variables and closes the inspector before a server starts. */
export const entry = join(root, 'bin/keyward.cjs')

const PATIENCE_MILLISECONDS = 240_000
const READY_MILLISECONDS = 30_000

/** Keyward is tried as an ordinary user, also where the tests themselves run as root. */
export const ordinary: { readonly uid?: number; readonly gid?: number } =
  process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
const userId = ordinary.uid ?? process.getuid?.() ?? 0

export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

export interface RunOptions {
  readonly input?: string
  readonly variables?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Put before the command line: `['prlimit', '--fsize=4096']`. */
  readonly before?: readonly string[]
  /** Told of the process as soon as it runs. */
  readonly onStart?: (child: ChildProcess) => void
  /** Runs it on a terminal of its own (`script` of util-linux); types `text` once `when` has been shown. What it shows is not put into `outputs`. */
  readonly terminal?: { readonly when: RegExp; readonly text: string }
}

/** A server process that is ready. */
export interface Server {
  readonly pid: number
  readonly port: number
  readonly ended: Promise<Outcome>
  kill(signal: NodeJS.Signals): Promise<Outcome>
  /** Ends it the ordinary way. */
  stop(): Promise<Outcome>
}

/** One home in a folder of its own, with real processes around it. Everything that any of them wrote is in `outputs`. */
export interface House {
  /** Holds everything below; removed by `close`. */
  readonly folder: string
  readonly home: string
  readonly rootKeyFile: string
  /** HOME of every process. */
  readonly userHome: string
  /** Working directory of every process. */
  readonly work: string
  /** TMPDIR of every process. */
  readonly temporary: string
  readonly outputs: { readonly command: string; readonly bytes: Buffer }[]
  /** Runs the command line to its end. */
  keyward(args: readonly string[], options?: RunOptions): Promise<Outcome>
  /** The same, and throws unless it ends with 0. Gives what it printed. */
  expectDone(args: readonly string[], options?: RunOptions): Promise<string>
  /** Starts a server on a free port. Throws with its output where it ends instead. */
  up(options?: RunOptions & { readonly args?: readonly string[] }): Promise<Server>
  /** Speaks to the control socket without a process, for many changes at once. */
  client(): ControlClient
  /** Writes a file below `work`, owned by the user of the processes. Gives its path. */
  write(name: string, content: string | Uint8Array, mode?: number): string
  close(): Promise<void>
}

/** `command`: the entry file of another release. */
export function openHouse(command = entry): House {
  const folder = mkdtempSync('/tmp/keyward-e2e-')
  own(folder)
  const place = (name: string): string => {
    const path = join(folder, name)
    mkdirSync(path, { recursive: true, mode: 0o700 })
    own(path)
    return path
  }
  const home = join(folder, 'home')
  const [userHome, work, temporary] = [place('user'), place('work'), place('tmp')]
  const outputs: { command: string; bytes: Buffer }[] = []
  const running = new Set<ChildProcess>()

  function launch(
    args: readonly string[],
    options: RunOptions,
  ): { child: ChildProcess; ended: Promise<Outcome>; heard: () => string; listen: (on: () => void) => void } {
    const environment = {
      PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`,
      HOME: userHome,
      TMPDIR: temporary,
      TERM: 'dumb',
      KEYWARD_HOME: home,
      KEYWARD_GATEWAY: '127.0.0.1:0',
      ...options.variables,
    }
    const { terminal } = options
    const line = [...(options.before ?? []), process.execPath, command, ...args]
    // A terminal without a width would break every word.
    const onTerminal = [
      'script',
      '-qefc',
      'stty cols 120 rows 40; ' + line.map((word) => `'${word}'`).join(' '),
      '/dev/null',
    ]
    const [file = '', ...rest] = terminal === undefined ? line : onTerminal
    const child = spawn(file, rest, { cwd: options.cwd ?? work, env: environment, stdio: 'pipe', ...ordinary })
    running.add(child)
    const pieces: { out: Buffer[]; err: Buffer[] } = { out: [], err: [] }
    const listeners: (() => void)[] = []
    const text = (chunks: Buffer[]): string => Buffer.concat(chunks).toString()
    for (const [stream, kept] of [
      [child.stdout, pieces.out],
      [child.stderr, pieces.err],
    ] as const) {
      stream.on('data', (chunk: Buffer) => {
        kept.push(chunk)
        for (const on of listeners) on()
      })
    }
    child.stdin.on('error', () => undefined)
    if (terminal === undefined) child.stdin.end(options.input ?? '')
    else listeners.push(() => typeOnce(child, text(pieces.out), terminal))
    const ended = new Promise<Outcome>((done, failed) => {
      child.once('error', failed)
      child.once('close', (code, signal) => {
        running.delete(child)
        if (terminal === undefined)
          outputs.push({ command: args.join(' '), bytes: Buffer.concat([...pieces.out, ...pieces.err]) })
        done({ code, signal, out: text(pieces.out), err: text(pieces.err) })
      })
    })
    options.onStart?.(child)
    return { child, ended, heard: () => text(pieces.out) + text(pieces.err), listen: (on) => listeners.push(on) }
  }

  const house: House = {
    folder,
    home,
    rootKeyFile: join(`${home}.root`, 'key'),
    userHome,
    work,
    temporary,
    outputs,
    async keyward(args, options = {}) {
      const { child, ended } = launch(args, options)
      const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MILLISECONDS)
      return ended.finally(() => clearTimeout(timer))
    },
    async expectDone(args, options) {
      const { code, out, err } = await house.keyward(args, options)
      if (code !== 0) throw new Error(`keyward ${args.slice(0, 3).join(' ')} ended with ${String(code)}: ${out}${err}`)
      return out
    },
    async up(options = {}) {
      const { child, ended, heard, listen } = launch(['up', ...(options.args ?? [])], options)
      const address = await new Promise<string>((ready, failed) => {
        const timer = setTimeout(
          () => failed(new Error(`keyward up was not ready in time: ${heard()}`)),
          READY_MILLISECONDS,
        )
        listen(() => {
          const found = /gateway is http:\/\/(\S+?)\.\n/.exec(heard())?.[1]
          if (found === undefined) return
          clearTimeout(timer)
          ready(found)
        })
        ended.then(
          ({ code }) => failed(new Error(`keyward up ended with ${String(code)}: ${heard()}`)),
          (error: unknown) => failed(error),
        )
      })
      const kill = (signal: NodeJS.Signals): Promise<Outcome> => {
        child.kill(signal)
        return ended
      }
      return {
        pid: child.pid ?? 0,
        port: Number(address.slice(address.lastIndexOf(':') + 1)),
        ended,
        kill,
        stop: () => kill('SIGTERM'),
      }
    },
    client: () => createControlClient(controlSocketPath(home, temporary, userId)),
    write(name, content, mode = 0o600) {
      const path = join(work, name)
      writeFileSync(path, content, { mode })
      own(path)
      return path
    },
    async close() {
      for (const child of running) child.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  return house
}

const typed = new WeakSet<ChildProcess>()
function typeOnce(child: ChildProcess, shown: string, terminal: { when: RegExp; text: string }): void {
  if (typed.has(child) || !terminal.when.test(shown)) return
  typed.add(child)
  child.stdin?.write(terminal.text)
}

/** Gives a path to the user as whom Keyward runs. */
export function own(path: string): void {
  if (ordinary.uid !== undefined && ordinary.gid !== undefined) chownSync(path, ordinary.uid, ordinary.gid)
}

/** Every file below a folder with its bytes; sockets and what cannot be read are left out. */
export function filesUnder(folder: string): { readonly path: string; readonly bytes: Buffer }[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((found) => {
    if (!found.isFile()) return []
    const path = join(found.parentPath, found.name)
    try {
      return [{ path, bytes: readFileSync(path) }]
    } catch {
      return []
    }
  })
}

/** YAML of a service whose upstream is on loopback. */
export function serviceYaml(id: string, port: number, more = ''): string {
  const variable = id.toUpperCase().replaceAll('-', '_')
  return [
    `id: ${id}`,
    `name: ${id}`,
    `hosts: [${id}.example.test]`,
    `endpoint: http://127.0.0.1:${port}`,
    more === ''
      ? `inject: { kind: bearer }\nvariables: { key: ${variable}_API_KEY, baseUrl: ${variable}_BASE_URL }`
      : more,
    '',
  ].join('\n')
}

/** A port of loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const bound = server.address()
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return typeof bound === 'object' && bound !== null ? bound.port : 0
}
