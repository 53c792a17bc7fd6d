import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { WHOLE_REQUEST_MILLISECONDS, type BodySink, type RequestBody } from './body.ts'
import { isRefusal } from './refusal.ts'
import {
  createWholeBodies,
  BODY_FIRST_MAXIMUM_BYTES,
  BODY_FIRST_SESSION_MAXIMUM_BYTES,
  BODY_FIRST_TOTAL_MAXIMUM_BYTES,
  BODY_FIRST_UNKNOWN_MAXIMUM_BYTES,
  type WholeBodies,
  type WholeBody,
} from './whole-body.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A body that comes when the test says so. */
function slowBody(length: number | null = null): { body: RequestBody; sink: () => BodySink } {
  let taken: BodySink | null = null
  return {
    body: { length, read: (sink) => void (taken = sink), pause: () => undefined, resume: () => undefined },
    sink() {
      if (taken === null) throw new Error('Nobody reads the body.')
      return taken
    },
  }
}

/** A body that is there already. */
function bodyOf(bytes: Uint8Array): RequestBody {
  return {
    length: bytes.length,
    read(sink) {
      sink.data(bytes)
      sink.end([])
    },
    pause: () => undefined,
    resume: () => undefined,
  }
}

async function filled(bodies: WholeBodies, session: string | null, bytes: number): Promise<WholeBody | string> {
  const read = await bodies.read(bodyOf(new Uint8Array(bytes)), session)
  return read === 'gone' ? read : isRefusal(read) ? read.refusal : read
}

test('the bytes are those that came, in one piece', async () => {
  const { body, sink } = slowBody()
  const reading = createWholeBodies().read(body, 's')
  for (const piece of ['a', '', 'bc']) sink().data(Buffer.from(piece))
  sink().end([])
  const whole = await reading
  if (whole === 'gone' || isRefusal(whole)) throw new Error('It was not read.')
  expect(Buffer.from(whole.bytes).toString()).toBe('abc')
})

test('a body that is announced too long is not asked for; one that grows too long is given up', async () => {
  const bodies = createWholeBodies()
  const announced = slowBody(BODY_FIRST_MAXIMUM_BYTES + 1)
  expect(await bodies.read(announced.body, 's')).toMatchObject({ refusal: 'request_too_large' })
  expect(announced.sink).toThrow('Nobody')
  expect(await filled(bodies, 's', BODY_FIRST_MAXIMUM_BYTES)).toHaveProperty('bytes')
  const growing = slowBody()
  const reading = bodies.read(growing.body, 's')
  growing.sink().data(new Uint8Array(BODY_FIRST_MAXIMUM_BYTES))
  growing.sink().data(new Uint8Array(1))
  growing.sink().data(new Uint8Array(1))
  growing.sink().end([])
  expect(await reading).toMatchObject({ refusal: 'request_too_large' })
})

test('one that does not come, comes wrongly, or whose agent goes away', async () => {
  const bodies = createWholeBodies()
  const never = slowBody()
  const waiting = bodies.read(never.body, 's')
  vi.advanceTimersByTime(WHOLE_REQUEST_MILLISECONDS)
  never.sink().data(new Uint8Array(BODY_FIRST_MAXIMUM_BYTES))
  expect(await waiting).toMatchObject({ refusal: 'request_timeout' })
  for (const [why, told] of [
    [{ refusal: 'request_malformed' }, { refusal: 'request_malformed' }],
    [null, 'gone'],
  ] as const) {
    const broken = slowBody()
    const reading = bodies.read(broken.body, 's')
    broken.sink().data(new Uint8Array(BODY_FIRST_MAXIMUM_BYTES))
    broken.sink().fail(why)
    expect(await reading).toEqual(told)
  }
  // What was given up takes no room.
  const fitting = BODY_FIRST_SESSION_MAXIMUM_BYTES / BODY_FIRST_MAXIMUM_BYTES
  for (let count = 0; count < fitting; count++)
    expect(await filled(bodies, 's', BODY_FIRST_MAXIMUM_BYTES)).toHaveProperty('bytes')
})

test('one session cannot take the room of the others, and all together are bounded', async () => {
  const bodies = createWholeBodies()
  const held: WholeBody[] = []
  const fill = async (session: string): Promise<string> => {
    const read = await filled(bodies, session, BODY_FIRST_MAXIMUM_BYTES)
    if (typeof read === 'string') return read
    held.push(read)
    return 'held'
  }
  const perSession = BODY_FIRST_SESSION_MAXIMUM_BYTES / BODY_FIRST_MAXIMUM_BYTES
  for (let count = 0; count < perSession; count++) expect(await fill('a')).toBe('held')
  expect(await fill('a')).toBe('overloaded')
  const sessions = BODY_FIRST_TOTAL_MAXIMUM_BYTES / BODY_FIRST_SESSION_MAXIMUM_BYTES
  for (let session = 1; session < sessions; session++)
    for (let count = 0; count < perSession; count++) expect(await fill(`s${session}`)).toBe('held')
  expect(await fill('last')).toBe('overloaded')
  const [first] = held
  first?.leave()
  first?.leave()
  expect(await fill('last')).toBe('held')
  expect(await fill('last')).toBe('overloaded')
})

test('bodies of which nobody knows yet whose they are have a room of their own, until it is known', async () => {
  const bodies = createWholeBodies()
  const held: WholeBody[] = []
  for (let bytes = 0; bytes < BODY_FIRST_UNKNOWN_MAXIMUM_BYTES; bytes += BODY_FIRST_MAXIMUM_BYTES) {
    const read = await filled(bodies, null, BODY_FIRST_MAXIMUM_BYTES)
    if (typeof read === 'string') throw new Error(read)
    held.push(read)
  }
  expect(await filled(bodies, null, 1)).toBe('overloaded')
  expect(await filled(bodies, 'other', 1)).toHaveProperty('bytes')
  // Whose they are is known now, and one session has less room than these take.
  const fitting = BODY_FIRST_SESSION_MAXIMUM_BYTES / BODY_FIRST_MAXIMUM_BYTES
  for (const [turn, body] of held.entries())
    expect(body.belongsTo('s')).toEqual(turn < fitting ? null : { refusal: 'overloaded', retryAfterSeconds: 1 })
  expect(await filled(bodies, 's', 1)).toBe('overloaded')
  expect(await filled(bodies, null, BODY_FIRST_MAXIMUM_BYTES)).toHaveProperty('bytes')
  for (const { leave } of held) leave()
  expect(await filled(bodies, 's', BODY_FIRST_MAXIMUM_BYTES)).toHaveProperty('bytes')
})
