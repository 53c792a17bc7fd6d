import { isUtf8 } from 'node:buffer'
import { KeywardError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'

/** Bytes of one field's value. */
export const MAX_FIELD_BYTES = 64 * 1024

/** Below this a secret cannot be told from ordinary text, so no answer could be searched for it. */
export const MIN_SECRET_BYTES = 8

const CONTROL = /\p{Cc}|[\u2028\u2029]/u
const CONTROL_BUT_LAYOUT = /(?![\t\r\n])\p{Cc}/u

/**
 * Throws `secret_invalid` for a value that no request can carry: empty, longer than 64 KiB, not UTF-8,
 * with control characters, or with spaces around it. Only a PEM block or a JSON object may have line
 * breaks. The message names the field and the fault, never the value.
 */
export function checkFieldValue(field: string, value: Secret): void {
  const fault = faultOf(value)
  if (fault !== null) throw new KeywardError('secret_invalid', `Field ${field} ${fault}.`)
}

/** Throws `secret_invalid` for a secret that is too short to be looked for in answers. */
export function checkSecretLength(field: string, value: Secret): void {
  if (value.byteLength < MIN_SECRET_BYTES) {
    throw new KeywardError(
      'secret_invalid',
      `Field ${field} is shorter than ${MIN_SECRET_BYTES} bytes, so answers could not be searched for it.`,
    )
  }
}

function faultOf(value: Secret): string | null {
  if (value.byteLength === 0) return 'is empty'
  if (value.byteLength > MAX_FIELD_BYTES) return `is longer than ${MAX_FIELD_BYTES} bytes`
  if (!value.reveal((bytes) => isUtf8(bytes))) return 'is not UTF-8 text'
  const text = value.revealText()
  if (text.trim() === '') return 'is empty'
  if (isFileShaped(text)) return CONTROL_BUT_LAYOUT.test(text) ? 'has a control character' : null
  if (/[\r\n]/.test(text)) return 'has a line break'
  if (CONTROL.test(text)) return 'has a control character'
  return text.trim() === text ? null : 'has spaces around it'
}

function isFileShaped(text: string): boolean {
  if (text.startsWith('-----BEGIN ')) return true
  if (!text.startsWith('{')) return false
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null
  } catch {
    return false
  }
}
