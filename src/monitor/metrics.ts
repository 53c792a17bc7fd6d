import process from 'node:process'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { JournalEvent } from '../journal/event.ts'
import type { Journal } from '../journal/journal.ts'

/** What is read when somebody asks, rather than counted. */
export interface Gauges {
  readonly version: string
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number
  openExchanges(): number
  activeSessions(): number
  journalEntries(): number
  /** Closed segments that have not arrived where they are shipped. */
  journalBehind(): number
  isReady(): boolean
}

export interface Metrics {
  /** Passes everything on, and counts it. */
  counted(journal: Pick<Journal, 'append' | 'note'>): Pick<Journal, 'append' | 'note'>
  readonly contentType: string
  /** In the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/). */
  text(): Promise<string>
}

/** Seconds: from an answer out of a cache to the longest stream of tokens. */
const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
/** More combinations of label values than this are counted as one that is called `other`. */
export const SERIES_MAXIMUM = 1_000

/**
 * Counts what the journal is told, so that the two cannot tell different stories and the gateway need not
 * know of it. Labels hold names that an operator chose or that Keyward has in its own tables, never what a
 * request brought, nor the name of an agent.
 */
export function createMetrics(gauges: Gauges): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const tally = (name: string, help: string, labelNames: string[]): Tally => {
    const counts = new Tally()
    const counter: Counter = new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        counter.reset()
        for (const { values, count } of counts.all())
          counter.inc(Object.fromEntries(labelNames.map((label, at) => [label, values[at] ?? ''])), count)
      },
    })
    return counts
  }
  const gauge = (name: string, help: string, read: () => number): void => {
    const shown: Gauge = new Gauge({ name, help, registers, collect: () => shown.set(read()) })
  }

  const requests = tally('keyward_requests_total', 'Requests for which a credential was released.', [
    'environment',
    'service',
  ])
  const outcomes = tally('keyward_request_outcomes_total', 'How exchanges ended; code is empty where all went well.', [
    'environment',
    'outcome',
    'code',
  ])
  const refusals = tally('keyward_refusals_total', 'Requests that were refused, as far as they are journaled.', [
    'code',
  ])
  const findings = tally('keyward_findings_total', 'What the journal calls a finding.', ['finding'])
  const changes = tally('keyward_control_changes_total', 'Changes by people, written down before they were made.', [])
  const bytes = tally('keyward_body_bytes_total', 'Bytes of bodies, up to services and down to agents.', ['direction'])
  const scrubbed = tally('keyward_scrubbed_total', 'Secrets that were taken out of answers.', [])
  const durations = new Histogram({
    name: 'keyward_exchange_duration_seconds',
    help: 'From the head of the request to the end of the answer.',
    buckets: DURATION_BUCKETS,
    registers,
  })
  const built = new Gauge({ name: 'keyward_build_info', help: 'Always 1.', labelNames: ['version'], registers })
  built.set({ version: gauges.version }, 1)
  gauge('keyward_open_exchanges', 'Exchanges and tunnels that are open.', gauges.openExchanges)
  gauge('keyward_sessions_active', 'Sessions that are active.', gauges.activeSessions)
  gauge('keyward_journal_entries', 'Entries of this node’s journal.', gauges.journalEntries)
  gauge(
    'keyward_journal_segments_unshipped',
    'Closed segments of the journal that have not arrived where KEYWARD_JOURNAL_SHIP says.',
    gauges.journalBehind,
  )
  gauge('keyward_ready', '1 where requests can be served, as /readyz says.', () => Number(gauges.isReady()))
  gauge('process_start_time_seconds', 'Since the Unix epoch.', () => gauges.startedAt / 1000)
  gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss())
  gauge('process_cpu_seconds_total', 'User and system time.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  })

  function count(event: JournalEvent): void {
    switch (event.kind) {
      case 'intent':
        return requests.add(1, textOf(event['environment']), textOf(event['service']))
      case 'outcome':
        outcomes.add(1, textOf(event['environment']), textOf(event['outcome']), textOf(event['code']))
        bytes.add(numberOf(event['bytesUp']), 'up')
        bytes.add(numberOf(event['bytesDown']), 'down')
        scrubbed.add(numberOf(event['scrubbed']))
        return durations.observe(numberOf(event['latencyMilliseconds']) / 1000)
      case 'refusal':
        return refusals.add(1, textOf(event['code']))
      case 'finding':
        return findings.add(1, textOf(event['finding']))
      case 'control':
        return changes.add(1)
      case 'applied':
      case 'followed':
      case 'egress':
      case 'start':
      case 'stop':
    }
  }

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    counted: (journal) => ({
      append(event, options) {
        count(event)
        return journal.append(event, options)
      },
      note(event) {
        count(event)
        journal.note(event)
      },
    }),
  }
}

/** Sums by label values. The library works out a key for every count; here it is done only when somebody asks. */
class Tally {
  readonly #sums = new Map<string, { readonly values: readonly string[]; count: number }>()

  add(count: number, ...values: readonly string[]): void {
    const known = this.#sums.get(values.join('\n'))
    if (known !== undefined) known.count += count
    else if (this.#sums.size < SERIES_MAXIMUM) this.#sums.set(values.join('\n'), { values, count })
    else this.#rest(values.length).count += count
  }

  #rest(labels: number): { count: number } {
    const values = Array.from({ length: labels }, () => 'other')
    const rest = this.#sums.get(values.join('\n')) ?? { values, count: 0 }
    this.#sums.set(values.join('\n'), rest)
    return rest
  }

  all(): Iterable<{ readonly values: readonly string[]; readonly count: number }> {
    return this.#sums.values()
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && value > 0 ? value : 0
}
