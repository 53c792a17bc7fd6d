import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request, type IncomingMessage, type Server as Upstream, type ServerResponse } from 'node:http'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openHouse, serviceYaml } from '../harness.ts'
import type { House, Server } from '../harness.ts'

/** What those who run Keyward see of it: health, readiness, metrics, and how it ends. */

let house: House
let upstream: Upstream
/** Answers whose end the upstream keeps back. */
let waiting: ServerResponse[] = []
let held = ''
let monitorPort = 0
let server: Server

beforeEach(async () => {
  waiting = []
  upstream = createServer((incoming, response) => {
    incoming.resume()
    if (incoming.url !== '/slow') return response.end('done')
    response.write('first ')
    waiting.push(response)
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const address = upstream.address()
  house = openHouse()
  server = await house.up({ args: ['--monitor', '127.0.0.1:0'] })
  const { monitor } = await house.client().call('GET /status', {}, {})
  monitorPort = Number(monitor?.split(':').at(-1))
  house.write('own.yaml', serviceYaml('own', typeof address === 'object' && address !== null ? address.port : 0))
  await house.expectDone(['service', 'add', 'own.yaml'])
  const key = randomBytes(24).toString('hex')
  await house.expectDone(['credential', 'add', 'own', '--service', 'own', '--stdin'], { input: key })
  await house.expectDone(['agent', 'add', 'worker'])
  await house.expectDone(['grant', 'add', '--agent', 'worker', '--credential', 'own', '--allow', '*'])
  const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
    await house.expectDone(['session', 'issue', '--agent', 'worker', '--json']),
  )
  held = issued.credentials[0]?.fields[0]?.text ?? ''
})

afterEach(async () => {
  await house.close()
  upstream.close()
  upstream.closeAllConnections()
})

function ask(port: number, path: string): Promise<IncomingMessage> {
  return new Promise((done, fail) => {
    const headers = { authorization: `Bearer ${held}` }
    request({ host: '127.0.0.1', port, path, headers, agent: false }, done).once('error', fail).end()
  })
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of answer) text += String(chunk)
  return text
}

const told = async (path: string) => textOf(await ask(monitorPort, path))

test('a request, a refusal and a change are counted, and neither agent nor placeholder is named', async () => {
  expect(await told('/readyz')).toBe('ready\n')
  expect(await textOf(await ask(server.port, '/s/own/one'))).toBe('done')
  expect((await ask(server.port, '/s/nosuch/one')).statusCode).toBe(404)
  await expect
    .poll(() => told('/metrics'))
    .toContain('keyward_request_outcomes_total{environment="dev",outcome="answered",code=""} 1\n')
  const metrics = await told('/metrics')
  expect(metrics).toContain('keyward_requests_total{environment="dev",service="own"} 1\n')
  expect(metrics).toContain('keyward_refusals_total{code="service_unknown"} 1\n')
  expect(metrics).toContain('keyward_ready 1\n')
  expect(metrics).not.toContain('worker')
  expect(metrics).not.toContain(held)
  await server.stop()
})

test('asked by a service manager to end, it takes nothing new, says so, and lets the answer under way out', async () => {
  const answer = await ask(server.port, '/s/own/slow')
  const ended = server.kill('SIGTERM')
  await expect.poll(() => told('/readyz')).toBe('server_stopping\n')
  await expect(ask(server.port, '/s/own/one')).rejects.toThrow(/ECONNREFUSED/)
  waiting[0]?.end('last')
  expect(await textOf(answer)).toBe('first last')
  expect((await ended).code).toBe(0)
})

test('while it drains, what is open can still be suspended', async () => {
  const answer = await ask(server.port, '/s/own/slow')
  const ended = server.kill('SIGTERM')
  await expect.poll(() => told('/readyz')).toBe('server_stopping\n')
  await house.expectDone(['credential', 'suspend', 'own'])
  await expect(textOf(answer)).rejects.toThrow()
  expect((await ended).code).toBe(0)
})

test('a second signal does not wait', async () => {
  const answer = await ask(server.port, '/s/own/slow')
  const ended = server.kill('SIGTERM')
  await expect.poll(() => told('/readyz')).toBe('server_stopping\n')
  void server.kill('SIGINT')
  expect((await ended).code).toBe(1)
  await expect(textOf(answer)).rejects.toThrow()
})

test('nobody listens where nobody was asked to', async () => {
  await server.stop()
  server = await house.up()
  await expect(ask(monitorPort, '/healthz')).rejects.toThrow(/ECONNREFUSED/)
  await server.stop()
})

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0

test.skipIf(!hasSystemd)('systemd reads its unit without a word', () => {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-unit-'))
  const unit = readFileSync(join(import.meta.dirname, '../../deploy/systemd/keyward.service'), 'utf8')
  const path = join(folder, 'keyward.service')
  // It looks for the command, which is not installed here.
  writeFileSync(path, unit.replace('/usr/local/bin/keyward', process.execPath))
  const verified = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' })
  rmSync(folder, { recursive: true })
  expect(verified.stderr).toBe('')
  expect(verified.status).toBe(0)
})
