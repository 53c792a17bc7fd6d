import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { KeywardError } from '../core/errors.ts'
import type { Resolve } from '../gateway/egress.ts'
import { createFetchJson } from '../gateway/fetch-json.ts'
import { createIssuerKeys } from '../identity/issuer-keys.ts'
import { createLogins } from '../identity/logins.ts'
import { createPeople } from '../identity/people.ts'
import type { PersonOidc, PersonProvider } from '../identity/person-oidc.ts'
import type { Records } from '../vault/records.ts'

/** As the settings name the provider. */
export interface ProviderSettings {
  readonly oidcIssuer: string | null
  readonly oidcClientId: string | null
  readonly oidcClaim: string
  /** A PEM file. */
  readonly oidcAuthorityFile: string | null
}

/** The people of a home, and everything by which they log in. Throws `config_invalid`. */
export function createPersons(parts: {
  readonly records: Records
  /** HMAC-SHA256 key of logins. */
  readonly key: KeyObject
  readonly settings: ProviderSettings
  readonly resolve: Resolve
  readonly randomBytes: (size: number) => Buffer
  readonly now: () => number
  readonly newId: () => string
  /** How the journal names the owner of the home. */
  readonly ownerName: string
}) {
  const { settings, resolve, randomBytes, now } = parts
  const people = createPeople(parts)
  const provider = providerOf(settings)
  let loading: Promise<PersonOidc> | null = null
  /** Its library is loaded when the first person comes that way, and not at every start. */
  async function oidc(): Promise<PersonOidc> {
    if (provider === null) throw new KeywardError('oidc_missing')
    const fetchJson = createFetchJson(resolve)
    loading ??= import('../identity/person-oidc.ts').then(({ createPersonOidc }) =>
      createPersonOidc({
        provider,
        people,
        keys: createIssuerKeys({ fetchJson, now }),
        fetchJson,
        randomBytes,
        now,
      }),
    )
    return loading
  }
  const personOidc: PersonOidc = {
    begin: async () => (await oidc()).begin(),
    prove: async (idToken) => (await oidc()).prove(idToken),
  }
  return { people, logins: createLogins(parts), personOidc, ownerName: parts.ownerName }
}

function providerOf({
  oidcIssuer,
  oidcClientId,
  oidcClaim,
  oidcAuthorityFile,
}: ProviderSettings): PersonProvider | null {
  if (oidcIssuer === null || oidcClientId === null) return null
  return {
    issuer: oidcIssuer,
    clientId: oidcClientId,
    claim: oidcClaim,
    authority: oidcAuthorityFile === null ? null : readAuthority(oidcAuthorityFile),
  }
}

function readAuthority(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new KeywardError('config_invalid', `${path} cannot be read.`, { cause: error })
  }
}
