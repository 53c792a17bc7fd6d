import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { requestFields, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { bearer, outcomeOf, rawRequest, textFronts } from './asking.ts'

let stage: Stage
let first: Upstream
let second: Upstream
let one: Held
let two: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  first = await startUpstream(always(200, {}, 'one'))
  second = await startUpstream(always(200, {}, 'two'))
  one = await stage.hold({ id: 'one', endpoint: first.origin })
  two = await stage.hold({ id: 'two', endpoint: second.origin, deny: ['* /closed'] })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await first.close()
  await second.close()
})

attack('D20', 'each request of one connection is judged and sent by itself', textFronts, async (front) => {
  const wire = await stage.open(front.door, one.host, login)
  const send = async (held: Held, target: string): Promise<string> => {
    wire.write(rawRequest(stage, front, { held, login, target, headers: [bearer(login, held)] }))
    return outcomeOf(await wire.answer())
  }
  expect(await send(one, '/a')).toBe('answered 200')
  if (front.door === 'tunnel') {
    // This connection is that of one host, for good.
    const before = second.received().length
    expect(await send(two, '/b')).toBe('host_mismatch')
    expect(second.received().length).toBe(before)
  } else {
    expect(await send(two, '/b')).toBe('answered 200')
    expect(second.got.at(-1)?.headers.authorization).toBe(`Bearer ${two.secret()}`)
    expect(await send(two, '/closed')).toBe('operation_denied')
    expect(await send(one, '/c')).toBe('answered 200')
    expect(first.got.at(-1)?.headers.authorization).toBe(`Bearer ${one.secret()}`)
  }
  expect(first.received().includes(two.secret())).toBe(false)
  expect(second.received().includes(one.secret())).toBe(false)
  wire.close()
})

attack(
  'D20',
  'each stream of one connection is judged and sent by itself',
  fronts.filter(({ protocol }) => protocol === 'h2'),
  async (front) => {
    const wire = await stage.openH2(front.door, one.host, login)
    const send = (held: Held, target: string): Promise<string> =>
      wire
        .request(requestFields(stage, { door: front.door, held, login, target, headers: [bearer(login, held)] }))
        .then(outcomeOf, () => 'reset')
    const before = [first.got.length, second.got.length]
    const outcomes = await Promise.all([send(one, '/a'), send(two, '/b'), send(two, '/closed'), send(one, '/c')])
    if (front.door === 'tunnel')
      expect(outcomes).toEqual(['answered 200', 'host_mismatch', 'host_mismatch', 'answered 200'])
    else expect(outcomes).toEqual(['answered 200', 'answered 200', 'operation_denied', 'answered 200'])
    expect([first.got.length, second.got.length]).toEqual([
      (before[0] ?? 0) + 2,
      (before[1] ?? 0) + (front.door === 'tunnel' ? 0 : 1),
    ])
    expect(first.received().includes(two.secret())).toBe(false)
    expect(second.received().includes(one.secret())).toBe(false)
    wire.close()
  },
)
