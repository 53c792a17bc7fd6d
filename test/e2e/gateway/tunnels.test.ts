import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { Socket, type AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocketServer } from 'ws'
import { frameOf } from '../../../src/gateway/websocket/frames.ts'
import { createAuthority, type Authority } from '../../fakes/authority.ts'
import { openStage, type Stage } from './harness.ts'
import { codeOf, connectHead, proxyCredentials, requestBytes, type Held, type Login } from './requests.ts'
import { always, startUpstream, type Upstream } from './upstream.ts'
import { header, type Answer, type Wire } from './wire.ts'

/**
 * CONNECT and hosts without a service. Tests reach loopback only, so connections to public addresses
 * are turned to it here, below everything that Keyward decides.
 */
const turned = vi.hoisted(() => ({ dialled: [] as { host: string; port: number }[], to: new Map<string, number>() }))
vi.mock('node:net', async (original) => {
  const net = await original<typeof import('node:net')>()
  const connect = (options: unknown, ...rest: unknown[]): unknown => {
    if (
      typeof options === 'object' &&
      options !== null &&
      'host' in options &&
      'port' in options &&
      typeof options.host === 'string' &&
      options.host !== '127.0.0.1'
    ) {
      turned.dialled.push({ host: options.host, port: Number(options.port) })
      const port = turned.to.get(`${options.host}:${String(options.port)}`)
      return port === undefined
        ? Reflect.apply(net.connect, net, [{ host: '127.0.0.1', port: 1 }, ...rest])
        : Reflect.apply(net.connect, net, [{ host: '127.0.0.1', port }, ...rest])
    }
    return Reflect.apply(net.connect, net, [options, ...rest])
  }
  return { ...net, connect, default: { ...net, connect } }
})

let stage: Stage
let upstream: Upstream
let outside: Upstream
let authority: Authority
let secureOutside: ReturnType<typeof createTlsServer>
/** Goes on for as long as somebody listens. */
let steady: ReturnType<typeof createTlsServer>
let steadyPlain: Upstream
let echo: Held
let login: Login
let prod: Login

const PUBLIC = '93.184.216.34'

beforeAll(async () => {
  stage = await openStage()
  authority = await createAuthority()
  upstream = await startUpstream(always(200, {}, 'ok'))
  const sockets = new WebSocketServer({ noServer: true })
  outside = await startUpstream(always(200, { 'keyward-error': 'token_invalid', 'x-outside': 'yes' }, 'outside'), {
    onUpgrade: (request, stream, early) =>
      sockets.handleUpgrade(request, stream, early, (socket) =>
        socket.on('message', (data, binary) => socket.send(data, { binary })),
      ),
  })
  const leaf = await authority.issue(['outside.example.net'])
  secureOutside = createTlsServer(leaf, (socket) => socket.end('hello from outside'))
  await new Promise<void>((done) => secureOutside.listen(0, '127.0.0.1', done))
  echo = await stage.hold({ id: 'echo', endpoint: upstream.origin, hosts: ['api.example.test'] })
  login = await stage.login('triage')
  await stage.agent('worker', 'prod')
  prod = await stage.login('worker', { environment: 'prod' })
  const steadyLeaf = await authority.issue(['steady.example.net'])
  steady = createTlsServer(steadyLeaf, (socket) => {
    const timer = setInterval(() => socket.write('tick'), 10)
    socket.on('error', () => undefined).on('close', () => clearInterval(timer))
  })
  await new Promise<void>((done) => steady.listen(0, '127.0.0.1', done))
  steadyPlain = await startUpstream((_request, response) => {
    response.writeHead(200)
    const timer = setInterval(() => response.write('tick'), 10)
    response.on('close', () => clearInterval(timer))
  })
  stage.names.set('steady.example.net', ['93.184.216.36'])
  turned.to.set('93.184.216.36:443', (steady.address() as AddressInfo).port)
  turned.to.set('93.184.216.36:80', steadyPlain.port)
  stage.names.set('outside.example.net', [PUBLIC])
  turned.to.set(`${PUBLIC}:80`, outside.port)
  turned.to.set(`${PUBLIC}:443`, (secureOutside.address() as AddressInfo).port)
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
  await outside.close()
  secureOutside.close()
  steady.close()
  await steadyPlain.close()
})

