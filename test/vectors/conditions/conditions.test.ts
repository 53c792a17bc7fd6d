import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { CONDITION_SOUGHT_MAXIMUM_LENGTH } from '../../../src/core/condition-language.ts'
import { Failure } from '../../../src/core/condition-value.ts'
import { KeywardError } from '../../../src/core/errors.ts'
import { createFacts } from '../../../src/gateway/condition-facts.ts'
import { createConditionReader, loadConditions } from '../../../src/identity/condition-reader.ts'
import { asked } from '../../fakes/asked-request.ts'

const vectors = z
  .strictObject({
    purpose: z.string(),
    cases: z.array(
      z.strictObject({
        what: z.string(),
        when: z.string(),
        body: z.string().optional(),
        target: z.string().optional(),
        headers: z.array(z.tuple([z.string(), z.string()])).optional(),
        judged: z.union([z.boolean(), z.string()]),
      }),
    ),
    faults: z.array(z.strictObject({ what: z.string(), when: z.string(), at: z.int(), says: z.string() })),
  })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, 'conditions.json'), 'utf8')))

beforeAll(loadConditions)
const read = createConditionReader('UTC')

test.each(vectors.cases)('$what: $when', ({ when, judged, ...request }) => {
  const { arrival, place, ports } = asked(request)
  const found = read(when).judge(createFacts(arrival, place, ports))
  expect(found instanceof Failure ? found.why : found).toBe(judged)
})

test.each(vectors.faults)('refused when it is written, $what: $when', ({ when, at, says }) => {
  let refused: unknown = null
  try {
    read(when)
  } catch (error) {
    refused = error
  }
  expect(refused).toBeInstanceOf(KeywardError)
  if (!(refused instanceof KeywardError)) return
  expect(refused.code).toBe('condition_invalid')
  expect(refused.detail).toContain(says)
  if (at > 0) expect(refused.detail).toMatch(new RegExp(`character ${at}: `))
})

test('a search that was broken off for its cost has found nothing, and has not found that there is nothing', () => {
  const when = `!request.body.text.contains("${'b'.repeat(CONDITION_SOUGHT_MAXIMUM_LENGTH)}")`
  const judged = (length: number) => {
    const { arrival, place, ports } = asked({ body: JSON.stringify({ text: 'a'.repeat(length) }) })
    return read(when).judge(createFacts(arrival, place, ports))
  }
  expect(judged(1_000)).toBe(true)
  expect(judged(500_000)).toMatchObject({ why: 'takes more steps than a request is given' })
})

test('numbers are kept or not whatever stands around them: the quick way of reading a body and the other agree', () => {
  const number = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.integer().map(String),
    fc.stringMatching(/^-?(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,18})?$/),
  )
  const kept = (body: string): unknown => {
    const { arrival, place, ports } = asked({ body })
    const found = read('request.body.n == request.body.n').judge(createFacts(arrival, place, ports))
    return found instanceof Failure ? found.why : found
  }
  fc.assert(
    fc.property(number, (text) => {
      // A number beside it that has to be looked at makes all of them be looked at.
      expect(kept(`{"n":${text}}`)).toBe(kept(`{"n":${text},"other":1e0}`))
    }),
    { numRuns: 2000 },
  )
})
