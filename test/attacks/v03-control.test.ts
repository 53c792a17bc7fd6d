import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, expect } from 'vitest'
import { ownersDoor } from '../../src/api/caller.ts'
import { createControlApi } from '../../src/api/control.ts'
import { inputs } from '../../src/api/schema.ts'
import { listenControl, type ControlServer } from '../../src/api/server.ts'
import { codeOf, connectHead, proxyCredentials } from '../e2e/gateway/requests.ts'
import { wireOf } from '../e2e/gateway/wire.ts'
import { attack, inside } from './attack.ts'
import { openScene, type Scene } from './scene.ts'

/** V3, V4: every route of the control API, asked for by everybody but the operator, under every name. */

const routes = Object.keys(inputs).map((route) => {
  const [method = '', path = ''] = route.split(' ')
  return { route, method, path: path.replaceAll(/:[a-z]+/g, 'dev') }
})
/** A user who owns nothing, as the tests of containment use. */
const ORDINARY_UID = 65_534
/** What the HTTP/1.1 codec takes a GET for. */
const JSON_HEADERS = 'Content-Type: application/json\r\nContent-Length: 2\r\n'

let scene: Scene
let folder = ''
let control: ControlServer

beforeAll(async () => {
  scene = await openScene()
  folder = mkdtempSync(join(tmpdir(), 'keyward-control-'))
  chmodSync(folder, 0o700)
  const api = createControlApi({ ...scene.stage.app, stop: () => undefined }, { door: ownersDoor('operator:test') })
  control = await listenControl(api, join(folder, 'control', 'control.sock'))
})
afterAll(async () => {
  await control.close()
  await scene.close()
  rmSync(folder, { recursive: true, force: true })
})

const tables = ['environment', 'agent', 'credential', 'grant', 'session', 'service'] as const
const everything = (): string => JSON.stringify(tables.map((table) => [...scene.stage.app.records.all(table)]))

/** Names under which somebody might believe to be let in. */
const hosts = (): string[] => [
  `127.0.0.1:${scene.stage.port}`,
  'localhost',
  'keyward',
  'control',
  'control.sock',
  'admin.localhost',
  scene.echo.host,
  'evil.example.test',
  '127.0.0.1:7070',
  '',
]

/** What an agent holds, in every way to show it, and nothing at all. */
const credentials = (): string[] => [
  '',
  `Authorization: Bearer ${scene.login.token}\r\n`,
  `Authorization: Bearer ${scene.login.placeholder(scene.echo)}\r\n`,
  `Proxy-Authorization: ${proxyCredentials(scene.login.token)}\r\n`,
  `X-Keyward-Actor: operator:root\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n`,
]

async function expectRefused(bytes: string, what: string, socket?: string): Promise<void> {
  const wire = socket === undefined ? await scene.stage.dial() : wireOf(connect(socket))
  wire.write(bytes)
  const answer = await wire.answer()
  wire.close()
  expect(answer.status, what).toBeGreaterThanOrEqual(400)
  expect(codeOf(answer), what).not.toBe('internal')
}

attack('V4', 'every route on the port of the gateway, with what an agent holds, under every Host', inside, async () => {
  const before = everything()
  for (const { route, method, path } of routes) {
    for (const host of hosts()) {
      for (const credential of credentials()) {
        const body = method === 'GET' ? '\r\n' : `${JSON_HEADERS}\r\n{}`
        const what = `${route} as ${host} with ${credential.split(':')[0]}`
        await expectRefused(`${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${credential}${body}`, what)
      }
    }
    // Strangers share one count of refusals; past its minute each is refused for its own reason again.
    scene.stage.advance(61_000)
  }
  expect(everything()).toBe(before)
})

