import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket as PlainWebSocket, ProxyAgent } from 'undici'
import { createAuthority } from '../../fakes/authority.ts'
import { frameOf, type ControlKind, type MessageKind } from '../../../src/gateway/websocket/frames.ts'
import { eventually, openStage, type Stage } from './harness.ts'
import { connectHead, doors, proxyCredentials, type Door, type Held, type Login } from './requests.ts'
import { beneath, dialSocket, type DialOptions, type Dialled } from './socket-client.ts'
import { startSocketService, type SocketService } from './socket-service.ts'
import { startRawUpstream, type Upstream } from './upstream.ts'
import type { Socket } from 'node:net'

/** WebSockets of real clients, to real services, through every door. */

let stage: Stage
let service: SocketService
let echo: Held
let login: Login
const dialled: Dialled[] = []
/** Every message that reached the service. */
const heard: string[] = []

beforeAll(async () => {
  stage = await openStage()
  service = await startSocketService({
    server: { perMessageDeflate: true, handleProtocols: (offered) => offered.values().next().value ?? false },
    onSocket(socket, request) {
      socket.on('message', (data, binary) => {
        const text = data.toString()
        heard.push(text)
        if (text === 'headers') socket.send(JSON.stringify(request.rawHeaders))
        else if (text === 'close with the key') socket.close(4001, String(request.headers.authorization))
        else if (text === 'flood') for (let left = 500; left > 0; left--) socket.send(Buffer.alloc(64 * 1024, left))
        else socket.send(data, { binary })
      })
    },
    handler: (request, response) => {
      response.writeHead(401, { 'x-echo': String(request.headers.authorization) })
      response.end(`no: ${request.headers.authorization}`)
    },
  })
  echo = await stage.hold({ id: 'echo', endpoint: service.origin })
  login = await stage.login('triage')
})

afterEach(() => {
  for (const { socket } of dialled.splice(0)) socket.terminate()
})

afterAll(async () => {
  await stage.close()
  await service.close()
})

async function dial(door: Door, options: DialOptions & { held?: Held; as?: Login } = {}): Promise<Dialled> {
  const one = await dialSocket(stage, door, options.held ?? echo, options.as ?? login, options)
  dialled.push(one)
  return one
}

const outcome = async () => (await stage.journaled({ kind: 'outcome' })).event

