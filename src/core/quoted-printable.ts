import { hexDigit } from './unescape.ts'

const EQUALS = 0x3d
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const CODE_BYTES = 3

/**
 * Length of what ends at `at` and is surely quoted-printable (RFC 2045 section 6.7): a character such as `=3D`,
 * and the soft line break after it if there is one. 0 if nothing of the kind stands there.
 */
export function quotedBefore(text: Uint8Array, at: number): number {
  if (endsInCode(text, at)) return CODE_BYTES
  let line = at
  if (text[line - 1] === LINE_FEED) line--
  if (text[line - 1] === CARRIAGE_RETURN) line--
  return line < at && text[line - 1] === EQUALS && endsInCode(text, line - 1) ? at - line + 1 + CODE_BYTES : 0
}

/** The same where `at` is within a soft line break, or what may become one: between its `=` and its line feed. */
export function quotedBeforeBreak(text: Uint8Array, at: number): number {
  const equals = text[at - 1] === CARRIAGE_RETURN ? at - 2 : at - 1
  return text[equals] === EQUALS && endsInCode(text, equals) ? at - equals + CODE_BYTES : 0
}

/** Whether what begins at `at` is quoted-printable by what follows it, whatever stands before. */
export function isAmidQuoted(text: Uint8Array, at: number): boolean {
  return endsInCode(text, at + CODE_BYTES) && text[at + CODE_BYTES] === EQUALS
}

/** Lower-case digits are not allowed, and would be far more often something else. */
export function upperHexDigit(byte: number): number {
  return byte >= 0x61 ? -1 : hexDigit(byte)
}

/** Only what is ASCII and shown: of the others no letter is read, and so they do not make a row. */
function endsInCode(text: Uint8Array, at: number): boolean {
  const high = text[at - 2] ?? 0
  return (
    at >= CODE_BYTES && text[at - 3] === EQUALS && high >= 0x32 && high <= 0x37 && upperHexDigit(text[at - 1] ?? 0) >= 0
  )
}
