import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, expect } from 'vitest'
import { inputs } from '../../src/api/schema.ts'
import { controlSocketPath } from '../../src/core/socket-path.ts'
import { codeOf } from '../e2e/gateway/requests.ts'
import { header } from '../e2e/gateway/wire.ts'
import { openHouse, ordinary, type House, type Server } from '../harness.ts'
import { rawRequest } from '../raw-request.ts'
import { attack, fronts, inside } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()
let house: House
let server: Server
let socket = ''

beforeAll(async () => {
  house = openHouse()
  server = await house.up()
  socket = controlSocketPath(house.home, house.temporary, ordinary.uid ?? process.getuid?.() ?? 0)
})
afterAll(() => house.close())

/** A user of the machine who is neither the operator nor root. */
const STRANGER = 65_533

attack('I9', 'the control socket opens for its owner alone', inside, () => {
  expect(statSync(socket).mode & 0o777).toBe(0o600)
  expect(statSync(dirname(socket)).mode & 0o777).toBe(0o700)
  expect(statSync(house.home).mode & 0o777).toBe(0o700)
  if (process.getuid?.() !== 0) return
  // The folder of this test would keep the stranger out already.
  chmodSync(house.folder, 0o755)
  const program = `require('net').connect(${JSON.stringify(socket)}).on('connect', () => process.exit(0)).on('error', (e) => { console.log(e.code); process.exit(9) })`
  const tried = spawnSync(process.execPath, ['-e', program], { uid: STRANGER, gid: STRANGER, cwd: '/', env: {} })
  expect([tried.status, tried.stdout.toString().trim()]).toEqual([9, 'EACCES'])
})

attack('I9', 'one loopback port stands open, and no other', inside, () => {
  if (process.platform !== 'linux') return
  const owned = new Set(
    readdirSync(`/proc/${server.pid}/fd`).flatMap((name) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${server.pid}/fd/${name}`))?.[1] ?? []
      } catch {
        return []
      }
    }),
  )
  const listening = ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((kind) =>
    readFileSync(`/proc/${server.pid}/net/${kind}`, 'latin1')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => owned.has(columns[9] ?? '') && (kind.startsWith('udp') || columns[3] === '0A'))
      .map((columns) => `${kind} ${columns[1]}`),
  )
  expect(listening).toEqual([`tcp 0100007F:${server.port.toString(16).toUpperCase().padStart(4, '0')}`])
})

attack('I9', 'Keyward does not start on an address that others can reach', inside, async () => {
  for (const address of ['0.0.0.0:0', '[::]:0', '192.0.2.1:0'])
    expect((await house.keyward(['up', '--gateway', address])).err).toContain('loopback')
})

attack('I9', 'the gateway port serves no route of the control API, with or without an Origin', inside, async () => {
  for (const route of Object.keys(inputs)) {
    const [method = 'GET', template = '/'] = route.split(' ')
    const target = template.replaceAll(/:[a-z]+/g, 'dev')
    for (const headers of [{}, { origin: 'https://evil.test', 'sec-fetch-site': 'cross-site' }]) {
      const answer = await rawRequest({
        port: server.port,
        method,
        target,
        headers: { 'content-type': 'application/json', ...headers },
        body: method === 'GET' ? '' : '{}',
      })
      expect(answer.headers['keyward-error'], route).toBe('service_unknown')
    }
  }
})

const ANY = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' }

attack('I9', 'a page gets no answer that it may read', fronts, async (front) => {
  const where = await places.place()
  const before = places.upstream.received().length
  // What a browser can send by itself: no placeholder, since only the agent has one.
  for (const method of ['GET', 'POST', 'OPTIONS']) {
    const answer = await places.stage.request({
      ...front,
      held: where.held,
      ...(front.door === 'tunnel' ? { login: where.login } : {}),
      method,
      headers: [
        ['Origin', 'https://evil.test'],
        ['Sec-Fetch-Site', 'cross-site'],
        ['Authorization', 'Bearer nothing-that-keyward-made'],
        ...Object.entries(ANY),
      ],
    })
    expect(['token_missing', 'placeholder_required']).toContain(codeOf(answer))
    expect(answer.headers.filter(([name]) => name.startsWith('access-control-'))).toEqual([])
    expect(header(answer, 'cache-control')).toBe('no-store')
  }
  expect(places.upstream.received().length).toBe(before)
})

attack('I9', 'a name that was rebound to the gateway is refused under its own name', fronts, async (front) => {
  const where = await places.place()
  const before = places.upstream.received().length
  const answer = await places.ask(front, where, {
    headers: [
      ['Host', `rebound.evil.test:${places.stage.port}`],
      ['Authorization', `Bearer ${where.login.placeholder(where.held)}`],
    ],
  })
  // Over HTTP/2 the authority says which door it is, so another name is asked for the proxy's credentials.
  const codes = front.protocol === 'h2' ? ['host_mismatch', 'token_missing', 'port_refused'] : ['host_mismatch']
  expect(codes).toContain(codeOf(answer))
  expect(places.upstream.received().length).toBe(before)
})
