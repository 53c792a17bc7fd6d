import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { connectHead, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { askRaw, bare, outcomeOf, rawRequest, textFronts, textTunnel, tunnelled } from './asking.ts'
import { openInternet, PUBLIC, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let upstream: Upstream
let echo: Held
let login: Login

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  upstream = await startUpstream(always(200, {}, 'ok'))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin })
  login = await stage.login('triage')
  stage.names.set('outside.example.net', [PUBLIC])
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
  internet.close()
})

attack('P4', 'bytes that did not wait for the tunnel', textTunnel, async () => {
  for (const authority of [`${echo.host}:443`, `${echo.host}:80`, 'outside.example.net:443', 'outside.example.net:80'])
    for (const early of [
      'x',
      '\r\n',
      'GET / HTTP/1.1\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: ${echo.host}\r\nAuthorization: Bearer ${login.placeholder(echo)}\r\n\r\n`,
      '\x16\x03\x01\x00\x05hello',
      '\0',
    ]) {
      const answer = await bare(stage, Buffer.from(connectHead(authority, login.token) + early, 'latin1'))
      expect(answer === null ? 'closed' : outcomeOf(answer), `${authority} ${JSON.stringify(early.slice(0, 20))}`).toBe(
        'request_malformed',
      )
    }
  expect(upstream.received().length).toBe(0)
  expect(internet.dialledBeside(stage.port)).toEqual([])
})

attack('P4', 'CONNECT with a body', textTunnel, async () => {
  for (const lines of [
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
  ]) {
    const head = connectHead(`${echo.host}:80`, login.token)
    const answer = await bare(stage, `${head.slice(0, -2)}${lines}\r\nhello`)
    expect(answer === null ? 'closed' : outcomeOf(answer), lines).toBe('request_malformed')
  }
  expect(upstream.received().length).toBe(0)
})

attack('P4', 'a tunnel in a tunnel', textTunnel, async () => {
  for (const target of [`${echo.host}:443`, 'outside.example.net:443', `127.0.0.1:${stage.port}`]) {
    const wire = await stage.open('tunnel', echo.host, login)
    wire.write(connectHead(target, login.token))
    expect(outcomeOf(await wire.answer())).toBe('method_refused')
    await wire.closed
    expect(await tunnelled(stage, `${echo.host}:80`, login, connectHead(target, login.token))).toBe('method_refused')
  }
  expect(upstream.received().length).toBe(0)
  expect(internet.dialledBeside(stage.port)).toEqual([])
})

const unknown = [
  'foo',
  'foo/1',
  'TLS/1.2',
  'HTTP/2.0',
  'h2',
  'IRC/6.9',
  'tcp',
  'SHTTP/1.3, IRC/6.9',
  'h2c, foo',
  'foo, h2c',
  '',
]

attack('P4', 'an upgrade to what nobody speaks', textFronts, async (front) => {
  for (const protocol of unknown) {
    const before = upstream.got.length
    const answer = await askRaw(stage, front, {
      held: echo,
      login,
      lines: `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`,
    })
    const outcome = outcomeOf(answer)
    expect(answer.status, protocol).not.toBe(101)
    // Without a protocol nothing is asked for.
    if (protocol !== '') expect(outcome, protocol).toBe('upgrade_refused')
    for (const got of upstream.got.slice(before)) {
      expect(got.headers.upgrade).toBeUndefined()
      expect(got.headers.connection ?? '').not.toMatch(/upgrade/i)
    }
  }
})

attack('P4', 'an upgrade to HTTP/2 in the clear opens nothing', textFronts, async (front) => {
  const before = upstream.got.length
  const wire = await stage.open(front.door, echo.host, login)
  const lines = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'
  wire.write(rawRequest(stage, front, { held: echo, login, lines }))
  const answer = await wire.answer()
  expect(answer.status).not.toBe(101)
  for (const got of upstream.got.slice(before))
    for (const name of ['upgrade', 'http2-settings', 'connection'])
      expect(got.headers[name] ?? '').not.toMatch(/h2c|settings|upgrade/i)
  // What a server of HTTP/2 would now read is not read by anybody.
  wire.write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1'))
  const second = (await wire.more().catch(() => null))?.toString('latin1') ?? ''
  expect(second).not.toMatch(/^HTTP\/1\.1 (?:101|200)/)
  expect(upstream.got.length).toBeLessThanOrEqual(before + 1)
  wire.close()
})

attack(
  'P4',
  'CONNECT over HTTP/2, ordinary and extended',
  fronts.filter(({ protocol }) => protocol === 'h2'),
  async (front) => {
    const before = upstream.received().length
    const dialled = internet.dialledBeside(stage.port).length
    const wire = await stage.openH2(front.door, echo.host, login)
    for (const fields of [
      [
        [':method', 'CONNECT'],
        [':authority', 'outside.example.net:443'],
      ],
      [
        [':method', 'CONNECT'],
        [':authority', `127.0.0.1:${stage.port}`],
      ],
      [
        [':method', 'CONNECT'],
        [':protocol', 'websocket'],
        [':scheme', 'https'],
        [':path', '/'],
        [':authority', echo.host],
      ],
      [
        [':method', 'CONNECT'],
        [':protocol', 'connect-udp'],
        [':scheme', 'http'],
        [':path', '/'],
        [':authority', echo.host],
      ],
    ] as const) {
      const outcome = await wire
        .request([...fields, ['authorization', `Bearer ${login.placeholder(echo)}`]])
        .then(outcomeOf, () => 'reset')
      expect(['method_refused', 'request_malformed', 'reset'], `${JSON.stringify(fields)}: ${outcome}`).toContain(
        outcome,
      )
    }
    expect(upstream.received().length).toBe(before)
    expect(internet.dialledBeside(stage.port).length).toBe(dialled)
    wire.close()
  },
)
