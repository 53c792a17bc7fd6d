import { hexDigit } from './unescape.ts'

/** Compressed data written in base64 or hexadecimal are judged up to this length; what goes on is withheld. */
export const PACKED_MAXIMUM_BYTES = 262_144
/** So many bytes are tried before more is held back for them. */
export const TRIED_BYTES = 96
/** Where they are put: most of what is tried is nothing, and soon forgotten. */
const tried = new Uint8Array(TRIED_BYTES)

/** By character: its six bits in either alphabet, or -1. */
export const base64Values = new Int8Array(256).fill(-1)
for (const [value, character] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries())
  base64Values[character.charCodeAt(0)] = value
base64Values[0x2d] = 62
base64Values[0x5f] = 63

/** Behind the characters from `from` on that may belong to data that began before. */
export function packedUntil(text: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && ((base64Values[text[at] ?? 0] ?? 0) >= 0 || isBetween(text[at] ?? 0))) at++
  return at
}

function isBetween(byte: number): boolean {
  return byte === 0x3d || byte === 0x0a || byte === 0x0d || byte === 0x5c
}

/** Bytes written in base64 (either alphabet) or hexadecimal, with line breaks, also escaped ones, between them. */
export class PackedText {
  readonly #text: Uint8Array
  readonly #from: number
  readonly #limit: number
  readonly #isHexadecimal: boolean
  /** Behind the last character that belongs to it. */
  end: number
  /** Whether the text ends before this does. */
  isCut = false

  constructor(text: Uint8Array, from: number, limit: number, isHexadecimal: boolean) {
    this.#text = text
    this.#from = from
    this.#limit = limit
    this.#isHexadecimal = isHexadecimal
    this.end = from
  }

  /** Length of what was read, in bytes of the text. */
  get length(): number {
    return this.end - this.#from
  }

  /** At most so many bytes from the beginning; no more text than `PACKED_MAXIMUM_BYTES` and a character. */
  read(most: number): Uint8Array {
    const limit = Math.min(this.#limit, this.#from + PACKED_MAXIMUM_BYTES + 1)
    const bytes = most === TRIED_BYTES ? tried : new Uint8Array(Math.min(most, limit - this.#from))
    const width = this.#isHexadecimal ? 4 : 6
    let count = 0
    let held = 0
    let bits = 0
    let at = this.#from
    this.isCut = false
    while (count < bytes.length) {
      if (at >= limit) {
        this.isCut = true
        break
      }
      const value = this.#value(at)
      if (value < 0) {
        const between = this.#between(at, limit)
        if (between > 0) {
          at += between
          continue
        }
        this.isCut = between < 0
        break
      }
      at++
      this.end = at
      held = ((held << width) | value) & 0xffff
      bits += width
      if (bits < 8) continue
      bits -= 8
      bytes[count++] = (held >>> bits) & 0xff
    }
    return bytes.subarray(0, count)
  }

  /** Its end, if it is longer than may be read; null: the text ends before. */
  wholeEnd(): number | null {
    const end = packedUntil(this.#text, this.end, this.#limit)
    return end === this.#limit ? null : end
  }

  #value(at: number): number {
    const byte = this.#text[at] ?? 0
    return this.#isHexadecimal ? hexDigit(byte) : (base64Values[byte] ?? -1)
  }

  /** Length of a line break, written or escaped, or of a backslash before a slash; 0 if there is none, -1 if that is not known. */
  #between(at: number, limit: number): number {
    const byte = this.#text[at] ?? 0
    if (byte === 0x0a || byte === 0x0d) return 1
    if (byte !== 0x5c) return 0
    if (at + 1 >= limit) return -1
    const next = this.#text[at + 1] ?? 0
    if (next === 0x6e || next === 0x72) return 2
    return next === 0x2f || next === 0x5c ? 1 : 0
  }
}
