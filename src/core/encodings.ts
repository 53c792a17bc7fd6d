/**
 * One way in which known bytes may stand in an answer. `fold`: letters match in either case (`bytes` is
 * then lower-case). `restate` writes the replacement in the same encoding, so that a reader who decodes the
 * place still decodes it and what follows.
 */
export interface Form {
  readonly bytes: Uint8Array
  readonly fold: boolean
  readonly restate: Restate
}

/** `valueLength` is the length of the bytes that were encoded: what follows in a base64 text keeps its alignment only if it is known. */
export type Restate = (replacement: Uint8Array, valueLength: number) => Uint8Array

/** The shortest value that can be told from ordinary text, in bytes; no form is shorter. */
export const SHORTEST_VALUE = 8

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const base32Alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
const htmlNames: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/**
 * Every form of `value` that is looked for as it stands. Forms in which single characters are escaped in
 * some other way (percent, JSON or HTML escapes on any subset of the characters) are found by the unescaped
 * views of `scrub.ts` and need no needle of their own.
 */
export function formsOf(value: Uint8Array): Form[] {
  const forms: Form[] = [
    { bytes: new Uint8Array(value), fold: false, restate: plain },
    { bytes: new Uint8Array(value).toReversed(), fold: false, restate: (text) => new Uint8Array(text).toReversed() },
    { bytes: ascii(hexOf(value)), fold: true, restate: (text) => ascii(hexOf(text)) },
  ]
  for (const url of [false, true]) {
    for (let lead = 0; lead < 3; lead++) forms.push(base64Form(value, lead, url))
    forms.push(
      { bytes: ascii(base64(value, url, true)), fold: false, restate: (text) => ascii(base64(text, url, true)) },
      // Without padding it may as well lie within a longer text, so what follows keeps its alignment.
      {
        bytes: ascii(base64(value, url, false)),
        fold: false,
        restate: (text, length) => ascii(base64(stretch(text, length, 3), url, false)),
      },
    )
  }
  for (let lead = 0; lead < 5; lead++) forms.push(base32Form(value, lead))
  forms.push({ bytes: ascii(base32(value)), fold: true, restate: (text) => ascii(base32(text)) })
  const text = textOf(value)
  // Of nothing but letters, digits and the like, every one of these is the text itself.
  if (text !== undefined && !/^[A-Za-z0-9._-]*$/.test(text)) {
    for (const write of textEncodings)
      forms.push({ bytes: Buffer.from(write(text)), fold: false, restate: throughText(write) })
  }
  return forms.filter((form) => form.bytes.length >= SHORTEST_VALUE)
}

/** How a replacement is written where the escape character `mark` (`%`, `\` or `&`) was found in what it replaces. */
export function escapeLike(mark: number, text: Uint8Array): Uint8Array {
  if (mark === 0x25) return throughText(percent)(text, 0)
  if (mark === 0x5c) return throughText(json)(text, 0)
  return throughText(html)(text, 0)
}

export const plain: Restate = (text) => text

const textEncodings: readonly ((text: string) => string)[] = [
  json,
  (text) => json(text).replaceAll('/', '\\/'),
  (text) => jsonAscii(text),
  (text) => jsonAscii(text).replaceAll('/', '\\/'),
  // Of characters, where one takes several bytes.
  (text) => [...text].toReversed().join(''),
  percent,
  (text) => new URLSearchParams([['', text]]).toString().slice(1),
  (text) => percent(percent(text)),
  html,
]

function throughText(write: (text: string) => string): Restate {
  return (bytes) => {
    const text = textOf(bytes)
    return text === undefined ? bytes : Buffer.from(write(text))
  }
}

function json(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

/** As writers that stay within ASCII do it: surrogate pairs, which the unescaped views do not join. */
function jsonAscii(text: string): string {
  return json(text).replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function percent(text: string): string {
  return encodeURIComponent(text)
}

function html(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => htmlNames[character] ?? character)
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

export function ascii(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

function base64(bytes: Uint8Array, url: boolean, padded: boolean): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
  const bare = padded ? text : text.replace(/=+$/, '')
  return url ? bare.replaceAll('+', '-').replaceAll('/', '_') : bare
}

/** The characters that are certain when `lead` unknown bytes (modulo 3) come before the value and unknown bytes follow. */
export function base64Form(value: Uint8Array, lead: number, url: boolean): Form {
  const inner = (bytes: Uint8Array): Uint8Array => {
    const shifted = new Uint8Array(lead + bytes.length)
    shifted.set(bytes, lead)
    const text = base64(shifted, url, false)
    return ascii(text.slice(Math.ceil((lead * 8) / 6), Math.floor((shifted.length * 8) / 6)))
  }
  return { bytes: inner(value), fold: false, restate: (text, length) => inner(stretch(text, length, 3)) }
}

export function base32Form(value: Uint8Array, lead: number): Form {
  const inner = (bytes: Uint8Array): Uint8Array => {
    const shifted = new Uint8Array(lead + bytes.length)
    shifted.set(bytes, lead)
    return ascii(base32(shifted).slice(Math.ceil((lead * 8) / 5), Math.floor((shifted.length * 8) / 5)))
  }
  return { bytes: inner(value), fold: true, restate: (text, length) => inner(stretch(text, length, 5)) }
}

/** RFC 4648 section 6, lower-case, without padding (padding carries nothing). */
function base32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += base32Alphabet.charAt((held >>> bits) & 31)
    }
  }
  return bits > 0 ? text + base32Alphabet.charAt((held << (5 - bits)) & 31) : text
}

/** Dots are added until the length is that of the replaced value modulo `group`. */
function stretch(text: Uint8Array, length: number, group: number): Uint8Array {
  const missing = (((length - text.length) % group) + group) % group
  const stretched = new Uint8Array(text.length + missing).fill(0x2e)
  stretched.set(text)
  return stretched
}