async function connecting(
  authorityText: string,
  token: string | null = login.token,
  extra = '',
): Promise<{ wire: Wire; answer: Answer }> {
  const wire = await stage.dial()
  wire.write(connectHead(authorityText, token) + extra)
  return { wire, answer: await wire.answer({ method: 'HEAD' }) }
}

async function refusedConnect(authorityText: string, token: string | null = login.token, extra = ''): Promise<Answer> {
  const wire = await stage.dial()
  wire.write(connectHead(authorityText, token) + extra)
  const answer = await wire.answer()
  await wire.closed
  return answer
}

test('a refused client that writes on and goes away leaves no socket behind', async () => {
  const open = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
  const before = open()
  const wires = await Promise.all(Array.from({ length: 20 }, () => stage.dial()))
  for (const wire of wires) {
    wire.write('CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n\r\n')
    expect((await wire.answer()).status).toBe(407)
    wire.write('a ClientHello that did not wait')
    if (wire.socket instanceof Socket) wire.socket.end()
  }
  await expect.poll(open, { timeout: 4_000 }).toBeLessThanOrEqual(before)
})

describe('CONNECT is refused', () => {
  test.each([
    ['without a session', 'api.example.test:443', 'token_missing', 407, null],
    ['with a token of nobody', 'api.example.test:443', 'token_invalid', 401, 'kws_nobody'],
  ])('%s', async (_name, where, code, status, token) => {
    const answer = await refusedConnect(where, token)
    expect({ code: codeOf(answer), status: answer.status }).toEqual({ code, status })
    if (status === 407) expect(header(answer, 'proxy-authenticate')).toMatch(/^Basic /)
    expect((await stage.journaled({ kind: 'refusal', code })).event).toMatchObject({ door: 'tunnel' })
  })

  test.each([
    ['to the gateway itself', () => `127.0.0.1:${stage.port}`, 'loop_refused'],
    ['to the gateway by name', () => `localhost:${stage.port}`, 'loop_refused'],
    ['to a service on another port', () => 'api.example.test:8443', 'port_refused'],
    ['to SSH of a service', () => 'api.example.test:22', 'port_refused'],
    ['to another port outside', () => 'outside.example.net:8443', 'port_refused'],
    ['to a sibling of a listed host', () => 'admin.example.test:443', 'host_sibling'],
    ['to the bare domain of a listed host', () => 'example.test:443', 'host_sibling'],
    ['to a name below a listed host', () => 'x.api.example.test:443', 'host_sibling'],
  ])('%s', async (_name, where, code) => {
    const before = turned.dialled.length
    const since = Date.now()
    expect(codeOf(await refusedConnect(where()))).toBe(code)
    expect((await stage.journaled({ kind: 'refusal', code, since })).event['agent']).toBe('triage')
    expect(turned.dialled.length).toBe(before)
  })

  test.each([
    'api.example.test',
    'api.example.test:',
    'api.example.test:0',
    'api.example.test:65536',
    'api.example.test:0443',
    ':443',
    'user@api.example.test:443',
    '[::1:443',
    'api..example.test:443',
    'api.example.test:443/path',
  ])('to what is no authority: %s', async (where) => {
    expect(codeOf(await refusedConnect(where))).toBe('request_malformed')
  })

  test('with bytes that came before the answer', async () => {
    expect(codeOf(await refusedConnect('api.example.test:443', login.token, 'GET / HTTP/1.1\r\n\r\n'))).toBe(
      'request_malformed',
    )
  })

  test('within a tunnel', async () => {
    const wire = await stage.open('tunnel', echo.host, login)
    const since = Date.now()
    wire.write(connectHead('api.example.test:443', login.token))
    const answer = await wire.answer()
    expect({ code: codeOf(answer), status: answer.status }).toEqual({ code: 'method_refused', status: 405 })
    await wire.closed
    expect((await stage.journaled({ kind: 'refusal', code: 'method_refused', since })).event['agent']).toBe('triage')
  })

  test('to any host outside in an environment that is closed', async () => {
    const before = turned.dialled.length
    for (const where of ['outside.example.net:443', 'api.example.test:443', `${PUBLIC}:443`]) {
      expect(codeOf(await refusedConnect(where, prod.token))).toBe('host_not_listed')
    }
    expect(turned.dialled.length).toBe(before)
    expect((await stage.journaled({ kind: 'refusal', code: 'host_not_listed' })).event).toMatchObject({
      agent: 'worker',
      environment: 'prod',
    })
  })

  test('to any host outside by a session that was opened without', async () => {
    const closed = await stage.login('triage', { egress: 'deny' })
    expect(codeOf(await refusedConnect('outside.example.net:443', closed.token))).toBe('host_not_listed')
  })
})

