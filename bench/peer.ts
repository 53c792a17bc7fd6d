import { execFileSync } from 'node:child_process'
import type { Expected, Job, Outcome, Target } from './load/job.ts'
import type { Ground, Upstream } from './ground.ts'

/** A proxy to measure: how it is started, and against which way without a proxy its latency counts. */
export interface Peer {
  readonly name: string
  readonly direct: 'direct' | 'direct, TLS'
  /** The peer that does nothing, in Node, in the same protocols: the ratio is taken to it. */
  readonly floor: string
  /** Why it cannot take part here; null where it can. */
  readonly missing: string | null
  /** What is measured, for the conditions. */
  readonly version: string
  /** Whether streamed answers pass through it as they come. */
  readonly streams: boolean
  start(ground: Ground, upstream: Upstream): Promise<Started>
}

export interface Started {
  /** Null where there is no proxy in between. */
  readonly processId: number | null
  readonly targets: readonly Target[]
  /** Looks, after so many requests since the last look, at what only the proxy can tell; gives what is wrong. */
  check?(requests: number): Promise<string | null>
  stop(): Promise<void>
}

export const PATH = '/v1/chat/completions'

/** What a client sends anyway; the bearer is the real secret, except for Keyward. */
export function clientHeaders(bearer: string): [string, string][] {
  return [
    ['authorization', `Bearer ${bearer}`],
    ['content-type', 'application/json'],
    ['accept', 'application/json'],
    ['user-agent', 'bench'],
  ]
}

/** Names of the floors. */
export const FLOOR = 'undici dispatch'
export const FLOOR_TLS = 'node:https + undici'
export const FLOOR_HTTP2 = 'node:http2 + undici, TLS'

export function plainTarget(port: number, ground: Ground, more: readonly [string, string][] = []): Target {
  return {
    port,
    tunnel: null,
    tls: null,
    protocol: 'http1',
    authority: `127.0.0.1:${port}`,
    path: PATH,
    headers: [...clientHeaders(ground.secrets.plain), ...more],
  }
}

export function tlsTarget(port: number, ground: Ground): Target {
  return {
    ...plainTarget(port, ground),
    tls: { serverName: 'localhost', ca: ground.authority },
    authority: `localhost:${port}`,
    headers: clientHeaders(ground.secrets.tls),
  }
}

/** The first line that a command prints about its version, or what comes in its place. */
export function versionOf(command: string | null, args: readonly string[], pattern: RegExp): string {
  if (command === null) return ''
  try {
    // Some write it to standard error.
    const text = execFileSync('sh', ['-c', '"$@" 2>&1', 'sh', command, ...args], { encoding: 'utf8' })
    return pattern.exec(text)?.[1] ?? ''
  } catch {
    return ''
  }
}

/** The load process, as the run sees it. */
export interface Load {
  run(job: Job): Promise<Outcome>
}

export type { Expected }
