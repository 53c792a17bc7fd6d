import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecretKey, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFakeRecords } from '../../test/fakes/records.ts'
import { createControlClient } from '../client/control-client.ts'
import { base62, makePlaceholder, makeSessionToken } from '../core/placeholder.ts'
import { createLogins } from '../identity/logins.ts'
import { createPeople } from '../identity/people.ts'
import { randomTextFrom } from '../identity/random-text.ts'
import { networkDoor } from './caller.ts'
import { createControlApi } from './control.ts'
import { createAttempts, FAILED_LOGINS_OF_ONE_LIMIT } from './network-rules.ts'
import { listenNetwork, networkPeer } from './network.ts'
import type { NetworkServer, TlsFiles } from './network.ts'
import type { ControlParts } from './parts.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-network-'))
const randomText = randomTextFrom(randomBytes)
const agentsSeen: (string | null)[] = []
let leaseHeld = true
let clock = Date.now()
const now = () => clock
let ids = 0
const newId = () => `id${(ids += 1)}`
const records = createFakeRecords([
  { table: 'environment', id: 'dev', body: { name: 'dev', egress: 'deny', createdAt: 1 } },
])
const people = createPeople({ records, now, newId })
const logins = createLogins({
  records,
  key: createSecretKey(randomBytes(32)),
  randomBytes,
  now,
  newId,
  ownerName: 'operator:root',
})
const entries: unknown[] = []
const own = {
  records,
  people,
  logins,
  now,
  ownerName: 'operator:root',
  agents: { list: () => [], find: () => undefined },
  credentials: { find: () => undefined },
  journal: { append: async (entry: unknown) => void entries.push(entry) },
}
const parts: ControlParts = new Proxy(Object.create(null), {
  get: (_, member) => {
    if (member === 'listenUrl') return server.url
    if (Object.hasOwn(own, member)) return Reflect.get(own, member)
    throw new Error(`touched ${String(member)}`)
  },
})
let server: NetworkServer

function serve(tls: TlsFiles | null, names: readonly string[] = []): Promise<NetworkServer> {
  const door = networkDoor({
    ownerName: 'operator:root',
    logins,
    lease: { held: () => leaseHeld },
    peer: networkPeer,
    attempts: createAttempts({ now }),
    onAgent: (address) => agentsSeen.push(address),
  })
  const api = createControlApi(parts, { door })
  return listenNetwork({ host: '127.0.0.1', port: 0, names, tls, api, onError: () => undefined })
}

interface Told {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly code: unknown
}

/** What a browser or a program at the other end sends, header by header. */
function ask(
  path: string,
  init: { method?: string; headers?: Record<string, string>; body?: string } = {},
  to = server,
): Promise<Told> {
  const { method = 'GET', headers = {}, body } = init
  return new Promise((resolve, reject) => {
    const sending = request(
      new URL(path, to.url),
      {
        method,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-length': body.length }) },
        agent: false,
      },
      async (response) => {
        let text = ''
        for await (const chunk of response.setEncoding('utf8')) text += String(chunk)
        const isProblem = String(response.headers['content-type']).includes('problem')
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          code: isProblem && text !== '' ? JSON.parse(text).code : null,
        })
      },
    )
    sending.on('error', reject)
    sending.end(body)
  })
}

const json = { 'content-type': 'application/json' }
async function loggedIn(): Promise<string> {
  return (await logins.redeem(logins.offer(null).code)).token
}

