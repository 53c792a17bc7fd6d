import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { WHOLE_REQUEST_MILLISECONDS, type BodySink, type RequestBody } from '../body.ts'
import { isRefusal } from '../refusal.ts'
import {
  bodyOf,
  createJudgedBodies,
  JUDGED_BODY_MAXIMUM_BYTES,
  JUDGED_SESSION_MAXIMUM_BYTES,
  JUDGED_TOTAL_MAXIMUM_BYTES,
  type JudgedBodies,
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

async function filled(bodies: JudgedBodies, session: string, bytes: number): Promise<WholeBody | string> {
  const read = await bodies.read(bodyOf(new Uint8Array(bytes)), session)
  return read === 'gone' ? read : isRefusal(read) ? read.refusal : read
}

test('the bytes are those that came, in one piece, and can be read once more', async () => {
  const { body, sink } = slowBody()
  const reading = createJudgedBodies().read(body, 's')
  for (const piece of ['a', '', 'bc']) sink().data(Buffer.from(piece))
  sink().end([])
  const whole = await reading
  if (whole === 'gone' || isRefusal(whole)) throw new Error('It was not read.')
  expect(Buffer.from(whole.bytes).toString()).toBe('abc')
  const again: string[] = []
  bodyOf(whole.bytes).read({
    data: (piece) => void again.push(Buffer.from(piece).toString()),
    end: () => void again.push('end'),
    fail: () => undefined,
  })
  expect(again).toEqual(['abc', 'end'])
})

test('a body that is announced too long is not asked for; one that grows too long is given up', async () => {
  const bodies = createJudgedBodies()
  const announced = slowBody(JUDGED_BODY_MAXIMUM_BYTES + 1)
  expect(await bodies.read(announced.body, 's')).toMatchObject({ refusal: 'request_too_large' })
  expect(announced.sink).toThrow('Nobody')
  expect(await filled(bodies, 's', JUDGED_BODY_MAXIMUM_BYTES)).toHaveProperty('bytes')
  const growing = slowBody()
  const reading = bodies.read(growing.body, 's')
  growing.sink().data(new Uint8Array(JUDGED_BODY_MAXIMUM_BYTES))
  growing.sink().data(new Uint8Array(1))
  growing.sink().data(new Uint8Array(1))
  growing.sink().end([])
  expect(await reading).toMatchObject({ refusal: 'request_too_large' })
})

test('one that does not come, comes wrongly, or whose agent goes away', async () => {
  const bodies = createJudgedBodies()
  const never = slowBody()
  const waiting = bodies.read(never.body, 's')
  vi.advanceTimersByTime(WHOLE_REQUEST_MILLISECONDS)
  never.sink().data(new Uint8Array(JUDGED_BODY_MAXIMUM_BYTES))
  expect(await waiting).toMatchObject({ refusal: 'request_timeout' })
  for (const [why, told] of [
    [{ refusal: 'request_malformed' }, { refusal: 'request_malformed' }],
    [null, 'gone'],
  ] as const) {
    const broken = slowBody()
    const reading = bodies.read(broken.body, 's')
    broken.sink().data(new Uint8Array(JUDGED_BODY_MAXIMUM_BYTES))
    broken.sink().fail(why)
    expect(await reading).toEqual(told)
  }
  // What was given up takes no room.
  const fitting = JUDGED_SESSION_MAXIMUM_BYTES / JUDGED_BODY_MAXIMUM_BYTES
  for (let count = 0; count < fitting; count++)
    expect(await filled(bodies, 's', JUDGED_BODY_MAXIMUM_BYTES)).toHaveProperty('bytes')
})

test('one session cannot take the room of the others, and all together are bounded', async () => {
  const bodies = createJudgedBodies()
  const held: WholeBody[] = []
  const fill = async (session: string): Promise<string> => {
    const read = await filled(bodies, session, JUDGED_BODY_MAXIMUM_BYTES)
    if (typeof read === 'string') return read
    held.push(read)
    return 'held'
  }
  const perSession = JUDGED_SESSION_MAXIMUM_BYTES / JUDGED_BODY_MAXIMUM_BYTES
  for (let count = 0; count < perSession; count++) expect(await fill('a')).toBe('held')
  expect(await fill('a')).toBe('overloaded')
  const sessions = JUDGED_TOTAL_MAXIMUM_BYTES / JUDGED_SESSION_MAXIMUM_BYTES
  for (let session = 1; session < sessions; session++)
    for (let count = 0; count < perSession; count++) expect(await fill(`s${session}`)).toBe('held')
  expect(await fill('last')).toBe('overloaded')
  const [first] = held
  first?.leave()
  first?.leave()
  expect(await fill('last')).toBe('held')
  expect(await fill('last')).toBe('overloaded')
})
