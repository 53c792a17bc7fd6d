import { asciiLetters } from './letters.ts'
import { LONGEST_TAG_BYTES } from './markup.ts'
import { upperHexDigit } from './quoted-printable.ts'
import { hexDigit, isAlphanumeric } from './unescape.ts'
import { LONGEST_REFERENCE } from './written-character.ts'

const PERCENT = 0x25
const AMPERSAND = 0x26
const LESS = 0x3c
const EQUALS = 0x3d
const BACKSLASH = 0x5c

/** The characters with which an escape or a tag begins. */
export const escapeMarks: readonly number[] = [PERCENT, AMPERSAND, LESS, EQUALS, BACKSLASH]

/** In the result of `quickEscape`: something was undone. */
export const TAKEN = 0x10000
const LENGTH = 0x100
/** A mark with which nothing begins. */
const MERE_MARK = LENGTH
const UNKNOWN = 0
/** So many bytes must follow for anything to be known here. */
const SHORTEST_REST = 6

/**
 * The escapes and tags that nearly all others are like, read in one step: the letter, 256 times the length, and
 * `TAKEN` if anything but a mark was taken away. 0: this is for `WrittenCharacter`, which says the same of the others.
 */
export function quickEscape(text: Uint8Array, at: number, end: number): number {
  if (at + SHORTEST_REST > end) return UNKNOWN
  switch (text[at]) {
    case BACKSLASH:
      return backslash(text, at)
    case PERCENT:
      return percent(text, at)
    case EQUALS:
      return quoted(text, at)
    case LESS:
      return tag(text, at, end)
    case AMPERSAND:
      return reference(text, at, end)
    default:
      return UNKNOWN
  }
}

function backslash(text: Uint8Array, at: number): number {
  const meaning = afterBackslash[text[at + 1] ?? 0] ?? 0
  if (meaning !== 0x75) return meaning
  if (text[at + 2] !== 0x30 || text[at + 3] !== 0x30) return UNKNOWN
  const code = ((digits[text[at + 4] ?? 0] ?? 0) << 4) | (digits[text[at + 5] ?? 0] ?? 0)
  return code < 0x80 && beginsNothing[code] === 1 ? TAKEN | (6 * LENGTH) | (asciiLetters[code] ?? 0) : UNKNOWN
}

function percent(text: Uint8Array, at: number): number {
  const next = text[at + 1] ?? 0
  const high = digits[next] ?? 0
  if (high > 15) return next === PERCENT ? UNKNOWN : MERE_MARK
  const code = (high << 4) | (digits[text[at + 2] ?? 0] ?? 0)
  return code < 0x80 && beginsNothing[code] === 1 ? TAKEN | (3 * LENGTH) | (asciiLetters[code] ?? 0) : UNKNOWN
}

function quoted(text: Uint8Array, at: number): number {
  const high = (text[at + 1] ?? 0) - 0x30
  const low = upperHexDigit(text[at + 2] ?? 0)
  if (high < 2 || high > 7 || low < 0) return MERE_MARK
  const letter = asciiLetters[high * 16 + low] ?? 0
  // Whether a letter counts is a matter of what stands around it.
  return letter === 0 || text[at + 3] === EQUALS ? TAKEN | (3 * LENGTH) | letter : UNKNOWN
}

function tag(text: Uint8Array, at: number, end: number): number {
  const first = text[at + 1] ?? 0
  if (first !== 0x2f && first !== 0x21 && ((first | 0x20) < 0x61 || (first | 0x20) > 0x7a)) return MERE_MARK
  const limit = at + 1 + LONGEST_TAG_BYTES
  for (let i = at + 1; i < limit; i++) {
    if (i + 1 >= end) return UNKNOWN
    const kind = inTag[text[i] ?? 0] ?? 0
    if (kind === 0) continue
    if (kind === ENDS_TAG) return TAKEN | ((i + 1 - at) * LENGTH)
    if (kind === BREAKS_TAG) return MERE_MARK
    if (kind === BACKSLASH && text[i + 1] === 0x22) continue
    return mayEndTag(kind, (text[i + 1] ?? 0) | 0x20) ? UNKNOWN : MERE_MARK
  }
  return MERE_MARK
}

/** Whether an escape that begins so may be one of `>`. */
function mayEndTag(mark: number, next: number): boolean {
  if (mark === AMPERSAND) return next === 0x67
  if (mark === PERCENT) return next === 0x33
  return next === 0x75 || next === 0x78
}

/** By name: all but `&amp;` and `&lt;`, with which more may begin, stand for no letter. */
function reference(text: Uint8Array, at: number, end: number): number {
  if (text[at + 1] === 0x23) return UNKNOWN
  const limit = at + 1 + LONGEST_REFERENCE
  for (let i = at + 1; i < limit; i++) {
    if (i >= end) return UNKNOWN
    const byte = text[i] ?? 0
    if (isAlphanumeric(byte)) continue
    if (byte !== 0x3b || i === at + 1) return MERE_MARK
    const isShort = i - at <= 4
    return isShort && mayBeginMore(text, at + 1, i) ? UNKNOWN : TAKEN | ((i + 1 - at) * LENGTH)
  }
  return MERE_MARK
}

function mayBeginMore(text: Uint8Array, from: number, to: number): boolean {
  const first = (text[from] ?? 0) | 0x20
  return to - from === 2 ? first === 0x6c : first === 0x61
}

const ENDS_TAG = 1
const BREAKS_TAG = 2

/** What a byte within a tag means to it; an escape character for itself. */
const inTag = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte === 0x3e) return ENDS_TAG
  if (byte === BACKSLASH || byte === PERCENT || byte === AMPERSAND) return byte
  return byte < 0x20 || byte === LESS || byte === 0x7b || byte === 0x7d ? BREAKS_TAG : 0
})

const digits = Uint16Array.from({ length: 256 }, (_, byte) => {
  const digit = hexDigit(byte)
  return digit < 0 ? 0x100 : digit
})
/** 1 for each character with which no other escape begins. */
const beginsNothing = Uint8Array.from({ length: 128 }, (_, code) =>
  code === 0x1b || escapeMarks.includes(code) ? 0 : 1,
)
/** What is returned for a backslash and this byte; `u` for itself. */
const afterBackslash = Uint32Array.from({ length: 256 }, (_, byte) => {
  if (byte === 0x75) return byte
  if ([0x62, 0x66, 0x6e, 0x72, 0x74, 0x76].includes(byte)) return TAKEN | (2 * LENGTH)
  // Another mark may turn out to be the letter that makes this an escape.
  return escapeMarks.includes(byte) || (byte < 0x80 && asciiLetters[byte] !== 0) ? UNKNOWN : MERE_MARK
})
