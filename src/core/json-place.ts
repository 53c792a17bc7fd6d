/**
 * Where a value stands in a JSON text, so that it can be replaced without writing the rest anew: a text that
 * was parsed and written again is another text.
 */

/** Parts of a pointer. */
export const POINTER_MAXIMUM_PARTS = 16

/** The parts of a JSON Pointer (RFC 6901), or null where the text is none, or names the whole document. */
export function pointerParts(pointer: string): readonly string[] | null {
  if (!pointer.startsWith('/') || /~(?![01])/.test(pointer)) return null
  const parts = pointer.slice(1).split('/')
  if (parts.length > POINTER_MAXIMUM_PARTS) return null
  return parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** Why nothing can be put where a pointer leads: no JSON (RFC 8259), no such place, a name on the way that stands twice, or another value than a string. */
export type NoJsonString = 'no-json' | 'absent' | 'twice' | 'other'

export interface JsonString {
  /** Offsets without the quotes. */
  readonly start: number
  readonly end: number
}

/** Offsets of the string that `pointer` names, or null where there is none that could be meant and no other. */
export function jsonStringAt(text: string, pointer: string): JsonString | null {
  const found = findJsonString(text, pointer)
  return typeof found === 'string' ? null : found
}

/**
 * The same, with what is wrong. A name on the way that occurs again in another letter case counts as twice:
 * some readers take the one for the other (Go's encoding/json).
 */
export function findJsonString(text: string, pointer: string): JsonString | NoJsonString {
  const parts = pointerParts(pointer)
  if (parts === null) return 'absent'
  if (!isJson(text)) return 'no-json'
  let at: number | 'absent' | 'twice' = skipBlank(text, 0)
  for (const part of parts) {
    at = text[at] === '{' ? memberOf(text, at, part) : text[at] === '[' ? elementOf(text, at, part) : 'absent'
    if (typeof at !== 'number') return at
  }
  return text[at] === '"' ? { start: at + 1, end: skipString(text, at) - 1 } : 'other'
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

// What follows reads text that is known to be JSON.

/** Where the value of the one member of this name begins, in the object that begins at `at`. */
function memberOf(text: string, at: number, name: string): number | 'absent' | 'twice' {
  const wanted = withoutCase(name)
  let found: number | 'absent' | 'twice' = 'absent'
  at = skipBlank(text, at + 1)
  while (text[at] === '"') {
    const nameEnd = skipString(text, at)
    const value = skipBlank(text, skipBlank(text, nameEnd) + 1)
    const written: unknown = JSON.parse(text.slice(at, nameEnd))
    if (typeof written === 'string' && withoutCase(written) === wanted) {
      if (found !== 'absent' || written !== name) return 'twice'
      found = value
    }
    at = afterComma(text, skipValue(text, value))
  }
  return found
}

/** Upper case first: it also joins letters that lower case keeps apart (the long s and s). */
function withoutCase(name: string): string {
  return name.toUpperCase().toLowerCase()
}

function elementOf(text: string, at: number, index: string): number | 'absent' {
  if (!/^(?:0|[1-9][0-9]{0,8})$/.test(index)) return 'absent'
  at = skipBlank(text, at + 1)
  for (let left = Number(index); text[at] !== ']'; left--) {
    if (left === 0) return at
    at = afterComma(text, skipValue(text, at))
  }
  return 'absent'
}

/** Where the next member or element begins, or the bracket that ends them. */
function afterComma(text: string, at: number): number {
  at = skipBlank(text, at)
  return text[at] === ',' ? skipBlank(text, at + 1) : at
}

function skipBlank(text: string, at: number): number {
  while (text.charCodeAt(at) <= 0x20) at++
  return at
}

/** Behind the closing quote. */
function skipString(text: string, at: number): number {
  for (;;) {
    at = text.indexOf('"', at + 1)
    let escape = at
    while (text.charCodeAt(escape - 1) === 0x5c) escape--
    if ((at - escape) % 2 === 0) return at + 1
  }
}

/** Behind the value that begins at `at`. */
function skipValue(text: string, at: number): number {
  for (let depth = 0; ;) {
    const code = text.charCodeAt(at)
    if (code === 0x22) at = skipString(text, at)
    else {
      if (code === 0x7b || code === 0x5b) depth++
      if (code === 0x7d || code === 0x5d) depth--
      at++
      // Within brackets everything else is passed over; outside, a number or a word ends where another thing begins.
      if (depth === 0 && !isBracket(code)) while (at < text.length && !endsWord(text.charCodeAt(at))) at++
    }
    if (depth === 0) return at
  }
}

function isBracket(code: number): boolean {
  return code === 0x7b || code === 0x7d || code === 0x5b || code === 0x5d
}

/** White space, a comma or a closing bracket. */
function endsWord(code: number): boolean {
  return code <= 0x20 || code === 0x2c || code === 0x5d || code === 0x7d
}