describe('private and metadata addresses', () => {
  test.each([
    '169.254.169.254',
    '127.0.0.1',
    '10.0.0.1',
    '192.168.1.1',
    '100.100.100.200',
    '0.0.0.0',
    '[::1]',
    '[fd00:ec2::254]',
    '[::ffff:169.254.169.254]',
    '[64:ff9b::a9fe:a9fe]',
  ])('%s', async (address) => {
    const before = turned.dialled.length
    expect(codeOf(await refusedConnect(`${address}:443`))).toBe('host_refused')
    const wire = await stage.dial()
    wire.write(
      `GET http://${address}/latest/meta-data/ HTTP/1.1\r\nHost: ${address}\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\nMetadata-Flavor: Google\r\n\r\n`,
    )
    expect(codeOf(await wire.answer())).toBe('host_refused')
    wire.close()
    expect(turned.dialled.length).toBe(before)
  })

  test.each([
    '0xA9FEA9FE',
    '2852039166',
    '0251.0376.0251.0376',
    '169.254.43518',
    '0xa9.0xfe.0xa9.0xfe',
    '169.254.169.254.',
    '①⑥⑨.254.169.254',
    '169。254。169。254',
  ])('the spelling %s', async (spelling) => {
    const before = turned.dialled.length
    const code = codeOf(await refusedConnect(`${spelling}:443`))
    expect(['request_malformed', 'host_refused']).toContain(code)
    expect(turned.dialled.length).toBe(before)
  })

  test.each([
    ['a private address', ['10.0.0.1']],
    ['a public and a private one', [PUBLIC, '169.254.169.254']],
    ['a loopback address', ['::1']],
    ['no address', []],
  ])('a name that resolves to %s', async (_name, addresses) => {
    stage.names.set('inward.example.net', [addresses])
    const before = turned.dialled.length
    expect(codeOf(await refusedConnect('inward.example.net:443'))).toBe('host_refused')
    const wire = await stage.dial()
    wire.write(
      `GET http://inward.example.net/ HTTP/1.1\r\nHost: inward.example.net\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\n\r\n`,
    )
    expect(codeOf(await wire.answer())).toBe('host_refused')
    wire.close()
    expect(turned.dialled.length).toBe(before)
  })

  test('a name that turns private after it was public: each connection is checked, and the checked address dialled', async () => {
    turned.to.set('93.184.216.35:80', outside.port)
    stage.names.set('rebound.example.net', [['93.184.216.35'], ['169.254.169.254']])
    const ask = async (): Promise<Answer> => {
      const wire = await stage.dial()
      wire.write(
        `GET http://rebound.example.net/ HTTP/1.1\r\nHost: rebound.example.net\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\nConnection: close\r\n\r\n`,
      )
      return wire.answer()
    }
    const many = await Promise.all([ask(), ask(), ask()])
    const codes = many.map((answer) => (answer.status === 200 ? 'ok' : codeOf(answer)))
    expect(codes.filter((code) => code !== 'ok').every((code) => code === 'host_refused')).toBe(true)
    expect(codes).toContain('host_refused')
    expect(turned.dialled.filter(({ host }) => host === '169.254.169.254')).toEqual([])
  })

  test('a service without an endpoint is held to the same guard, and its credential stays', async () => {
    const held = await stage.hold({ id: 'inward', hosts: ['inward.vendor.test'] })
    const who = await stage.login('triage')
    stage.names.set('inward.vendor.test', ['10.1.2.3'])
    const before = turned.dialled.length
    for (const door of ['base-url', 'tunnel'] as const) {
      expect(
        codeOf(
          await stage.request({
            door,
            held,
            login: who,
            headers: [['Authorization', `Bearer ${who.placeholder(held)}`]],
          }),
        ),
      ).toBe('host_refused')
    }
    expect(turned.dialled.length).toBe(before)
  })
})

