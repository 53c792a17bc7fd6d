import { KeywardError } from '../core/errors.ts'

const secondsIn: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }
const rateSpans: Readonly<Record<string, number>> = {
  s: 1,
  sec: 1,
  second: 1,
  m: 60,
  min: 60,
  minute: 60,
  h: 3600,
  hour: 3600,
  d: 86_400,
  day: 86_400,
}

/** `90s`, `15m`, `12h`, `30d`, `2w` in seconds. */
export function parseDuration(text: string): number {
  const match = /^([1-9][0-9]{0,6})([smhdw])$/.exec(text)
  const unit = secondsIn[match?.[2] ?? '']
  if (match === null || unit === undefined) {
    throw new KeywardError('usage', 'A duration is a whole number and a unit: 90s, 15m, 12h, 30d, 2w.')
  }
  return Number(match[1]) * unit
}

/** `60/min` as a count and the seconds in which it is allowed. */
export function parseRate(text: string): { count: number; perSeconds: number } {
  const match = /^([1-9][0-9]{0,8})\/([a-z]+)$/.exec(text)
  const perSeconds = rateSpans[match?.[2] ?? '']
  if (match === null || perSeconds === undefined) {
    throw new KeywardError('usage', 'A rate is a count and a span: 5/s, 60/min, 1000/h, 5000/day.')
  }
  return { count: Number(match[1]), perSeconds }
}

/** A whole number above zero. */
export function parseCount(text: string): number {
  if (!/^[1-9][0-9]{0,5}$/.test(text)) throw new KeywardError('usage', 'A count is a whole number above zero.')
  return Number(text)
}

/** A day (`2026-01-31`) or a moment (`2026-01-31T12:00:00Z`), UTC unless it says otherwise, or how long ago (`7d`), in milliseconds since the Unix epoch. */
export function parseMoment(text: string, now: number): number {
  if (/^[1-9][0-9]{0,6}[smhdw]$/.test(text)) return now - parseDuration(text) * 1000
  const form = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/
  const at = form.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at)) {
    throw new KeywardError(
      'usage',
      'A moment is a day (2026-01-31), a time (2026-01-31T12:00:00Z) or how long ago (7d).',
    )
  }
  return at
}
