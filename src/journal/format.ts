import type { Json } from '../core/canonical-json.ts'
import type { JournalEntry } from './entry.ts'

/** Members that come first, in this order; the others follow by name. */
const leading = [
  'agent',
  'environment',
  'session',
  'credential',
  'version',
  'service',
  'operation',
  'method',
  'host',
  'path',
  'decision',
  'code',
  'status',
]
const MAX_VALUE_LENGTH = 512

/**
 * One entry as one line for a terminal: time, sequence, kind, then `name=value`. Whatever could move the
 * cursor, change colours, hide or turn round text is written as `\u{…}`.
 */
export function formatEntry(entry: JournalEntry): string {
  const { event } = entry
  const names = Object.keys(event).filter((name) => name !== 'kind')
  const ordered = [
    ...leading.filter((name) => names.includes(name)),
    ...names.filter((name) => !leading.includes(name)).toSorted(),
  ]
  const parts = ordered.flatMap((name) => {
    const value = event[name]
    return value === undefined ? [] : [`${printable(name)}=${formatValue(value)}`]
  })
  return [timeText(entry.at), `#${entry.sequence}`, printable(event.kind), ...parts].join(' ')
}

/** The text with control, format (bidi, zero-width), surrogate, private and unassigned characters and line separators escaped. */
export function printable(text: string): string {
  return text.replace(/[\\\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    character === '\\' ? '\\\\' : `\\u{${character.codePointAt(0)?.toString(16)}}`,
  )
}

function formatValue(value: Json): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const short = text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH)}…` : text
  const safe = printable(short)
  return typeof value === 'string' && /^[^\s"=]+$/u.test(safe)
    ? safe
    : typeof value === 'string'
      ? `"${safe.replaceAll('"', '\\"')}"`
      : safe
}

function timeText(at: number): string {
  const time = new Date(at)
  return Number.isNaN(time.getTime()) ? String(at) : time.toISOString()
}