describe('hosts without a service, in an open environment', () => {
  test('plain HTTP passes, without any proof of the session, and is recorded', async () => {
    const wire = await stage.dial()
    wire.write(
      `GET http://outside.example.net/a/../b?c HTTP/1.1\r\nHost: outside.example.net\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\nAuthorization: Bearer ${login.placeholder(echo)}\r\n\r\n`,
    )
    const answer = await wire.answer()
    expect([answer.status, answer.body.toString(), header(answer, 'x-outside')]).toEqual([200, 'outside', 'yes'])
    expect(header(answer, 'keyward-error')).toBeUndefined()
    const sent = outside.received().toString('latin1')
    expect(sent).toContain('GET /a/../b?c HTTP/1.1')
    expect(sent).not.toContain(login.token)
    expect(sent).not.toContain(echo.secret())
    expect((await stage.journaled({ kind: 'egress', text: 'outside.example.net' })).event).toMatchObject({
      agent: 'triage',
      door: 'absolute',
      host: 'outside.example.net',
    })
    wire.close()
  })

  test('a WebSocket passes as well: its frames are read, its messages are left as they are', async () => {
    const wire = await stage.dial()
    wire.write(
      `GET http://outside.example.net/socket HTTP/1.1\r\nHost: outside.example.net\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    )
    expect((await wire.head()).status).toBe(101)
    const message = Buffer.from(`hello ${echo.secret()}`)
    wire.write(frameOf('text', true, [message], Buffer.from([1, 2, 3, 4])))
    // Nothing was put in here, and nobody guards this host: nothing is looked for.
    expect(await wire.more()).toEqual(frameOf('text', true, [message], null))
    wire.write(Buffer.from([0xc1, 0x80, 0, 0, 0, 0]))
    await wire.closed
    expect((await stage.journaled({ kind: 'egress', text: '/socket' })).event).toMatchObject({ upgrade: 'websocket' })
    expect((await stage.journaled({ kind: 'outcome', code: 'frame_refused' })).event).toMatchObject({
      messagesUp: 1,
      messagesDown: 1,
    })
  })

  async function throughTunnel(servername: string): Promise<TLSSocket> {
    const { wire, answer } = await connecting('outside.example.net:443')
    expect(answer.status).toBe(200)
    const raw = wire.socket
    raw.removeAllListeners('data')
    if (!(raw instanceof Socket)) throw new Error('no socket')
    return connectTls({ socket: raw, servername, ca: authority.certificate, rejectUnauthorized: servername !== '' })
  }

  test('TLS passes untouched where the name inside is the name outside', async () => {
    const secure = await throughTunnel('outside.example.net')
    const text = await new Promise<string>((done, fail) => {
      let all = ''
      secure.on('data', (chunk: Buffer) => (all += chunk.toString()))
      secure.on('end', () => done(all))
      secure.on('error', fail)
    })
    expect(text).toBe('hello from outside')
    // Verified against the outside's own authority, so nobody stood in between.
    expect(secure.getPeerX509Certificate()?.subjectAltName).toContain('outside.example.net')
    expect(turned.dialled.at(-1)).toEqual({ host: PUBLIC, port: 443 })
    expect((await stage.journaled({ kind: 'egress', text: 'outside.example.net' })).event).toMatchObject({
      agent: 'triage',
      door: 'tunnel',
      port: 443,
    })
  })

  test.each([['api.example.test'], ['another.example.net'], ['']])(
    'the name inside is another one: %j',
    async (servername) => {
      const before = turned.dialled.length
      const since = Date.now()
      const secure = await throughTunnel(servername)
      await new Promise<void>((done) => {
        secure.on('error', () => done())
        secure.on('close', () => done())
      })
      expect(turned.dialled.length).toBe(before)
      expect((await stage.journaled({ kind: 'refusal', code: 'host_mismatch', since })).event['agent']).toBe('triage')
    },
  )

  test('bytes that are no TLS go nowhere', async () => {
    const before = turned.dialled.length
    const { wire } = await connecting('outside.example.net:443')
    wire.write('SSH-2.0-OpenSSH_9.9\r\n')
    await wire.closed
    expect(turned.dialled.length).toBe(before)
  })

  const endings: readonly (readonly [string, (login: Login) => Promise<void>])[] = [
    ['revoked', ({ id }) => stage.app.sessions.revoke(id, 'test')],
    ['suspended', ({ id }) => stage.app.sessions.suspend(id, 'test')],
    [
      'over its time',
      () => {
        stage.advance(15 * 60_000 + 1)
        return stage.app.sessions.sweep()
      },
    ],
  ]

  test.each(endings)(
    'a session that is %s takes along what passes: a tunnel not yet begun, one at work, a stream',
    async (_, end) => {
      const brief = await stage.login('triage', { ttlSeconds: 15 * 60 })
      const begun = await connecting('outside.example.net:443', brief.token)
      expect(begun.answer.status).toBe(200)
      const working = await connecting('steady.example.net:443', brief.token)
      expect(working.answer.status).toBe(200)
      const raw = working.wire.socket
      raw.removeAllListeners('data')
      if (!(raw instanceof Socket)) throw new Error('no socket')
      const secure = connectTls({ socket: raw, servername: 'steady.example.net', ca: authority.certificate })
      secure.on('error', () => undefined)
      await new Promise((done) => secure.once('data', done))
      const secureClosed = new Promise((done) => secure.once('close', done))
      const stream = await stage.dial()
      stream.write(
        `GET http://steady.example.net/ HTTP/1.1\r\nHost: steady.example.net\r\nProxy-Authorization: ${proxyCredentials(brief.token)}\r\n\r\n`,
      )
      expect((await stream.head()).status).toBe(200)
      const endedAt = Date.now()
      await end(brief)
      await Promise.all([begun.wire.closed, secureClosed, stream.closed])
      expect(Date.now() - endedAt).toBeLessThan(1_000)
    },
  )
})

