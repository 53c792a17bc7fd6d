import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { proxyCredentials, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack } from './attack.ts'
import { bare, outcomeOf, textAbsolute, textFronts, textTunnel } from './asking.ts'

let stage: Stage
let upstream: Upstream
let echo: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  await stage.hold({ id: 'other', endpoint: upstream.origin })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const proof = (): string =>
  `Proxy-Authorization: ${proxyCredentials(login.token)}\r\nAuthorization: Bearer ${login.placeholder(echo)}\r\n`

attack('D9', 'https in absolute form, and schemes that nobody speaks', textAbsolute, async () => {
  for (const scheme of [
    'https',
    'HTTPS',
    'ftp',
    'ws',
    'wss',
    'file',
    'gopher',
    'http+unix',
    'javascript',
    'httpx',
    'h2c',
  ]) {
    const answer = await bare(stage, `GET ${scheme}://${echo.host}/ HTTP/1.1\r\nHost: ${echo.host}\r\n${proof()}\r\n`)
    const outcome = answer === null ? 'closed' : outcomeOf(answer)
    expect(['request_malformed', 'closed'], `${scheme}: ${outcome}`).toContain(outcome)
  }
  expect(upstream.received().length).toBe(0)
})

attack('D9', 'absolute form inside a tunnel, of this host or of another', textTunnel, async () => {
  for (const target of [
    `http://${echo.host}/`,
    `https://${echo.host}/`,
    'http://other.example.test/',
    'https://other.example.test/',
    'http://evil.example.net/',
    '//other.example.test/',
    '*',
  ]) {
    const wire = await stage.open('tunnel', echo.host, login)
    wire.write(
      `GET ${target} HTTP/1.1\r\nHost: ${echo.host}\r\nAuthorization: Bearer ${login.placeholder(echo)}\r\n\r\n`,
    )
    const outcome = outcomeOf(await wire.answer())
    expect(['request_malformed', 'path_not_canonical'], `${target}: ${outcome}`).toContain(outcome)
    wire.close()
  }
  expect(upstream.received().length).toBe(0)
})

attack('D9', 'an absolute target beside another Host', textFronts, async (front) => {
  for (const [target, host] of [
    [`http://${echo.host}/`, 'other.example.test'],
    ['http://other.example.test/', echo.host],
    [`http://${echo.host}:80/`, `${echo.host}:443`],
    [`http://${echo.host}/`, `127.0.0.1:${stage.port}`],
    [`http://127.0.0.1:${stage.port}/s/echo/`, echo.host],
  ]) {
    const wire = await stage.open(front.door, echo.host, login)
    wire.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${proof()}\r\n`)
    const outcome = outcomeOf(await wire.answer())
    expect(['request_malformed', 'host_mismatch', 'loop_refused'], `${target} beside ${host}: ${outcome}`).toContain(
      outcome,
    )
    wire.close()
  }
  expect(upstream.received().length).toBe(0)
})