const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const agreementTo = (head: string): string => {
  const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1] ?? ''
  return createHash('sha1').update(`${key}${magic}`).digest('base64')
}
const agreed = (head: string, more = ''): string =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${agreementTo(head)}\r\n${more}\r\n`

let raws = 0
/** A service that writes bytes by hand once it has the head of the request. */
async function rawService(
  talk: (socket: Socket, head: string) => void,
): Promise<{ held: Held; as: Login; upstream: Upstream }> {
  const upstream = await startRawUpstream((socket) => {
    let head = ''
    const onData = (chunk: Buffer): void => {
      head += chunk.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', onData)
      talk(socket, head)
    }
    socket.on('data', onData)
  })
  raws += 1
  const held = await stage.hold({ id: `raw-${raws}`, endpoint: upstream.origin, agent: `raw-${raws}` })
  return { held, as: await stage.login(`raw-${raws}`), upstream }
}

const frame = (kind: MessageKind | ControlKind | null, final: boolean, text: string | Uint8Array): Buffer =>
  frameOf(kind, final, [Buffer.from(text)], null)

describe.each(doors)('%s', (door) => {
  test('messages go both ways, with the credential on the request and not in what comes back', async () => {
    const { socket, open, next, closed } = await dial(door)
    await open
    socket.send('hello')
    expect(await next()).toEqual({ data: Buffer.from('hello'), binary: false })
    const bytes = Buffer.from([0, 255, 128, 7])
    socket.send(bytes)
    expect(await next()).toEqual({ data: bytes, binary: true })
    socket.send('headers')
    const told = (await next()).data.toString()
    expect(told).toContain(`Bearer ${login.placeholder(echo)}`)
    expect(told).not.toContain(echo.secret())
    expect(service.upgrades.at(-1)?.headers.authorization).toBe(`Bearer ${echo.secret()}`)
    expect(service.upgrades.at(-1)?.headers.host).toBe(echo.host)
    socket.close(3000, 'enough')
    expect(await closed).toEqual({ code: 3000, reason: 'enough' })
    expect(await outcome()).toMatchObject({
      outcome: 'answered',
      status: 101,
      messagesUp: 3,
      messagesDown: 3,
      scrubbed: 1,
    })
    expect((await stage.journaled({ kind: 'intent' })).event).toMatchObject({
      upgrade: 'websocket',
      method: 'GET',
      door,
    })
  })

  test('a key in the reason of a Close stays here', async () => {
    const { socket, open, closed } = await dial(door)
    await open
    socket.send('close with the key')
    const { code, reason } = await closed
    expect(code).toBe(4001)
    expect(reason).toBe(`Bearer ${login.placeholder(echo)}`)
  })

  test('compression is not offered, so that every frame can be read', async () => {
    const { socket, open, next } = await dial(door, { client: { perMessageDeflate: true } })
    await open
    expect(socket.extensions).toBe('')
    expect(service.upgrades.at(-1)?.headers['sec-websocket-extensions']).toBeUndefined()
    socket.send('x'.repeat(200_000))
    expect((await next()).data.length).toBe(200_000)
  })

  test('a subprotocol is agreed upon', async () => {
    const { socket, open } = await dial(door, { protocols: ['chat.v2', 'chat'] })
    await open
    expect(socket.protocol).toBe('chat.v2')
    expect(service.upgrades.at(-1)?.headers['sec-websocket-protocol']).toBe('chat.v2,chat')
  })

  test('pings of either side arrive at the other', async () => {
    const { socket, open } = await dial(door)
    await open
    const pong = new Promise<Buffer>((done) => socket.once('pong', done))
    socket.ping('are you there?')
    expect((await pong).toString()).toBe('are you there?')
    const [other] = [...service.sockets].slice(-1)
    const back = new Promise<Buffer>((done) => other?.once('pong', done))
    other?.ping('and you?')
    expect((await back).toString()).toBe('and you?')
  })

  test('another answer than the one hoped for comes back like every answer', async () => {
    const refusing = await startSocketService({
      onUpgrade(request, stream) {
        const body = `no: ${request.headers.authorization}`
        stream.end(
          `HTTP/1.1 401 Unauthorized\r\nX-Echo: ${request.headers.authorization}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        )
      },
    })
    raws += 1
    const held = await stage.hold({ id: `raw-${raws}`, endpoint: refusing.origin, agent: `raw-${raws}` })
    const as = await stage.login(`raw-${raws}`)
    const { socket, open } = await dial(door, { held, as })
    const answered = new Promise<{ status: number; echo: string; body: string }>((done) =>
      socket.once('unexpected-response', (_request, response) => {
        let body = ''
        response.on('data', (piece: Buffer) => (body += piece.toString()))
        response.on('end', () =>
          done({ status: response.statusCode ?? 0, echo: String(response.headers['x-echo']), body }),
        )
      }),
    )
    open.catch(() => undefined)
    const shown = `Bearer ${as.placeholder(held)}`
    expect(await answered).toEqual({ status: 401, echo: shown, body: `no: ${shown}` })
    expect(await outcome()).toMatchObject({ outcome: 'answered', status: 401 })
    await refusing.close()
  })

  test('an agreement to something else is no agreement', async () => {
    const wrong: readonly [string, (head: string) => string][] = [
      ['another key', () => agreed('')],
      ['an extension', (head) => agreed(head, 'Sec-WebSocket-Extensions: permessage-deflate\r\n')],
      ['a subprotocol that nobody offered', (head) => agreed(head, 'Sec-WebSocket-Protocol: other\r\n')],
      ['two subprotocols', (head) => agreed(head, 'Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n')],
      ['another protocol', (head) => agreed(head).replace('Upgrade: websocket', 'Upgrade: h2c')],
      ['no upgrade', (head) => agreed(head).replace('Connection: Upgrade', 'Connection: keep-alive')],
    ]
    for (const [name, answer] of wrong) {
      const { held, as, upstream } = await rawService((socket, head) => void socket.write(answer(head)))
      const { socket, open } = await dial(door, { held, as, protocols: ['chat'] })
      const status = await new Promise((done) =>
        socket.once('unexpected-response', (_request, response) =>
          done(`${response.statusCode} ${response.headers['keyward-error']}`),
        ),
      )
      expect(status, name).toBe('502 upstream_broken')
      open.catch(() => undefined)
      await eventually(() => upstream.open === 0)
      await upstream.close()
    }
  })

  test('a secret in the headers of the agreement stays here', async () => {
    const { held, as, upstream } = await rawService((socket, head) => {
      const key = /authorization: (.*)\r/i.exec(head)?.[1] ?? ''
      socket.write(agreed(head, `X-Echo: ${key}\r\nKeyward-Error: internal\r\n`))
    })
    const { socket, open } = await dial(door, { held, as })
    const headers = new Promise<Record<string, unknown>>((done) =>
      socket.once('upgrade', (response) => done({ ...response.headers })),
    )
    await open
    expect(await headers).toMatchObject({ 'x-echo': `Bearer ${as.placeholder(held)}` })
    expect((await headers)['keyward-error']).toBeUndefined()
    await upstream.close()
  })

  test.each([
    ['compressed', Buffer.from([0xc1, 0x01, 0x00]), 1002],
    ['masked', Buffer.from([0x81, 0x81, 1, 2, 3, 4, 5]), 1002],
    ['with a length that is negative', Buffer.from([0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0]), 1002],
    [
      'with a length beyond every message',
      Buffer.from([0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
      1009,
    ],
    ['with text that is not UTF-8', Buffer.from([0x81, 0x01, 0xff]), 1007],
    ['with a status that is never sent', Buffer.from([0x88, 0x02, 0x03, 0xed]), 1002],
  ])('a frame of the service that is %s ends both sides', async (_, bytes, code) => {
    const { held, as, upstream } = await rawService(
      (socket, head) => void socket.write(Buffer.concat([Buffer.from(agreed(head)), bytes])),
    )
    const { closed } = await dial(door, { held, as })
    expect(await closed).toEqual({ code, reason: 'frame_refused' })
    expect(await outcome()).toMatchObject({ outcome: 'broken', code: 'frame_refused' })
    await eventually(() => upstream.open === 0)
    await upstream.close()
  })

  test.each([
    ['compressed', Buffer.from([0xc1, 0x80, 1, 2, 3, 4])],
    ['not masked', Buffer.from([0x81, 0x01, 0x61])],
    ['a continuation of nothing', Buffer.from([0x80, 0x80, 1, 2, 3, 4])],
  ])('a frame of the client that is %s ends both sides', async (_, bytes) => {
    const { socket, open, closed } = await dial(door)
    await open
    const before = service.sockets.size
    beneath(socket).write(bytes)
    expect(await closed).toEqual({ code: 1002, reason: 'frame_refused' })
    expect(await outcome()).toMatchObject({ outcome: 'ended', code: 'frame_refused' })
    await eventually(() => service.sockets.size < before)
  })

  test('a client that breaks off takes its connection to the service along', async () => {
    const { socket, open } = await dial(door)
    await open
    await eventually(() => service.sockets.size > 0)
    const before = service.sockets.size
    socket.terminate()
    await eventually(() => service.sockets.size < before)
    expect(await outcome()).toMatchObject({ outcome: 'aborted', status: 101 })
  })

  test('a service that breaks off takes the client along', async () => {
    const { held, as, upstream } = await rawService((socket, head) => {
      socket.write(agreed(head))
      socket.end(frame('text', true, 'last words'))
    })
    const { next, closed } = await dial(door, { held, as })
    expect((await next()).data.toString()).toBe('last words')
    expect((await closed).code).toBe(1001)
    expect(await outcome()).toMatchObject({ outcome: 'broken', code: 'upstream_broken' })
    await upstream.close()
  })

  test('a secret split over frames, chunks and a ping between them stays here', async () => {
    const { held, as, upstream } = await rawService((socket, head) => {
      const secret = /authorization: Bearer (.*)\r/i.exec(head)?.[1] ?? ''
      socket.write(agreed(head))
      const bytes: Buffer[] = []
      for (let at = 0; at <= secret.length; at++) {
        bytes.push(frame(at % 2 === 0 ? 'text' : 'binary', false, `${at} ${secret.slice(0, at)}`))
        bytes.push(frame('ping', true, 'still'), frame(null, false, ''), frame(null, true, `${secret.slice(at)} end`))
      }
      const all = Buffer.concat(bytes)
      for (let at = 0; at < all.length; at += 37) socket.write(all.subarray(at, at + 37))
    })
    const { next, open } = await dial(door, { held, as })
    await open
    for (let at = 0; at <= held.secret().length; at++) {
      const { data, binary } = await next()
      expect(data.toString()).toBe(`${at} ${as.placeholder(held)} end`)
      expect(binary).toBe(at % 2 === 1)
    }
    await upstream.close()
  })

  test('a slow reader holds the service back instead of filling memory', async () => {
    const { socket, open } = await dial(door)
    await open
    await eventually(() => service.sockets.size > 0)
    const [other] = [...service.sockets].slice(-1)
    socket.pause()
    socket.send('flood')
    await eventually(() => (other?.bufferedAmount ?? 0) > 0)
    // What the system's buffers and ours take is taken soon; then nothing moves until somebody reads.
    let last = Number.POSITIVE_INFINITY
    await expect
      .poll(
        () => {
          const before = last
          last = other?.bufferedAmount ?? 0
          return before === last
        },
        { interval: 200, timeout: 20_000 },
      )
      .toBe(true)
    expect(last).toBeGreaterThan(16 * 1024 * 1024)
    socket.resume()
    await eventually(() => other?.bufferedAmount === 0)
  })
})

