import { connect as connectTls } from 'node:tls'
import { Socket } from 'node:net'
import { expect, vi } from 'vitest'
import { codeOf, connectHead } from '../e2e/gateway/requests.ts'
import { startRawUpstream } from '../e2e/gateway/upstream.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces, type Placed } from './place.ts'

/** Connections to addresses outside, which the tests turn to loopback. What arrives there passed without inspection. */
const outside = vi.hoisted(() => ({ dialled: [] as string[], port: 0 }))
vi.mock('node:net', async (original) => {
  const net = await original<typeof import('node:net')>()
  const connect = (options: unknown, ...rest: unknown[]): unknown => {
    const away = typeof options === 'object' && options !== null && 'host' in options && options.host !== '127.0.0.1'
    if (away) outside.dialled.push(String(options.host))
    return Reflect.apply(net.connect, net, [away ? { host: '127.0.0.1', port: outside.port } : options, ...rest])
  }
  return { ...net, connect, default: { ...net, connect } }
})

const places = usePlaces()
const tunnels = fronts.filter(({ door }) => door === 'tunnel')
const PUBLIC = '93.184.216.34'

/** Opens a tunnel and, where it opens, begins TLS inside it for `serverName`. Gives who was behind it. */
async function through(where: Placed, authority: string, serverName: string | null, protocol: string): Promise<string> {
  const wire = await places.stage.dial()
  wire.write(connectHead(authority, where.login.token))
  const head = await wire.head()
  if (head.status !== 200) return head.headers.find(([name]) => name === 'keyward-error')?.[1] ?? String(head.status)
  const { socket } = wire
  socket.removeAllListeners('data')
  if (!(socket instanceof Socket)) throw new Error('no socket')
  const secure = connectTls({
    socket,
    ...(serverName === null ? {} : { servername: serverName }),
    rejectUnauthorized: false,
    ALPNProtocols: [protocol],
  })
  const ended = await new Promise<string>((done) => {
    secure.once('secureConnect', () => done(secure.getPeerX509Certificate()?.issuer ?? 'nobody'))
    secure.once('error', () => done('broken off'))
    secure.once('close', () => done('broken off'))
  })
  secure.destroy()
  return ended.includes('Keyward local authority') ? 'inspected' : ended
}

attack(
  'S17',
  'a guarded host is opened or refused at every port, spelling and server name, and never passed',
  tunnels,
  async (front) => {
    const thief = await startRawUpstream((socket) => socket.resume())
    outside.port = thief.port
    outside.dialled = []
    const where = await places.place({ hosts: ['api.guarded.test', '*.wild.guarded.test'] })
    for (const name of ['api.guarded.test', 'a.wild.guarded.test', 'outside.example.net'])
      places.stage.names.set(name, [PUBLIC])
    const ask = (authority: string, name: string | null = 'api.guarded.test') =>
      through(where, authority, name, front.protocol)
    try {
      expect(await ask('api.guarded.test:443')).toBe('inspected')
      expect(await ask('API.Guarded.TEST:443')).toBe('inspected')
      expect(await ask('a.wild.guarded.test:443', 'a.wild.guarded.test')).toBe('inspected')
      // Without a name inside, the name outside counts.
      expect(await ask('api.guarded.test:443', '')).toBe('inspected')
      for (const port of [8443, 22, 4443, 853])
        expect(await ask(`api.guarded.test:${port}`), String(port)).toBe('port_refused')
      for (const spelling of ['api.guarded.test.:443', 'api%2eguarded.test:443', '.api.guarded.test:443'])
        expect(['inspected', 'request_malformed', 'host_refused', 'host_sibling'], spelling).toContain(
          await ask(spelling),
        )
      expect(outside.dialled).toEqual([])
      // An address, or a host that nobody guards, with the guarded name inside; and the other way round.
      expect(await ask(`${PUBLIC}:443`)).toBe('broken off')
      expect(await ask(`${PUBLIC}:443`, '')).toBe('broken off')
      expect(await ask('outside.example.net:443')).toBe('broken off')
      expect(await ask('api.guarded.test:443', 'outside.example.net')).toBe('broken off')
      expect(await ask('sibling.guarded.test:443', 'sibling.guarded.test')).toBe('host_sibling')
      expect(outside.dialled).toEqual([])
      expect(thief.received().length).toBe(0)
      // A host that nobody guards passes, so what is refused above is refused for its name.
      const passed = ask('outside.example.net:443', 'outside.example.net')
      await expect.poll(() => outside.dialled).toEqual([PUBLIC])
      expect(thief.open).toBeLessThanOrEqual(1)
      await thief.close()
      await passed
    } finally {
      await thief.close().catch(() => undefined)
    }
  },
)

attack('S17', 'in clear a guarded host of TLS gets no credential', tunnels, async () => {
  const where = await places.place({
    endpoint: places.upstream.origin.replace('http:', 'https:'),
    hosts: ['api.cleartext.test'],
  })
  const before = places.upstream.received().length
  const wire = await places.stage.dial()
  wire.write(connectHead('api.cleartext.test:80', where.login.token))
  expect((await wire.head()).status).toBe(200)
  wire.write(
    `GET / HTTP/1.1\r\nHost: api.cleartext.test\r\nAuthorization: Bearer ${where.login.placeholder(where.held)}\r\n\r\n`,
  )
  expect(codeOf(await wire.answer())).toBe('cleartext_refused')
  expect(places.upstream.received().length).toBe(before)
})

attack('S17', 'what is no TLS inside a tunnel for it ends the tunnel', tunnels, async () => {
  const where = await places.place()
  for (const bytes of [
    'SSH-2.0-OpenSSH_9.9\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\u0000'.repeat(64),
  ]) {
    const wire = await places.stage.dial()
    wire.write(connectHead(`${where.held.host}:443`, where.login.token))
    expect((await wire.head()).status).toBe(200)
    wire.write(bytes)
    await wire.closed
  }
})
