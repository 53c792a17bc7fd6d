import { createHash } from 'node:crypto'
import { calculateJwkThumbprint, EmbeddedJWK, errors, jwtVerify } from 'jose'
import type { ErrorCode } from '../core/errors.ts'
import { PROOF_MAXIMUM_CHARACTERS } from './login-bounds.ts'

/** How old a proof may be, and how far in the future: clocks differ. */
export const PROOF_WINDOW_SECONDS = 60
/** Proofs that are remembered, of one session and of all, until they are too old to be shown again. */
export const SESSION_PROOFS_MAXIMUM = 20_000
export const PROOFS_MAXIMUM = 200_000

const ALGORITHMS = ['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519', 'RS256', 'PS256']
const JTI_MAXIMUM_CHARACTERS = 256

/** What a proof has to be for: RFC 9449, section 4.3. */
export interface ProofOf {
  readonly method: string
  /** Whether a target, without query and fragment, is the one that is asked. */
  readonly isTarget: (target: string) => boolean
  /** What the proof is shown beside: its hash is in the proof. Null: nothing yet. */
  readonly token: string | null
}

export interface ProofRefused {
  readonly refusal: Extract<ErrorCode, 'proof_missing' | 'proof_invalid' | 'proof_replayed' | 'overloaded'>
  readonly detail?: string
  readonly retryAfterSeconds?: number
}

export interface Dpop {
  /** The thumbprint (RFC 7638) of the key that made the proof. `holder`: whose proofs are counted together. */
  verify(proof: string, of: ProofOf, holder: string): Promise<{ readonly thumbprint: string } | ProofRefused>
}

/**
 * Proofs that whoever sends a request has the key that a session is bound to (RFC 9449). What was shown is
 * remembered in memory: another node has not seen it, so a proof that was stolen on its way is good there for as
 * long as it is young.
 */
/** `most`: the bounds, unless a test brings its own. */
export function createDpop({
  now,
  most = { ofSession: SESSION_PROOFS_MAXIMUM, ofAll: PROOFS_MAXIMUM },
}: {
  now: () => number
  most?: { readonly ofSession: number; readonly ofAll: number }
}): Dpop {
  /** What was shown, in that order, and until when it is remembered. */
  const seen = new Map<string, number>()
  const counts = new Map<string, number>()
  let sweptAt = -Infinity

  function sweep(time: number): void {
    if (time - sweptAt < 1_000) return
    sweptAt = time
    for (const [name, until] of seen) {
      // In the order in which they were shown, and all are kept for as long.
      if (until > time) break
      seen.delete(name)
      const holder = name.slice(0, name.indexOf(' '))
      const left = (counts.get(holder) ?? 1) - 1
      if (left === 0) counts.delete(holder)
      else counts.set(holder, left)
    }
  }

  function remember(holder: string, thumbprint: string, jti: string): ProofRefused | null {
    const time = now()
    sweep(time)
    const name = `${holder} ${createHash('sha256').update(`${thumbprint} ${jti}`).digest('base64url')}`
    if (seen.has(name)) return { refusal: 'proof_replayed' }
    const count = counts.get(holder) ?? 0
    if (count >= most.ofSession || seen.size >= most.ofAll)
      return { refusal: 'overloaded', retryAfterSeconds: PROOF_WINDOW_SECONDS }
    seen.set(name, time + 2 * PROOF_WINDOW_SECONDS * 1000 + 1_000)
    counts.set(holder, count + 1)
    return null
  }

  return {
    async verify(proof, { method, isTarget, token }, holder) {
      if (proof.length > PROOF_MAXIMUM_CHARACTERS) return invalid('It is too long.')
      const read = await readProof(proof, now())
      if ('refusal' in read) return read
      const { jwk, payload } = read
      const { htm, htu, jti, iat, ath } = payload
      if (typeof jti !== 'string' || jti === '' || jti.length > JTI_MAXIMUM_CHARACTERS)
        return invalid('It has no id (jti).')
      if (typeof iat !== 'number' || Math.abs(now() / 1000 - iat) > PROOF_WINDOW_SECONDS)
        return invalid(`It was not made within ${PROOF_WINDOW_SECONDS} seconds (iat): set the clock.`)
      if (htm !== method) return invalid('It is for another method (htm).')
      if (typeof htu !== 'string' || !isTarget(withoutQuery(htu))) return invalid('It is for another target (htu).')
      const hash = token === null ? null : createHash('sha256').update(token, 'ascii').digest('base64url')
      if (hash !== null && ath !== hash) return invalid('It is for another token (ath).')
      const thumbprint = await calculateJwkThumbprint(jwk)
      return remember(holder, thumbprint, jti) ?? { thumbprint }
    },
  }
}

type Read = {
  readonly jwk: Parameters<typeof calculateJwkThumbprint>[0]
  readonly payload: Readonly<Record<string, unknown>>
}

async function readProof(proof: string, time: number): Promise<Read | ProofRefused> {
  try {
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
      algorithms: ALGORITHMS,
      typ: 'dpop+jwt',
      currentDate: new Date(time),
      clockTolerance: PROOF_WINDOW_SECONDS,
    })
    const { jwk } = protectedHeader
    if (jwk === undefined || 'd' in jwk || 'k' in jwk) return invalid('Its key is not a public one.')
    return { jwk: { ...jwk, kty: String(jwk.kty) }, payload }
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof DOMException)
      return invalid('It does not verify with the key that it names.')
    throw error
  }
}

function withoutQuery(target: string): string {
  return target.replace(/[?#].*$/s, '')
}

function invalid(detail: string): ProofRefused {
  return { refusal: 'proof_invalid', detail }
}

/** A thumbprint as RFC 7638 makes them with SHA-256: 43 characters of base64url. */
export function isThumbprint(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text)
}
