import { expect, test, vi } from 'vitest'
import type { BodySink, RequestBody } from './body.ts'
import {
  LOCATED_BODIES_MAXIMUM_BYTES,
  LOCATED_BODY_MAXIMUM_BYTES,
  LOCATED_BODY_MILLISECONDS,
  readWhole,
} from './read-whole.ts'

/** A body that comes when it is told to. */
function bodyOf(length: number | null = null): { body: RequestBody; sink(): BodySink; begun(): boolean } {
  let taker: BodySink | null = null
  const still = (): void => undefined
  return {
    body: { length, read: (sink) => void (taker = sink), pause: still, resume: still },
    begun: () => taker !== null,
    sink() {
      if (taker === null) throw new Error('nobody reads')
      return taker
    },
  }
}

const whole = new Uint8Array(LOCATED_BODY_MAXIMUM_BYTES)

test('pieces become one body', async () => {
  const coming = bodyOf()
  const read = readWhole(coming.body)
  coming.sink().data(Buffer.from('ab'))
  coming.sink().data(Buffer.from('c'))
  coming.sink().end([])
  expect(await read).toEqual(Buffer.from('abc'))
})

test('a body that is announced as too long is not asked for, and one that becomes so is given up', async () => {
  const announced = bodyOf(LOCATED_BODY_MAXIMUM_BYTES + 1)
  expect(await readWhole(announced.body)).toMatchObject({ refusal: 'request_too_large' })
  expect(announced.begun()).toBe(false)
  const growing = bodyOf()
  const read = readWhole(growing.body)
  growing.sink().data(whole)
  growing.sink().data(Buffer.from('x'))
  expect(await read).toMatchObject({ refusal: 'request_too_large' })
  // What still comes is not kept, and changes nothing.
  growing.sink().data(whole)
  growing.sink().end([])
})

test('whoever goes away is gone, and what is no body is refused for what it is', async () => {
  const gone = bodyOf()
  const first = readWhole(gone.body)
  gone.sink().fail(null)
  expect(await first).toBe('gone')
  const broken = bodyOf()
  const second = readWhole(broken.body)
  broken.sink().fail({ refusal: 'request_malformed' })
  expect(await second).toEqual({ refusal: 'request_malformed' })
})

test('a body that does not come is waited for no longer than the bound', async () => {
  vi.useFakeTimers()
  try {
    const slow = bodyOf()
    const read = readWhole(slow.body)
    vi.advanceTimersByTime(LOCATED_BODY_MILLISECONDS)
    expect(await read).toEqual({ refusal: 'request_timeout' })
  } finally {
    vi.useRealTimers()
  }
})

test('all of them together have a bound, and their room is free again when they are over', async () => {
  const many = Array.from({ length: LOCATED_BODIES_MAXIMUM_BYTES / LOCATED_BODY_MAXIMUM_BYTES }, () => bodyOf())
  const reads = many.map(({ body }) => readWhole(body))
  for (const one of many) one.sink().data(whole)
  const beyond = bodyOf()
  const refused = readWhole(beyond.body)
  beyond.sink().data(Buffer.from('x'))
  expect(await refused).toMatchObject({ refusal: 'overloaded' })
  many[0]?.sink().fail(null)
  await reads[0]
  const again = bodyOf()
  const read = readWhole(again.body)
  again.sink().data(whole)
  again.sink().end([])
  expect(await read).toHaveLength(whole.length)
  for (const one of many.slice(1)) one.sink().fail(null)
  expect(await Promise.all(reads)).toEqual(many.map(() => 'gone'))
})
