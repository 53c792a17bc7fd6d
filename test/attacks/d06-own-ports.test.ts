import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, expect } from 'vitest'
import { openStage, type Stage } from '../e2e/gateway/harness.ts'
import { connectHead, proxyCredentials, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import { parseService } from '../../src/services/definition.ts'
import { attack, inside } from './attack.ts'
import { ask, bare, outcomeOf, textFronts, tunnelled } from './asking.ts'
import { openInternet, type Internet } from './internet.ts'

let internet: Internet
let stage: Stage
let local: Upstream
let api: Held
let login: Login

beforeAll(async () => {
  internet = openInternet()
  stage = await openStage()
  local = await startUpstream(always(200, {}, 'a service of this machine'))
  api = await stage.hold({ id: 'api', hosts: ['api.example.test'] })
  login = await stage.login('triage')
  stage.names.set('host.docker.internal', ['192.168.65.254'])
  stage.names.set('gateway.docker.internal', ['192.168.65.1'])
  stage.names.set('localtest.example.net', ['127.0.0.1'])
  stage.names.set('local6.example.net', ['::1'])
  stage.names.set('zero.example.net', ['0.0.0.0'])
})

afterAll(async () => {
  await stage.close()
  await local.close()
  internet.close()
})

/** With the port of the gateway, with that of another local service, with the ordinary ones. */
function places(): string[] {
  const own = [stage.port, local.port, 80, 443]
  const machine = Object.values(networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address))
  const hosts = [
    '127.0.0.1',
    '127.0.0.2',
    '127.255.255.254',
    'localhost',
    'LOCALHOST',
    'localhost.',
    '0.0.0.0',
    '127.1',
    '0x7f000001',
    '2130706433',
    '017700000001',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[0:0:0:0:0:0:0:1]',
    '172.17.0.1',
    '172.18.0.1',
    '10.0.2.2',
    '192.168.65.254',
    'host.docker.internal',
    'gateway.docker.internal',
    'localtest.example.net',
    'local6.example.net',
    'zero.example.net',
    ...machine
      .filter((address) => !address.includes('%'))
      .map((address) => (address.includes(':') ? `[${address}]` : address)),
  ]
  return hosts.flatMap((host) => own.map((port) => `${host}:${port}`))
}

const refusals = ['loop_refused', 'host_refused', 'port_refused', 'request_malformed', 'upstream_unreachable']

attack('D6', 'nothing on this machine is dialled for an agent', textFronts, async (front) => {
  if (front.door === 'base-url') {
    for (const target of [
      '/',
      '/v1/status',
      '/s/../v1/status',
      '/s//v1',
      '/control',
      '/sessions',
      '/s/127.0.0.1:1/x',
      '/s/localhost/x',
    ]) {
      const answer = await bare(
        stage,
        `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${stage.port}\r\nAuthorization: Bearer ${login.placeholder(api)}\r\n\r\n`,
      )
      expect(answer === null ? 'closed' : outcomeOf(answer), target).toBe('service_unknown')
    }
  } else {
    for (const place of places()) {
      const head = `GET http://${place}/ HTTP/1.1\r\nHost: ${place}\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\n\r\n`
      const answer = front.door === 'tunnel' ? null : await bare(stage, head)
      const outcome =
        front.door === 'tunnel' ? await tunnelled(stage, place, login) : answer === null ? 'closed' : outcomeOf(answer)
      expect(refusals, `${place}: ${outcome}`).toContain(outcome)
      // The gateway knows itself, whatever port it was given.
      if (
        /^(?:127\.0\.0\.1|localhost|LOCALHOST|localhost\.|\[::1\]):\d+$/.test(place) &&
        place.endsWith(`:${stage.port}`)
      )
        expect(outcome, place).toBe('loop_refused')
    }
  }
  expect(internet.dialledBeside(stage.port)).toEqual([])
  expect(local.received().length).toBe(0)
})

attack('D6', 'sockets in the file system are no place to go', textFronts, async (front) => {
  const socket = '/var/run/docker.sock'
  const escaped = encodeURIComponent(socket)
  const targets = [
    `http://unix:${socket}:/v1/status`,
    `unix://${socket}`,
    `http+unix://${escaped}/v1`,
    `http://${escaped}/v1`,
    `file://${socket}`,
  ]
  for (const target of targets) {
    const authority = /^[a-z+]+:\/\/([^/]*)/.exec(target)?.[1] ?? ''
    const bytes =
      front.door === 'tunnel'
        ? connectHead(`${authority}:80`, login.token)
        : `GET ${target} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: ${proxyCredentials(login.token)}\r\n\r\n`
    const answer = await bare(stage, bytes)
    const outcome = answer === null ? 'closed' : outcomeOf(answer)
    expect(
      ['request_malformed', 'upstream_unreachable', 'host_refused', 'service_unknown'],
      `${target}: ${outcome}`,
    ).toContain(outcome)
  }
  expect(internet.dialledBeside(stage.port)).toEqual([])
})

attack('D6', 'no service file can point at a socket, at the metadata or without TLS at another machine', inside, () => {
  for (const endpoint of [
    'unix:///var/run/docker.sock',
    'http://10.0.0.1',
    'http://169.254.169.254',
    'http://api.example.test',
    'file:///etc/passwd',
    'http://host.docker.internal:2375',
    'http://user@127.0.0.1',
    'http://127.0.0.1/path',
  ])
    expect(
      () =>
        parseService(
          `id: mine\nhosts: [mine.example.test]\ninject: { kind: bearer }\nendpoint: ${endpoint}\n`,
          () => '',
          [],
        ),
      endpoint,
    ).toThrow(/./)
})

attack('D6', 'a service on loopback is reached only because the operator wrote it down', textFronts, async (front) => {
  const mine = await stage.hold({ id: `mine-${front.door}`, endpoint: local.origin })
  const who = await stage.login('triage')
  const before = local.got.length
  expect((await ask(stage, front, { held: mine, login: who })).status).toBe(200)
  expect(local.got.length).toBe(before + 1)
})
