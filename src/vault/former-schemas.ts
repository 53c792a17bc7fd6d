import { z } from 'zod'
import type { TableName } from '../core/records.ts'
import { storeSchema } from '../stores/store.ts'

const time = z.int().min(0)
const name = z.string().min(1)
const environment = name
const activity = z.enum(['active', 'suspended'])
const texts = z.record(z.string(), z.string())

/** What a release reads that knows no later schema. */
interface FormerSchema {
  /** Tables that it does not know are left out. */
  readonly tables: Partial<Record<TableName, z.ZodType>>
  /** The settings that it knows: it would pass over any other, and whoever made it would believe that it counts. */
  readonly settings: RegExp
}

/** Release 0.1.0, word for word. This stays as it is for as long as a store may have schema 1. */
const schema1: FormerSchema = {
  settings: /^(?:last-commit|journal-head|journal-pruned)\./,
  tables: {
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
      approve: z.enum(['destructive', 'always']).exactOptional(),
      expiresAt: time.nullable(),
      createdAt: time,
    }),
    session: z.strictObject({
      agentId: name,
      environment,
      tokenHash: z.string(),
      placeholders: z.array(
        z.strictObject({ hash: z.string(), credentialId: name, field: z.string(), short: z.boolean() }),
      ),
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
    }),
    slot: z.strictObject({
      kind: z.enum(['file', 'passphrase']),
      wrapped: z.string(),
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
  },
}

/** Schema number to what a release reads that knows none later: everything from `oldestStoreSchema` to before `storeSchema`. */
export const formerSchemas: ReadonlyMap<number, FormerSchema> = new Map([[1, schema1]])

/** Whether every release that knows `schema` reads this row, and knows what it is. */
export function isReadableAt(schema: number, table: TableName, id: string, body: unknown): boolean {
  if (schema >= storeSchema) return true
  const former = formerSchemas.get(schema)
  if (former?.tables[table]?.safeParse(body).success !== true) return false
  return table !== 'setting' || former.settings.test(id)
}
