import type { Found } from './gateway.ts'
import { median, type Figures } from './measure.ts'
import type { Options } from './options.ts'
import type { Peer } from './peer.ts'

/** A p99 above this is felt. */
const COMFORT_MILLISECONDS = 10
/** The rate of the bounds, in requests a second. */
const README_RATE = 200

type Row = Found['rows'][number]
interface Column {
  readonly title: string
  readonly cell: (row: Row) => string
}

/** The figures as tables: for a terminal, padded; as Markdown, for the README. */
export function tablesOf(found: Found, options: Options): string {
  const measured = found.rows.filter(({ figures }) => figures.requestsPerSecond.length > 0)
  const streamed = found.rows.filter(({ figures }) => figures.firstEvent.length > 0)
  return [table(requestColumns(found, options), measured), table(streamColumns, streamed), remarks(found)].join('\n\n')
}

function requestColumns({ rows }: Found, { rates }: Options): Column[] {
  return [
    { title: 'proxy', cell: ({ peer }) => peer.name },
    { title: 'CPU-µs per request (min–max)', cell: ({ figures }) => ranged(figures.cpuMicrosecondsPerRequest, 0) },
    { title: 'ratio to Node’s floor', cell: ({ peer, figures }) => ratioOf(peer, figures, rows) },
    { title: 'requests/s', cell: ({ figures }) => rounded(median(figures.requestsPerSecond), 0) },
    ...rates.map((rate) => ({
      title: `added p50 / p99 ms at ${rate}/s`,
      cell: ({ peer, figures }: Row) => addedAt(peer, figures, rate),
    })),
    { title: `highest rate with p99 < ${COMFORT_MILLISECONDS} ms`, cell: ({ figures }) => comfortable(figures) },
    { title: 'first request after start, ms', cell: ({ figures }) => rounded(median(figures.startup), 0) },
    {
      title: 'MB idle / peak',
      cell: ({ figures }) =>
        `${rounded(median(figures.idleMegabytes), 0)} / ${rounded(Math.max(...figures.peakMegabytes), 0)}`,
    },
    {
      title: 'errors',
      cell: ({ figures }) =>
        rounded(
          [...figures.errors.values()].reduce((sum, count) => sum + count, 0),
          0,
        ),
    },
  ]
}

const streamColumns: readonly Column[] = [
  { title: 'proxy, streaming', cell: ({ peer }) => peer.name },
  { title: 'CPU-µs per event (min–max)', cell: ({ figures }) => ranged(figures.cpuMicrosecondsPerEvent, 1) },
  { title: 'first event, ms', cell: ({ figures }) => ranged(figures.firstEvent, 1) },
  { title: 'event under way, p99 ms', cell: ({ figures }) => ranged(figures.eventDelayP99, 2) },
  { title: 'jitter, p99 ms', cell: ({ figures }) => ranged(figures.eventJitterP99, 2) },
]

function table(columns: readonly Column[], rows: readonly Row[]): string {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => cell(row)))]
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => (line[index] ?? '').length)))
  const drawn = lines.map((line) => `| ${line.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(' | ')} |`)
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [drawn[0], rule, ...drawn.slice(1)].join('\n')
}

/** The same for the README: at one rate, and without padding. */
export function markdownOf(found: Found, options: Options): string {
  const [first = README_RATE] = options.rates
  const rates = [options.rates.includes(README_RATE) ? README_RATE : first]
  return tablesOf(found, { ...options, rates })
    .replaceAll(/ {2,}\|/g, ' |')
    .replaceAll(/-{3,}/g, '---')
}

function remarks({ rows, leftOut }: Found): string {
  const late = Math.max(0, ...rows.flatMap(({ figures }) => figures.lateness))
  const lines = [`The load itself was late by at most ${rounded(late, 2)} ms (p99 of the worst measurement).`]
  for (const { peer, figures } of rows)
    for (const [name, count] of figures.errors) lines.push(`Error: ${peer.name}: ${name}, ${count} times.`)
  for (const reason of leftOut) lines.push(`Left out: ${reason}.`)
  return lines.join('\n')
}

/** Everything that was found, with each round's value. */
export function jsonOf(found: Found, conditions: Readonly<Record<string, string>>): string {
  const rows = found.rows.map(({ peer, figures }) => ({
    ...figures,
    name: peer.name,
    version: peer.version,
    ratio: Number(ratioOf(peer, figures, found.rows)),
    open: Object.fromEntries(figures.open),
    errors: Object.fromEntries(figures.errors),
  }))
  return JSON.stringify({ conditions, leftOut: found.leftOut, rows }, null, 2)
}

function ratioOf(peer: Peer, figures: Figures, rows: Found['rows']): string {
  const floor = rows.find((row) => row.peer.name === peer.floor)
  if (floor === undefined) return ''
  return rounded(median(figures.cpuMicrosecondsPerRequest) / median(floor.figures.cpuMicrosecondsPerRequest), 2)
}

function addedAt(peer: Peer, figures: Figures, rate: number): string {
  const found = figures.open.get(rate)
  if (found === undefined) return 'cannot'
  if (peer.name === peer.direct) return `(${rounded(median(found.p50), 2)} / ${rounded(median(found.p99), 2)})`
  return `${rounded(median(found.addedP50), 2)} / ${rounded(median(found.addedP99), 2)}`
}

function comfortable(figures: Figures): string {
  const rates = [...figures.open].filter(([, { p99 }]) => median(p99) < COMFORT_MILLISECONDS).map(([rate]) => rate)
  return rates.length === 0 ? 'none' : String(Math.max(...rates))
}

function ranged(values: readonly number[], digits: number): string {
  if (values.length === 0) return ''
  if (values.length === 1) return rounded(values[0] ?? Number.NaN, digits)
  return `${rounded(median(values), digits)} (${rounded(Math.min(...values), digits)}–${rounded(Math.max(...values), digits)})`
}

function rounded(value: number, digits: number): string {
  return Number.isFinite(value) ? String(Number(value.toFixed(digits))) : ''
}
