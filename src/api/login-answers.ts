import { z } from 'zod'

export const moment = z.int().nonnegative().describe('Milliseconds since the Unix epoch.')
export const count = z.int().nonnegative()
export const texts = z.array(z.string())

const caveat = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('allow'), patterns: texts }),
  z.strictObject({ kind: z.literal('deny'), patterns: texts }),
  z.strictObject({ kind: z.literal('credentials'), names: texts }),
  z.strictObject({ kind: z.literal('expires'), at: moment }),
  z.strictObject({ kind: z.literal('uses'), count }),
  z.strictObject({ kind: z.literal('address'), address: z.string() }),
])

export const narrowing = z
  .strictObject({
    id: z.string(),
    parent: z.string().nullable().describe('The narrowing that it was narrowed from; null: the session itself.'),
    state: z.enum(['active', 'revoked', 'expired']),
    caveats: z.array(caveat).describe('What this step took away; none where it was revoked before it was shown.'),
    placeholders: count,
    used: count.describe('Requests of it and of all that come from it, where it counts them.'),
    createdAt: moment.describe('When it was first heard of.'),
  })
  .describe('A narrowing of which something is on record: most are never heard of.')

export const trust = z.discriminatedUnion('kind', [
  z.strictObject({
    id: z.string(),
    kind: z.literal('jwt'),
    issuer: z.string(),
    audience: z.string(),
    claims: z.record(z.string(), z.string()),
    oneUse: z.boolean(),
    privateNetwork: z.boolean(),
    keys: z.string().describe('Where the issuer’s keys come from.'),
    createdAt: moment,
  }),
  z.strictObject({ id: z.string(), kind: z.literal('certificate'), spiffe: z.string(), createdAt: moment }),
])

export const agentLogins = z
  .strictObject({
    enrolments: z.array(
      z.strictObject({ id: z.string(), usedAt: moment.nullable(), createdAt: moment, expiresAt: moment }),
    ),
    trusts: z.array(trust),
  })
  .describe('How an agent may log in by itself.')
