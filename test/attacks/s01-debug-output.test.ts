import { randomBytes } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { findLeaks } from '../e2e/canary/secrets.ts'
import { startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { filesUnder, openHouse, serviceYaml, type House, type Server } from '../harness.ts'
import { rawRequest } from '../raw-request.ts'
import { attack, inside } from './attack.ts'

let house: House
let server: Server
let upstream: Upstream
const key = `debug-${randomBytes(24).toString('hex')}`

/** Every switch by which Node, OpenSSL and the libraries in use write down what goes over a wire. */
const switches = {
  NODE_DEBUG: 'http,https,http2,net,tls,stream,undici,fetch,worker,module',
  NODE_DEBUG_NATIVE: 'crypto',
  DEBUG: '*',
  KEYWARD_LOG_LEVEL: 'trace',
  LOG_LEVEL: 'trace',
  SSLKEYLOGFILE: 'keys.log',
  NODE_V8_COVERAGE: 'coverage',
}

beforeAll(async () => {
  upstream = await startUpstream((request, response, { target }) => {
    if (target === '/break') return void request.socket.destroy()
    response.writeHead(200, { 'x-echo': request.headers.authorization ?? '' })
    response.end(`<${request.headers.authorization}>`)
  })
  house = openHouse()
  server = await house.up({ variables: switches })
  house.write('mine.yaml', serviceYaml('mine', upstream.port))
  await house.expectDone(['service', 'add', 'mine.yaml'])
  await house.expectDone(['credential', 'add', 'mine', '--service', 'mine', '--stdin'], {
    input: key,
    variables: switches,
  })
  await house.expectDone(['agent', 'add', 'ada'])
  await house.expectDone(['grant', 'add', '--agent', 'ada', '--credential', 'mine', '--allow', '*'])
})
afterAll(async () => {
  await house.close()
  await upstream.close()
})

attack('S1', 'no switch makes a file or an output hold what was injected', inside, async () => {
  const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
    await house.expectDone(['session', 'issue', '--agent', 'ada', '--json']),
  )
  const authorization = `Bearer ${issued.credentials[0]?.fields[0]?.text}`
  for (const target of ['/s/mine/echo', '/s/mine/break', '/s/mine/none?x=1', '/s/nobody/'])
    await rawRequest({ port: server.port, target, headers: { authorization } })
  expect(upstream.got.filter((got) => got.headers.authorization === `Bearer ${key}`).length).toBeGreaterThanOrEqual(3)
  await house.keyward(['journal', 'search', 'mine'], { variables: switches })
  const ended = await server.stop()
  const places = [
    ...filesUnder(house.folder).map(({ path, bytes }) => ({ where: path, bytes })),
    ...house.outputs.map(({ command, bytes }) => ({ where: command, bytes })),
    { where: 'up', bytes: Buffer.from(ended.out + ended.err) },
  ]
  expect(places.length).toBeGreaterThan(5)
  expect(places.flatMap(({ where, bytes }) => findLeaks(bytes, { key }).map((leak) => `${where}: ${leak}`))).toEqual([])
  // And the search would have found it.
  expect(findLeaks(Buffer.from(`x ${key}`), { key })).not.toEqual([])
})

attack('S1', 'what Keyward writes is its owner’s alone', inside, () => {
  const open = readdirSync(house.home, { recursive: true, withFileTypes: true })
    .map((found) => ({
      path: join(found.parentPath, found.name),
      mode: statSync(join(found.parentPath, found.name)).mode & 0o777,
    }))
    .filter(({ mode }) => (mode & 0o077) !== 0)
  // Folders and files of the home lie behind its own mode; the home is the door.
  expect(statSync(house.home).mode & 0o777).toBe(0o700)
  expect(open.filter(({ path }) => /\.(?:jsonl|db|db-wal)$|log$/.test(path))).toEqual([])
})
