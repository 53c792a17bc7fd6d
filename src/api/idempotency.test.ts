import { expect, test } from 'vitest'
import { KeywardError } from '../core/errors.ts'
import { createIdempotency, REMEMBERED_ANSWERS_MAXIMUM, REMEMBERED_MILLISECONDS } from './idempotency.ts'

const asked = {
  route: 'POST /environments/:environment/agents',
  path: '/a',
  input: { name: 'one' },
  actor: 'operator:test',
} as const

function counted(answer = 'done') {
  const calls = { count: 0 }
  const work = async (): Promise<string> => {
    calls.count += 1
    return answer
  }
  return { calls, work }
}

test('asked again, it is done once and answered twice', async () => {
  const idempotency = createIdempotency({ now: () => 0 })
  const { calls, work } = counted()
  expect(await idempotency.once('k', asked, work)).toBe('done')
  expect(await idempotency.once('k', asked, work)).toBe('done')
  expect(calls.count).toBe(1)
  await idempotency.once('other', asked, work)
  expect(calls.count).toBe(2)
})

test('a refusal is remembered too, an error of Keyward’s own is not', async () => {
  const idempotency = createIdempotency({ now: () => 0 })
  let calls = 0
  const failing = (error: Error) => async (): Promise<string> => {
    calls += 1
    throw error
  }
  for (const _ of [1, 2])
    await expect(idempotency.once('k', asked, failing(new KeywardError('already_exists')))).rejects.toMatchObject({
      code: 'already_exists',
    })
  expect(calls).toBe(1)
  for (const error of [new Error('oops'), new KeywardError('internal')])
    await expect(idempotency.once('own', asked, failing(error))).rejects.toBe(error)
  expect(calls).toBe(3)
})

test('a key is for one request', async () => {
  const idempotency = createIdempotency({ now: () => 0 })
  const { calls, work } = counted()
  await idempotency.once('k', asked, work)
  for (const other of [
    { ...asked, path: '/b' },
    { ...asked, input: { name: 'two' } },
  ])
    await expect(idempotency.once('k', other, work)).rejects.toMatchObject({ code: 'idempotency_reused' })
  expect(calls.count).toBe(1)
})

test('while the first is under way the second is told so', async () => {
  const idempotency = createIdempotency({ now: () => 0 })
  const held = Promise.withResolvers<string>()
  const first = idempotency.once('k', asked, () => held.promise)
  await expect(idempotency.once('k', asked, () => held.promise)).rejects.toMatchObject({ code: 'idempotency_running' })
  held.resolve('late')
  expect(await first).toBe('late')
})

test('after an hour a key is new, and room is bounded until then', async () => {
  let now = 0
  const idempotency = createIdempotency({ now: () => now })
  const { calls, work } = counted()
  for (let number = 0; number < REMEMBERED_ANSWERS_MAXIMUM; number += 1)
    await idempotency.once(`k${number}`, asked, work)
  await expect(idempotency.once('one-more', asked, work)).rejects.toMatchObject({ code: 'overloaded' })
  now = REMEMBERED_MILLISECONDS
  await idempotency.once('k0', asked, work)
  expect(calls.count).toBe(REMEMBERED_ANSWERS_MAXIMUM + 1)
})

test.each(['', ' ', 'a b', 'ü', 'x'.repeat(129), 'line\nbreak'])('the key %j is refused', async (key) => {
  const idempotency = createIdempotency({ now: () => 0 })
  await expect(idempotency.once(key, asked, async () => '')).rejects.toMatchObject({ code: 'usage' })
})