interface Way {
  readonly name: string
  readonly code: string
  take(held: Held, login: Login): Promise<unknown>
}
const ways: readonly Way[] = [
  {
    name: 'a session suspended',
    code: 'session_revoked',
    take: (_held, as) => stage.app.sessions.suspend(as.id, 'test'),
  },
  { name: 'a session revoked', code: 'session_revoked', take: (_held, as) => stage.app.sessions.revoke(as.id, 'test') },
  {
    name: 'an agent suspended',
    code: 'agent_suspended',
    take: (held) => stage.app.agents.suspend(held.agentId, 'test'),
  },
  {
    name: 'a credential suspended',
    code: 'credential_suspended',
    take: (held) => stage.app.credentials.suspend(held.credentialId, 'test'),
  },
  { name: 'a grant removed', code: 'grant_missing', take: (held) => stage.app.grants.remove(held.grantId, 'test') },
]

describe.each(doors)('%s', (door) => {
  test.each(ways)('$name ends an open WebSocket within a second', async ({ code, take }) => {
    raws += 1
    const held = await stage.hold({ id: `raw-${raws}`, endpoint: service.origin, agent: `raw-${raws}` })
    const as = await stage.login(`raw-${raws}`)
    const { socket, open, next, closed } = await dial(door, { held, as })
    await open
    socket.send('hello')
    await next()
    const before = service.sockets.size
    const since = performance.now()
    await take(held, as)
    const told = await closed
    expect(performance.now() - since).toBeLessThan(1_000)
    expect(told.code).toBe(1008)
    // Whoever ends first says why: an agent's suspension ends its sessions too.
    expect([code, 'session_revoked']).toContain(told.reason)
    await eventually(() => service.sockets.size < before)
    expect(await outcome()).toMatchObject({ outcome: 'ended', status: 101 })
  })
})

