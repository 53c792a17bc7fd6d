/** What a clock on the wall shows somewhere at an instant. */
export interface WallClock {
  /** 0 to 23. */
  readonly hour: number
  /** 0 to 59. */
  readonly minute: number
  /** `mon` to `sun`. */
  readonly weekday: string
}

/** Time zones that are remembered: operators write them, in settings and conditions. */
const ZONES_MAXIMUM = 64
const formats = new Map<string, Intl.DateTimeFormat>()

/** Whether this is the name of a time zone (IANA), as `Europe/Berlin` or `UTC`. */
export function isTimeZone(name: string): boolean {
  return /^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(name) && formatOf(name) !== null
}

/** `moment` in milliseconds since the Unix epoch. Throws RangeError for what is no time zone. */
export function wallClockAt(moment: number, timeZone: string): WallClock {
  const format = formatOf(timeZone)
  if (format === null) throw new RangeError(`There is no time zone ${timeZone}.`)
  const parts = new Map(format.formatToParts(moment).map(({ type, value }) => [type, value]))
  return {
    hour: Number(parts.get('hour')),
    minute: Number(parts.get('minute')),
    weekday: (parts.get('weekday') ?? '').toLowerCase(),
  }
}

function formatOf(timeZone: string): Intl.DateTimeFormat | null {
  const known = formats.get(timeZone)
  if (known !== undefined) return known
  try {
    const made = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hour: '2-digit',
      minute: '2-digit',
      weekday: 'short',
      hourCycle: 'h23',
    })
    if (formats.size >= ZONES_MAXIMUM) formats.clear()
    formats.set(timeZone, made)
    return made
  } catch {
    return null
  }
}
