import { afterAll, beforeAll, expect } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { allOf, expectNoPiece, openScene, type Scene } from './scene.ts'

/** R8: the methods whose answer is the request itself, and the ways to ask for them behind another. */

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
  scene.answer((_request, response, got) => response.end(got.rawHeaders.join('\n')))
})
afterAll(() => scene.close())

attack('R8', 'TRACE and TRACK, with and without Max-Forwards', fronts, async (front) => {
  const before = scene.upstream.received().length
  for (const method of ['TRACE', 'TRACK']) {
    for (const headers of [[], [['Max-Forwards', '0']], [['Max-Forwards', '5']]] as const) {
      const answer = await scene.ask(front, { method, headers })
      // A parser that knows no TRACK refuses it before the gateway sees a method.
      const expected =
        method === 'TRACE' || answer.status === 405 ? [405, 'method_refused'] : [400, 'request_malformed']
      expect([answer.status, codeOf(answer)]).toEqual(expected)
      expectNoPiece(allOf(answer), scene.echo.secret())
    }
  }
  expect(scene.upstream.received().length).toBe(before)
})

attack('R8', 'a header or a query that would change the method', fronts, async (front) => {
  const before = scene.upstream.received().length
  for (const name of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'X_HTTP_Method_Override']) {
    for (const method of ['GET', 'POST']) {
      const answer = await scene.ask(front, { method, headers: [[name, 'TRACE']] })
      expect([answer.status, codeOf(answer)], name).toEqual([405, 'method_refused'])
    }
  }
  for (const target of ['/?_method=TRACE', '/a?b=1&_METHOD=trace', '/a?%5fmethod=TRACE']) {
    const answer = await scene.ask(front, { method: 'POST', target })
    expect([answer.status, codeOf(answer)], target).toEqual([405, 'method_refused'])
  }
  expect(scene.upstream.received().length).toBe(before)
})

attack('R8', 'Max-Forwards on OPTIONS does not reach the service', fronts, async (front) => {
  const answer = await scene.ask(front, { method: 'OPTIONS', headers: [['Max-Forwards', '0']] })
  expect(scene.upstream.got.at(-1)?.headers['max-forwards']).toBeUndefined()
  expectNoPiece(allOf(answer), scene.echo.secret())
})
