import type { Upstream } from './ground.ts'
import type { Load } from './load-process.ts'
import type { Job, Outcome } from './load/job.ts'
import type { Peer, Started } from './peer.ts'
import { cpuMicroseconds, residentMegabytes } from './processes.ts'

/** One peer that runs, with everything that was found out about it. */
export interface Entrant {
  readonly peer: Peer
  readonly started: Started
  readonly figures: Figures
}

/** One value a round. Times are milliseconds where nothing else is said. */
export interface Figures {
  readonly startup: number[]
  readonly cpuMicrosecondsPerRequest: number[]
  readonly requestsPerSecond: number[]
  /** By rate of the open loop. */
  readonly open: Map<number, { p50: number[]; p99: number[]; addedP50: number[]; addedP99: number[] }>
  readonly lateness: number[]
  readonly idleMegabytes: number[]
  readonly peakMegabytes: number[]
  readonly firstEvent: number[]
  readonly eventDelayP99: number[]
  readonly eventJitterP99: number[]
  readonly cpuMicrosecondsPerEvent: number[]
  /** What went wrong to how often; none of it is left out of the report. */
  readonly errors: Map<string, number>
}

export function noFigures(): Figures {
  return {
    startup: [],
    cpuMicrosecondsPerRequest: [],
    requestsPerSecond: [],
    open: new Map(),
    lateness: [],
    idleMegabytes: [],
    peakMegabytes: [],
    firstEvent: [],
    eventDelayP99: [],
    eventJitterP99: [],
    cpuMicrosecondsPerEvent: [],
    errors: new Map(),
  }
}

/**
 * Runs one job through one peer and checks that the work was really done: each answer by the load, the number
 * of requests by the upstream (which takes the real secret and nothing else), the journal by Keyward.
 */
export async function measure(
  entrant: Entrant,
  job: Job,
  load: Load,
  upstream: Upstream,
): Promise<{ outcome: Outcome; cpuMicroseconds: number }> {
  const { started, figures } = entrant
  const seenBefore = await upstream.requests()
  const before = started.processId === null ? 0 : cpuMicroseconds(started.processId)
  const outcome = await load.run(job)
  const spent = started.processId === null ? 0 : cpuMicroseconds(started.processId) - before
  for (const [name, count] of Object.entries(outcome.errors)) note(figures, `${job.kind}: ${name}`, count)
  const seen = (await upstream.requests()) - seenBefore
  if (seen !== outcome.sent)
    note(
      figures,
      `${job.kind}: the upstream saw ${seen > outcome.sent ? 'more' : 'fewer'} than were sent`,
      Math.abs(seen - outcome.sent),
    )
  const wrong = (await started.check?.(outcome.sent)) ?? null
  if (wrong !== null) note(figures, wrong, 1)
  if (started.processId !== null) figures.peakMegabytes.push(residentMegabytes(started.processId).peak)
  return { outcome, cpuMicroseconds: spent }
}

function note(figures: Figures, name: string, count: number): void {
  figures.errors.set(name, (figures.errors.get(name) ?? 0) + count)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length / 2
  const high = sorted[Math.floor(middle)] ?? Number.NaN
  return Number.isInteger(middle) ? (high + (sorted[middle - 1] ?? Number.NaN)) / 2 : high
}
