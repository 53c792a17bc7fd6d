import { z } from 'zod'
import type { SessionBinding } from '../core/records.ts'
import { canonicalAddress } from '../identity/peer.ts'
import { maximumTtlSeconds, minimumTtlSeconds } from '../identity/session-state.ts'
import type { Difference } from '../identity/policy-files/plan.ts'
import { maximumPolicyCharacters, maximumPolicyFiles } from '../identity/policy-files/documents.ts'
import type { PolicyProblem } from '../identity/policy-files/read.ts'
import type { JournalEntry } from '../journal/entry.ts'
import type { JournalReport } from '../journal/verify.ts'
import type { FieldKind, Operation, Speech } from '../services/service.ts'

/**
 * The control API, route by route: what goes in (`inputs`, checked strictly: an unknown member is an
 * error) and what comes out (`Answers`). Times are milliseconds since the Unix epoch. Writes carry
 * JSON; reads carry their input in the query. Server and client are typed by this file.
 */

/** Bounds on what a caller may send. */
export const MAX_BODY_BYTES = 1024 * 1024
/** Of the routes of policy files, which take all files of a run at once. */
export const MAX_POLICY_BODY_BYTES = 8 * 1024 * 1024
export const MAX_FIELD_CHARACTERS = 65_536
export const MAX_FIELDS = 32
export const MAX_PATTERNS = 256
export const MAX_SERVICE_YAML_CHARACTERS = 262_144
export const MAX_JOURNAL_LINES = 10_000

const nameRule = 'must be 1 to 63 of a-z, 0-9, ".", "_" and "-", beginning and ending with a letter or digit'
const name = z.string().regex(/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, nameRule)
const id = z.string().regex(/^[a-z0-9]{1,64}$/, 'must be an id')
const fieldName = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, 'must be the name of a field')
const fields = z
  .record(fieldName, z.string().min(1, 'must not be empty').max(MAX_FIELD_CHARACTERS, 'is too long'))
  .refine((value) => Object.keys(value).length >= 1, 'must name at least one field')
  .refine((value) => Object.keys(value).length <= MAX_FIELDS, 'names too many fields')
const owner = z.string().min(1).max(254)
const pattern = z.string().min(1).max(512)
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
const nothing = z.strictObject({})
const inEnvironment = z.strictObject({ environment: name.optional() })

/** What each path parameter may be. */
export const parameters = { environment: name, name, id, service: name } as const

export const inputs = {
  'GET /status': nothing,
  'GET /environments': nothing,
  'GET /services': nothing,
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
  'GET /grants': z.strictObject({ environment: name.optional(), agent: name.optional(), credential: name.optional() }),
  'POST /environments/:environment/grants': z.strictObject({
    agent: name,
    credential: name,
    allow: z.array(pattern).min(1, 'must name an operation; everything is written *').max(MAX_PATTERNS),
    deny: z.array(pattern).max(MAX_PATTERNS).optional(),
    rate: z
      .strictObject({ count: z.int().min(1).max(1_000_000_000), perSeconds: z.int().min(1).max(31_536_000) })
      .optional(),
    concurrent: z.int().min(1).max(1_000_000).optional(),
    expiresInSeconds: z
      .int()
      .min(1)
      .max(10 * 31_536_000)
      .optional(),
  }),
  'GET /grants/:id': nothing,
  'DELETE /grants/:id': nothing,
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
  'GET /sessions': z.strictObject({ environment: name.optional(), agent: name.optional() }),
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
    kind: z
      .enum(['intent', 'outcome', 'refusal', 'control', 'applied', 'egress', 'start', 'stop', 'finding'])
      .optional(),
    /** `newest` searches backwards from the end; otherwise the last entries come, oldest first. */
    order: z.literal('newest').optional(),
    text: z.string().min(1).max(256).optional(),
  }),
  'GET /journal/verification': nothing,
  'POST /shutdown': nothing,
} as const satisfies { readonly [R in RouteName]: z.ZodType }

export interface StatusView {
  readonly version: string
  readonly processId: number
  readonly home: string
  readonly gateway: string
  readonly startedAt: number
  readonly ephemeral: boolean
  readonly journalEntries: number
  readonly environments: readonly EnvironmentView[]
}

export interface EnvironmentView {
  readonly name: string
  readonly egress: 'open' | 'deny'
  readonly credentials: number
  readonly agents: number
  readonly sessions: number
}

export interface ServiceView {
  readonly id: string
  readonly name: string
  readonly hosts: readonly string[]
  readonly endpoint: string | null
  readonly fields: Readonly<Record<string, FieldKind>>
  /** Each place of injection in words: `header x-api-key`. */
  readonly inject: readonly string[]
  readonly variables: {
    readonly fields: Readonly<Record<string, readonly string[]>>
    readonly baseUrl: readonly string[]
    readonly basePath: string
  }
  readonly operations: readonly Operation[]
  /** Where requests are judged by what their bodies ask for. */
  readonly speaks: readonly Speech[]
  readonly detector: string | null
  readonly checked: 'sdk' | 'documented'
  readonly source: string
  /** Whether the operator brought it, rather than Keyward. */
  readonly own: boolean
}