describe('a tunnel that Keyward opens', () => {
  test('another name in the handshake than in the CONNECT is refused', async () => {
    const { wire } = await connecting('api.example.test:443')
    const raw = wire.socket
    raw.removeAllListeners('data')
    if (!(raw instanceof Socket)) throw new Error('no socket')
    const secure = connectTls({ socket: raw, servername: 'other.example.test', ca: stage.app.caCertificate })
    await expect(new Promise((done, fail) => secure.once('secureConnect', done).once('error', fail))).rejects.toThrow()
  })

  test('a handshake without a name gets a leaf for the CONNECT host alone', async () => {
    const { wire } = await connecting('api.example.test:443')
    const raw = wire.socket
    raw.removeAllListeners('data')
    if (!(raw instanceof Socket)) throw new Error('no socket')
    const secure = connectTls({ socket: raw, ca: stage.app.caCertificate, checkServerIdentity: () => undefined })
    await new Promise((done, fail) => secure.once('secureConnect', done).once('error', fail))
    expect(secure.getPeerX509Certificate()?.subjectAltName).toBe('DNS:api.example.test')
    secure.destroy()
  })

  test('a target that is not a path is refused inside', async () => {
    for (const target of ['http://api.example.test/', 'https://other.example.test/', '*']) {
      const wire = await stage.open('tunnel', echo.host, login)
      wire.write(`${target === '*' ? 'OPTIONS' : 'GET'} ${target} HTTP/1.1\r\nHost: api.example.test\r\n\r\n`)
      expect(codeOf(await wire.answer())).toBe('request_malformed')
      wire.close()
    }
  })

  test('port 80 is opened as plain HTTP, each request judged', async () => {
    const { wire, answer } = await connecting('api.example.test:80')
    expect(answer.status).toBe(200)
    wire.write(
      requestBytes(stage, {
        door: 'tunnel',
        held: echo,
        login,
        headers: [['Authorization', `Bearer ${login.placeholder(echo)}`]],
      }),
    )
    expect((await wire.answer()).status).toBe(200)
    expect(upstream.got.at(-1)?.headers.authorization).toBe(`Bearer ${echo.secret()}`)
    const tls = await stage.hold({ id: 'sealed', hosts: ['sealed.vendor.test'] })
    const who = await stage.login('triage')
    const clear = await connecting('sealed.vendor.test:80', who.token)
    clear.wire.write(
      requestBytes(stage, {
        door: 'tunnel',
        held: tls,
        login: who,
        headers: [['Authorization', `Bearer ${who.placeholder(tls)}`]],
      }),
    )
    expect(codeOf(await clear.wire.answer())).toBe('cleartext_refused')
  })
})
