import { ascii, base32Form, base64Form, hexOf, plain } from './encodings.ts'
import type { Restate } from './encodings.ts'
import { asciiLetters } from './letters.ts'
import { viewOf } from './searched-text.ts'
import { Squeezed } from './squeeze.ts'

/** The fewest letters by which a form is recognised whatever stands between them. */
export const FEWEST_LETTERS = 12
/** A value of so many bytes is looked for in squeezed encodings even if it has fewer letters than that itself. */
export const ENCODED_FROM_BYTES = 16

/** How a form is recognised by parts, with other text between them: lines of a dump, a secret in two messages. */
export interface Parts {
  /** Letters of a part, and from the beginning of one to the next. A run of their sum holds one whole. */
  readonly length: number
  readonly stride: number
  /** The fewest letters of the first one in the text: the beginnings of vendors' keys are all alike. */
  readonly first: number
  /** Letters that may be missing at the beginning. */
  readonly lead: number
  /** What follows in the line of the last part is replaced with it. */
  readonly dump: boolean
}

/** One way of writing, as letters alone. `write` gives text in any case; everything but letters is dropped. */
export interface SqueezedForm {
  readonly write: (value: Uint8Array) => Uint8Array
  readonly restate: Restate
  readonly parts?: Parts
}

const dumped: Parts = { length: 12, stride: 20, first: 12, lead: 11, dump: true }
const numbered: Parts = { length: 12, stride: 20, first: 16, lead: 2, dump: false }

/** The letters of bytes that are ASCII text. */
export function lettersOf(bytes: Uint8Array): Uint8Array {
  const letters = new Uint8Array(bytes.length)
  let count = 0
  for (let i = 0; i < bytes.length; i++) {
    const letter = asciiLetters[bytes[i] ?? 0] ?? 0
    letters[count] = letter
    if (letter !== 0) count++
  }
  return letters.subarray(0, count)
}

const readings = [new Squeezed(false), new Squeezed(true)] as const

/** The letters of a value as an answer may show it: as it is, and with the escapes undone that it holds itself. */
function shown(value: Uint8Array, reading: 0 | 1): Uint8Array {
  const squeezed = readings[reading]
  squeezed.read(value, viewOf(value), value.length, true)
  return squeezed.letters.slice(0, squeezed.count)
}

const reverse: Restate = (bytes) => new Uint8Array(bytes).toReversed()
const rot13: Restate = (bytes) =>
  bytes.map((byte) => {
    const letter = byte | 0x20
    if (letter < 0x61 || letter > 0x7a) return byte
    return letter < 0x6e ? byte + 13 : byte - 13
  })
const hex = (bytes: Uint8Array): Uint8Array => ascii(hexOf(bytes))
const upperHex = (bytes: Uint8Array): Uint8Array => ascii(hexOf(bytes).toUpperCase())

function numbers(write: (byte: number) => string): (bytes: Uint8Array) => Uint8Array {
  const written = Array.from({ length: 256 }, (_, byte) => write(byte))
  return (bytes) => {
    let text = ''
    for (const byte of bytes) text += written[byte] ?? ''
    return ascii(text)
  }
}

/** Between zeros, as UTF-16 has it; where they stand at the ends depends on the byte order. */
function utf16(bytes: Uint8Array): Uint8Array {
  const wide = new Uint8Array(Math.max(0, 2 * bytes.length - 1))
  for (const [i, byte] of bytes.entries()) wide[2 * i] = byte
  return wide
}

/** As programs write dumps that read two bytes as one number, the lower byte first. */
function swapped(bytes: Uint8Array, from: number): Uint8Array {
  const whole = bytes.subarray(from, from + 2 * Math.floor((bytes.length - from) / 2))
  return whole.map((_, i) => whole[i ^ 1] ?? 0)
}

const base64 = (lead: number) => (value: Uint8Array) => base64Form(value, lead, false).bytes
const nothing = new Uint8Array(0)
const leads = [0, 1, 2]

/** As source code writes a list of numbers. */
const decimals: Restate = (bytes) => ascii([...bytes].join(','))

const inBase64 = (write: (value: Uint8Array) => Uint8Array): SqueezedForm[] =>
  leads.map((lead) => ({ write: (value) => base64(lead)(write(value)), restate: plain }))

export const plainForm: SqueezedForm = {
  write: (value) => shown(value, 0),
  restate: plain,
  parts: { length: 10, stride: 6, first: 14, lead: 2, dump: false },
}

const commonForms: readonly SqueezedForm[] = [
  plainForm,
  { write: (value) => shown(value, 1), restate: plain },
  { write: (value) => shown(reverse(value, 0), 0), restate: reverse },
  { write: (value) => rot13(value, 0), restate: rot13 },
  { write: hex, restate: (text) => hex(text), parts: dumped },
  { write: numbers((byte) => `0x${byte.toString(16).padStart(2, '0')}`), restate: plain },
  { write: numbers((byte) => byte.toString(8).padStart(3, '0')), restate: plain, parts: dumped },
  { write: numbers((byte) => `${byte}`), restate: decimals },
  ...leads.map((lead): SqueezedForm => ({
    write: base64(lead),
    restate: base64Form(nothing, lead, false).restate,
    parts: numbered,
  })),
  ...leads.flatMap((lead) => inBase64(base64(lead))),
  ...inBase64(utf16),
  ...[0, 1, 2, 3, 4].map((lead): SqueezedForm => ({
    write: (value) => base32Form(value, lead).bytes,
    restate: base32Form(nothing, lead).restate,
  })),
]

const rareForms: readonly SqueezedForm[] = [
  { write: (value) => rot13(reverse(value, 0), 0), restate: plain },
  { write: (value) => hex(utf16(value)), restate: plain },
  { write: (value) => hex(reverse(value, 0)), restate: plain },
  { write: (value) => reverse(hex(value), 0), restate: plain },
  { write: (value) => hex(swapped(value, 0)), restate: plain, parts: dumped },
  { write: (value) => hex(swapped(value, 1)), restate: plain, parts: dumped },
  { write: numbers((byte) => `0x${byte.toString(16)}`), restate: plain },
  { write: numbers((byte) => `u00${byte.toString(16).padStart(2, '0')}`), restate: plain },
  { write: numbers((byte) => byte.toString(8)), restate: plain },
  { write: numbers((byte) => `0${byte.toString(8)}`), restate: plain },
  { write: numbers((byte) => `0o${byte.toString(8)}`), restate: plain },
  { write: numbers((byte) => byte.toString().padStart(3, '0')), restate: plain },
  { write: numbers((byte) => `chr${byte}`), restate: plain },
  { write: numbers((byte) => `char${byte}`), restate: plain },
  ...inBase64((value) => reverse(value, 0)),
  ...inBase64((value) => rot13(value, 0)),
  ...inBase64(hex),
  ...inBase64(upperHex),
  ...leads.flatMap((lead): SqueezedForm[] => [
    { write: (value) => reverse(base64(lead)(value), 0), restate: plain },
    { write: (value) => rot13(base64(lead)(value), 0), restate: plain },
    { write: (value) => hex(base64(lead)(value)), restate: plain },
  ]),
]

/**
 * Every form that is looked for by its letters alone, whatever stands between them. What differs in letter
 * case, padding or the last two characters of the base64 alphabet is one form here.
 */
export const squeezedForms: readonly SqueezedForm[] = [...commonForms, ...rareForms]

/** So many of them, from the first, are written every day. */
export const COMMON_FORMS = commonForms.length
