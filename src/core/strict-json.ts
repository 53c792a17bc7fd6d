/**
 * JSON (RFC 8259) of which there is one reading only. Parsers differ on a name that stands twice (the first
 * counts, or the last), on bytes that are not UTF-8, on a byte order mark, and on halves of surrogate pairs;
 * what has any of these is refused, so that what was judged is what the service reads.
 */
export type StrictJson = { readonly value: unknown } | { readonly fault: string }

/** Objects and lists within each other. */
export const JSON_MAXIMUM_DEPTH = 64
/** Members of objects, objects and lists together: more take longer to compare than others can wait. */
export const JSON_MAXIMUM_MEMBERS = 20_000

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of these bytes, or null where they are not UTF-8 or begin with a byte order mark. */
export function strictText(bytes: Uint8Array): string | null {
  try {
    const text = utf8.decode(bytes)
    return text.startsWith('\uFEFF') ? null : text
  } catch {
    return null
  }
}

export function readStrictJson(bytes: Uint8Array): StrictJson {
  const text = strictText(bytes)
  return text === null ? { fault: 'It is not UTF-8 without a byte order mark.' } : parseStrictJson(text)
}

export function parseStrictJson(text: string): StrictJson {
  try {
    // First, because it is bounded, and reads what is no JSON without harm.
    const fault = secondReading(text)
    return fault === null ? { value: JSON.parse(text) } : { fault }
  } catch {
    return { fault: 'It is not one JSON text.' }
  }
}

/** An object's members; null for anything else. Names are own names, `__proto__` among them. */
export function membersOf(value: unknown): ReadonlyMap<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? new Map(Object.entries(value)) : null
}

/**
 * Whether another reader could take `name` for `known`: some find members without regard to case, full width
 * and the other writings that Unicode folds together (Go's encoding/json, for one). Some end a name at NUL,
 * trim it, or do not see what has no width.
 */
export function looksLike(name: string, known: string): boolean {
  return name !== known && lettersOf(name) === lettersOf(known)
}

/** The letters and digits of a name, as a reader that is lax about everything else sees them. */
export function lettersOf(name: string): string {
  // Nearly every name there is.
  if (/^[ -~]*$/.test(name)) return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
  const [beforeNul = ''] = name.split('\0', 1)
  return beforeNul
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '')
}

/** What could be read in another way, in a text that is JSON. Throws on some that are none. */
function secondReading(text: string): string | null {
  /** Of each object that is open the names so far; null for a list. */
  const open: (Set<string> | null)[] = []
  let isName = false
  let count = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      const end = stringEnd(text, at)
      const names = isName ? open.at(-1) : null
      const written = text.slice(at, end)
      if (SURROGATE.test(written) && !unescaped(written).isWellFormed()) return 'It holds half of a surrogate pair.'
      if (names !== null && names !== undefined) {
        const name = unescaped(written)
        if (names.has(name)) return 'A name stands twice in one object.'
        names.add(name)
        count++
      }
      isName = false
      at = end - 1
    } else if (code === BRACE || code === BRACKET) {
      open.push(code === BRACE ? new Set() : null)
      if (open.length > JSON_MAXIMUM_DEPTH) return `It is nested more than ${JSON_MAXIMUM_DEPTH} times.`
      isName = code === BRACE
      count++
    } else if (code === BRACE_END || code === BRACKET_END) open.pop()
    else if (code === COMMA) isName = open.at(-1) !== null
    if (count > JSON_MAXIMUM_MEMBERS) return `It has more than ${JSON_MAXIMUM_MEMBERS} members, objects and lists.`
  }
  return null
}

const QUOTE = 0x22
const COMMA = 0x2c
const BRACE = 0x7b
const BRACE_END = 0x7d
const BRACKET = 0x5b
const BRACKET_END = 0x5d
/** An escape of a surrogate; in UTF-8 itself there are none. */
const SURROGATE = /\\u[dD][89a-fA-F]/

function unescaped(written: string): string {
  return written.includes('\\') ? String(JSON.parse(written)) : written.slice(1, -1)
}

/** Behind the closing quote of the string that begins at `at`, or the end of the text. */
function stringEnd(text: string, at: number): number {
  for (at++; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) return at + 1
    if (code === 0x5c) at++
  }
  return text.length
}
