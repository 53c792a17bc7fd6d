import { z } from 'zod'
import { CONDITION_MAXIMUM_LENGTH } from '../core/condition-language.ts'
import { CLAIM_PATTERN_MAXIMUM_CHARACTERS } from '../core/claim-pattern.ts'
import { JWT_MAXIMUM_CHARACTERS, KEYS_MAXIMUM, PROOF_MAXIMUM_CHARACTERS } from '../identity/login-bounds.ts'
import { maximumEnrolmentSeconds, minimumEnrolmentSeconds } from '../identity/machine-logins.ts'
import { NARROWED_TOKEN_MAXIMUM_CHARACTERS } from '../core/narrowed-token.ts'
import { canonicalAddress } from '../identity/peer.ts'
import { maximumGroupsPerPerson, roles } from '../identity/people.ts'
import { maximumTtlSeconds, minimumTtlSeconds } from '../identity/session-state.ts'
import { maximumPolicyCharacters, maximumPolicyFiles } from '../identity/policy-files/documents.ts'
import { eventKinds } from '../journal/event.ts'
import type { RouteName } from './answers.ts'
import { page } from './paging.ts'

/**
 * What goes into the control API, route by route, checked strictly: an unknown member is an error. What comes
 * out is in `answers.ts`; server and client are typed by the two. Writes carry JSON; reads carry their input
 * in the query.
 */

/** Bounds on what a caller may send. */
export const MAX_BODY_BYTES = 1024 * 1024
/** Of the routes of policy files, which take all files of a run at once. */
export const MAX_POLICY_BODY_BYTES = 8 * 1024 * 1024
export const MAX_FIELD_CHARACTERS = 65_536
export const MAX_FIELDS = 32
export const MAX_PASSPHRASE_CHARACTERS = 1024
export const MAX_PATTERNS = 256
export const MAX_SERVICE_YAML_CHARACTERS = 262_144
export const MAX_TOKEN_CHARACTERS = 256
export const MAX_JOURNAL_LINES = 10_000
export const MAX_BACKUP_NAMES = 4_096

const nameRule = 'must be 1 to 63 of a-z, 0-9, ".", "_" and "-", beginning and ending with a letter or digit'
const name = z.string().regex(/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, nameRule)
const id = z.string().regex(/^[a-z0-9]{1,64}$/, 'must be an id')
const fieldName = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, 'must be the name of a field')
const fields = z
  .record(fieldName, z.string().min(1, 'must not be empty').max(MAX_FIELD_CHARACTERS, 'is too long'))
  .refine((value) => Object.keys(value).length >= 1, 'must name at least one field')
  .refine((value) => Object.keys(value).length <= MAX_FIELDS, 'names too many fields')
const owner = z.string().min(1).max(254)
const role = z.enum(roles)
const groups = z.array(owner).min(1, 'must name a group; everything is written *').max(maximumGroupsPerPerson)
const pattern = z.string().min(1).max(512)
const condition = z
  .string()
  .refine((text) => text.trim() !== '', 'must say something')
  .max(CONDITION_MAXIMUM_LENGTH, `must have at most ${CONDITION_MAXIMUM_LENGTH} characters`)
const ttlSeconds = z.int().min(minimumTtlSeconds).max(maximumTtlSeconds)
const egress = z.enum(['open', 'deny'])
const binding = z.strictObject({
  processId: z
    .int()
    .min(1)
    .max(2 ** 31),
  startTicks: z.string().regex(/^[0-9]{1,20}$/, 'must be a count of ticks'),
})
const address = z.string().refine((text) => canonicalAddress(text) !== null, 'must be an IPv4 or IPv6 address')
const whole = (most: number) =>
  z
    .string()
    .regex(/^[0-9]{1,9}$/, 'must be a number')
    .transform(Number)
    .pipe(z.int().max(most))
const policyFiles = z
  .array(
    z.strictObject({
      path: z.string().min(1).max(4096),
      text: z.string().max(maximumPolicyCharacters),
      trust: z.record(z.string(), z.string().max(MAX_SERVICE_YAML_CHARACTERS)).exactOptional(),
    }),
  )
  .max(maximumPolicyFiles)
const passphrase = z.string().min(1).max(MAX_PASSPHRASE_CHARACTERS)
const nothing = z.strictObject({})
const machineProof = {
  enrolment: z.string().max(MAX_TOKEN_CHARACTERS).optional(),
  jwt: z.string().max(JWT_MAXIMUM_CHARACTERS).optional(),
  certificate: z.literal(true).optional(),
  /** A proof of the key that the session is, or shall be, bound to (RFC 9449). */
  dpop: z.string().max(PROOF_MAXIMUM_CHARACTERS).optional(),
}
const list = z.strictObject(page)
const inEnvironment = list.extend({ environment: name.optional() })