beforeAll(async () => {
  server = await serve(null)
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

test('DNS rebinding: asked by another name it answers nothing', async () => {
  const authorization = `Bearer ${await loggedIn()}`
  for (const host of [
    'attacker.example',
    'localhost.attacker.example',
    '127.0.0.1.attacker.example',
    '10.0.0.1',
    '[::1]',
  ])
    for (const path of ['/me', '/login', '/login.js'])
      expect(await ask(path, { headers: { host, authorization } }), host).toMatchObject({
        status: 421,
        code: 'host_mismatch',
      })
  expect((await ask('/me', { headers: { authorization } })).status).toBe(200)
})

describe('cross-site requests', () => {
  test.each([
    { origin: 'https://attacker.example' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:1' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ])('%j is refused, whatever it brings', async (headers) => {
    const authorization = `Bearer ${await loggedIn()}`
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS'])
      expect(
        await ask('/me', {
          method,
          headers: { ...json, ...headers, authorization },
          ...(method === 'GET' ? {} : { body: '{}' }),
        }),
      ).toMatchObject({ status: 403, code: 'origin_refused' })
  })

  test('a form, a text or nothing is no JSON', async () => {
    const { code } = logins.offer(null)
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', ''])
      expect(
        await ask('/logins', {
          method: 'POST',
          headers: type === '' ? {} : { 'content-type': type },
          body: JSON.stringify({ code }),
        }),
      ).toMatchObject({ status: 400, code: 'request_malformed' })
    expect((await ask('/logins', { method: 'POST', headers: json, body: JSON.stringify({ code }) })).status).toBe(200)
  })

  test('no answer may be read by a page of another origin', async () => {
    const told = await ask('/me')
    expect(told.headers['access-control-allow-origin']).toBeUndefined()
    expect(told.headers['cross-origin-resource-policy']).toBe('same-origin')
  })
})

test('framing: no answer may stand in a frame, run what is not ours, or be kept', async () => {
  const answers = [
    await ask('/login'),
    await ask('/me'),
    await ask('/nowhere'),
    await ask('/me', { headers: { host: 'x.example' } }),
  ]
  for (const { headers } of answers) {
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'")
    expect(headers['content-security-policy']).toContain("default-src 'none'")
    expect(headers['content-security-policy']).not.toMatch(/unsafe|\*/)
    expect(headers).toMatchObject({
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    })
  }
})

test('cookie theft: none is set, and none opens anything', async () => {
  const token = await loggedIn()
  for (const name of ['keyward-login', 'token', 'authorization', 'session'])
    expect(await ask('/me', { headers: { cookie: `${name}=${token}` } })).toMatchObject({
      status: 401,
      code: 'login_required',
    })
  for (const told of [await ask('/login'), await ask('/me', { headers: { authorization: `Bearer ${token}` } })])
    expect(told.headers['set-cookie']).toBeUndefined()
})

test('a link is used by a click and not by looking at it', async () => {
  const { code } = logins.offer(null)
  for (const path of ['/login', `/login?code=${code}`, `/logins?code=${code}`, `/logins/${code}`]) await ask(path)
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE'])
    await ask('/logins', {
      method,
      headers: json,
      ...(method === 'GET' || method === 'HEAD' ? {} : { body: JSON.stringify({ code }) }),
    })
  const told = await ask('/logins', { method: 'POST', headers: json, body: JSON.stringify({ code }) })
  expect(told.status).toBe(200)
  const again = await ask('/logins', { method: 'POST', headers: json, body: JSON.stringify({ code }) })
  expect(again).toMatchObject({ status: 401, code: 'login_invalid' })
})

test('an agent is refused with its own code, and seen', async () => {
  const shape = { prefix: 'sk-', alphabet: base62, length: null }
  for (const token of [makeSessionToken(randomText), makePlaceholder(shape, randomText).text]) {
    agentsSeen.length = 0
    const told = await ask('/approvals/abc/accept', {
      method: 'POST',
      headers: { ...json, authorization: `Bearer ${token}` },
      body: '{}',
    })
    expect(told).toMatchObject({ status: 403, code: 'agent_refused' })
    expect(told.text).not.toContain(token)
    expect(agentsSeen).toEqual(['127.0.0.1'])
  }
  clock += 61_000
})

test('a node that does not know the policy of this second lets nobody in', async () => {
  const authorization = `Bearer ${await loggedIn()}`
  leaseHeld = false
  expect(await ask('/me', { headers: { authorization } })).toMatchObject({ status: 503, code: 'lease_lost' })
  leaseHeld = true
  expect((await ask('/me', { headers: { authorization } })).status).toBe(200)
})

test('guessing is bounded, for codes as for tokens', async () => {
  clock += 61_000
  const guess = () => ask('/logins', { method: 'POST', headers: json, body: JSON.stringify({ code: 'kwl_guess' }) })
  for (let tried = 0; tried < FAILED_LOGINS_OF_ONE_LIMIT.count; tried += 1)
    expect((await guess()).code).toBe('login_invalid')
  expect(await guess()).toMatchObject({ status: 429, code: 'too_many_attempts' })
  const { code } = logins.offer(null)
  expect((await ask('/logins', { method: 'POST', headers: json, body: JSON.stringify({ code }) })).code).toBe(
    'too_many_attempts',
  )
  clock += 61_000
  expect((await ask('/logins', { method: 'POST', headers: json, body: JSON.stringify({ code }) })).status).toBe(200)
})

test('an admin who is a person does not become the owner', async () => {
  await people.add({ name: 'anna@example.test', role: 'admin', groups: ['*'] }, 'operator:root')
  const found = people.find('anna@example.test')
  const { token } = await logins.redeem(logins.offer(found?.id ?? '').code)
  const client = createControlClient({ url: new URL(server.url), token, authority: null })
  await expect(client.call('POST /login-codes', {}, {})).rejects.toMatchObject({ code: 'role_missing' })
  expect(await client.call('GET /me', {}, {})).toMatchObject({ name: 'anna@example.test', role: 'admin', owner: false })
  await expect(client.call('POST /login-codes', {}, { person: 'anna@example.test' })).resolves.toMatchObject({
    link: expect.stringMatching(/\/login#kwl_/),
  })
})

describe('TLS', () => {
  const files = { certificate: join(folder, 'a.pem'), key: join(folder, 'a.key'), clientAuthority: null }
  beforeAll(() => {
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=keyward.test',
        '-addext',
        'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-keyout',
        files.key,
        '-out',
        files.certificate,
      ],
      { stdio: 'ignore' },
    )
    chmodSync(files.key, 0o600)
  })

  test('a client that trusts the authority gets in, one that does not gets nothing', async () => {
    const { readFileSync } = await import('node:fs')
    const secure = await serve(files)
    const url = new URL(secure.url)
    expect(url.protocol).toBe('https:')
    const token = await loggedIn()
    const authority = readFileSync(files.certificate, 'utf8')
    expect(await createControlClient({ url, token, authority }).call('GET /me', {}, {})).toMatchObject({ owner: true })
    await expect(createControlClient({ url, token, authority: null }).call('GET /me', {}, {})).rejects.toMatchObject({
      code: 'server_unreachable',
    })
    await secure.close()
  })

  test('a key that others can read is refused', async () => {
    chmodSync(files.key, 0o644)
    await expect(serve(files)).rejects.toMatchObject({ code: 'config_invalid' })
    chmodSync(files.key, 0o600)
  })
})