export interface CredentialView {
  readonly id: string
  readonly name: string
  readonly environment: string
  readonly service: string
  readonly owner: string | null
  readonly sensitivity: 'high' | 'medium' | 'low'
  readonly state: 'active' | 'suspended'
  readonly version: number | null
  readonly publicFields: Readonly<Record<string, string>>
  readonly createdAt: number
}

export interface AgentView {
  readonly id: string
  readonly name: string
  readonly environment: string
  readonly owner: string | null
  readonly state: 'active' | 'suspended'
  readonly createdAt: number
}

export interface GrantView {
  readonly id: string
  readonly environment: string
  readonly agent: string
  readonly credential: string
  readonly allow: readonly string[]
  readonly deny: readonly string[]
  readonly rate: { readonly count: number; readonly perSeconds: number } | null
  readonly concurrent: number | null
  readonly expiresAt: number | null
  readonly createdAt: number
}

export interface PlanView {
  readonly digest: string
  readonly steps: readonly {
    readonly action: 'create' | 'change' | 'remove'
    readonly kind: string
    /** `prod`, `dev/triage`; of a grant `environment/agent/credential`. */
    readonly name: string
    readonly differences: readonly Difference[]
    readonly place: PolicyProblem['place']
  }[]
  readonly unchanged: number
  /** Credentials in the files that will still have no value. */
  readonly pending: readonly string[]
  readonly problems: readonly (PolicyProblem & { readonly title: string; readonly next: string })[]
}

export interface SessionView {
  readonly id: string
  readonly agent: string
  readonly environment: string
  readonly state: 'active' | 'suspended' | 'revoked' | 'expired'
  readonly egress: 'open' | 'deny'
  readonly binding: SessionBinding
  readonly placeholders: number
  readonly createdAt: number
  readonly expiresAt: number
}

/** A session as its holder receives it, once: token and placeholders are not kept anywhere. */
export interface IssuedView {
  readonly id: string
  readonly agent: string
  readonly environment: string
  readonly egress: 'open' | 'deny'
  readonly token: string
  readonly expiresAt: number
  readonly ttlSeconds: number
  readonly credentials: readonly HeldView[]
  readonly gateway: { readonly address: string; readonly socket: string | null }
  /** PEM text. */
  readonly caCertificate: string
}

/** One credential in a session: what stands for its fields, and under which names. */
export interface HeldView {
  readonly name: string
  readonly service: string
  readonly fields: readonly {
    readonly field: string
    readonly kind: FieldKind
    readonly text: string
    readonly variables: readonly string[]
  }[]
  readonly hosts: readonly string[]
  readonly baseUrl: { readonly url: string; readonly variables: readonly string[] }
}

interface Done {
  readonly done: true
}

interface Made {
  readonly id: string
}

export interface Answers {
  'GET /status': StatusView
  'GET /environments': readonly EnvironmentView[]
  'GET /services': readonly ServiceView[]
  'GET /services/:service': ServiceView
  'POST /services': ServiceView
  'DELETE /services/:service': Done
  'GET /credentials': readonly CredentialView[]
  'GET /environments/:environment/credentials/:name': CredentialView
  'POST /environments/:environment/credentials': Made
  'PUT /environments/:environment/credentials/:name': { readonly version: number }
  'POST /environments/:environment/credentials/:name/reveal': { readonly field: string; readonly value: string }
  'POST /environments/:environment/credentials/:name/suspend': Done
  'POST /environments/:environment/credentials/:name/resume': Done
  'DELETE /environments/:environment/credentials/:name': Done
  'GET /agents': readonly AgentView[]
  'GET /environments/:environment/agents/:name': AgentView
  'POST /environments/:environment/agents': Made
  'POST /environments/:environment/agents/:name/suspend': Done
  'POST /environments/:environment/agents/:name/resume': Done
  'DELETE /environments/:environment/agents/:name': Done
  'GET /grants': readonly GrantView[]
  'GET /grants/:id': GrantView
  'POST /environments/:environment/grants': Made
  'DELETE /grants/:id': Done
  'GET /policy': { readonly text: string }
  'POST /policy/plan': PlanView
  'POST /policy': PlanView
  'GET /sessions': readonly SessionView[]
  'POST /environments/:environment/sessions': IssuedView
  'POST /sessions/:id/extend': Done
  'POST /sessions/:id/suspend': Done
  'POST /sessions/:id/resume': Done
  'DELETE /sessions/:id': Done
  'POST /environments/:environment/runs': IssuedView
  /** Whether each text holds a secret of the vault; `holders`: the credential of the environment named whose secret it is. */
  'POST /occurrences': { readonly found: readonly boolean[]; readonly holders: readonly (string | null)[] }
  /** A stream of JSON lines, one entry each. */
  'GET /journal': JournalEntry
  'GET /journal/verification': JournalReport
  'POST /shutdown': Done
}

export type RouteName = keyof Answers
type Inputs = typeof inputs
export type InputSent<R extends RouteName> = z.input<Inputs[R]>
export type InputRead<R extends RouteName> = z.output<Inputs[R]>
type ParametersIn<P extends string> = P extends `${string}:${infer Name}/${infer Rest}`
  ? Name | ParametersIn<Rest>
  : P extends `${string}:${infer Name}`
    ? Name
    : never
export type PathOf<R extends RouteName> = Readonly<Record<ParametersIn<R>, string>>