test('a credential that is replaced ends what was opened with the old one', async () => {
  const held = await stage.hold({ id: 'replaced', endpoint: service.origin, agent: 'replaced' })
  const as = await stage.login('replaced')
  const { open, closed } = await dial('base-url', { held, as })
  await open
  const { Secret } = await import('../../../src/core/secret.ts')
  await stage.app.credentials.set(
    held.credentialId,
    { key: new Secret('key', Buffer.from(`new-${held.secret()}`)) },
    'test',
  )
  expect(await closed).toEqual({ code: 1008, reason: 'credential_replaced' })
})

test('over TLS, verified for the host like every connection; otherwise nothing is sent', async () => {
  const authority = await createAuthority()
  const leaf = await authority.issue(['sealed.example.test'])
  const secure = await startSocketService({
    leaf,
    onSocket: (socket) => socket.on('message', (data) => socket.send(data)),
  })
  const common = { endpoint: secure.origin.replace('http:', 'https:'), hosts: ['sealed.example.test'], agent: 'sealed' }
  const trusted = await stage.hold({ ...common, id: 'sealed', trust: authority.certificate })
  const as = await stage.login('sealed')
  for (const door of ['base-url', 'tunnel'] as const) {
    const { socket, open, next } = await dial(door, { held: trusted, as })
    await open
    socket.send('sealed')
    expect((await next()).data.toString()).toBe('sealed')
    expect(secure.upgrades.at(-1)?.headers.authorization).toBe(`Bearer ${trusted.secret()}`)
  }
  const before = secure.upgrades.length
  const untrusted = await stage.hold({ ...common, id: 'unsealed', hosts: ['unsealed.example.test'], agent: 'unsealed' })
  const other = await dial('base-url', { held: untrusted, as: await stage.login('unsealed') })
  const refused = await new Promise((done) =>
    other.socket.once('unexpected-response', (_request, response) => done(response.headers['keyward-error'])),
  )
  expect(refused).toBe('upstream_untrusted')
  expect(secure.upgrades.length).toBe(before)
  await secure.close()
})

