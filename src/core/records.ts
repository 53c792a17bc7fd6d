/**
 * What Keyward keeps, table by table: the bodies of the rows. Times are milliseconds since the Unix
 * epoch. Names are unique within an environment. Nothing here is a secret: sealed bytes are base64.
 */
export interface Tables {
  readonly environment: EnvironmentRecord
  readonly service: ServiceRecord
  readonly credential: CredentialRecord
  readonly version: VersionRecord
  readonly agent: AgentRecord
  readonly grant: GrantRecord
  readonly session: SessionRecord
  readonly narrowing: NarrowingRecord
  readonly person: PersonRecord
  readonly login: LoginRecord
  readonly approval: ApprovalRecord
  readonly enrolment: EnrolmentRecord
  readonly trust: TrustRecord
  readonly slot: SlotRecord
  readonly term: TermRecord
  readonly setting: SettingRecord
}

export type TableName = keyof Tables

export interface EnvironmentRecord {
  readonly name: string
  /** Whether hosts that no service lists may be reached without any credential. */
  readonly egress: 'open' | 'deny'
  readonly createdAt: number
}

/** A service of the operator's own, as parsed from YAML: the `Service` row itself. */
export interface ServiceRecord {
  readonly definition: unknown
  readonly createdAt: number
}

export interface CredentialRecord {
  readonly name: string
  readonly environment: string
  readonly service: string
  readonly owner: string | null
  readonly sensitivity: 'high' | 'medium' | 'low'
  readonly state: 'active' | 'suspended'
  readonly createdAt: number
}

export interface VersionRecord {
  readonly credentialId: string
  /** 1, 2, 3 … within the credential. */
  readonly number: number
  readonly state: 'pending' | 'current' | 'retiring' | 'revoked'
  readonly publicFields: Readonly<Record<string, string>>
  /** Name of the secret field to its envelope. */
  readonly sealedFields: Readonly<Record<string, string>>
  /** The data key, wrapped by a keyring term. */
  readonly wrappedKey: string
  readonly term: string
  /** Name of the secret field to a keyed hash of its value, by which the same secret is found again without opening it. */
  readonly fingerprints: Readonly<Record<string, string>>
  readonly createdAt: number
}

export interface AgentRecord {
  readonly name: string
  readonly environment: string
  readonly owner: string | null
  readonly state: 'active' | 'suspended'
  readonly createdAt: number
}

/** Of which requests that a grant allows a person is asked first. */
export type Approve = 'never' | 'destructive' | 'always'

/** The canonical form of a grant: flags, YAML and API compile to it. */
export interface GrantRecord {
  readonly agentId: string
  readonly credentialId: string
  /** Never empty; everything is written `*`. */
  readonly allow: readonly string[]
  readonly deny: readonly string[]
  readonly limits: {
    readonly rate?: { readonly count: number; readonly perSeconds: number }
    readonly concurrent?: number
  }
  /** An expression in CEL without which nothing is allowed; absent: none. */
  readonly when?: string
  /** Absent: never. */
  readonly approve?: Exclude<Approve, 'never'>
  readonly expiresAt: number | null
  readonly createdAt: number
}

export interface SessionRecord {
  readonly agentId: string
  readonly environment: string
  /** Keyed hash of the `kws_…` token, base64url. */
  readonly tokenHash: string
  readonly placeholders: readonly PlaceholderRecord[]
  readonly egress: 'open' | 'deny'
  readonly binding: SessionBinding
  readonly state: 'active' | 'suspended' | 'revoked'
  readonly createdAt: number
  readonly expiresAt: number
  /** The thumbprint (RFC 7638) of the key that its holder has to prove with every use. Absent: none. */
  readonly jkt?: string
  /** Absent: somebody else logged it in. */
  readonly login?: SessionLogin
  /** The person who logged it in, as the journal names him. Absent: the owner of the home, or nobody. */
  readonly issuedBy?: string
  /** How its token can be made again, to verify what was narrowed from it. Absent: an earlier release drew it by chance. */
  readonly chain?: {
    /** Which of the tokens that could be drawn for this session it is, from 1. */
    readonly generation: number
    /** By what a narrowed token names it: 16 hexadecimal digits. */
    readonly locator: string
  }
}

/** How an agent logged in by itself. */
export type SessionLogin =
  | { readonly kind: 'enrolment'; readonly enrolment: string }
  | {
      readonly kind: 'jwt'
      readonly trust: string
      readonly subject: string
      /** Keyed hash of the token's own id, where it is good for one login. */
      readonly use?: string
    }
  | { readonly kind: 'certificate'; readonly trust: string; readonly subject: string }

/** A secret by which an agent logs in once. */
export interface EnrolmentRecord {
  readonly agentId: string
  /** Keyed hash of the `kwe_…` text, base64url. */
  readonly secretHash: string
  /** Null: not used yet. */
  readonly usedAt: number | null
  readonly createdAt: number
  readonly expiresAt: number
}

/** By whose word a machine is an agent. */
export type TrustRecord = JwtTrust | CertificateTrust

