import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createHeadKeeper, HEAD_MILLISECONDS } from './head-keeper.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A journal into which each keeping writes two entries itself. */
function house(keep: (size: number) => Promise<void> = async () => undefined) {
  const kept: number[] = []
  const errors: unknown[] = []
  let size = 0
  const keeper = createHeadKeeper<{ size: number }>({
    keep: async (head) => {
      kept.push(head.size)
      await keep(head.size)
      size += 2
      keeper.offer({ size })
    },
    sizeNow: () => size,
    onError: (error) => errors.push(error),
  })
  const offer = (grown: number): void => keeper.offer({ size: (size += grown) })
  return { keeper, kept, errors, offer }
}

it('however many checkpoints are signed, a head goes to the store at its rate, and it is the newest', async () => {
  const { kept, offer } = house()
  for (let second = 0; second < 60; second++) {
    offer(10)
    await vi.advanceTimersByTimeAsync(1000)
  }
  expect(kept).toHaveLength(Math.floor(60_000 / HEAD_MILLISECONDS))
  expect(kept[0]).toBe(10 * (HEAD_MILLISECONDS / 1000))
})

it('what keeping itself writes is no reason to keep again: an idle journal comes to rest', async () => {
  const { kept, offer } = house()
  offer(5)
  await vi.advanceTimersByTimeAsync(HEAD_MILLISECONDS * 20)
  expect(kept).toEqual([5])
  offer(1)
  await vi.advanceTimersByTimeAsync(HEAD_MILLISECONDS)
  expect(kept).toEqual([5, 8])
})

it('a store that refuses is told, and the next head is tried', async () => {
  const { kept, errors, offer } = house(async (size) => {
    if (size === 1) throw new Error('store')
  })
  offer(1)
  await vi.advanceTimersByTimeAsync(HEAD_MILLISECONDS)
  offer(1)
  await vi.advanceTimersByTimeAsync(HEAD_MILLISECONDS)
  expect(errors).toHaveLength(1)
  expect(kept).toEqual([1, 2])
})

it('one at a time, and closing waits for it and keeps no more', async () => {
  const waiting = Promise.withResolvers<void>()
  const { keeper, kept, offer } = house(() => waiting.promise)
  offer(1)
  await vi.advanceTimersByTimeAsync(HEAD_MILLISECONDS)
  offer(1)
  await vi.advanceTimersByTimeAsync(HEAD_MILLISECONDS * 3)
  expect(kept).toEqual([1])
  let closed = false
  const closing = keeper.close().then(() => (closed = true))
  await vi.advanceTimersByTimeAsync(1)
  expect(closed).toBe(false)
  waiting.resolve()
  await closing
  await vi.advanceTimersByTimeAsync(HEAD_MILLISECONDS * 3)
  expect(kept).toEqual([1])
})
