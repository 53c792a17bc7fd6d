import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { BodySink } from '../body.ts'
import { GRPC_END_MILLISECONDS, singleMessage } from './single-message.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const message = (length: number): Buffer => {
  const bytes = Buffer.alloc(5 + length, 1)
  bytes[0] = 0
  bytes.writeUInt32BE(length, 1)
  return bytes
}

function open() {
  const told: string[] = []
  let from: BodySink | null = null
  const body = { length: null, read: (sink: BodySink) => void (from = sink), pause: vi.fn(), resume: vi.fn() }
  singleMessage(body).read({
    data: (chunk) => void told.push(`data ${chunk.length}`),
    end: () => void told.push('end'),
    fail: (why) => void told.push(why === null ? 'gone' : why.refusal),
  })
  const sink = (): BodySink => {
    if (from === null) throw new Error('not read')
    return from
  }
  return { told, sink: sink() }
}

test('one message that ends passes, in whatever pieces it comes', () => {
  const { told, sink } = open()
  for (const byte of message(7)) sink.data(Uint8Array.of(byte))
  sink.end([])
  expect(told).toEqual([...Array<string>(12).fill('data 1'), 'end'])
})

test('a second message, a piece of one, or half a message is refused', () => {
  for (const bytes of [Buffer.concat([message(3), message(0)]), Buffer.concat([message(3), Buffer.alloc(1)])]) {
    const { told, sink } = open()
    sink.data(bytes)
    sink.end([])
    expect(told).toEqual(['approval_streamed'])
  }
  for (const cut of [1, 4, 6]) {
    const { told, sink } = open()
    sink.data(message(3).subarray(0, cut))
    sink.end([])
    expect(told.at(-1)).toBe('approval_streamed')
  }
})

test('a call whose message is not followed by its end is a stream', () => {
  const { told, sink } = open()
  sink.data(message(3))
  vi.advanceTimersByTime(GRPC_END_MILLISECONDS)
  sink.end([])
  expect(told).toEqual(['data 8', 'approval_streamed'])
})

test('an agent that goes away is told as that, once', () => {
  const { told, sink } = open()
  sink.fail(null)
  vi.advanceTimersByTime(GRPC_END_MILLISECONDS)
  expect(told).toEqual(['gone'])
})
