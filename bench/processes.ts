import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { createInterface, type Interface } from 'node:readline'

/** Children of the bench: started on a core of their own, watched through /proc, and ended with it. */
export interface Program {
  readonly processId: number
  /** Sends a line and gives the next one that comes back, as JSON. */
  ask(line: string): Promise<unknown>
  /** The next line, as JSON. */
  answer(): Promise<unknown>
  stop(): Promise<void>
}

export const PROXY_CORE = 0
export const LOAD_CORE = 1

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/** The path of a command, or null where it is not installed. */
export function find(command: string): string | null {
  for (const folder of [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']) {
    try {
      execFileSync('test', ['-x', `${folder}/${command}`], { stdio: 'ignore' })
      return `${folder}/${command}`
    } catch {
      continue
    }
  }
  return null
}

export const taskset = find('taskset')

export interface Start {
  readonly core: number
  readonly command: string
  readonly args: readonly string[]
  readonly variables?: Readonly<Record<string, string>>
  /** Its standard output is not JSON and of no interest. */
  readonly mute?: boolean
}

export function start({ core, command, args, variables, mute = false }: Start): Program {
  const line = taskset === null ? [command, ...args] : [taskset, '-c', String(core), command, ...args]
  const child = spawn(line[0] ?? '', line.slice(1), {
    stdio: ['pipe', mute ? 'ignore' : 'pipe', 'inherit'],
    env: { ...process.env, ...variables },
  })
  running.add(child)
  const ended = new Promise<void>((done) => {
    child.once('close', () => {
      running.delete(child)
      done()
    })
  })
  child.stdin?.on('error', () => undefined)
  const lines = child.stdout === null ? null : linesOf(createInterface(child.stdout), child)
  const program: Program = {
    processId: child.pid ?? 0,
    ask(text) {
      child.stdin?.write(`${text}\n`)
      return program.answer()
    },
    answer: async () => JSON.parse((await lines?.next()) ?? 'null'),
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
      await ended
      clearTimeout(timer)
    },
  }
  return program
}

/** A Node program of this folder. */
export function startNode(core: number, file: string, args: readonly string[], flags: readonly string[] = []): Program {
  const all = ['--disable-warning=ExperimentalWarning', ...flags, file, ...args]
  return start({ core, command: process.execPath, args: all })
}

function linesOf(reader: Interface, child: ChildProcess): { next(): Promise<string> } {
  const come: string[] = []
  const waiting: { done(line: string): void; fail(error: Error): void }[] = []
  let over: Error | null = null
  reader.on('line', (line) => {
    const next = waiting.shift()
    if (next === undefined) come.push(line)
    else next.done(line)
  })
  child.once('close', (code) => {
    over = new Error(`${child.spawnargs.slice(0, 6).join(' ')} … ended with ${String(code)}`)
    for (const next of waiting) next.fail(over)
  })
  return {
    next: () =>
      new Promise((done, fail) => {
        const line = come.shift()
        if (line !== undefined) done(line)
        else if (over !== null) fail(over)
        else waiting.push({ done, fail })
      }),
  }
}

/** The process and everything that it started. */
function familyOf(processId: number): number[] {
  try {
    const tasks = readdirSync(`/proc/${processId}/task`)
    const children = tasks.flatMap((task) =>
      readFileSync(`/proc/${processId}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    )
    return [processId, ...children.flatMap(familyOf)]
  } catch {
    return []
  }
}

/** User and system time of the process with all its threads and children. The kernel counts in ticks of 10 ms. */
export function cpuMicroseconds(processId: number): number {
  let ticks = 0
  for (const id of familyOf(processId)) {
    const fields = readFileSync(`/proc/${id}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks * 10_000
}

/** Resident memory in megabytes: now, and at its highest. */
export function residentMegabytes(processId: number): { now: number; peak: number } {
  let [now, peak] = [0, 0]
  for (const id of familyOf(processId)) {
    const status = readFileSync(`/proc/${id}/status`, 'utf8')
    now += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
    peak += Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
  }
  return { now, peak }
}

export function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => done(address !== null && typeof address === 'object' ? address.port : 0))
    })
  })
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds))
}
