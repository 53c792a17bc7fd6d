import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { doors, openStage, type Held, type Login, type Stage } from './harness.ts'
import { startUpstream, type Handler, type Upstream } from './upstream.ts'
import { header } from './wire.ts'

let stage: Stage
let upstream: Upstream
let echo: Held
let login: Login
let handler: Handler = (_request, response) => void response.end()

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((request, response, got) => handler(request, response, got))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

describe.each(doors)('%s', (door) => {
  const authorization = () => ['Authorization', `Bearer ${login.placeholder(echo)}`] as const

  test('a request gets its credential and its answer', async () => {
    handler = (_request, response) => {
      response.writeHead(201, { 'content-type': 'text/plain', 'x-of-the-service': 'yes' })
      response.end('hello')
    }
    const answer = await stage.request({ door, held: echo, login, method: 'POST', target: '/v1/things?a=1&b=%20', headers: [authorization()], body: 'ping' })
    expect(answer).toMatchObject({ status: 201, whole: true })
    expect(answer.body.toString()).toBe('hello')
    expect(header(answer, 'x-of-the-service')).toBe('yes')
    const got = upstream.got.at(-1)
    expect(got).toMatchObject({ method: 'POST', target: '/v1/things?a=1&b=%20' })
    expect(got?.headers.authorization).toBe(`Bearer ${echo.secret()}`)
    expect(got?.headers.host).toBe(echo.host)
    expect(got?.body.toString()).toBe('ping')
  })
})
