/** The longest escape that is understood, in bytes: `&#x10ffff;`. */
export const LONGEST_ESCAPE = 10

/** What stands at an escape character. `length` is its length in the text; `output` holds `outputLength` decoded bytes. */
export interface Escape {
  /** `whole`: decoded; `literal`: not an escape; `cut`: the text ends before that is known. */
  kind: 'whole' | 'literal' | 'cut'
  length: number
  outputLength: number
  readonly output: Uint8Array
  /** For a literal: it failed at another escape character, so decoding that one may complete it. */
  unsettled: boolean
}

export function newEscape(): Escape {
  return { kind: 'literal', length: 1, outputLength: 1, output: new Uint8Array(4), unsettled: false }
}

export function isEscapeMark(byte: number): boolean {
  return byte === 0x25 || byte === 0x5c || byte === 0x26
}

/**
 * Reads the escape at `at`, where an escape character stands: percent (RFC 3986 section 2.1), backslash
 * (RFC 8259 section 7, and `\xHH` and `\'` of JavaScript), or a character reference of HTML (decimal,
 * hexadecimal and the five that every writer uses). With `final`, nothing follows `end`.
 */
export function readEscape(text: Uint8Array, at: number, end: number, final: boolean, into: Escape): void {
  const mark = text[at]
  if (mark === 0x25) readHex(text, at, at + 1, 2, end, into)
  else if (mark === 0x5c) readBackslash(text, at, end, into)
  else readReference(text, at, end, into)
  if (into.kind === 'cut' && final) literal(into, false)
}

function readBackslash(text: Uint8Array, at: number, end: number, into: Escape): void {
  if (at + 1 >= end) return cut(into)
  const next = text[at + 1] ?? 0
  if (next === 0x75) return readHex(text, at, at + 2, 4, end, into)
  if (next === 0x78) return readHex(text, at, at + 2, 2, end, into)
  const meaning = backslashMeaning(next)
  if (meaning < 0) return literal(into, isEscapeMark(next))
  whole(into, 2, meaning)
}

/** The byte that a backslash and `next` stand for, or -1. Not for `u` and `x`, which take digits. */
export function backslashMeaning(next: number): number {
  switch (next) {
    case 0x22: // "
    case 0x27: // '
    case 0x2f: // /
    case 0x5c: // \
      return next
    case 0x62: // b
      return 0x08
    case 0x66: // f
      return 0x0c
    case 0x6e: // n
      return 0x0a
    case 0x72: // r
      return 0x0d
    case 0x74: // t
      return 0x09
    default:
      return -1
  }
}

function readHex(text: Uint8Array, at: number, from: number, digits: number, end: number, into: Escape): void {
  let value = 0
  for (let i = from; i < from + digits; i++) {
    if (i >= end) return cut(into)
    const byte = text[i] ?? 0
    const digit = hexDigit(byte)
    if (digit < 0) return literal(into, isEscapeMark(byte))
    value = value * 16 + digit
  }
  const length = from + digits - at
  if (digits === 2) {
    // A byte, and not a character: percent escapes of UTF-8 come byte by byte.
    into.kind = 'whole'
    into.length = length
    into.output[0] = value
    into.outputLength = 1
  } else whole(into, length, value)
}

function readReference(text: Uint8Array, at: number, end: number, into: Escape): void {
  const limit = Math.min(end, at + LONGEST_ESCAPE)
  for (let i = at + 1; i < limit; i++) {
    const byte = text[i] ?? 0
    if (byte === 0x3b) {
      const value = referenceValue(text, at + 1, i)
      if (value < 0) literal(into, false)
      else whole(into, i + 1 - at, value)
      return
    }
    if (!(isAlphanumeric(byte) || (byte === 0x23 && i === at + 1))) return literal(into, isEscapeMark(byte))
  }
  if (limit < at + LONGEST_ESCAPE) cut(into)
  else literal(into, false)
}

const names = new Map(
  Object.entries({ amp: 0x26, lt: 0x3c, gt: 0x3e, quot: 0x22, apos: 0x27 }).map(([name, code]) => [
    nameNumber(Buffer.from(name), 0, name.length),
    code,
  ]),
)
const LONGEST_NAME = 4

/** A name of up to four letters, in either case, as one number. */
function nameNumber(text: Uint8Array, from: number, to: number): number {
  let number = 0
  for (let at = from; at < to; at++) number = (number << 8) | (text[at] ?? 0) | 0x20
  return number
}

/** What is meant by the name or number between `&` and `;`, or -1. */
export function referenceValue(text: Uint8Array, from: number, to: number): number {
  if (text[from] !== 0x23) return to - from > LONGEST_NAME ? -1 : (names.get(nameNumber(text, from, to)) ?? -1)
  const radix = text[from + 1] === 0x78 || text[from + 1] === 0x58 ? 16 : 10
  const first = radix === 16 ? from + 2 : from + 1
  if (first >= to) return -1
  let value = 0
  for (let i = first; i < to; i++) {
    const digit = hexDigit(text[i] ?? 0)
    if (digit < 0 || digit >= radix) return -1
    value = value * radix + digit
  }
  return value <= 0x10ffff ? value : -1
}

export function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

export function isAlphanumeric(byte: number): boolean {
  const lower = byte | 0x20
  return (byte >= 0x30 && byte <= 0x39) || (lower >= 0x61 && lower <= 0x7a)
}

function cut(into: Escape): void {
  into.kind = 'cut'
}

function literal(into: Escape, unsettled: boolean): void {
  into.kind = 'literal'
  into.length = 1
  into.unsettled = unsettled
}

/** Half of a surrogate pair is written as three bytes of its own: no secret is recognised by it, and nothing is lost. */
function whole(into: Escape, length: number, code: number): void {
  const { output } = into
  into.kind = 'whole'
  into.length = length
  if (code < 0x80) {
    output[0] = code
    into.outputLength = 1
  } else if (code < 0x800) {
    output[0] = 0xc0 | (code >> 6)
    output[1] = 0x80 | (code & 63)
    into.outputLength = 2
  } else if (code < 0x10000) {
    output[0] = 0xe0 | (code >> 12)
    output[1] = 0x80 | ((code >> 6) & 63)
    output[2] = 0x80 | (code & 63)
    into.outputLength = 3
  } else {
    output[0] = 0xf0 | (code >> 18)
    output[1] = 0x80 | ((code >> 12) & 63)
    output[2] = 0x80 | ((code >> 6) & 63)
    output[3] = 0x80 | (code & 63)
    into.outputLength = 4
  }
}

/** `bytes` with every escape undone once. */
export function unescapeOnce(bytes: Uint8Array): Uint8Array {
  const output = new Uint8Array(bytes.length)
  const escape = newEscape()
  let length = 0
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at] ?? 0
    if (isEscapeMark(byte)) {
      readEscape(bytes, at, bytes.length, true, escape)
      if (escape.kind === 'whole') {
        output.set(escape.output.subarray(0, escape.outputLength), length)
        length += escape.outputLength
        at += escape.length
        continue
      }
    }
    output[length++] = byte
    at++
  }
  return output.subarray(0, length)
}
