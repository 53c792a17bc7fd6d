import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { decideCalls } from '../../../src/core/call-decision.ts'
import { ANY_FIELD } from '../../../src/core/call-pattern.ts'
import { compileGrant } from '../../../src/core/policy.ts'
import { callsOfGraphqlBody } from '../../../src/gateway/meaning/graphql.ts'
import { callsOfRpcBody } from '../../../src/gateway/meaning/json-rpc.ts'
import { isFault } from '../../../src/gateway/meaning/tally.ts'

const counts = z.record(z.string(), z.number())
const vectors = z
  .object({
    operations: z.array(z.object({ name: z.string(), match: z.string(), destructive: z.boolean().exactOptional() })),
    bodies: z
      .array(
        z.object({
          what: z.string(),
          language: z.enum(['graphql', 'json-rpc']),
          form: z.enum(['json', 'text']),
          body: z.string(),
          calls: counts.nullable(),
          fields: z.array(z.string()).exactOptional(),
        }),
      )
      .min(30),
    decisions: z
      .array(
        z.object({
          what: z.string(),
          target: z.string(),
          now: z.number(),
          grants: z.array(
            z.object({
              id: z.string(),
              allow: z.array(z.string()),
              deny: z.array(z.string()),
              limits: z.object({ rate: z.object({ count: z.number(), perSeconds: z.number() }).exactOptional() }),
              expiresAt: z.number().nullable(),
            }),
          ),
          calls: counts,
          fields: z.array(z.string()),
          decision: z.object({ allow: z.boolean() }).loose(),
        }),
      )
      .min(10),
  })
  .parse(JSON.parse(readFileSync(new URL('calls.json', import.meta.url), 'utf8')))

test.each(vectors.bodies)('$language: $what', ({ language, form, body, calls, fields = [] }) => {
  const bytes = Buffer.from(body)
  const read = language === 'graphql' ? callsOfGraphqlBody(bytes, form) : callsOfRpcBody(bytes)
  if (isFault(read)) return expect(calls).toBeNull()
  expect(Object.fromEntries(read.made)).toEqual(calls)
  expect([...read.touched].toSorted()).toEqual(fields.map((field) => `${ANY_FIELD}${field}`))
})

test.each(vectors.decisions)('decided: $what', ({ target, now, grants, calls, fields, decision }) => {
  for (const order of [grants, grants.toReversed()]) {
    const compiled = order.map((one) => compileGrant(one.id, one, vectors.operations))
    const asked = {
      made: new Map(Object.entries(calls)),
      touched: new Set(fields.map((field) => `${ANY_FIELD}${field}`)),
    }
    const request = { method: 'POST', target, operation: 'graphql', grants: compiled, now }
    expect(decideCalls(request, asked)).toEqual(decision)
  }
})