test('a grant that expires, and one that is taken away beside a narrower one, end what they allowed', async () => {
  const held = await stage.hold({
    id: 'brief',
    endpoint: service.origin,
    agent: 'brief',
    expiresAt: Date.now() + 60_000,
  })
  const as = await stage.login('brief')
  const brief = await dial('base-url', { held, as })
  await brief.open
  stage.advance(61_000)
  expect(await brief.closed).toEqual({ code: 1008, reason: 'grant_expired' })

  const wide = await stage.hold({ id: 'wide', endpoint: service.origin, agent: 'wide' })
  await stage.app.grants.add(
    {
      agentId: wide.agentId,
      credentialId: wide.credentialId,
      allow: ['GET /**'],
      deny: [],
      limits: {},
      expiresAt: null,
    },
    'test',
  )
  const other = await dial('base-url', { held: wide, as: await stage.login('wide') })
  await other.open
  const since = performance.now()
  await stage.app.grants.remove(wide.grantId, 'test')
  expect(await other.closed).toEqual({ code: 1008, reason: 'operation_not_allowed' })
  expect(performance.now() - since).toBeLessThan(1_500)
})

test('an open WebSocket counts as a request in flight', async () => {
  const held = await stage.hold({ id: 'few', endpoint: service.origin, agent: 'few', limits: { concurrent: 1 } })
  const as = await stage.login('few')
  const first = await dial('base-url', { held, as })
  await first.open
  const second = await dial('base-url', { held, as })
  const refused = await new Promise((done) =>
    second.socket.once('unexpected-response', (_request, response) => done(response.headers['keyward-error'])),
  )
  expect(refused).toBe('concurrency_exceeded')
  second.open.catch(() => undefined)
  first.socket.close()
  await first.closed
  await outcome()
  const third = await dial('base-url', { held, as })
  await third.open
})

