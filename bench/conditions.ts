import { execFileSync } from 'node:child_process'
import { cpus, release } from 'node:os'
import type { Options } from './options.ts'
import { taskset } from './processes.ts'

/** Under which conditions the figures came about: without them they mean nothing. */
export function conditionsOf(options: Options, upstream: string, versions: readonly string[]): Record<string, string> {
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    node: process.version,
    kernel: release(),
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    pinned: taskset === null ? 'no (taskset is missing)' : 'proxy on core 0, load and upstream on core 1',
    rounds: `${options.rounds} of ${options.seconds} s, interleaved`,
    load: `${options.concurrency} connections at saturation, Poisson arrivals (seed ${options.seed}) in the open loop, ${options.streams} streams`,
    bodies: '1 KB in, 1 KB out',
    upstream,
    peers: versions.join(', '),
    codec: process.env['KEYWARD_BENCH_CODEC'] ?? 'default',
  }
}

function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`
  } catch {
    return 'unknown'
  }
}
