import { ANSWER, layGround, startStreamUpstream, startUpstream, type Ground, type Upstream } from './ground.ts'
import { startLoad, type Load } from './load-process.ts'
import type { Job } from './load/job.ts'
import { measure, noFigures, type Entrant, type Figures } from './measure.ts'
import type { Options } from './options.ts'
import type { Peer } from './peer.ts'
import { peers } from './peers.ts'
import { pause, residentMegabytes } from './processes.ts'

/**
 * The gateway beside its peers, in one run: every proxy gets the same load in turn, round after round, so
 * that a slow minute of the machine hits all of them. The proxy has core 0, load and upstream core 1.
 * What counts is the proxy's CPU time per request (user + system, from /proc): it hardly depends on what
 * else the machine does. Linux only.
 */
export interface Found {
  readonly rows: readonly { readonly peer: Peer; readonly figures: Figures }[]
  /** Who does not take part, and why. */
  readonly leftOut: readonly string[]
  readonly upstream: string
}

const WARM_UP_SECONDS = 2
const SETTLE_MILLISECONDS = 1_000
/** A peer is not asked for more than this share of what it can do at all. */
const RATE_SHARE = 0.7
const expected = { bodyBytes: ANSWER.length }

export async function comparePeers(options: Options, say: (text: string) => void): Promise<Found> {
  const ground = await layGround()
  const load = startLoad()
  const leftOut = peers.filter(({ missing }) => missing !== null).map(({ name, missing }) => `${name}: ${missing}`)
  const wanted = peers.filter((peer) => peer.missing === null && isWanted(peer, options.only))
  const figures = new Map(wanted.map((peer) => [peer, noFigures()]))

  const upstream = await startUpstream(ground)
  const starts = options.rounds > 1 ? 3 : 1
  const oneRequest = { kind: 'closed', targets: [], expected, concurrency: 1, seconds: 60, requestsMaximum: 1 } as const
  const entry = { ground, load, figures, leftOut, say }
  const entrants = await enter(wanted, { ...entry, upstream, first: oneRequest, starts })
  for (let round = 1; round <= options.rounds; round += 1) {
    await saturate(entrants, options, { load, upstream, round, say })
    for (const perSecond of options.rates) await paced(entrants, options, { load, upstream, round, say }, perSecond)
  }
  for (const { started } of entrants) await started.stop()
  await upstream.stop()

  const streamUpstream = await startStreamUpstream(ground)
  const streaming = entrants.map(({ peer }) => peer).filter((peer) => peer.streams)
  const oneStream = { kind: 'stream', targets: [], streams: 1, seed: options.seed } as const
  const again = await enter(streaming, { ...entry, upstream: streamUpstream, first: oneStream, starts: 0 })
  for (let round = 1; round <= options.rounds; round += 1)
    await stream(again, options, { load, upstream: streamUpstream, round, say })
  for (const { started } of again) await started.stop()
  await streamUpstream.stop()
  await load.stop()
  return {
    rows: entrants.map(({ peer, figures: found }) => ({ peer, figures: found })),
    leftOut,
    upstream: upstream.kind,
  }
}

function isWanted(peer: Peer, only: readonly string[]): boolean {
  return (
    only.length === 0 ||
    peer.name === peer.direct ||
    only.some((part) => peer.name.toLowerCase().includes(part.toLowerCase()))
  )
}

interface Entry {
  readonly ground: Ground
  readonly upstream: Upstream
  readonly load: Load
  readonly figures: ReadonlyMap<Peer, Figures>
  readonly leftOut: string[]
  /** What each is asked first. */
  readonly first: Job
  /** How often the start is timed; the first one, which reads the files from disk, is not. */
  readonly starts: number
  readonly say: (text: string) => void
}