test.each<
  [name: string, opens: boolean, allow: readonly string[], deny: readonly string[], sealed?: readonly string[]]
>([
  ['everything', true, ['*'], []],
  ['any method there', true, ['* /socket'], []],
  ['WebSockets there', true, ['WEBSOCKET /socket'], []],
  ['an operation of that name', true, ['speak'], []],
  ['reading alone', false, ['GET /**'], []],
  ['WebSockets elsewhere', false, ['WEBSOCKET /other'], []],
  ['everything but reading there', false, ['*'], ['GET /socket']],
  ['everything but WebSockets', false, ['*'], ['WEBSOCKET /**']],
  ['everything but that operation', false, ['*'], ['speak']],
  ['everything, where it hands out credentials', false, ['*'], [], ['GET /socket']],
])('a grant for %s opens a WebSocket: %j', async (name, opens, allow, deny, sealed) => {
  const id = `granted-${name.replaceAll(/[^a-z]+/gi, '-').toLowerCase()}`
  const operations = [{ name: 'speak', match: 'WEBSOCKET /socket' }]
  const held = await stage.hold({
    id,
    endpoint: service.origin,
    agent: id,
    allow,
    deny,
    operations,
    ...(sealed === undefined ? {} : { sealed }),
  })
  const as = await stage.login(id)
  const { socket, open } = await dial('base-url', { held, as })
  const opened = await Promise.race([
    open.then(() => true),
    new Promise((done) =>
      socket.once('unexpected-response', (_request, response) => done(String(response.headers['keyward-error']))),
    ),
  ])
  expect(opened).toBe(
    opens
      ? true
      : sealed !== undefined
        ? 'operation_sealed'
        : deny.length > 0
          ? 'operation_denied'
          : 'operation_not_allowed',
  )
})

describe('a key in a message', () => {
  let held: Held
  let as: Login
  beforeAll(async () => {
    held = await stage.hold({
      id: 'chat',
      endpoint: service.origin,
      agent: 'chat',
      frames: [{ pointer: '/d/token', field: 'key' }],
    })
    as = await stage.login('chat')
  })

  test.each(doors)('%s: goes where the service takes it, and does not come back', async (door) => {
    const { socket, open, next } = await dial(door, { held, as })
    await open
    const asked = `{"op":2,"d":{"token":"${as.placeholder(held)}"}}`
    socket.send(asked)
    expect((await next()).data.toString()).toBe(asked)
    expect(heard.at(-1)).toBe(`{"op":2,"d":{"token":"${held.secret()}"}}`)
    socket.close()
    expect(await outcome()).toMatchObject({ swapped: 1, scrubbed: 1 })
  })

  test('a placeholder of another session, of another credential, or elsewhere stays a placeholder', async () => {
    const another = await stage.login('chat')
    const { socket, open, next } = await dial('base-url', { held, as })
    await open
    for (const text of [
      `{"d":{"token":"${another.placeholder(held)}"}}`,
      `{"d":{"token":"${login.placeholder(echo)}"}}`,
      `{"token":"${as.placeholder(held)}"}`,
    ]) {
      socket.send(text)
      expect((await next()).data.toString()).toBe(text)
    }
    socket.close()
    expect(await outcome()).toMatchObject({ swapped: 0, scrubbed: 0 })
  })
})

