import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { createFacts } from '../../../src/gateway/condition-facts.ts'
import { createConditionReader, loadConditions } from '../../../src/identity/condition-reader.ts'
import { asked } from '../../fakes/asked-request.ts'

/** The examples of docs/guide/conditions.md, in their order: a request that they let pass, and one that they do not. */
const requests: readonly (readonly [yes: Parameters<typeof asked>[0], no: Parameters<typeof asked>[0]])[] = [
  [{ body: '{"model":"gpt-5-mini","max_output_tokens":2000}' }, { body: '{"model":"gpt-5-mini"}' }],
  [{ body: '{"model":"a","input":"b"}' }, { body: '{"model":"a","tools":[]}' }],
  [{ at: '2026-11-27T08:00:00Z' }, { at: '2026-11-28T08:00:00Z' }],
  [{ at: '2026-11-27T14:00:00Z' }, { at: '2026-11-27T13:59:00Z' }],
  [{ peer: '10.20.3.4' }, { peer: '10.21.3.4' }],
  [{ form: 'currency=eur&amount=49.99' }, { form: 'currency=eur&amount=50.01' }],
  [{ target: '/v1/x?per_page=30' }, { target: '/v1/x?per_page=30&admin[]=1' }],
  [{ body: '{"variables":{"environment":"staging-1"}}' }, { body: '{"query":"{ a }"}' }],
  [{ body: '{}' }, { body: '{"tools":[{"type":"function"},{"type":"web_search"}]}' }],
]

beforeAll(loadConditions)
const page = readFileSync(join(import.meta.dirname, '../../../docs/guide/conditions.md'), 'utf8')
const examples = [...page.matchAll(/^```cel\n([\s\S]*?)\n```$/gm)].map(([, text]) => text ?? '')

test('every example of the guide is tried', () => expect(examples).toHaveLength(requests.length))

test.each(examples.map((when, index) => ({ when, index })))('$when', ({ when, index }) => {
  const condition = createConditionReader('UTC')(when)
  const [yes, no] = requests[index] ?? [{}, {}]
  const judged = (request: Parameters<typeof asked>[0]) => {
    const { arrival, place, ports } = asked(request)
    return condition.judge(createFacts(arrival, place, ports))
  }
  expect(judged(yes)).toBe(true)
  expect(judged(no)).not.toBe(true)
})
