import { z } from 'zod'
import type { Json } from '../../core/canonical-json.ts'
import { CONDITION_MAXIMUM_LENGTH } from '../../core/condition-language.ts'
import { maximumNameLength, maximumOwnerLength } from '../../core/name.ts'
import { formatRate, maximumConcurrent, parseRate } from '../../core/rate.ts'
import type { GrantRecord } from '../../core/records.ts'
import { fieldName } from '../../injectors/field-value.ts'
import { definition } from '../../services/definition.ts'

/** Documents that one run of `apply` may hold: all of them change in one commit, and the journal names every row. */
export const maximumPolicyDocuments = 5_000
/** Files of one run. */
export const maximumPolicyFiles = 1_000
/** Characters of all files of one run. */
export const maximumPolicyCharacters = 4 * 1024 * 1024
/** Characters of one document. */
export const maximumDocumentCharacters = 64 * 1024
/** Problems that are told at once. */
export const maximumPolicyProblems = 100

const patternsPerList = 256
const patternLength = 512

/** The kinds, in the order in which one may refer to another. */
export const policyKinds = ['environment', 'service', 'credential', 'agent', 'grant'] as const
export type PolicyKind = (typeof policyKinds)[number]

const name = z
  .string()
  .max(maximumNameLength)
  .regex(
    /^(?!.*\.\.)[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/,
    `a name is 1 to ${maximumNameLength} of a-z, 0-9, ".", "_" and "-", beginning and ending with a letter or digit, without ".."`,
  )
const environment = name.default('dev')
const owner = z
  .string()
  .min(1)
  .max(maximumOwnerLength)
  .regex(/^(?!\s)[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+(?<!\s)$/u, 'an owner is printable characters, usually a mail address')
/** A file may stop something; that it may go on is for a person to say. */
const state = z.literal('suspended').exactOptional()
const patterns = z.array(z.string().min(1).max(patternLength)).max(patternsPerList)

/** Where a value lies: never the value itself. */
const reference = /^(?:env:[A-Za-z_][A-Za-z0-9_]{0,127}|@[^\p{Cc}]{1,1024})$/u
const source = z.string().regex(reference, 'a value comes from env:VARIABLE or @FILE, and never stands in the file')

const durationUnits = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const
const duration = /^([1-9][0-9]{0,5})([smhdw])$/
const expires = z
  .string()
  .refine(
    (text) => duration.test(text) || momentOf(text) !== null,
    'expires is a duration (30d) or a moment (2030-01-31T00:00:00.000Z)',
  )
const rate = z.string().refine(isRate, 'a rate is written like 5/s, 60/min, 1000/hour or 10/day')

/**
 * What each kind of document may say, besides its `kind`. Unknown members are refused; a member
 * that grants learn is one line here, one in `termsOf` and one in `grantDocument`.
 */
export const policySchemas = {
  environment: z.strictObject({
    kind: z.literal('environment'),
    name,
    egress: z.enum(['open', 'deny']).default('deny'),
  }),
  service: definition.required({ kind: true }),
  credential: z.strictObject({
    kind: z.literal('credential'),
    name,
    environment,
    service: name,
    owner: owner.exactOptional(),
    sensitivity: z.enum(['high', 'medium', 'low']).default('high'),
    state,
    from: z.record(fieldName, source).exactOptional(),
  }),
  agent: z.strictObject({ kind: z.literal('agent'), name, environment, owner: owner.exactOptional(), state }),
  grant: z.strictObject({
    kind: z.literal('grant'),
    agent: name,
    credential: name,
    environment,
    allow: patterns.min(1, 'an empty allow allows nothing; everything is written *'),
    deny: patterns.default([]),
    limits: z
      .strictObject({
        rate: rate.exactOptional(),
        concurrent: z.int().min(1).max(maximumConcurrent).exactOptional(),
      })
      .default({}),
    when: z.string().trim().min(1).max(CONDITION_MAXIMUM_LENGTH).exactOptional(),
    approve: z.enum(['never', 'destructive', 'always']).default('never'),
    expires: expires.exactOptional(),
  }),
} as const

export type GrantDocument = z.output<(typeof policySchemas)['grant']>
export type GrantTerms = Pick<GrantRecord, 'allow' | 'deny' | 'limits' | 'when' | 'approve'>

/** The members of a grant that its record keeps as they are. Throws KeywardError `usage`. */
export function termsOf(document: GrantDocument): GrantTerms {
  const { rate: rateText, concurrent } = document.limits
  const { allow, deny, when, approve } = document
  return {
    allow,
    deny,
    ...(when === undefined ? {} : { when }),
    ...(approve === 'never' ? {} : { approve }),
    limits: {
      ...(rateText === undefined ? {} : { rate: parseRate(rateText) }),
      ...(concurrent === undefined ? {} : { concurrent }),
    },
  }
}

/** A grant in its canonical form (DESIGN section 8): what says nothing is left out. */
export function grantDocument(
  place: { readonly agent: string; readonly credential: string; readonly environment: string },
  { allow, deny, limits, when, approve, expiresAt }: GrantTerms & Pick<GrantRecord, 'expiresAt'>,
): Readonly<Record<string, Json>> {
  const { rate: limit, concurrent } = limits
  const written = {
    ...(limit === undefined ? {} : { rate: formatRate(limit) }),
    ...(concurrent === undefined ? {} : { concurrent }),
  }
  return {
    agent: place.agent,
    credential: place.credential,
    environment: place.environment,
    allow,
    ...(deny.length === 0 ? {} : { deny }),
    ...(Object.keys(written).length === 0 ? {} : { limits: written }),
    ...(when === undefined ? {} : { when }),
    ...(approve === undefined ? {} : { approve }),
    ...(expiresAt === null ? {} : { expires: new Date(expiresAt).toISOString() }),
  }
}

/** When a grant made at `createdAt` ends: a duration counts from there, so that applying it again is no change. */
export function expiryOf(text: string | undefined, createdAt: number): number | null {
  if (text === undefined) return null
  const match = duration.exec(text)
  if (match === null) return momentOf(text)
  const [, count, unit] = match
  const seconds = unit === 's' || unit === 'm' || unit === 'h' || unit === 'd' || unit === 'w' ? durationUnits[unit] : 1
  return createdAt + Number(count) * seconds * 1000
}

function momentOf(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z$/.test(text)) return null
  const moment = Date.parse(text)
  if (Number.isNaN(moment) || moment < 0) return null
  // The 30th of February is no day.
  return new Date(moment).toISOString().slice(0, 19) === text.slice(0, 19) ? moment : null
}

function isRate(text: string): boolean {
  try {
    parseRate(text)
    return true
  } catch {
    return false
  }
}
