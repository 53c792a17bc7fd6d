import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openStage, type Stage } from './harness.ts'
import { codeOf, doors, type Held, type Login } from './requests.ts'
import { startUpstream, type Upstream } from './upstream.ts'
import { header } from './wire.ts'

/** What holds over HTTP/1.1 holds over HTTP/2: the same doors, the same judgement, a stream at a time. */

let stage: Stage
let upstream: Upstream
let held: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((request, response, got) => {
    response.writeHead(200, { 'x-echo': request.headers.authorization ?? '' })
    response.end(`${request.headers.authorization} ${got.body.toString()}`)
  })
  held = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

describe.each(doors)('%s', (door) => {
  const bearer = () => ['authorization', `Bearer ${login.placeholder(held)}`] as const

  test('the placeholder becomes the secret, and the echo of it a placeholder', async () => {
    const answer = await stage.request({
      door,
      held,
      login,
      protocol: 'h2',
      method: 'POST',
      target: '/v1/x?y=1',
      headers: [bearer()],
      body: 'hello',
    })
    const got = upstream.got.at(-1)
    expect(got).toMatchObject({ method: 'POST', target: '/v1/x?y=1' })
    expect(got?.headers).toMatchObject({ authorization: `Bearer ${held.secret()}`, host: held.host })
    expect(got?.body.toString()).toBe('hello')
    expect(answer.status).toBe(200)
    expect(answer.whole).toBe(true)
    expect(answer.body.toString()).toBe(`Bearer ${login.placeholder(held)} hello`)
    expect(header(answer, 'x-echo')).toBe(`Bearer ${login.placeholder(held)}`)
  })

  test('a refusal has its code and its entry', async () => {
    const answer = await stage.request({
      door,
      held,
      login,
      protocol: 'h2',
      headers: [['authorization', 'Bearer not-a-placeholder']],
    })
    expect(codeOf(answer)).toBe('placeholder_required')
    await stage.journaled({ kind: 'refusal', code: 'placeholder_required' })
  })
})
