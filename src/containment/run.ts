import type { ChildProcess, StdioOptions } from 'node:child_process'
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, readdirSync } from 'node:fs'
import type { Server, Socket } from 'node:net'
import { Server as NetServer, connect } from 'node:net'
import type { ContainmentPlan, GatewayPlace } from './plan.ts'

export interface RunOptions {
  /** The child's whole environment. */
  readonly variables: Readonly<Record<string, string>>
  /** Three entries at most, `inherit` by default. Nothing else is passed on. */
  readonly stdio?: readonly ('inherit' | 'pipe' | 'ignore' | number)[]
  /** Whether signals that reach this process are passed on to the agent; true by default. */
  readonly passSignals?: boolean
}

const passedSignals = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const
/** Connections of one agent through its only way out, at once. */
const maximumConnections = 1024

/**
 * Starts a planned command. The exit status is the command's own (128 + n where a signal ended it),
 * or 125 when the containment could not be set up. `kill` reaches the agent itself. The child dies
 * with this process. `plan.cleanup` is called when it has ended.
 */
export function runContained(plan: ContainmentPlan, options: RunOptions): ChildProcess {
  const streams = (options.stdio ?? ['inherit', 'inherit', 'inherit']).slice(0, 3)
  const nowhere = openSync('/dev/null', 'r')
  const stdio: NonNullable<Exclude<StdioOptions, string>> = [...streams, plan.gateway === null ? 'ignore' : 'ipc']
  for (const descriptor of leakingDescriptors()) stdio[descriptor] ??= nowhere
  const child = spawn(plan.command, [...plan.args], {
    cwd: plan.cwd,
    env: { ...options.variables, ...plan.variables },
    stdio: Array.from(stdio, (entry) => entry ?? 'ignore'),
  })
  closeSync(nowhere)
  const listener = plan.gateway === null ? undefined : relayWhenReady(child, plan.gateway)
  const contained = plan.mode !== 'none' && process.platform === 'linux'
  const killLauncher = child.kill.bind(child)
  child.kill = (signal = 'SIGTERM') => {
    if (signal === 'SIGKILL' || signal === 9 || !contained || child.pid === undefined) return killLauncher(signal)
    const agent = agentOf(child.pid)
    return agent === undefined ? killLauncher('SIGKILL') : process.kill(agent, signal)
  }
  const stopPassing = options.passSignals === false ? () => undefined : passSignals(child)
  let ended = false
  const end = (): void => {
    if (ended) return
    ended = true
    stopPassing()
    listener?.close()
    plan.cleanup()
  }
  child.once('exit', end)
  child.once('error', end)
  // `close` waits for the channel, which nobody inside holds any more when the launcher gave up early.
  child.once('exit', () => setImmediate(() => (child.connected ? child.disconnect() : undefined)))
  return child
}

/**
 * Descriptors above 3 that a child would inherit because whoever started this process left them
 * open; Node marks only the low ones. The child gets /dev/null in their place.
 */
function leakingDescriptors(): number[] {
  if (process.platform !== 'linux') return []
  const closeOnExec = 0o2000000
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((descriptor) => {
      if (descriptor <= 3) return false
      try {
        const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1]
        return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0
      } catch {
        return false
      }
    })
}

/** Takes the listening socket that was made inside, and carries its connections to the gateway. */
function relayWhenReady(child: ChildProcess, gateway: GatewayPlace): { close(): void } {
  let server: Server | undefined
  const open = new Set<Socket>()
  child.once('message', (message, handle) => {
    if (message !== 'listening' || !(handle instanceof NetServer)) return
    server = handle
    server.maxConnections = maximumConnections
    server.on('connection', (inner: Socket) => {
      const place =
        gateway.socketPath === undefined ? { port: gateway.port, host: '127.0.0.1' } : { path: gateway.socketPath }
      const outer = connect({ ...place, allowHalfOpen: true })
      inner.allowHalfOpen = true
      for (const [from, to] of [
        [inner, outer],
        [outer, inner],
      ] as const) {
        open.add(from)
        from.setNoDelay(true)
        from.pipe(to)
        from.on('error', () => to.destroy())
        from.on('close', () => {
          open.delete(from)
          if (!to.writableEnded) to.destroy()
        })
      }
    })
    child.send('taken', () => {
      if (child.connected) child.disconnect()
    })
  })
  return {
    close: () => {
      server?.close()
      for (const socket of open) socket.destroy()
      if (child.connected) child.disconnect()
    },
  }
}

function passSignals(child: ChildProcess): () => void {
  // On a terminal the kernel sends these to the whole foreground group, the agent included.
  const fromTerminal = new Set<string>(hasTerminal() ? ['SIGINT', 'SIGQUIT'] : [])
  const handlers = passedSignals.map((signal) => {
    const handler = (): void => {
      if (!fromTerminal.has(signal)) child.kill(signal)
    }
    process.on(signal, handler)
    return { signal, handler }
  })
  return () => {
    for (const { signal, handler } of handlers) process.removeListener(signal, handler)
  }
}

function hasTerminal(): boolean {
  if (process.platform !== 'linux') return process.stdin.isTTY
  return statFields('self')?.terminal !== 0
}

/** The agent is the first child of process 1 of the namespace, which is the only child of `unshare`. */
function agentOf(launcher: number): number | undefined {
  const children = (parent: number): number[] =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        const fields = statFields(name)
        return fields?.parent === parent ? [{ id: Number(name), started: fields.started }] : []
      })
      .toSorted((a, b) => a.started - b.started || a.id - b.id)
      .map(({ id }) => id)
  const [first] = children(launcher)
  return first === undefined ? undefined : (children(first)[0] ?? undefined)
}

/** Parent, controlling terminal and start (clock ticks) of a process: fields 4, 7 and 22 of proc_pid_stat(5). */
function statFields(id: string): { parent: number; terminal: number; started: number } | undefined {
  try {
    const text = readFileSync(`/proc/${id}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { parent: Number(fields[1]), terminal: Number(fields[4]), started: Number(fields[19]) }
  } catch {
    return undefined
  }
}
