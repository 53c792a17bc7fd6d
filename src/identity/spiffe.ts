import type { X509Certificate } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'

const ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._*-]+)+$/

/** Longest SPIFFE id (SPIFFE-ID, section 2.3). */
export const SPIFFE_ID_MAXIMUM_CHARACTERS = 2_048

/** The SPIFFE id of a certificate that has been verified, or null. Exactly one URI, as X509-SVID section 2 says; not that of an authority. */
export function spiffeIdOf(certificate: Pick<X509Certificate, 'subjectAltName' | 'ca'>): string | null {
  // Names that could be taken for more than one are quoted, and so are no SPIFFE id.
  const names = (certificate.subjectAltName ?? '').split(', ').filter((name) => name.startsWith('URI:'))
  const [id = '', ...others] = names.map((name) => name.slice('URI:'.length))
  if (others.length > 0 || certificate.ca || id.length > SPIFFE_ID_MAXIMUM_CHARACTERS || id.includes('*')) return null
  return ID.test(id) && !hasDots(id) ? id : null
}

/** Throws KeywardError `usage`. The trust domain is written out; `*` may stand in the path. */
export function checkSpiffePattern(text: string): string {
  if (text.length <= 512 && ID.test(text) && !hasDots(text)) return text
  throw new KeywardError('usage', 'A SPIFFE id is spiffe://TRUST-DOMAIN/PATH; * may stand in the path.')
}

function hasDots(id: string): boolean {
  return id.split('/').some((part) => part === '.' || part === '..')
}
