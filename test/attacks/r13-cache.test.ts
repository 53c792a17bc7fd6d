import { afterAll, beforeAll, expect } from 'vitest'
import type { Login } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { allOf, bearer, openScene, type Scene } from './scene.ts'

/** R13: what one agent was answered is never what another gets. */

let scene: Scene
let other: Login

beforeAll(async () => {
  scene = await openScene()
  const agentId = await scene.stage.agent('somebody-else')
  const grant = { agentId, credentialId: scene.echo.credentialId, allow: ['*'], deny: [], limits: {}, expiresAt: null }
  await scene.stage.app.grants.add(grant, 'test')
  other = await scene.stage.login('somebody-else')
})
afterAll(() => scene.close())

attack('R13', 'an answer that may be kept by everybody, asked for by two agents in turn', fronts, async (front) => {
  let served = 0
  scene.answer((_request, response) => {
    served += 1
    response.writeHead(200, {
      'cache-control': 'public, max-age=31536000, immutable',
      expires: new Date(Date.now() + 3_600_000).toUTCString(),
      'last-modified': new Date(0).toUTCString(),
      etag: '"same"',
      vary: '',
    })
    response.end(`${served} ${scene.echo.secret()}`)
  })
  for (const headers of [
    [],
    [['If-None-Match', '"same"']],
    [['Cache-Control', 'only-if-cached, max-stale']],
  ] as const) {
    for (const login of [scene.login, other, scene.login]) {
      const before = served
      const mine = login.placeholder(scene.echo)
      const answer = await scene.stage.request({
        ...front,
        held: scene.echo,
        login,
        target: '/profile',
        headers: [bearer(mine), ...headers],
      })
      expect(served, 'each request is one at the service').toBe(before + 1)
      expect(answer.body.toString()).toBe(`${served} ${mine}`)
      const theirs = (login === other ? scene.login : other).placeholder(scene.echo)
      expect(allOf(answer).includes(theirs), 'the placeholder of the other').toBe(false)
    }
  }
})

attack('R13', 'at the same moment, on kept connections', fronts, async (front) => {
  scene.answer((_request, response, got) => setTimeout(() => response.end(`${got.target} ${scene.echo.secret()}`), 5))
  const asked = Array.from({ length: 20 }, (_, index) => ({ login: index % 2 === 0 ? scene.login : other, index }))
  await Promise.all(
    asked.map(async ({ login, index }) => {
      const answer = await scene.stage.request({
        ...front,
        held: scene.echo,
        login,
        target: `/${index}`,
        headers: [bearer(login.placeholder(scene.echo))],
      })
      expect(answer.body.toString()).toBe(`/${index} ${login.placeholder(scene.echo)}`)
    }),
  )
})