test.each(doors)('%s: a key among the subprotocols', async (door) => {
  const held = await stage.hold({
    id: `protocols-${door}`,
    endpoint: service.origin,
    agent: 'protocols',
    inject: [{ kind: 'bearer' }, { kind: 'subprotocol', prefix: 'key.', beside: ['realtime'] }],
    values: { key: `k${echo.secret().replaceAll(/[^A-Za-z0-9]/g, '')}${door.replace('-', '')}` },
  })
  const as = await stage.login('protocols')
  const { socket, open } = await dial(door, {
    held,
    as,
    headers: {},
    protocols: ['realtime', `key.${as.placeholder(held)}`],
  })
  await open
  expect(socket.protocol).toBe('realtime')
  expect(service.upgrades.at(-1)?.headers['sec-websocket-protocol']).toBe(`realtime, key.${held.secret()}`)
  expect(service.upgrades.at(-1)?.headers.authorization).toBeUndefined()
  // A service that chooses the key itself is told apart by what stands for it.
  const chosen = await dial(door, { held, as, headers: {}, protocols: [`key.${as.placeholder(held)}`, 'realtime'] })
  await chosen.open
  expect(chosen.socket.protocol).toBe(`key.${as.placeholder(held)}`)
})

const upgrade = (target: string, host: string, more: string): string =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${more}\r\n`

describe('refused before anything is dialled', () => {
  const asks: readonly [name: string, code: string, edit: (text: string) => string | Buffer][] = [
    ['version 8', 'upgrade_refused', (text) => text.replace('Version: 13', 'Version: 8')],
    ['no version', 'upgrade_refused', (text) => text.replace('Sec-WebSocket-Version: 13\r\n', '')],
    [
      'two versions',
      'upgrade_refused',
      (text) => text.replace('Version: 13\r\n', 'Version: 13\r\nSec-WebSocket-Version: 8\r\n'),
    ],
    ['no key', 'request_malformed', (text) => text.replace(/Sec-WebSocket-Key.*\r\n/, '')],
    ['a short key', 'request_malformed', (text) => text.replace('AAAAAAAAAAAAAAAAAAAAAA==', 'AAAA')],
    ['another method', 'request_malformed', (text) => text.replace('GET', 'POST')],
    ['a body', 'request_malformed', (text) => text.replace('\r\n\r\n', '\r\nContent-Length: 3\r\n\r\nabc')],
    [
      'a protocol twice',
      'request_malformed',
      (text) => text.replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: a, a\r\n\r\n'),
    ],
    [
      'many protocols',
      'request_too_large',
      (text) =>
        text.replace(
          '\r\n\r\n',
          `\r\nSec-WebSocket-Protocol: ${Array.from({ length: 33 }, (_, n) => `p${n}`).join(',')}\r\n\r\n`,
        ),
    ],
    ['another protocol', 'upgrade_refused', (text) => text.replace('Upgrade: websocket', 'Upgrade: tls/1.0')],
    ['two protocols', 'upgrade_refused', (text) => text.replace('Upgrade: websocket', 'Upgrade: websocket, h2c')],
    [
      'frames before the answer',
      'request_malformed',
      (text) => Buffer.concat([Buffer.from(text), frameOf('text', true, [Buffer.from('early')], Buffer.alloc(4))]),
    ],
    ['HTTP/1.0', 'request_malformed', (text) => text.replace('HTTP/1.1', 'HTTP/1.0')],
  ]

  describe.each(doors)('%s', (door) => {
    test.each(asks)('%s: %s', async (_, code, edit) => {
      const before = service.upgrades.length + service.got.length
      const wire = await stage.open(door, echo.host, login)
      const target = { 'base-url': '/s/echo/socket', absolute: `http://${echo.host}/socket`, tunnel: '/socket' }[door]
      const proxy = door === 'absolute' ? `Proxy-Authorization: ${proxyCredentials(login.token)}\r\n` : ''
      const host = door === 'base-url' ? `127.0.0.1:${stage.port}` : echo.host
      wire.write(edit(upgrade(target, host, `${proxy}Authorization: Bearer ${login.placeholder(echo)}\r\n`)))
      const answer = await wire.answer()
      expect(answer.headers.find(([name]) => name === 'keyward-error')?.[1]).toBe(code)
      expect(service.upgrades.length + service.got.length).toBe(before)
      wire.close()
    })
  })
})