attack('V4', 'every route on the Unix socket that contained agents are given', inside, async () => {
  const before = everything()
  const { gatewaySocket } = scene.stage.app
  for (const { route, method, path } of routes) {
    for (const credential of credentials()) {
      const body = method === 'GET' ? '\r\n' : `${JSON_HEADERS}\r\n{}`
      await expectRefused(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${credential}${body}`, route, gatewaySocket)
    }
  }
  expect(everything()).toBe(before)
})

attack('V4', 'through the proxy, at every address of the machine itself', inside, async () => {
  const { port } = scene.stage
  const login = await scene.stage.login('triage', { egress: 'open' })
  for (const host of [
    '127.0.0.1',
    'localhost',
    '[::1]',
    '0.0.0.0',
    '[::]',
    '[::ffff:127.0.0.1]',
    '127.1',
    '2130706433',
  ]) {
    const authority = `${host}:${port}`
    const credential = `Proxy-Authorization: ${proxyCredentials(login.token)}\r\n`
    await expectRefused(`GET http://${authority}/status HTTP/1.1\r\nHost: ${authority}\r\n${credential}\r\n`, authority)
    await expectRefused(connectHead(authority, login.token), `CONNECT ${authority}`)
  }
})

attack('V4', 'the socket itself, by another user of the machine', inside, async () => {
  expect(statSync(control.path).mode & 0o777, 'mode of the socket').toBe(0o600)
  expect(statSync(dirname(control.path)).mode & 0o777, 'mode of its folder').toBe(0o700)
  // Without the right to become another user, the modes are all that can be looked at.
  if (process.getuid?.() !== 0) return
  chmodSync(folder, 0o755)
  const program = `require('node:net').connect(${JSON.stringify(control.path)})
    .on('connect', () => { console.log('open'); process.exit() }).on('error', (error) => console.log(error.code))`
  const child = spawn(process.execPath, ['-e', program], { uid: ORDINARY_UID, gid: ORDINARY_UID, cwd: '/', env: {} })
  let said = ''
  child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
  await new Promise((done) => child.once('close', done))
  expect(said.trim()).toBe('EACCES')
})

/** Their answers tell what happens meanwhile, and are compared by their form alone. */
const inMotion = [
  'GET /status',
  'GET /nodes',
  'GET /environments',
  'GET /journal/verification',
  'GET /journal/witness',
  'GET /sessions',
]

attack('V3', 'the operator’s socket answers the same under every Host', inside, async () => {
  const reads = routes.filter(({ method, route }) => method === 'GET' && route !== 'GET /journal')
  for (const { route, path } of reads) {
    const answers = new Set<string>()
    for (const host of hosts().filter((name) => name !== '')) {
      const { status, text } = await overSocket(path, host)
      answers.add(`${status} ${inMotion.includes(route) ? JSON.stringify(formOf(JSON.parse(text))) : text}`)
    }
    expect(answers.size, route).toBe(1)
  }
})

function formOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(formOf)
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, formOf(member)]))
}

attack('V3', 'the gateway’s own name opens nothing but services, and another name not even those', inside, async () => {
  const login = await scene.stage.login('triage')
  const statusOf = async (host: string, path: string): Promise<[number, string]> => {
    const wire = await scene.stage.dial()
    wire.write(
      `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${login.placeholder(scene.echo)}\r\n\r\n`,
    )
    const answer = await wire.answer()
    wire.close()
    return [answer.status, answer.status === 200 ? '' : codeOf(answer)]
  }
  expect(await statusOf(`localhost:${scene.stage.port}`, '/s/echo/v1')).toEqual([200, ''])
  for (const host of ['keyward', 'control', 'evil.example.test', scene.echo.host, 'localhost.evil.example.test'])
    expect(await statusOf(host, '/s/echo/v1'), host).toEqual([421, 'host_mismatch'])
  for (const path of ['/status', '/s/../status', '/s/status', '/s/echo/../../status', '//status'])
    expect((await statusOf('localhost', path))[0], path).toBeGreaterThanOrEqual(400)
})

function overSocket(path: string, host: string): Promise<{ status: number; text: string }> {
  return new Promise((done, fail) => {
    const request = httpRequest({ socketPath: control.path, path, headers: { host } }, (response) => {
      let text = ''
      response.on('data', (bytes: Buffer) => (text += bytes.toString()))
      response.on('end', () => done({ status: response.statusCode ?? 0, text }))
    })
    request.on('error', fail).end()
  })
}
