import { CUT } from './terminal.ts'

/** The longest tag of a markup language that is passed over as one, in bytes. */
export const LONGEST_TAG_BYTES = 96

/** A `>` as it is escaped, each byte with bit 5 set, as letters in lower case have it. */
const escapedEnds = ['\\u003e', '\\x3e', '%3e', '&gt;'].map((text) =>
  Uint8Array.from(Buffer.from(text), (byte) => byte | 0x20),
)

/**
 * The position behind a tag of which the `<` stands before `at`; `at` if there is none; `CUT` if the text ends
 * before that is known. A tag that holds an escape is read, not passed over: a value in it may be all that
 * somebody wants to hide.
 */
export function tagEnd(text: Uint8Array, at: number, end: number, final: boolean): number {
  if (at >= end) return final ? at : CUT
  const first = text[at] ?? 0
  if (first !== 0x2f && first !== 0x21 && ((first | 0x20) < 0x61 || (first | 0x20) > 0x7a)) return at
  const limit = Math.min(end, at + LONGEST_TAG_BYTES)
  for (let i = at; i < limit; i++) {
    const byte = text[i] ?? 0
    if (byte === 0x3e) return i + 1
    if (byte === 0x5c || byte === 0x25 || byte === 0x26) {
      // Within JSON a quote belongs to a tag like anything else, and a tag that is escaped ends with an escape.
      if (byte === 0x5c && text[i + 1] === 0x22 && i + 1 < end) continue
      const length = escapedEnd(text, i, end, final)
      if (length === CUT) return CUT
      return length === 0 ? at : i + length
    }
    if (byte < 0x20 || byte === 0x3c || byte === 0x7b || byte === 0x7d) return at
  }
  return limit < at + LONGEST_TAG_BYTES && !final ? CUT : at
}

/** Length of an escaped `>` at `at`; 0 if there is none. */
function escapedEnd(text: Uint8Array, at: number, end: number, final: boolean): number {
  for (const written of escapedEnds) {
    let same = 0
    while (same < written.length && at + same < end && ((text[at + same] ?? 0) | 0x20) === written[same]) same++
    if (same === written.length) return same
    if (at + same >= end && !final) return CUT
  }
  return 0
}