/** What each path parameter may be. */
export const parameters = { environment: name, name, id, service: name } as const

export const inputs = {
  'GET /status': nothing,
  'GET /nodes': list,
  'DELETE /nodes/:name': nothing,
  'GET /vault': nothing,
  'POST /vault/slots': z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('recovery') }),
    z.strictObject({ kind: z.literal('passphrase'), passphrase }),
  ]),
  'DELETE /vault/slots/:id': nothing,
  /** `passphrase`: the new one, where the root key is one that somebody types. */
  'POST /vault/root-rotations': z.strictObject({ passphrase: passphrase.optional() }),
  'POST /vault/term-rotations': nothing,
  'GET /environments': list,
  'GET /services': list,
  'GET /services/:service': nothing,
  'POST /services': z.strictObject({
    /** The YAML text of the service. */
    definition: z.string().min(1).max(MAX_SERVICE_YAML_CHARACTERS),
    /** PEM text of the file that the definition names as `trust`. */
    trust: z.string().max(MAX_SERVICE_YAML_CHARACTERS).optional(),
  }),
  'DELETE /services/:service': nothing,
  'GET /credentials': inEnvironment,
  'GET /environments/:environment/credentials/:name': nothing,
  'POST /environments/:environment/credentials': z.strictObject({
    name,
    service: name,
    fields,
    owner: owner.optional(),
    sensitivity: z.enum(['high', 'medium', 'low']).optional(),
  }),
  'PUT /environments/:environment/credentials/:name': z.strictObject({ fields }),
  'POST /environments/:environment/credentials/:name/reveal': z.strictObject({
    field: fieldName.optional(),
    /** The credential's name once more, as the person typed it. */
    confirmation: z.string().max(64),
  }),
  'POST /environments/:environment/credentials/:name/suspend': nothing,
  'POST /environments/:environment/credentials/:name/resume': nothing,
  'DELETE /environments/:environment/credentials/:name': z.strictObject({ cascade: z.boolean().optional() }),
  'GET /agents': inEnvironment,
  'GET /environments/:environment/agents/:name': nothing,
  'POST /environments/:environment/agents': z.strictObject({ name, owner: owner.optional() }),
  'POST /environments/:environment/agents/:name/suspend': nothing,
  'POST /environments/:environment/agents/:name/resume': nothing,
  'DELETE /environments/:environment/agents/:name': nothing,
  'GET /grants': inEnvironment.extend({ agent: name.optional(), credential: name.optional() }),
  'POST /environments/:environment/grants': z.strictObject({
    agent: name,
    credential: name,
    allow: z.array(pattern).min(1, 'must name an operation; everything is written *').max(MAX_PATTERNS),
    deny: z.array(pattern).max(MAX_PATTERNS).optional(),
    rate: z
      .strictObject({ count: z.int().min(1).max(1_000_000_000), perSeconds: z.int().min(1).max(31_536_000) })
      .optional(),
    concurrent: z.int().min(1).max(1_000_000).optional(),
    when: condition.optional(),
    approve: z.enum(['never', 'destructive', 'always']).optional(),
    expiresInSeconds: z
      .int()
      .min(1)
      .max(10 * 31_536_000)
      .optional(),
  }),
  'GET /grants/:id': nothing,
  'DELETE /grants/:id': nothing,
  'GET /approvals': inEnvironment,
  'GET /approvals/:id': nothing,
  'POST /approvals/:id/accept': nothing,
  'POST /approvals/:id/refuse': nothing,
  /** Everything that policy files can describe, as YAML. */
  'GET /policy': nothing,
  'POST /policy/plan': z.strictObject({ files: policyFiles, prune: z.boolean() }),
  'POST /policy': z.strictObject({
    files: policyFiles,
    prune: z.boolean(),
    /** Of the plan that was shown. */
    digest: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be the digest of a plan'),
    /** `environment/name` of a credential to its fields. */
    values: z.record(z.string().max(256), fields),
  }),
  /** What a machine brings to log in by itself: one of enrolment, jwt and certificate (that of its connection). */
  'POST /machine/logins': z.strictObject({
    ...machineProof,
    /** Where the proof is good for several. */
    agent: z.strictObject({ name, environment: name }).optional(),
    ttlSeconds: ttlSeconds.optional(),
    egress: egress.optional(),
  }),
  'POST /machine/renewals': z.strictObject({
    ...machineProof,
    /** Of the session, whose text stays. */
    token: z.string().max(MAX_TOKEN_CHARACTERS),
    ttlSeconds: ttlSeconds.optional(),
  }),
  'POST /machine/logouts': z.strictObject({
    /** Of a session, or of a narrowing of one. */
    token: z.string().max(NARROWED_TOKEN_MAXIMUM_CHARACTERS),
    dpop: z.string().max(PROOF_MAXIMUM_CHARACTERS).optional(),
  }),
  'GET /environments/:environment/agents/:name/logins': nothing,
  'POST /environments/:environment/agents/:name/enrolments': z.strictObject({
    ttlSeconds: z.int().min(minimumEnrolmentSeconds).max(maximumEnrolmentSeconds).optional(),
  }),
  'POST /environments/:environment/agents/:name/trusts': z.union([
    z.strictObject({
      issuer: z.string().min(1).max(512),
      audience: z.string().min(1).max(512),
      /** Path of a claim to what it must be; `*` is any run of characters without `:`. */
      claims: z.record(z.string().min(1).max(CLAIM_PATTERN_MAXIMUM_CHARACTERS), z.string()),
      /** Where its keys are; its own configuration says so unless this or `keys` is given. */
      jwksUrl: z.string().max(1024).optional(),
      /** Public keys as JWK. */
      keys: z.array(z.record(z.string(), z.unknown())).max(KEYS_MAXIMUM).optional(),
      oneUse: z.boolean().optional(),
      privateNetwork: z.boolean().optional(),
      /** PEM text of the authorities of its certificate. */
      authority: z.string().max(MAX_SERVICE_YAML_CHARACTERS).optional(),
    }),
    z.strictObject({ spiffe: z.string().min(1).max(512) }),
  ]),
  'DELETE /enrolments/:id': nothing,
  'DELETE /trusts/:id': nothing,
  'GET /sessions': inEnvironment.extend({ agent: name.optional() }),
  'GET /sessions/:id': nothing,
  'POST /environments/:environment/sessions': z.strictObject({
    agent: name,
    ttlSeconds: ttlSeconds.optional(),
    egress: egress.optional(),
    process: binding.optional(),
    /** The one address from which it may call. */
    address: address.optional(),
  }),
  'POST /sessions/:id/extend': z.strictObject({ ttlSeconds }),
  'POST /sessions/:id/suspend': nothing,
  'POST /sessions/:id/resume': nothing,
  'DELETE /sessions/:id': nothing,
  'POST /environments/:environment/runs': z.strictObject({
    agent: name,
    /** Id of the program's agent profile, for the journal. */
    program: name.optional(),
    contain: z.enum(['files', 'full', 'none']),
    egress: egress.optional(),
    process: binding.optional(),
    ttlSeconds: ttlSeconds.optional(),
  }),
  /** Which of these texts hold a secret of the vault. */
  'POST /occurrences': z.strictObject({
    texts: z.array(z.string().max(MAX_BODY_BYTES)).max(4096),
    environment: name.optional(),
  }),
  'GET /journal': z.strictObject({
    last: whole(MAX_JOURNAL_LINES).optional(),
    follow: z.enum(['yes', 'no']).optional(),
    kind: z.enum(eventKinds).optional(),
    /** `newest` searches backwards from the end; otherwise the last entries come, oldest first. */
    order: z.literal('newest').optional(),
    text: z.string().min(1).max(256).optional(),
  }),
  'GET /journal/verification': nothing,
  'GET /journal/witness': nothing,
  /** `before`: milliseconds since the Unix epoch. */
  'POST /journal/prunes': z.strictObject({ before: z.int().min(0) }),
  'POST /backups': z.strictObject({
    /** With the journals of this home. */
    journal: z.boolean(),
  }),
  'POST /backups/:id/file': z.strictObject({
    sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256'),
    bytes: z.int().min(1),
  }),
  'POST /backups/names': z.strictObject({ names: z.array(z.string().max(255)).max(MAX_BACKUP_NAMES) }),
  'GET /me': nothing,
  'POST /logins': z.strictObject({ code: z.string().min(1).max(256) }),
  'POST /logins/oidc/begin': nothing,
  'POST /logins/oidc': z.strictObject({ idToken: z.string().min(1).max(JWT_MAXIMUM_CHARACTERS) }),
  'GET /logins': list,
  'DELETE /logins/:id': nothing,
  'DELETE /me/login': nothing,
  /** `person`: a name; without it the code is the owner's own. */
  'POST /login-codes': z.strictObject({ person: owner.optional() }),
  'GET /people': list,
  'POST /people': z.strictObject({ name: owner, role, groups }),
  'PUT /people/:id': z.strictObject({ role, groups }),
  'DELETE /people/:id': nothing,
  'POST /shutdown': nothing,
} as const satisfies { readonly [R in RouteName]: z.ZodType }

type Inputs = typeof inputs
export type InputSent<R extends RouteName> = z.input<Inputs[R]>
export type InputRead<R extends RouteName> = z.output<Inputs[R]>
type ParametersIn<P extends string> = P extends `${string}:${infer Name}/${infer Rest}`
  ? Name | ParametersIn<Rest>
  : P extends `${string}:${infer Name}`
    ? Name
    : never
export type PathOf<R extends RouteName> = Readonly<Record<ParametersIn<R>, string>>
