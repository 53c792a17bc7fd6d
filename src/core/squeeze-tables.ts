import { asciiLetters, leadsLetter } from './letters.ts'
import { escapeMarks } from './quick-escape.ts'
import { hexDigit } from './unescape.ts'

/** What the tables say of a byte: the letter it is, and these. A letter has bit 5 set, no other byte has. */
export const LETTER = 0x20
/** More than this byte is to be looked at. */
export const SPECIAL = 0x400
/** The same if what follows goes on with it, as all but the first byte of a character do. */
export const LEADS = 0x100
export const GOES_ON = 0x200
/** The escaped reading may have another opinion. */
export const MARK = 0x2000_0000
/** The same of two bytes, with up to two letters, and how many there are. */
export const SPECIAL_PAIR = 0x4000_0000
export const KEPT_SHIFT = 16

function tables(specials: readonly number[], noticed: readonly number[]): { kinds: Uint32Array; pairs: Uint32Array } {
  const kinds = new Uint32Array(256)
  kinds.set(asciiLetters)
  for (const byte of noticed) kinds[byte] = MARK
  for (let byte = 0x80; byte < 256; byte++) kinds[byte] = byte < 0xc0 ? GOES_ON : leadsLetter[byte] === 1 ? LEADS : 0
  for (const byte of specials) kinds[byte] = SPECIAL
  const pairs = new Uint32Array(128 * 128)
  for (let first = 0; first < 128; first++) {
    for (let second = 0; second < 128; second++) {
      let entry = 0
      let kept = 0
      for (const [i, byte] of [first, second].entries()) {
        const kind = i === 0 && beginsNone(first, second) ? 0 : (kinds[byte] ?? 0)
        if (kind === SPECIAL) entry |= SPECIAL_PAIR
        else if (kind === MARK) entry |= MARK
        else if (kind !== 0) entry |= kind << (8 * kept++)
      }
      // The machine is little-endian wherever Node runs, and the reads above say so.
      pairs[first | (second << 7)] = entry | (kept << KEPT_SHIFT)
    }
  }
  return { kinds, pairs }
}

/** Whether nothing of several bytes begins with these two, though its first byte could. */
function beginsNone(first: number, second: number): boolean {
  const isDigit = hexDigit(second) >= 0
  const isLetter = second < 0x80 && asciiLetters[second] !== 0
  // What the second begins may turn out to be what the first needs.
  if (escapeMarks.includes(second)) return false
  if (first === 0x3d) return second < 0x32 || second > 0x37
  if (first === 0x25) return !isDigit && second !== 0x25
  if (first === 0x26) return !isLetter && second !== 0x23
  if (first === 0x3c) return !isLetter && second !== 0x2f && second !== 0x21
  return first === 0x5c && !isLetter && second !== 0x5c
}

export const shownTables = tables([0x1b], escapeMarks)
export const escapedTables = tables([0x1b, ...escapeMarks], [])
