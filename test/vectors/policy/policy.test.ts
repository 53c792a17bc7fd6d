import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { KeywardError } from '../../../src/core/errors.ts'
import { parseOperationPattern } from '../../../src/core/operation-pattern.ts'
import { compileGrant, decide, operationOf } from '../../../src/core/policy.ts'
import { parseRate } from '../../../src/core/rate.ts'
import { pathOf } from '../../../src/core/request.ts'

const grant = z.object({
  id: z.string(),
  allow: z.array(z.string()),
  deny: z.array(z.string()),
  limits: z.object({
    rate: z.object({ count: z.number(), perSeconds: z.number() }).exactOptional(),
    concurrent: z.number().exactOptional(),
  }),
  expiresAt: z.number().nullable(),
})
const decisions = z.object({
  operations: z.array(z.object({ name: z.string(), match: z.string(), destructive: z.boolean().exactOptional() })),
  cases: z
    .array(
      z.object({
        what: z.string(),
        method: z.string(),
        target: z.string(),
        now: z.number(),
        grants: z.array(grant),
        decision: z.object({ allow: z.boolean() }).loose(),
      }),
    )
    .min(30),
})
const malformed = z.object({
  patterns: z.array(z.object({ pattern: z.string(), code: z.string() })).min(30),
  grants: z.array(z.object({ what: z.string(), grant, code: z.string() })).min(1),
  rates: z.array(z.object({ text: z.string(), code: z.string() })).min(1),
})

function read(file: string): unknown {
  return JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'))
}

function codeOf(run: () => unknown): { code: string; message: string } {
  try {
    run()
  } catch (error) {
    if (error instanceof KeywardError) return { code: error.code, message: error.message }
    throw error
  }
  return { code: 'none', message: '' }
}

const { operations, cases } = decisions.parse(read('decisions.json'))

test.each(cases)('$what', ({ method, target, now, grants, decision }) => {
  const operation = operationOf(operations, method, pathOf(target))
  for (const order of [grants, grants.toReversed()]) {
    const compiled = order.map((one) => compileGrant(one.id, one, operations))
    expect(decide({ method, target, operation, grants: compiled, now })).toEqual(decision)
  }
})

test('malformed patterns, grants and rates get their code', () => {
  const vectors = malformed.parse(read('malformed.json'))
  for (const { pattern, code } of vectors.patterns) {
    const met = codeOf(() => parseOperationPattern(pattern))
    expect(met.code, JSON.stringify(pattern)).toBe(code)
    expect(met.message).toContain(JSON.stringify(pattern))
  }
  for (const { what, grant: one, code } of vectors.grants) {
    expect(codeOf(() => compileGrant(one.id, one, operations)).code, what).toBe(code)
  }
  for (const { text, code } of vectors.rates) expect(codeOf(() => parseRate(text)).code, text).toBe(code)
})
