/** Where requests go, and what each of them looks like. */
export interface Target {
  readonly port: number
  /** Asked for with CONNECT before anything else; null: the connection is the proxy's own door. */
  readonly tunnel: { readonly authority: string; readonly authorization: string | null } | null
  /** Spoken inside the tunnel, or on the connection itself. `ca` is PEM text; the name is verified. */
  readonly tls: { readonly serverName: string; readonly ca: string } | null
  readonly protocol: 'http1' | 'http2'
  /** The value of Host or `:authority`. */
  readonly authority: string
  readonly path: string
  /** Without Host and Content-Length. */
  readonly headers: readonly (readonly [string, string])[]
}

/** What every answer has to be, or it counts as an error. */
export interface Expected {
  readonly bodyBytes: number
}

interface Work {
  /** Used in turn by the connections; usually one. */
  readonly targets: readonly Target[]
}

/** Each of `concurrency` callers waits for its answer before it asks again, until the time or the number is up. */
export interface ClosedJob extends Work {
  readonly kind: 'closed'
  readonly expected: Expected
  readonly concurrency: number
  readonly seconds: number
  readonly requestsMaximum: number | null
}

/** Requests leave at the arrivals of a Poisson process, whatever becomes of those before. */
export interface OpenJob extends Work {
  readonly kind: 'open'
  readonly expected: Expected
  readonly perSecond: number
  readonly seconds: number
  readonly seed: number
}

/** So many streams of events at once, begun at seeded times within the first second. */
export interface StreamJob extends Work {
  readonly kind: 'stream'
  readonly streams: number
  readonly seed: number
}

export type Job = ClosedJob | OpenJob | StreamJob

/** Milliseconds. */
export interface Spread {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

export interface Outcome {
  /** Requests that left; each is answered, or counted under an error. */
  readonly sent: number
  readonly answered: number
  /** What went wrong to how often. */
  readonly errors: Readonly<Record<string, number>>
  /** From the start to the last answer. */
  readonly seconds: number
  /** Closed: from sending. Open: from the intended time of sending. Stream: to the first event. */
  readonly latency: Spread
  /** Open: how late the generator itself was. */
  readonly lateness?: Spread
  /** Stream: events that came, how long each was under way, and by how much the gap between two differs from that at which they were sent. */
  readonly events?: { readonly count: number; readonly delay: Spread; readonly jitter: Spread }
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).toSorted()
  const at = (share: number): number => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
    return value === undefined ? Number.NaN : Math.round(value * 1000) / 1000
  }
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) }
}

/** Counts what went wrong by name. */
export function createTally(): { add(name: string): void; readonly counts: Record<string, number>; total(): number } {
  const counts: Record<string, number> = {}
  return {
    counts,
    add(name) {
      counts[name] = (counts[name] ?? 0) + 1
    },
    total: () => Object.values(counts).reduce((sum, count) => sum + count, 0),
  }
}