test('what comes between the request and the answer ends the connection, and nothing of it is sent on', async () => {
  let answer: () => void = () => undefined
  const { held, as, upstream } = await rawService((socket, head) => void (answer = () => socket.write(agreed(head))))
  const wire = await stage.dial()
  wire.write(
    upgrade(`/s/${held.id}/socket`, `127.0.0.1:${stage.port}`, `Authorization: Bearer ${as.placeholder(held)}\r\n`),
  )
  await eventually(() => upstream.received().includes('\r\n\r\n'))
  wire.write(frameOf('text', true, [Buffer.from('early')], Buffer.alloc(4)))
  await wire.closed
  answer()
  await eventually(() => upstream.open === 0)
  expect(upstream.received().includes('early')).toBe(false)
  await upstream.close()
})

test('a request that was pipelined behind the upgrade is not taken for frames', async () => {
  let answer: () => void = () => undefined
  const { held, as, upstream } = await rawService((socket, head) => void (answer = () => socket.write(agreed(head))))
  const wire = await stage.dial()
  wire.write(
    upgrade(`/s/${held.id}/socket`, `127.0.0.1:${stage.port}`, `Authorization: Bearer ${as.placeholder(held)}\r\n`),
  )
  await eventually(() => upstream.received().includes('\r\n\r\n'))
  wire.write('GET /s/none/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  // Both are on their way: the first answer tells which was read first, and either way nothing is sent on.
  await new Promise((done) => setTimeout(done, 50))
  answer()
  const told = await wire.answer()
  expect(told.headers.find(([name]) => name === 'keyward-error')?.[1]).toBe('request_malformed')
  await eventually(() => upstream.open === 0)
  expect(upstream.received().includes('/s/none/')).toBe(false)
  wire.close()
  await upstream.close()
})

test('the WebSocket of undici, which is the one of Node, through a proxy that it knows', async () => {
  const dispatcher = new ProxyAgent({
    uri: `http://127.0.0.1:${stage.port}`,
    token: proxyCredentials(login.token),
    requestTls: { ca: stage.app.caCertificate },
  })
  const socket = new PlainWebSocket(`wss://${echo.host}/socket`, {
    dispatcher,
    headers: { authorization: `Bearer ${login.placeholder(echo)}` },
  })
  const message = new Promise<unknown>((done, fail) => {
    socket.addEventListener('message', (event) => done(event.data))
    socket.addEventListener('error', (event) => fail(event.error))
  })
  socket.addEventListener('open', () => socket.send('headers'))
  const told = String(await message)
  expect(told).toContain(login.placeholder(echo))
  expect(told).not.toContain(echo.secret())
  const closed = new Promise<number>((done) => socket.addEventListener('close', (event) => done(event.code)))
  socket.close(1000)
  expect(await closed).toBe(1000)
  await dispatcher.close()
})

test('with the libraries as the codec there are no WebSockets, and they say so', async () => {
  const other = await openStage({ codec: 'library' })
  const held = await other.hold({ id: 'echo', endpoint: service.origin })
  const as = await other.login('triage')
  const { socket } = await dialSocket(other, 'base-url', held, as)
  const refused = await new Promise((done) =>
    socket.once('unexpected-response', (_request, response) => done(response.headers['keyward-error'])),
  )
  expect(refused).toBe('upgrade_refused')
  await other.close()
})

test('a tunnel of its own carries a WebSocket in the clear, for an endpoint that is written down', async () => {
  const wire = await stage.dial()
  wire.write(connectHead(`${echo.host}:80`, login.token))
  expect((await wire.head()).status).toBe(200)
  wire.write(upgrade('/socket', echo.host, `Authorization: Bearer ${login.placeholder(echo)}\r\n`))
  expect((await wire.head()).status).toBe(101)
  wire.write(frameOf('text', true, [Buffer.from('hello')], Buffer.from([1, 2, 3, 4])))
  expect(await wire.more()).toEqual(frame('text', true, 'hello'))
  wire.close()
})