export interface JwtTrust {
  readonly kind: 'jwt'
  readonly agentId: string
  /** As tokens have it in `iss`. */
  readonly issuer: string
  readonly audience: string
  /** Where the issuer's keys are: where its own configuration says, at this address, or here (public keys as JWK). */
  readonly keys:
    | { readonly kind: 'discovery' }
    | { readonly kind: 'url'; readonly url: string }
    | { readonly kind: 'fixed'; readonly keys: readonly Readonly<Record<string, unknown>>[] }
  /** Path of a claim to what it must be; `*` is any run of characters without `:`. Never empty. */
  readonly claims: Readonly<Record<string, string>>
  /** A token is good for one login. */
  readonly oneUse: boolean
  /** Whether the issuer may have an address of a private network, and whose certificates are good there (PEM). */
  readonly privateNetwork: boolean
  readonly authority: string | null
  readonly createdAt: number
}

export interface CertificateTrust {
  readonly kind: 'certificate'
  readonly agentId: string
  /** A SPIFFE id; `*` is any run of characters without `/`. */
  readonly spiffe: string
  readonly createdAt: number
}

/** A narrowing of a session of which something has to be remembered; most have no record. The id is its own. */
export interface NarrowingRecord {
  readonly sessionId: string
  /** The caveats of its whole chain as their bytes, base64url; null: it was ended before it was ever shown. */
  readonly chain: string | null
  /** The ids of every beginning of the chain, its own last; where the chain is not known, its own alone. */
  readonly prefixes: readonly string[]
  readonly placeholders: readonly PlaceholderRecord[]
  /** Requests of it and of all that come from it, where it counts them. */
  readonly used: number
  readonly state: 'active' | 'revoked'
  readonly createdAt: number
}

export interface PlaceholderRecord {
  /** Keyed hash of the placeholder's text, base64url. */
  readonly hash: string
  readonly credentialId: string
  readonly field: string
  /** Fewer than 100 random bits: valid only where the session is proven otherwise. */
  readonly short: boolean
}

/** What the session is tied to; `unbound` is shown as such. */
export type SessionBinding =
  | { readonly kind: 'unbound' }
  /** `node`: on whose machine, where several nodes share a store. */
  | { readonly kind: 'process'; readonly processId: number; readonly startTicks: string; readonly node?: string }
  /** An IP address in its canonical spelling. */
  | { readonly kind: 'address'; readonly address: string }

/** What a person may do; each may do what those before it may. */
export type Role = 'viewer' | 'approver' | 'operator' | 'admin'

export interface PersonRecord {
  /** A mail address, as a rule; no two persons have the same. */
  readonly name: string
  readonly role: Role
  /** Whose agents and credentials the role is about: owners by their names; `*` is everything. */
  readonly groups: readonly string[]
  /** Who it was that the provider proved the first time; nobody else by the same name is this person. */
  readonly subject?: { readonly issuer: string; readonly subject: string }
  readonly createdAt: number
}

/** A person's short-lived login. */
export interface LoginRecord {
  /** null: the owner of the home. */
  readonly personId: string | null
  /** Keyed hash of the `kwl_…` token, base64url. */
  readonly tokenHash: string
  readonly how: 'link' | 'oidc'
  readonly createdAt: number
  readonly expiresAt: number
}

/** A question about a request that a node holds, for the other nodes of a shared store, and its answer. */
export interface ApprovalRecord {
  /** Who holds the request; nobody else acts on the answer. */
  readonly node: string
  readonly environment: string
  /** SHA-256 of the request and this approval's id, which is its nonce. */
  readonly hash: string
  /** What a person is shown, as one sealed field `facts`. */
  readonly sealed: Pick<VersionRecord, 'sealedFields' | 'wrappedKey' | 'term'>
  /** What the journal is told of the request beside the answer. */
  readonly journaled: Readonly<Record<string, string | number>>
  readonly askedAt: number
  /** Until when the request waits; after it the agent has to send it again. */
  readonly heldUntil: number
  readonly expiresAt: number
  readonly answer: { readonly answer: 'accept' | 'refuse'; readonly by: string } | null
}

/** One way in: the master key, wrapped by a root key. */
export interface SlotRecord {
  readonly kind: 'file' | 'passphrase' | 'keyring' | 'transit' | 'aws-kms' | 'recovery'
  readonly wrapped: string
  readonly argon2?: {
    readonly salt: string
    readonly memoryKiB: number
    readonly passes: number
    readonly parallelism: number
  }
  /** The slot's key, as the service that guards the root key encrypted it. */
  readonly ciphertext?: string
  /** Id of the slot in whose place it comes, until that one is gone. */
  readonly replaces?: string
  readonly createdAt: number
}

/** One key of the keyring, wrapped by the master key. */
export interface TermRecord {
  readonly purpose: 'seal' | 'token' | 'fingerprint' | 'journal' | 'ca'
  readonly wrapped: string
  readonly state: 'current' | 'retired'
  readonly createdAt: number
}

export interface SettingRecord {
  readonly value: unknown
}
