import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { JwtTrust } from '../core/records.ts'
import { KEYS_MAXIMUM } from './login-bounds.ts'

/** How long keys are used without being asked for again. */
export const KEYS_FRESH_MILLISECONDS = 10 * 60_000
/** How long they are used while the issuer cannot be reached. */
export const KEYS_STALE_MILLISECONDS = 60 * 60_000
/** How often an issuer is asked at most, whatever unknown keys are named to us. */
export const KEYS_ASKED_MILLISECONDS = 30_000
/** Issuers whose keys are remembered. */
export const KEY_SETS_MAXIMUM = 100

export type PublicJwk = Readonly<Record<string, unknown>>

/** Gets a JSON document over a connection that is guarded and bounded. Throws KeywardError `issuer_unreachable`. */
export type FetchJson = (
  url: string,
  where: { readonly privateNetwork: boolean; readonly authority: string | null },
) => Promise<unknown>

export interface IssuerKeys {
  /** The keys of the issuer that this trust names, asked for anew where `keyId` is not among them. Throws `issuer_unreachable`. */
  of(trust: JwtTrust, keyId: string | null): Promise<readonly PublicJwk[]>
}

interface KeySet {
  keys: readonly PublicJwk[]
  fetchedAt: number
  askedAt: number
  asking: Promise<void> | null
}

const configuration = z.looseObject({ issuer: z.string(), jwks_uri: z.string() })
const keySet = z.looseObject({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string().optional() })) })

export function createIssuerKeys({ fetchJson, now }: { fetchJson: FetchJson; now: () => number }): IssuerKeys {
  const known = new Map<string, KeySet>()

  async function fetchKeys(trust: JwtTrust): Promise<readonly PublicJwk[]> {
    const where = { privateNetwork: trust.privateNetwork, authority: trust.authority }
    const url = trust.keys.kind === 'url' ? trust.keys.url : await discovered(trust, where)
    return readKeySet(await fetchJson(checkUrl(url), where))
  }

  /** OpenID Connect Discovery 1.0, section 4: the document must name the very issuer that it was asked of. */
  async function discovered(trust: JwtTrust, where: Parameters<FetchJson>[1]): Promise<string> {
    const base = trust.issuer.replace(/\/$/, '')
    const read = configuration.safeParse(await fetchJson(checkUrl(`${base}/.well-known/openid-configuration`), where))
    if (!read.success || read.data.issuer !== trust.issuer)
      throw new KeywardError('issuer_unreachable', 'Its configuration is not that of this issuer.')
    return read.data.jwks_uri
  }

  function setOf(trust: JwtTrust): KeySet {
    const name = JSON.stringify([trust.issuer, trust.keys, trust.privateNetwork, trust.authority])
    const found = known.get(name)
    if (found !== undefined) return found
    if (known.size >= KEY_SETS_MAXIMUM)
      for (const oldest of known.keys()) {
        known.delete(oldest)
        break
      }
    const made: KeySet = { keys: [], fetchedAt: -Infinity, askedAt: -Infinity, asking: null }
    known.set(name, made)
    return made
  }

  async function ask(set: KeySet, trust: JwtTrust): Promise<void> {
    set.askedAt = now()
    set.asking = fetchKeys(trust)
      .then((keys) => {
        set.keys = keys
        set.fetchedAt = now()
      })
      .finally(() => (set.asking = null))
    await set.asking
  }

  return {
    async of(trust, keyId) {
      if (trust.keys.kind === 'fixed') return trust.keys.keys
      const set = setOf(trust)
      const hasKey = (): boolean => set.keys.length > 0 && (keyId === null || set.keys.some(({ kid }) => kid === keyId))
      const age = now() - set.fetchedAt
      if (hasKey() && age >= 0 && age < KEYS_FRESH_MILLISECONDS) return set.keys
      const sinceAsked = now() - set.askedAt
      try {
        if (set.asking !== null) await set.asking
        else if (sinceAsked < 0 || sinceAsked >= KEYS_ASKED_MILLISECONDS) await ask(set, trust)
      } catch (error) {
        if (!(error instanceof KeywardError)) throw error
      }
      if (now() - set.fetchedAt > KEYS_STALE_MILLISECONDS) throw new KeywardError('issuer_unreachable')
      return set.keys
    },
  }
}

/** Public keys for signatures alone: a shared secret among them would let whoever reads it sign. */
export function readKeySet(document: unknown): readonly PublicJwk[] {
  const read = keySet.safeParse(document)
  if (!read.success || read.data.keys.length > KEYS_MAXIMUM)
    throw new KeywardError('issuer_unreachable', `Its keys are not a set of at most ${KEYS_MAXIMUM}.`)
  return read.data.keys.filter(({ kty }) => kty === 'RSA' || kty === 'EC' || kty === 'OKP')
}

/** Throws KeywardError `issuer_unreachable`. https, or http to loopback. */
export function checkUrl(text: string): string {
  const url = URL.parse(text)
  const loopback = url !== null && /^(?:127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(url.hostname)
  if (url === null || !(url.protocol === 'https:' || (url.protocol === 'http:' && loopback)) || url.username !== '')
    throw new KeywardError('issuer_unreachable', 'Its address is not https.')
  return url.href
}
