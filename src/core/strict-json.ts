/**
 * JSON (RFC 8259) of which there is one reading only. Parsers differ on a name that stands twice (the first
 * counts, or the last), on bytes that are not UTF-8, on a byte order mark, and on halves of surrogate pairs;
 * what has any of these is refused, so that what was judged is what the service reads.
 */
export type StrictJson = { readonly value: unknown } | { readonly fault: string }

/** Objects and lists within each other. */
export const JSON_MAXIMUM_DEPTH = 64

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
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { fault: 'It is not one JSON text.' }
  }
  const fault = secondReading(text)
  return fault === null ? { value } : { fault }
}

/** An object's members; null for anything else. Names are own names, `__proto__` among them. */
export function membersOf(value: unknown): ReadonlyMap<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? new Map(Object.entries(value)) : null
}

/**
 * Whether another reader could take `name` for `known`: some find members without regard to case, full width
 * and the other writings that Unicode folds together (Go's encoding/json, for one).
 */
export function looksLike(name: string, known: string): boolean {
  return name !== known && name.normalize('NFKC').toLowerCase() === known.toLowerCase()
}

/** What could be read in another way, in a text that is known to be JSON. */
function secondReading(text: string): string | null {
  /** Of each object that is open the names so far; null for a list. */
  const open: (Set<string> | null)[] = []
  let isName = false
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '"') {
      const end = stringEnd(text, at)
      const written = text.slice(at, end)
      const string: unknown = written.includes('\\') ? JSON.parse(written) : written.slice(1, -1)
      if (typeof string !== 'string' || !string.isWellFormed()) return 'It holds half of a surrogate pair.'
      const names = open.at(-1)
      if (isName && names !== null && names !== undefined) {
        if (names.has(string)) return 'A name stands twice in one object.'
        names.add(string)
      }
      isName = false
      at = end - 1
    } else if (character === '{' || character === '[') {
      open.push(character === '{' ? new Set() : null)
      if (open.length > JSON_MAXIMUM_DEPTH) return `It is nested more than ${JSON_MAXIMUM_DEPTH} times.`
      isName = character === '{'
    } else if (character === '}' || character === ']') open.pop()
    else if (character === ',') isName = open.at(-1) !== null
  }
  return null
}

/** Behind the closing quote of the string that begins at `at`. */
function stringEnd(text: string, at: number): number {
  for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++
  return at + 1
}