/** Starts everybody and lets each do one request; who cannot is named and left out. */
async function enter(wanted: readonly Peer[], entry: Entry): Promise<Entrant[]> {
  const entrants: Entrant[] = []
  for (const peer of wanted) {
    entry.say(`starting ${peer.name}`)
    const figures = entry.figures.get(peer) ?? noFigures()
    try {
      const started = await startTimed(peer, figures, entry)
      entrants.push({ peer, started, figures })
    } catch (error) {
      entry.leftOut.push(`${peer.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return entrants
}

/** Opens it and times how long it takes to the end of the first answer. */
async function startTimed(peer: Peer, figures: Figures, { ground, upstream, load, first, starts }: Entry) {
  for (let number = 0; ; number += 1) {
    const before = performance.now()
    const started = await peer.start(ground, upstream)
    const outcome = await load.run({ ...first, targets: started.targets }).catch(async (error: unknown) => {
      await started.stop()
      throw error
    })
    const took = performance.now() - before
    const [wrong] = Object.keys(outcome.errors)
    if (wrong !== undefined) {
      await started.stop()
      throw new Error(`its first answer is wrong (${wrong})`)
    }
    await started.check?.(outcome.sent)
    if (number > 0) figures.startup.push(took)
    if (number < starts) {
      await started.stop()
      continue
    }
    if (started.processId !== null && starts > 0) {
      await pause(SETTLE_MILLISECONDS)
      figures.idleMegabytes.push(residentMegabytes(started.processId).now)
    }
    return started
  }
}

interface Turn {
  readonly load: Load
  readonly upstream: Upstream
  readonly round: number
  readonly say: (text: string) => void
}

/** As much as passes, and what each request costs then. */
async function saturate(entrants: readonly Entrant[], options: Options, turn: Turn): Promise<void> {
  for (const entrant of entrants) {
    turn.say(`round ${turn.round}: ${entrant.peer.name} at saturation`)
    const job = {
      kind: 'closed',
      targets: entrant.started.targets,
      expected,
      concurrency: options.concurrency,
    } as const
    const run = (seconds: number) =>
      measure(entrant, { ...job, seconds, requestsMaximum: null }, turn.load, turn.upstream)
    if (turn.round === 1) await run(WARM_UP_SECONDS)
    const { outcome, cpuMicroseconds } = await run(options.seconds)
    entrant.figures.requestsPerSecond.push(outcome.answered / outcome.seconds)
    if (entrant.started.processId !== null)
      entrant.figures.cpuMicrosecondsPerRequest.push(cpuMicroseconds / Math.max(1, outcome.answered))
  }
}

/** How long one waits at a fixed rate, beyond what the way without a proxy takes in the same round. */
async function paced(entrants: readonly Entrant[], options: Options, turn: Turn, perSecond: number): Promise<void> {
  const direct = new Map<string, { p50: number; p99: number }>()
  for (const entrant of entrants) {
    const { figures, peer, started } = entrant
    const ceiling = Math.min(...figures.requestsPerSecond) * RATE_SHARE
    if (perSecond > ceiling) continue
    turn.say(`round ${turn.round}: ${peer.name} at ${perSecond} requests/s`)
    const seed = options.seed + turn.round
    const job = { kind: 'open', targets: started.targets, expected, perSecond, seconds: options.seconds, seed } as const
    const { outcome } = await measure(entrant, job, turn.load, turn.upstream)
    const { p50, p99 } = outcome.latency
    if (peer.name === peer.direct) direct.set(peer.direct, { p50, p99 })
    const base = direct.get(peer.direct) ?? { p50: Number.NaN, p99: Number.NaN }
    const rate = figures.open.get(perSecond) ?? { p50: [], p99: [], addedP50: [], addedP99: [] }
    figures.open.set(perSecond, rate)
    rate.p50.push(p50)
    rate.p99.push(p99)
    rate.addedP50.push(p50 - base.p50)
    rate.addedP99.push(p99 - base.p99)
    if (outcome.lateness !== undefined) figures.lateness.push(outcome.lateness.p99)
  }
}

async function stream(entrants: readonly Entrant[], options: Options, turn: Turn): Promise<void> {
  for (const entrant of entrants) {
    turn.say(`round ${turn.round}: ${entrant.peer.name}, ${options.streams} streams`)
    const { figures, started } = entrant
    const job = { kind: 'stream', targets: started.targets, streams: options.streams, seed: options.seed } as const
    if (turn.round === 1) await measure(entrant, { ...job, streams: 2 }, turn.load, turn.upstream)
    const { outcome, cpuMicroseconds } = await measure(entrant, job, turn.load, turn.upstream)
    figures.firstEvent.push(outcome.latency.p50)
    if (outcome.events === undefined) continue
    figures.eventDelayP99.push(outcome.events.delay.p99)
    figures.eventJitterP99.push(outcome.events.jitter.p99)
    if (started.processId !== null)
      figures.cpuMicrosecondsPerEvent.push(cpuMicroseconds / Math.max(1, outcome.events.count))
  }
}
