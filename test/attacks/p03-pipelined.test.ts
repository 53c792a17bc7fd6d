import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack } from './attack.ts'
import { outcomeOf, rawRequest, textFronts } from './asking.ts'

let stage: Stage
let upstream: Upstream
let narrow: Held
let other: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  narrow = await stage.hold({ id: 'narrow', endpoint: upstream.origin, allow: ['GET /open/**', 'POST /open/**'] })
  other = await stage.hold({ id: 'other', endpoint: upstream.origin })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

attack('P3', 'each request behind an allowed one is judged by itself', textFronts, async (front) => {
  const one = (method: string, target: string, body = ''): Buffer =>
    rawRequest(stage, front, {
      held: narrow,
      login,
      method,
      target,
      body,
      lines: body === '' ? '' : `Content-Length: ${body.length}\r\n`,
    })
  const wire = await stage.open(front.door, narrow.host, login)
  const count = upstream.got.length
  wire.write(
    Buffer.concat([
      one('GET', '/open/1'),
      one('DELETE', '/open/2'),
      one('GET', '/closed/3'),
      one('POST', '/open/4', 'GET /closed/5 HTTP/1.1\r\nHost: x\r\n\r\n'),
      one('GET', '/open/../closed/6'),
      one('GET', '/open/7'),
    ]),
  )
  const outcomes: string[] = []
  for (let i = 0; i < 6; i++) outcomes.push(outcomeOf(await wire.answer()))
  expect(outcomes).toEqual([
    'answered 200',
    'operation_not_allowed',
    'operation_not_allowed',
    'answered 200',
    'path_not_canonical',
    'answered 200',
  ])
  expect(
    upstream.got
      .slice(count)
      .map(({ method, target }) => `${method} ${target}`)
      .toSorted(),
  ).toEqual(['GET /open/1', 'GET /open/7', 'POST /open/4'])
  wire.close()
})

attack('P3', 'a request cut at every byte is the same request', textFronts, async (front) => {
  const pair = Buffer.concat([
    rawRequest(stage, front, { held: narrow, login, target: '/open/a' }),
    rawRequest(stage, front, { held: narrow, login, target: '/closed/b' }),
  ])
  const wire = await stage.open(front.door, narrow.host, login)
  const count = upstream.got.length
  for (const byte of pair) {
    wire.write(Uint8Array.of(byte))
    await new Promise((done) => setImmediate(done))
  }
  expect([outcomeOf(await wire.answer()), outcomeOf(await wire.answer())]).toEqual([
    'answered 200',
    'operation_not_allowed',
  ])
  expect(upstream.got.slice(count).map(({ target }) => target)).toEqual(['/open/a'])
  wire.close()
})

attack('P3', 'behind an allowed request, one with the placeholder of another service', textFronts, async (front) => {
  const count = upstream.got.length
  const wire = await stage.open(front.door, narrow.host, login)
  const headers = [['Authorization', `Bearer ${login.placeholder(other)}`] as const]
  wire.write(
    Buffer.concat([
      rawRequest(stage, front, { held: narrow, login, target: '/open/a' }),
      rawRequest(stage, front, { held: narrow, login, target: '/open/b', headers }),
    ]),
  )
  expect([outcomeOf(await wire.answer()), outcomeOf(await wire.answer())]).toEqual([
    'answered 200',
    'placeholder_elsewhere',
  ])
  expect(upstream.got.slice(count).map(({ target }) => target)).toEqual(['/open/a'])
  wire.close()
})

attack(
  'P3',
  'behind an allowed request, garbage: nothing of it arrives and the connection ends',
  textFronts,
  async (front) => {
    for (const garbage of [
      '\0\0\0\0\r\n\r\n',
      'GET\r\n\r\n',
      'HTTP/1.1 200 OK\r\n\r\n',
      '\x16\x03\x01\x02\x00\r\n\r\n',
      'get / HTTP/1.1\r\n\r\n',
    ]) {
      const wire = await stage.open(front.door, narrow.host, login)
      const count = upstream.got.length
      wire.write(
        Buffer.concat([
          rawRequest(stage, front, { held: narrow, login, target: '/open/a' }),
          Buffer.from(garbage, 'latin1'),
        ]),
      )
      const outcomes: string[] = []
      for (
        let answer = await wire.answer().catch(() => null);
        answer !== null;
        answer = await wire.answer().catch(() => null)
      )
        outcomes.push(outcomeOf(answer))
      // The first may be given up with the connection; what never happens is a second one that is served.
      expect(outcomes.filter((outcome) => outcome.startsWith('answered')).length).toBeLessThanOrEqual(1)
      expect(upstream.got.slice(count).length).toBeLessThanOrEqual(1)
      await wire.closed
    }
  },
)
