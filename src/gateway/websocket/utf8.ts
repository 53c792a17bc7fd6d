import { isUtf8 } from 'node:buffer'

/** Says of a text that comes in pieces whether it is UTF-8 (RFC 3629), however it is cut. */
export interface Utf8Checker {
  /** False: what came so far is not, and cannot become, UTF-8. It may be told one piece late. */
  push(piece: Uint8Array): boolean
  /** Whether the text ends where a character ends. */
  end(): boolean
}

export function createUtf8Checker(): Utf8Checker {
  /** The beginning of a character whose rest has not come. */
  let open: Uint8Array = new Uint8Array(0)
  return {
    push(piece) {
      const bytes = open.length === 0 ? piece : Buffer.concat([open, piece])
      const whole = bytes.length - openTail(bytes)
      open = whole === bytes.length ? new Uint8Array(0) : Uint8Array.from(bytes.subarray(whole))
      return isUtf8(whole === bytes.length ? bytes : bytes.subarray(0, whole))
    },
    end: () => open.length === 0,
  }
}

/** How many bytes at the end are the beginning of a character. */
function openTail(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0
  }
  return 0
}

/** At most `maximum` bytes of a UTF-8 text, cut where a character ends. */
export function cutUtf8(text: Uint8Array, maximum: number): Uint8Array {
  if (text.length <= maximum) return text
  const cut = text.subarray(0, maximum)
  return cut.subarray(0, cut.length - openTail(cut))
}
