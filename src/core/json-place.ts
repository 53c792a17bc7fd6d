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

/**
 * Offsets of the string that `pointer` names, without its quotes; null where there is none, where a name on
 * the way stands twice, and where the text is not JSON (RFC 8259).
 */
export function jsonStringAt(text: string, pointer: string): { readonly start: number; readonly end: number } | null {
  const parts = pointerParts(pointer)
  if (parts === null || !isJson(text)) return null
  let at: number | null = skipBlank(text, 0)
  for (const part of parts) {
    at = text[at] === '{' ? memberOf(text, at, part) : text[at] === '[' ? elementOf(text, at, part) : null
    if (at === null) return null
  }
  return text[at] === '"' ? { start: at + 1, end: skipString(text, at) - 1 } : null
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
function memberOf(text: string, at: number, name: string): number | null {
  let found: number | null = null
  at = skipBlank(text, at + 1)
  while (text[at] === '"') {
    const nameEnd = skipString(text, at)
    const value = skipBlank(text, skipBlank(text, nameEnd) + 1)
    if (JSON.parse(text.slice(at, nameEnd)) === name) {
      if (found !== null) return null
      found = value
    }
    at = afterComma(text, skipValue(text, value))
  }
  return found
}

function elementOf(text: string, at: number, index: string): number | null {
  if (!/^(?:0|[1-9][0-9]{0,8})$/.test(index)) return null
  at = skipBlank(text, at + 1)
  for (let left = Number(index); text[at] !== ']'; left--) {
    if (left === 0) return at
    at = afterComma(text, skipValue(text, at))
  }
  return null
}

/** Where the next member or element begins, or the bracket that ends them. */
function afterComma(text: string, at: number): number {
  at = skipBlank(text, at)
  return text[at] === ',' ? skipBlank(text, at + 1) : at
}

function skipBlank(text: string, at: number): number {
  while (at < text.length && ' \t\r\n'.includes(text[at] ?? '')) at++
  return at
}

/** Behind the closing quote. */
function skipString(text: string, at: number): number {
  for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++
  return at + 1
}

function skipValue(text: string, at: number): number {
  let depth = 0
  do {
    const character = text[at] ?? ''
    if (character === '"') {
      at = skipString(text, at)
      continue
    }
    if (character === '{' || character === '[') depth++
    if (character === '}' || character === ']') depth--
    at++
    // Within brackets everything else is passed over; outside, a number or a word ends where another thing begins.
    if (depth === 0 && !'{}[]'.includes(character))
      while (at < text.length && !' \t\r\n,]}'.includes(text[at] ?? '')) at++
  } while (depth > 0)
  return at
}
