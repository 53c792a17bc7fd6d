import type { Buffer } from 'node:buffer'
import { parseEntry } from './entry.ts'
import type { JournalEntry } from './entry.ts'
import type { JournalEvent } from './event.ts'
import { listSegments, readLines, readLinesBackward } from './segments.ts'

export interface SearchFilter {
  /** Milliseconds since the Unix epoch; `since` included, `until` not. */
  readonly since?: number
  readonly until?: number
  readonly kind?: JournalEvent['kind'] | readonly JournalEvent['kind'][]
  /** Each must equal the member of that name in the event. */
  readonly agent?: string
  readonly environment?: string
  readonly credential?: string
  readonly service?: string
  readonly session?: string
  readonly decision?: string
  readonly code?: string
  /** Occurs somewhere in the event, whatever its case. */
  readonly text?: string
}

export interface SearchOptions extends SearchFilter {
  readonly directory: string
  /** Default: newest. */
  readonly order?: 'newest' | 'oldest'
  readonly limit?: number
}

/** A clock may have been set back: so far beyond the asked time is still looked. */
const CLOCK_SLACK_MILLISECONDS = 60 * 60 * 1000
const members = ['agent', 'environment', 'credential', 'service', 'session', 'decision', 'code'] as const

/** The entries that pass the filter. Does not verify: a line that is no entry is passed over. */
export async function* searchJournal(options: SearchOptions): AsyncGenerator<JournalEntry, void, undefined> {
  const { directory, order = 'newest', limit = Number.POSITIVE_INFINITY, since, until } = options
  const accept = compileFilter(options)
  let found = 0
  if (limit <= 0) return
  for await (const line of order === 'newest' ? newestFirst(directory) : oldestFirst(directory)) {
    const at = timeOf(line)
    if (order === 'newest' && since !== undefined && at < since - CLOCK_SLACK_MILLISECONDS) return
    if (order === 'oldest' && until !== undefined && at > until + CLOCK_SLACK_MILLISECONDS) return
    const entry = accept(line)
    if (entry === null) continue
    yield entry
    if (++found >= limit) return
  }
}

/** A function that reads a line and gives the entry if it passes. Since a line has one spelling, most lines are refused by their bytes, unread. */
export function compileFilter(filter: SearchFilter): (line: Buffer) => JournalEntry | null {
  const { since = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY } = filter
  const kinds = filter.kind === undefined ? null : new Set([filter.kind].flat())
  const kindBytes = kinds === null ? undefined : [...kinds].map((kind) => `"kind":"${kind}"`)
  const wanted = members.flatMap((name) => {
    const value = filter[name]
    return value === undefined ? [] : [{ name, value, bytes: `"${name}":${JSON.stringify(value)}` }]
  })
  const text = filter.text?.toLowerCase()
  return (line) => {
    for (const { bytes } of wanted) if (!line.includes(bytes)) return null
    if (kindBytes !== undefined && !kindBytes.some((bytes) => line.includes(bytes))) return null
    const entry = parseEntry(line)
    if (entry === null || entry.at < since || entry.at >= until) return null
    const { event } = entry
    if (kinds !== null && !kinds.has(event.kind)) return null
    for (const { name, value } of wanted) if (event[name] !== value) return null
    return text === undefined || holds(event, text) ? entry : null
  }
}

function holds(value: unknown, text: string): boolean {
  if (typeof value !== 'object' || value === null) return String(value).toLowerCase().includes(text)
  return Object.values(value).some((member) => holds(member, text))
}

function timeOf(line: Buffer): number {
  return Number.parseInt(line.toString('latin1', '{"at":'.length, 24), 10)
}

async function* newestFirst(directory: string): AsyncGenerator<Buffer> {
  for (const { path } of (await listSegments(directory)).toReversed()) yield* readLinesBackward(path)
}

async function* oldestFirst(directory: string): AsyncGenerator<Buffer> {
  for (const { path } of await listSegments(directory)) {
    for await (const { lines } of readLines(path)) yield* lines
  }
}
