import { createHash } from 'node:crypto'
import { decodeJwt } from 'jose'
import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { JwtTrust } from '../core/records.ts'
import { checkUrl } from './issuer-keys.ts'
import type { FetchJson, IssuerKeys } from './issuer-keys.ts'
import { verifyJwt } from './jwt.ts'
import type { People } from './people.ts'

/** How long a person may take between asking to log in and coming back from the provider. */
export const OIDC_LOGIN_MILLISECONDS = 10 * 60_000
/** Logins under way at a time; the oldest is forgotten first. */
export const OIDC_LOGINS_MAXIMUM = 1_000

/** The OpenID provider that knows the people of this server. */
export interface PersonProvider {
  readonly issuer: string
  /** A public client (RFC 8252): what runs on people's machines keeps no secret. */
  readonly clientId: string
  /** The claim that is a person's name here; of `email`, one that the provider has verified. */
  readonly claim: string
  /** PEM text of the authorities of its certificate; null: the usual ones. */
  readonly authority: string | null
}

/** What a client needs to send the person to the provider, and to fetch the token. */
export interface OidcBeginning {
  readonly issuer: string
  readonly clientId: string
  readonly scope: string
  /** Ties the token to this very login. */
  readonly nonce: string
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly expiresAt: number
}

export interface PersonOidc {
  /** Throws `issuer_unreachable`, and `oidc_missing` where no provider is set. */
  begin(): Promise<OidcBeginning>
  /**
   * The person whom an ID token proves (OpenID Connect Core 1.0, section 3.1.3.7), which is good once, for a login that
   * was begun here. Throws `login_invalid`, and what is wrong with the token (`jwt_…`, `issuer_unreachable`).
   */
  prove(idToken: string): Promise<{ readonly personId: string }>
}

const configuration = z.looseObject({
  issuer: z.string(),
  authorization_endpoint: z.string(),
  token_endpoint: z.string(),
  code_challenge_methods_supported: z.array(z.string()).optional(),
})

export function createPersonOidc(parts: {
  readonly provider: PersonProvider
  readonly people: Pick<People, 'find' | 'meet'>
  readonly keys: IssuerKeys
  readonly fetchJson: FetchJson
  readonly randomBytes: (size: number) => Buffer
  readonly now: () => number
}): PersonOidc {
  const { provider, people, keys, fetchJson, randomBytes, now } = parts
  /** By the hash of their nonce. */
  const begun = new Map<string, number>()

  return {
    async begin() {
      const { issuer, clientId, authority } = provider
      const where = { privateNetwork: true, authority }
      const url = checkUrl(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
      const read = configuration.safeParse(await fetchJson(url, where))
      if (!read.success || read.data.issuer !== issuer)
        throw new KeywardError('issuer_unreachable', 'Its configuration is not that of this issuer.')
      const { authorization_endpoint, token_endpoint, code_challenge_methods_supported: methods } = read.data
      if (methods !== undefined && !methods.includes('S256'))
        throw new KeywardError('issuer_unreachable', 'It does not know PKCE with S256.')
      const nonce = randomBytes(32).toString('base64url')
      const expiresAt = now() + OIDC_LOGIN_MILLISECONDS
      const [oldest] = begun.keys()
      if (begun.size >= OIDC_LOGINS_MAXIMUM && oldest !== undefined) begun.delete(oldest)
      begun.set(hashOf(nonce), expiresAt)
      return {
        issuer,
        clientId,
        scope: 'openid email profile',
        nonce,
        authorizationEndpoint: checkUrl(authorization_endpoint),
        tokenEndpoint: checkUrl(token_endpoint),
        expiresAt,
      }
    },

    async prove(idToken) {
      const { issuer, clientId, claim, authority } = provider
      await verifyJwt(idToken, [{ id: 'people', record: trustIn({ issuer, clientId, authority }, now()) }], {
        keys,
        now,
      })
      const claims = decodeJwt(idToken)
      if (claims['azp'] !== undefined && claims['azp'] !== clientId)
        throw new KeywardError('login_invalid', 'The token was made for another client.')
      const nonce = typeof claims['nonce'] === 'string' ? hashOf(claims['nonce']) : ''
      const expiresAt = begun.get(nonce)
      // Gone before anything is waited for: a token that is shown twice comes too late the second time.
      begun.delete(nonce)
      if (expiresAt === undefined || expiresAt <= now())
        throw new KeywardError('login_invalid', 'This login was not begun here, or too long ago.')
      const name = claims[claim]
      if (typeof name !== 'string' || name === '')
        throw new KeywardError('login_invalid', `The provider does not tell ${claim}.`)
      if (claim === 'email' && claims['email_verified'] !== true)
        throw new KeywardError('login_invalid', 'The provider has not verified the mail address.')
      const person = people.find(name)
      if (person === undefined) throw new KeywardError('login_invalid', 'No person of this server has that name.')
      await people.meet(person.id, { issuer, subject: claims.sub ?? '' })
      return { personId: person.id }
    },
  }
}

/** The word of the provider, in the form in which that of other issuers is taken. */
function trustIn({ issuer, clientId, authority }: Omit<PersonProvider, 'claim'>, createdAt: number): JwtTrust {
  return {
    kind: 'jwt',
    agentId: '',
    issuer,
    audience: clientId,
    keys: { kind: 'discovery' },
    claims: {},
    oneUse: false,
    privateNetwork: true,
    authority,
    createdAt,
  }
}

function hashOf(nonce: string): string {
  return createHash('sha256').update(nonce).digest('base64url')
}
