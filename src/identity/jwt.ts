import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose'
import { claimAt, fitsPattern } from '../core/claim-pattern.ts'
import { KeywardError } from '../core/errors.ts'
import type { JwtTrust } from '../core/records.ts'
import { JWT_MAXIMUM_CHARACTERS } from './login-bounds.ts'
import type { IssuerKeys } from './issuer-keys.ts'

/** How far the clocks of issuer and server may be apart. */
export const JWT_SKEW_SECONDS = 60
/** How long a token may be good that is for one login: its use is remembered for as long as the session that came of it. */
export const ONE_USE_JWT_SECONDS = 60 * 60

/** Signatures that everybody can check and the issuer alone can make (RFC 7518, RFC 8037, RFC 9864): nothing with a shared secret, and not `none`. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']
const TYPES: readonly unknown[] = [undefined, 'JWT', 'jwt', 'at+jwt', 'application/at+jwt']

export interface Trusted<T> {
  readonly id: string
  readonly record: T
}

export interface ProvenJwt {
  readonly trust: Trusted<JwtTrust>
  readonly subject: string
  /** The token's own id, where the trust takes each token once. */
  readonly use: string | null
}

/**
 * What a token proves, of those trusts that it could be meant for: all that take its word, signature, times and
 * claims looked at. Throws a KeywardError that says what is wrong.
 */
export async function verifyJwt(
  token: string,
  trusts: readonly Trusted<JwtTrust>[],
  { keys, now }: { readonly keys: IssuerKeys; readonly now: () => number },
): Promise<readonly ProvenJwt[]> {
  const { header, claims } = decode(token)
  if (!ALGORITHMS.includes(String(header.alg)))
    throw new KeywardError('jwt_invalid', 'It is signed with an algorithm that is not taken.')
  if (!TYPES.includes(header.typ)) throw new KeywardError('jwt_invalid', 'It is a token of another type.')
  const { iss, aud } = claims
  const ofIssuer = trusts.filter(({ record }) => record.issuer === iss)
  if (ofIssuer.length === 0) throw new KeywardError('issuer_unknown')
  const audience = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud
  const meant = ofIssuer.filter(({ record }) => record.audience === audience)
  if (meant.length === 0)
    throw new KeywardError(
      'jwt_audience',
      Array.isArray(aud) && aud.length > 1 ? 'It has several: each of them could use it here.' : undefined,
    )
  const signed: Trusted<JwtTrust>[] = []
  let fault: KeywardError | null = null
  for (const trust of meant) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- trusts of one issuer share its keys, which are asked for once
      await verifySignature(token, trust.record, header.kid ?? null, { keys, now })
      signed.push(trust)
    } catch (error) {
      if (!(error instanceof KeywardError)) throw error
      fault ??= error
    }
  }
  if (signed.length === 0) throw fault ?? new KeywardError('jwt_invalid')
  const proven = signed.filter(({ record }) =>
    Object.entries(record.claims).every(([path, pattern]) => {
      const value = claimAt(claims, path)
      return value !== null && fitsPattern(pattern, value, ':')
    }),
  )
  if (proven.length === 0) throw new KeywardError('jwt_foreign')
  return proven.map((trust) => ({ trust, subject: claims.sub ?? '', use: useOf(trust.record, claims) }))
}

function decode(token: string): {
  header: ReturnType<typeof decodeProtectedHeader>
  claims: ReturnType<typeof decodeJwt>
} {
  if (token.length > JWT_MAXIMUM_CHARACTERS || !/^[\w-]+\.[\w-]+\.[\w-]*$/.test(token))
    throw new KeywardError('jwt_invalid', 'It is not a signed token.')
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) }
  } catch {
    throw new KeywardError('jwt_invalid', 'It is not a signed token.')
  }
}

async function verifySignature(
  token: string,
  trust: JwtTrust,
  keyId: string | null,
  { keys, now }: { readonly keys: IssuerKeys; readonly now: () => number },
): Promise<void> {
  const known = await keys.of(trust, keyId)
  const time = now()
  try {
    const { payload } = await jwtVerify(
      token,
      createLocalJWKSet({ keys: known.map((key) => ({ ...key, kty: String(key['kty']) })) }),
      {
        algorithms: ALGORITHMS,
        issuer: trust.issuer,
        audience: trust.audience,
        clockTolerance: JWT_SKEW_SECONDS,
        currentDate: new Date(time),
        requiredClaims: ['iss', 'aud', 'sub', 'exp', 'iat'],
      },
    )
    // The library looks at `iat` only where it is told an age.
    if ((payload.iat ?? Infinity) > time / 1000 + JWT_SKEW_SECONDS) throw new KeywardError('jwt_early')
  } catch (error) {
    throw faultOf(error)
  }
}

function faultOf(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) return new KeywardError('jwt_expired')
  if (error instanceof errors.JWTClaimValidationFailed) {
    const early = error.claim === 'nbf' && error.reason === 'check_failed'
    return early ? new KeywardError('jwt_early') : new KeywardError('jwt_invalid', 'A claim is missing or malformed.')
  }
  if (error instanceof errors.JOSEError)
    return new KeywardError('jwt_invalid', 'Its signature does not verify with the keys of its issuer.')
  // Keys that cannot be one are told of by the platform, and not by the library.
  return error instanceof KeywardError ? error : new KeywardError('jwt_invalid', 'It cannot be verified.')
}

function useOf({ oneUse }: JwtTrust, { jti, exp = Infinity, iat = 0 }: ReturnType<typeof decodeJwt>): string | null {
  if (!oneUse) return null
  if (typeof jti !== 'string' || jti === '' || jti.length > 1_024)
    throw new KeywardError('jwt_invalid', 'It has no id of its own (jti), by which it could be taken once.')
  if (exp - iat > ONE_USE_JWT_SECONDS)
    throw new KeywardError('jwt_invalid', 'It is good for longer than an hour, too long to be taken once.')
  return jti
}
