import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { codeOf, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { header } from '../e2e/gateway/wire.ts'
import { attack } from './attack.ts'
import { bare, bearer, outcomeOf, textAbsolute, textForward, tunnelled } from './asking.ts'
import { proxyCredentials } from '../e2e/gateway/requests.ts'

let stage: Stage
let upstream: Upstream
let echo: Held
let login: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin, deny: ['* /admin/**'] })
  login = await stage.login('triage', { egress: 'deny' })
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const same = ['echo.example.test', 'ECHO.EXAMPLE.TEST', 'Echo.Example.Test', 'echo.example.test.', 'ECHO.example.test.']
const other = [
  'xn--eho-5qa.example.test',
  'echo.example.xn--test-9pa',
  'ęcho.example.test',
  'echo。example.test',
  'еcho.example.test',
  'echo.example.test..',
  '..echo.example.test',
  'ｅcho.example.test',
  'echo.еxample.test',
  'echo\u00ad.example.test',
  'echo.example.teſt',
  'K.example.test',
]

attack('D13', 'letter case and trailing dot are the same host, to allow and to deny', textForward, async (front) => {
  for (const host of same) {
    for (const port of front.door === 'absolute' ? ['', ':80'] : ['']) {
      for (const [path, outcome] of [
        ['/open', 'answered 200'],
        ['/admin/x', 'operation_denied'],
      ] as const) {
        const bytes = (line: string, proof: string): string =>
          `GET ${line} HTTP/1.1\r\nHost: ${host}${port}\r\n${proof}Authorization: Bearer ${login.placeholder(echo)}\r\n\r\n`
        if (front.door === 'tunnel')
          expect(await tunnelled(stage, `${host}:80`, login, bytes(path, '')), host).toBe(outcome)
        else {
          const proof = `Proxy-Authorization: ${proxyCredentials(login.token)}\r\n`
          const answer = await bare(stage, bytes(`http://${host}${port}${path}`, proof))
          expect(answer === null ? 'closed' : outcomeOf(answer), host).toBe(outcome)
        }
      }
    }
    expect(upstream.got.at(-1)?.headers.host).toBe('echo.example.test')
    expect(upstream.got.at(-1)?.headers.authorization).toBe(`Bearer ${echo.secret()}`)
  }
})

attack('D13', 'homographs and other spellings are other hosts', textForward, async (front) => {
  const before = upstream.received().length
  for (const host of other) {
    const outcome = front.door === 'tunnel' ? await tunnelled(stage, `${host}:443`, login) : await absolute(host)
    expect(['host_not_listed', 'host_sibling', 'request_malformed', 'closed'], `${host}: ${outcome}`).toContain(outcome)
  }
  expect(upstream.received().length).toBe(before)
})

attack('D13', 'a service is reached on its own port only', textForward, async (front) => {
  const before = upstream.received().length
  for (const port of [8443, 8080, 22, 25, 1, 65_535, ...(front.door === 'absolute' ? [443] : [])]) {
    const outcome =
      front.door === 'tunnel'
        ? await tunnelled(stage, `${echo.host}:${port}`, login)
        : await absolute(`${echo.host}:${port}`)
    expect(outcome, String(port)).toBe('port_refused')
  }
  expect(upstream.received().length).toBe(before)
})

attack('D13', 'whoever is refused is not told what was listed', textAbsolute, async () => {
  const wire = await stage.dial()
  wire.write(
    `GET http://xecho.example.net/ HTTP/1.1\r\nHost: xecho.example.net\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\n\r\n`,
  )
  const answer = await wire.answer()
  expect(codeOf(answer)).toBe('host_not_listed')
  expect(answer.rawHead + answer.body.toString()).not.toContain(echo.host)
  expect(header(answer, 'location')).toBeUndefined()
  wire.close()
})

async function absolute(host: string): Promise<string> {
  const [name, value] = bearer(login, echo)
  const answer = await bare(
    stage,
    `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\n${name}: ${value}\r\n\r\n`,
  )
  return answer === null ? 'closed' : outcomeOf(answer)
}
