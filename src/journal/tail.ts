import { setTimeout as pause } from 'node:timers/promises'
import type { JournalEntry } from './entry.ts'
import { compileFilter } from './search.ts'
import type { SearchFilter } from './search.ts'
import { listSegments, readLines, readLinesBackward } from './segments.ts'

export interface TailOptions extends SearchFilter {
  readonly directory: string
  /** How many of the last entries come first. */
  readonly count?: number
  /** Go on with what is written from now on, until `signal` aborts. */
  readonly follow?: boolean
  readonly signal?: AbortSignal
}

const POLL_MILLISECONDS = 200
/** The most that `count` gives, so that memory stays bounded. */
export const MAX_TAIL_ENTRIES = 10_000

/** The last entries that pass the filter, oldest first, and with `follow` every later one, across segments. Ends, without an error, when the signal aborts. */
export async function* tailJournal(options: TailOptions): AsyncGenerator<JournalEntry, void, undefined> {
  const { directory, count = 10, follow = false, signal } = options
  const accept = compileFilter(options)
  const last = await lastEntries(directory, accept, Math.min(count, MAX_TAIL_ENTRIES))
  for (const entry of last.entries) {
    if (signal?.aborted) return
    yield entry
  }
  if (!follow) return
  let { sequence, segment, offset } = last
  for (;;) {
    let grew = false
    for (const { number, path } of await listSegments(directory)) {
      if (number < segment) continue
      if (number > segment) offset = 0
      segment = number
      for await (const { lines, end } of readLines(path, offset)) {
        offset = end
        for (const line of lines) {
          const entry = accept(line)
          if (entry === null || entry.sequence <= sequence) continue
          grew = true
          sequence = entry.sequence
          yield entry
          if (signal?.aborted) return
        }
      }
    }
    if (signal?.aborted) return
    if (!grew) await pause(POLL_MILLISECONDS, undefined, signal === undefined ? {} : { signal }).catch(() => {})
  }
}

/** Also says where to go on: following starts at the beginning of the newest segment's last whole line, and skips what was given already. */
async function lastEntries(directory: string, accept: ReturnType<typeof compileFilter>, count: number) {
  const entries: JournalEntry[] = []
  let sequence = 0
  const segments = await listSegments(directory)
  const newest = segments.at(-1)
  let offset = 0
  if (newest !== undefined) for await (const { end } of readLines(newest.path)) offset = end
  for (const { path } of segments.toReversed()) {
    if (entries.length >= count) break
    for await (const line of readLinesBackward(path)) {
      if (entries.length >= count) break
      const entry = accept(line)
      if (entry === null) continue
      sequence = Math.max(sequence, entry.sequence)
      entries.push(entry)
    }
  }
  return { entries: entries.toReversed(), sequence, segment: newest?.number ?? 1, offset }
}
