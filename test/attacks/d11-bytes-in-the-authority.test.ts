import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { proxyCredentials, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack } from './attack.ts'
import { bare, outcomeOf, textFronts } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let upstream: Upstream
let echo: Held
let login: Login
const resolved: string[] = []

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage({
    resolve: (host) => {
      resolved.push(host)
      return Promise.resolve([{ address: PUBLIC, family: 4 }])
    },
  })
  upstream = await startUpstream(always(200, {}, 'ok'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  login = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
  internet.close()
})

const separators = [
  '\0',
  '%00',
  '\r',
  '\n',
  '\r\n',
  '%0d%0a',
  ' ',
  '\t',
  '%20',
  '\x0b',
  '\x0c',
  '@',
  '%40',
  '#',
  '%23',
  '\\',
  '%5c',
  '/',
  '?',
  ';',
  ',',
  '|',
  '^',
  '`',
  '"',
  "'",
  '<',
  '>',
  '{',
  '}',
  '[',
  ']',
  '(',
  ')',
  '*',
  '&',
  '=',
  '+',
  '$',
  '!',
  '~',
  '\x7f',
  '\x80',
  '\xa0',
  '\xad',
  '\xff',
  '\xe3\x80\x82',
  '\xef\xbc\x8e',
  '..',
  '\xe2\x80\x8b',
  ':',
  '::',
  ':80:',
  '%',
]

function authorities(): string[] {
  const allowed = echo.host
  return [
    ...separators.flatMap((sign) => [
      `${allowed}${sign}.evil.test`,
      `${allowed}${sign}evil.test`,
      `evil.test${sign}.${allowed}`,
      `evil.test${sign}${allowed}`,
    ]),
    `user:pw@${allowed}`,
    `${allowed}@evil.test`,
    `@${allowed}`,
    `${allowed}@`,
    `.${allowed}`,
    `-${allowed}`,
    `${allowed}..`,
    `[${allowed}]`,
    `${allowed}:`,
    `${allowed}:0`,
    `${allowed}:00443`,
    `${allowed}:443x`,
    `${allowed}:65979`,
    `${allowed}:-1`,
    `${allowed}:+443`,
    `${allowed}:4 43`,
  ]
}

attack('D11', 'no byte in an authority makes one host look like another', textFronts, async (front) => {
  const before = upstream.received().length
  for (const [index, authority] of authorities().entries()) {
    // Whoever is refused too often is told less; what is tried here is what each single one is told.
    if (index % 50 === 0) stage.advance(61_000)
    const placeholder = `Authorization: Bearer ${login.placeholder(echo)}\r\n`
    const proof = `Proxy-Authorization: ${proxyCredentials(login.token)}\r\n`
    const withPort = /:[^\]]*$/.test(authority) ? authority : `${authority}:443`
    const bytes = {
      'base-url': `GET /s/echo/ HTTP/1.1\r\nHost: ${authority}\r\n${placeholder}\r\n`,
      absolute: `GET http://${authority}/ HTTP/1.1\r\nHost: ${echo.host}\r\n${proof}${placeholder}\r\n`,
      tunnel: `CONNECT ${withPort} HTTP/1.1\r\nHost: ${withPort}\r\n${proof}\r\n`,
    }[front.door]
    const answer = await bare(stage, Buffer.from(bytes, 'latin1'))
    const outcome = answer === null ? 'closed' : outcomeOf(answer)
    const shown = JSON.stringify(authority)
    // `allowed/evil` is the allowed host and a path, so it is another matter than a host; it goes where it says.
    if (front.door === 'absolute' && /^echo\.example\.test[/?]/.test(authority)) continue
    // `evil.test/…` and `evil.test?…` name an honest host of their own, which nobody guards.
    if (front.door === 'absolute' && /^evil\.test[/?]/.test(authority)) {
      expect(outcome, shown).toBe('host_mismatch')
      continue
    }
    expect(['request_malformed', 'host_mismatch', 'closed'], `${shown}: ${outcome}`).toContain(outcome)
  }
  expect(resolved).toEqual([])
  if (front.door !== 'absolute') expect(upstream.received().length).toBe(before)
})

attack('D11', 'whoever speaks SOCKS is turned away', textFronts.slice(0, 1), async () => {
  stage.advance(61_000)
  for (const greeting of [
    '\x05\x01\x00',
    '\x05\x02\x00\x02',
    '\x04\x01\x01\xbb\x5d\xb8\xd8\x22\x00',
    `\x05\x01\x00\x03\x11${echo.host}\x01\xbb`,
  ]) {
    const wire = await stage.dial()
    // A parser of HTTP may wait for the end of a head; here it is.
    wire.write(Buffer.from(`${greeting}\r\n\r\n`, 'latin1'))
    const head = await wire.answer().catch(() => null)
    expect(head === null ? 'closed' : outcomeOf(head)).toMatch(/^(?:request_malformed|closed)$/)
    await wire.closed
  }
})
