import { z } from 'zod'
import type { Json } from '../core/canonical-json.ts'
import type { TableName, Tables } from '../core/records.ts'
import { CIPHERTEXT_MAXIMUM_CHARACTERS } from './root-keys/wrapping.ts'

const time = z.int().min(0)
const name = z.string().min(1)
const environment = name
const activity = z.enum(['active', 'suspended'])
const texts = z.record(z.string(), z.string())
const placeholders = z.array(
  z.strictObject({ hash: z.string(), credentialId: name, field: z.string(), short: z.boolean() }),
)

/** What a row of each table must look like: read from the store, and before it is written there. */
export const recordSchemas: { readonly [T in TableName]: z.ZodType<Tables[T]> } = {
  environment: z.strictObject({ name, egress: z.enum(['open', 'deny']), createdAt: time }),
  service: z.strictObject({ definition: z.unknown(), createdAt: time }),
  credential: z.strictObject({
    name,
    environment,
    service: name,
    owner: z.string().nullable(),
    sensitivity: z.enum(['high', 'medium', 'low']),
    state: activity,
    createdAt: time,
  }),
  version: z.strictObject({
    credentialId: name,
    number: z.int().min(1),
    state: z.enum(['pending', 'current', 'retiring', 'revoked']),
    publicFields: texts,
    sealedFields: texts,
    wrappedKey: z.string(),
    term: name,
    fingerprints: texts,
    createdAt: time,
  }),
  agent: z.strictObject({ name, environment, owner: z.string().nullable(), state: activity, createdAt: time }),
  grant: z.strictObject({
    agentId: name,
    credentialId: name,
    allow: z.array(z.string()).min(1),
    deny: z.array(z.string()),
    limits: z.strictObject({
      rate: z.strictObject({ count: z.int().min(1), perSeconds: z.number().positive() }).exactOptional(),
      concurrent: z.int().min(1).exactOptional(),
    }),
    when: z.string().exactOptional(),
    approve: z.enum(['destructive', 'always']).exactOptional(),
    expiresAt: time.nullable(),
    createdAt: time,
  }),
  session: z.strictObject({
    agentId: name,
    environment,
    tokenHash: z.string(),
    placeholders,
    egress: z.enum(['open', 'deny']),
    binding: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('unbound') }),
      z.strictObject({
        kind: z.literal('process'),
        processId: z.int().min(1),
        startTicks: z.string(),
        node: z.string().exactOptional(),
      }),
      z.strictObject({ kind: z.literal('address'), address: z.string() }),
    ]),
    state: z.enum(['active', 'suspended', 'revoked']),
    createdAt: time,
    expiresAt: time,
    jkt: z.string().exactOptional(),
    login: z
      .discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('enrolment'), enrolment: name }),
        z.strictObject({ kind: z.literal('jwt'), trust: name, subject: z.string(), use: z.string().exactOptional() }),
        z.strictObject({ kind: z.literal('certificate'), trust: name, subject: z.string() }),
      ])
      .exactOptional(),
    issuedBy: name.exactOptional(),
    chain: z.strictObject({ generation: z.int().min(1), locator: z.string() }).exactOptional(),
  }),
  narrowing: z.strictObject({
    sessionId: name,
    chain: z.string().nullable(),
    prefixes: z.array(z.string()).min(1),
    placeholders,
    used: z.int().min(0),
    state: z.enum(['active', 'revoked']),
    createdAt: time,
  }),
  person: z.strictObject({
    name,
    role: z.enum(['viewer', 'approver', 'operator', 'admin']),
    groups: z.array(name).min(1),
    subject: z.strictObject({ issuer: name, subject: name }).exactOptional(),
    createdAt: time,
  }),
  login: z.strictObject({
    personId: name.nullable(),
    tokenHash: z.string(),
    how: z.enum(['link', 'oidc']),
    createdAt: time,
    expiresAt: time,
  }),
  approval: z.strictObject({
    node: name,
    environment,
    hash: z.string(),
    sealed: z.strictObject({ sealedFields: texts, wrappedKey: z.string(), term: name }),
    journaled: z.record(z.string(), z.union([z.string(), z.number()])),
    askedAt: time,
    heldUntil: time,
    expiresAt: time,
    answer: z.strictObject({ answer: z.enum(['accept', 'refuse']), by: z.string() }).nullable(),
  }),
  enrolment: z.strictObject({
    agentId: name,
    secretHash: z.string(),
    usedAt: time.nullable(),
    createdAt: time,
    expiresAt: time,
  }),
  trust: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('jwt'),
      agentId: name,
      issuer: name,
      audience: name,
      keys: z.discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('discovery') }),
        z.strictObject({ kind: z.literal('url'), url: z.string() }),
        z.strictObject({ kind: z.literal('fixed'), keys: z.array(z.record(z.string(), z.unknown())) }),
      ]),
      claims: texts,
      oneUse: z.boolean(),
      privateNetwork: z.boolean(),
      authority: z.string().nullable(),
      createdAt: time,
    }),
    z.strictObject({ kind: z.literal('certificate'), agentId: name, spiffe: name, createdAt: time }),
  ]),
  slot: z.strictObject({
    kind: z.enum(['file', 'passphrase', 'keyring', 'transit', 'aws-kms', 'recovery']),
    wrapped: z.string(),
    ciphertext: z.string().max(CIPHERTEXT_MAXIMUM_CHARACTERS).exactOptional(),
    replaces: z.string().max(256).exactOptional(),
    argon2: z
      .strictObject({
        salt: z.string(),
        memoryKiB: z.int().min(1),
        passes: z.int().min(1),
        parallelism: z.int().min(1),
      })
      .exactOptional(),
    createdAt: time,
  }),
  term: z.strictObject({
    purpose: z.enum(['seal', 'token', 'fingerprint', 'journal', 'ca']),
    wrapped: z.string(),
    state: z.enum(['current', 'retired']),
    createdAt: time,
  }),
  setting: z.strictObject({ value: z.unknown() }),
}

/** Every table's name, in alphabetical order. */
export const tableNames: readonly TableName[] = [
  'agent',
  'approval',
  'credential',
  'enrolment',
  'environment',
  'grant',
  'narrowing',
  'login',
  'person',
  'service',
  'session',
  'setting',
  'slot',
  'term',
  'trust',
  'version',
]

export function isTableName(text: string): text is TableName {
  return Object.hasOwn(recordSchemas, text)
}

/** Whether a value is plain JSON: what `definition` and `value`, whose shape is not known here, must be too. */
export function isJson(value: unknown): value is Json {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (Array.isArray(value)) return value.every(isJson)
  if (typeof value !== 'object') return false
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  return Object.values(value).every((member) => member === undefined || isJson(member))
}
