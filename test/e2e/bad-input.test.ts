import { spawn } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer as createHttp, type Server as HttpServer } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { createServer as createTcp } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { errors } from '../../src/core/error-table.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import { createAuthority } from '../fakes/authority.ts'
import { openHouse, ordinary, own, serviceYaml } from '../harness.ts'
import type { House, Outcome, Server } from '../harness.ts'
import { rawRequest } from '../raw-request.ts'
import type { RawAnswer } from '../raw-request.ts'

/**
 * Bad input and bad luck, each through the whole product: a stable code, one clear sentence and the next
 * step, the right exit code, never a stack trace, never a secret, and nothing is lost.
 */

const key = `bad-input-${randomBytes(24).toString('hex')}`
const servers: HttpServer[] = []
let house: House
let server: Server
let upstreamPort = 0
let reached = 0
let session: Session

interface Session {
  readonly id: string
  readonly token: string
  readonly caCertificate: string
  readonly credentials: readonly {
    readonly name: string
    readonly fields: readonly { readonly field: string; readonly text: string }[]
  }[]
}

beforeAll(async () => {
  const upstream = createHttp((request, response) => {
    reached += 1
    if (request.url === '/cut-before') return void response.destroy()
    if (request.url === '/cut-half-way') {
      response.writeHead(200, { 'content-length': '100000' }).write('the first half')
      return void setTimeout(() => response.destroy(), 50)
    }
    if (request.url === '/slow') {
      response.writeHead(200).write('first ')
      return void setTimeout(() => response.end('last'), 1_500)
    }
    if (request.url === '/never') return
    response.end(request.headers.authorization === `Bearer ${key}` ? 'welcome' : 'wrong key')
  })
  upstreamPort = await listen(upstream)
  house = openHouse()
  server = await house.up()
  await furnish(house)
  session = await issue('ada')
})

afterAll(async () => {
  await house.close()
  for (const one of servers) {
    one.close()
    one.closeAllConnections()
  }
})

async function listen(one: HttpServer): Promise<number> {
  servers.push(one)
  await new Promise<void>((done) => one.listen(0, '127.0.0.1', done))
  const address = one.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function furnish(where: House): Promise<void> {
  where.write('main.yaml', serviceYaml('main', upstreamPort))
  where.write(
    'pair.yaml',
    serviceYaml(
      'pair',
      upstreamPort,
      'fields: { user: secret, password: secret }\ninject: { kind: basic, userField: user, passwordField: password }',
    ),
  )
  for (const file of ['main.yaml', 'pair.yaml']) await where.expectDone(['service', 'add', file])
  await where.expectDone(['credential', 'add', 'main', '--service', 'main', '--stdin'], { input: key })
  await where.expectDone(['agent', 'add', 'ada'])
  await where.expectDone([
    'grant',
    'add',
    '--agent',
    'ada',
    '--credential',
    'main',
    '--allow',
    'GET /**',
    '--deny',
    'GET /denied',
  ])
}

async function issue(agent: string): Promise<Session> {
  return JSON.parse(await house.expectDone(['session', 'issue', '--agent', agent, '--egress', 'deny', '--json']))
}

const placeholderOf = (one: Session, name = 'main'): string =>
  one.credentials.find((credential) => credential.name === name)?.fields[0]?.text ?? ''
const mistyped = (text: string): string => text.slice(0, -1) + (text.endsWith('A') ? 'B' : 'A')
const proxyOf = (token: string): string => `Basic ${Buffer.from(`session:${token}`).toString('base64')}`

function get(path: string, held = placeholderOf(session), service = 'main'): Promise<RawAnswer> {
  return rawRequest({ port: server.port, target: `/s/${service}${path}`, headers: { authorization: `Bearer ${held}` } })
}

/** What the command line says of an error: one sentence, the next step, nothing else. */
function expectError(outcome: Outcome, code: ErrorCode, exit: number = errors[code].exit): void {
  const { out, err } = outcome
  expect({ exit: outcome.code, out }, err).toEqual({ exit, out: '' })
  const lines = err
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('keyward: containment'))
  expect(lines, err).toHaveLength(2)
  expect(lines[0]).toContain(errors[code].title)
  expect(lines[1]).toBe(`next: ${errors[code].next}`)
  expectClean(err)
}

function expectClean(text: string): void {
  expect(text).not.toMatch(/^\s+at |node:internal|\.ts:\d+/m)
  expect(text).not.toContain(key)
}

/** The same from the gateway: problem JSON with the code, and the header by which Keyward's no is told from the upstream's. */
function expectProblem(answer: RawAnswer, code: ErrorCode): void {
  const text = answer.body.toString()
  expect(answer.headers['keyward-error'], text).toBe(code)
  expect(answer.status).toBe(errors[code].status)
  expect(JSON.parse(text)).toMatchObject({
    code,
    status: errors[code].status,
    title: errors[code].title,
    next: errors[code].next,
  })
  expectClean(answer.bytes.toString('latin1'))
}

/** After each mishap: the records are there, the journal is whole, a request goes through. */
async function expectNothingLost(): Promise<void> {
  const credentials: { name: string }[] = JSON.parse(await house.expectDone(['credential', 'list', '--json']))
  expect(credentials.map(({ name }) => name)).toContain('main')
  expect((await house.keyward(['journal', 'verify'])).code).toBe(0)
  const answer = await get('/ok')
  expect(answer.body.toString()).toBe('welcome')
}

describe('who is calling', () => {
  test('a wrong token, a mistyped one, none, a key of the agent’s own', async () => {
    const before = reached
    expectProblem(await get('/ok', mistyped(placeholderOf(session))), 'token_invalid')
    expectProblem(await rawRequest({ port: server.port, target: '/s/main/ok' }), 'token_missing')
    expectProblem(await get('/ok', key), 'placeholder_required')
    const wrongProxy = { host: 'main.example.test', 'proxy-authorization': proxyOf(mistyped(session.token)) }
    expectProblem(
      await rawRequest({ port: server.port, target: 'http://main.example.test/ok', headers: wrongProxy }),
      'token_invalid',
    )
    expectProblem(
      await rawRequest({
        port: server.port,
        target: 'http://main.example.test/ok',
        headers: { host: 'main.example.test' },
      }),
      'token_missing',
    )
    expect(reached).toBe(before)
  })

  test('another home’s token, and another session’s placeholder', async () => {
    const stranger = openHouse()
    try {
      const other = await stranger.up()
      await furnish(stranger)
      const foreign: Session = JSON.parse(await stranger.expectDone(['session', 'issue', '--agent', 'ada', '--json']))
      await other.stop()
      expectProblem(await get('/ok', placeholderOf(foreign)), 'token_invalid')
    } finally {
      await stranger.close()
    }
    const second = await issue('ada')
    const headers = {
      host: 'main.example.test',
      authorization: `Bearer ${placeholderOf(second)}`,
      'proxy-authorization': proxyOf(session.token),
    }
    expectProblem(
      await rawRequest({ port: server.port, target: 'http://main.example.test/ok', headers }),
      'placeholder_foreign',
    )
  })

  test('revoked and suspended sessions, a suspended agent', async () => {
    const { id, ...rest } = await issue('ada')
    const held = placeholderOf({ id, ...rest })
    await house.expectDone(['session', 'suspend', id])
    expectProblem(await get('/ok', held), 'session_suspended')
    await house.expectDone(['session', 'resume', id])
    await house.expectDone(['agent', 'suspend', 'ada'])
    expectProblem(await get('/ok', held), 'agent_suspended')
    await house.expectDone(['agent', 'resume', 'ada'])
    await house.expectDone(['session', 'revoke', id])
    expectProblem(await get('/ok', held), 'session_revoked')
    expectError(await house.keyward(['session', 'revoke', 'nosuchsession']), 'not_found')
    await expectNothingLost()
  })
})

describe('where it goes and whether it may', () => {
  test('unknown service, host not listed, placeholder at another service, a denied operation, a path with two readings', async () => {
    const before = reached
    expectProblem(await get('/ok', placeholderOf(session), 'nosuch'), 'service_unknown')
    const unlisted = { host: 'unlisted.example.org', 'proxy-authorization': proxyOf(session.token) }
    expectProblem(
      await rawRequest({ port: server.port, target: 'http://unlisted.example.org/', headers: unlisted }),
      'host_not_listed',
    )
    const tunnel = { authority: 'unlisted.example.org:443', token: session.token, ca: null }
    expectProblem(await rawRequest({ port: server.port, target: '/', tunnel }), 'host_not_listed')
    const basic = { authorization: `Basic ${Buffer.from(`x:${placeholderOf(session)}`).toString('base64')}` }
    expectProblem(
      await rawRequest({ port: server.port, target: '/s/pair/ok', headers: basic }),
      'placeholder_elsewhere',
    )
    expectProblem(await get('/denied'), 'operation_denied')
    expectProblem(
      await rawRequest({
        port: server.port,
        target: '/s/main/ok',
        method: 'POST',
        body: 'x',
        headers: { authorization: `Bearer ${placeholderOf(session)}` },
      }),
      'operation_not_allowed',
    )
    expectProblem(await get('/a/../ok'), 'path_not_canonical')
    expect(reached).toBe(before)
    for (const noun of ['service', 'credential', 'agent', 'grant']) {
      const { code, err } = await house.keyward([noun, 'show', 'nosuch'])
      expect(code, err).toBe(1)
      expectClean(err)
    }
  })

  test('a credential that is missing, removed, suspended or lacks a field', async () => {
    expectError(await house.keyward(['credential', 'show', 'nosuch']), 'not_found')
    expectError(
      await house.keyward(['credential', 'add', 'pair', '--service', 'pair', '--field', 'user=-'], {
        input: 'somebody-long',
      }),
      'field_missing',
    )
    expectError(
      await house.keyward(['grant', 'add', '--agent', 'ada', '--credential', 'nosuch', '--allow', '*']),
      'not_found',
    )
    await house.expectDone(['credential', 'add', 'extra', '--service', 'main', '--stdin'], {
      input: `extra-${randomBytes(16).toString('hex')}`,
    })
    await house.expectDone(['grant', 'add', '--agent', 'ada', '--credential', 'extra', '--allow', '*'])
    const held = placeholderOf(await issue('ada'), 'extra')
    await house.expectDone(['credential', 'suspend', 'extra'])
    expectProblem(await get('/ok', held), 'credential_suspended')
    expectError(await house.keyward(['credential', 'remove', 'extra', '--yes']), 'still_in_use')
    await house.expectDone(['credential', 'remove', 'extra', '--cascade', '--yes'])
    expectProblem(await get('/ok', held), 'credential_missing')
  })

  test('a wrong environment, and the same secret in two', async () => {
    await house.expectDone(['agent', 'add', 'bob', '--env', 'prod'])
    expectError(
      await house.keyward(['grant', 'add', '--agent', 'bob', '--env', 'prod', '--credential', 'main', '--allow', '*']),
      'not_found',
    )
    expectError(await house.keyward(['agent', 'add', 'carl', '--env', 'nosuch']), 'not_found')
    expectError(
      await house.keyward(['credential', 'add', 'main', '--service', 'main', '--env', 'prod', '--stdin'], {
        input: key,
      }),
      'secret_reused',
    )
  })

  test('an expired grant', async () => {
    await house.expectDone(['agent', 'add', 'brief'])
    await house.expectDone([
      'grant',
      'add',
      '--agent',
      'brief',
      '--credential',
      'main',
      '--allow',
      '*',
      '--expires',
      '2s',
    ])
    const held = placeholderOf(await issue('brief'))
    await wait(2_100)
    expectProblem(await get('/ok', held), 'grant_expired')
  })
})

describe('what people type and write', () => {
  test.each([
    ['a line break', 'first-line\nsecond-line'],
    ['a control character', 'with-\u0007-a-bell'],
    ['nothing', ''],
    ['spaces around it', '  spaced-out-value  '],
    ['too few characters', 'short'],
  ])('a secret with %s', async (_name, input) => {
    const { code, err } = await house.keyward(['credential', 'add', 'never', '--service', 'main', '--stdin'], { input })
    expect(code, err).toBe(input === '' ? code : 1)
    expect([1, 2]).toContain(code)
    expect(err).toMatch(/^next: /m)
    for (const part of input.split(/[^ -~]/).filter((one) => one.trim().length > 7))
      expect(err).not.toContain(part.trim())
    expectClean(err)
    expectError(await house.keyward(['credential', 'show', 'never']), 'not_found')
  })

  test.each([
    ['no YAML', 'id: [unclosed\nname: x', 'Line 2'],
    ['an unknown member', 'id: bad\nname: bad\nhosts: [bad.example.test]\nsurprise: 1\n', 'surprise'],
    ['no id', 'name: bad\nhosts: [bad.example.test]\n', 'id'],
    [
      'an unknown injector',
      'id: bad\nname: bad\nhosts: [bad.example.test]\ninject: { kind: nosuch }\nvariables: { key: BAD }\n',
      'inject',
    ],
    [
      'plain http to another machine',
      'id: bad\nname: bad\nhosts: [bad.example.test]\nendpoint: http://192.0.2.1:80\ninject: { kind: bearer }\nvariables: { key: BAD }\n',
      'endpoint',
    ],
    ['aliases that grow', 'a: &a [x,x]\nb: &b [*a,*a]\nid: bad\n', ''],
    ['nothing at all', '', ''],
  ])('a service file with %s', async (_name, text, named) => {
    house.write('bad.yaml', text)
    const outcome = await house.keyward(['service', 'add', 'bad.yaml'])
    expect(outcome.code, outcome.err).toBe(2)
    expect(outcome.err).toContain(named)
    expect(outcome.err).toMatch(/^next: /m)
    expectClean(outcome.err)
  })

  test('files that are not there or cannot be read', async () => {
    expectError(await house.keyward(['service', 'add', 'nosuch.yaml']), 'file_invalid')
    expectError(
      await house.keyward(['credential', 'add', 'never', '--service', 'main', '--from-file', 'nosuch']),
      'file_invalid',
    )
    expectError(await house.keyward(['import', 'nosuch.env', '--yes']), 'file_invalid')
    house.write('locked', 'value-of-a-test', 0o000)
    expectError(
      await house.keyward(['credential', 'add', 'never', '--service', 'main', '--from-file', 'locked']),
      'file_invalid',
    )
  })

  test('run: its own failures end with 125 and name the next step; a missing program with 127', async () => {
    expectError(await house.keyward(['run', '--contain', 'weird', '--', 'true']), 'usage', 125)
    expectError(await house.keyward(['run', '--env', 'nosuch', '--contain', 'none', '--', 'true']), 'not_found', 125)
    expect((await house.keyward(['run', '--agent', 'ada', '--contain', 'none', '--', 'no-such-program'])).code).toBe(
      127,
    )
    await expectNothingLost()
  })

  test('--json gives the same problem as one JSON document', async () => {
    const { code, out, err } = await house.keyward(['credential', 'show', 'nosuch', '--json'])
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(JSON.parse(err)).toMatchObject({
      code: 'not_found',
      title: errors.not_found.title,
      next: errors.not_found.next,
    })
  })
})

describe('the other side', () => {
  async function serviceAt(id: string, endpoint: string): Promise<string> {
    house.write(`${id}.yaml`, serviceYaml(id, 1).replace('http://127.0.0.1:1', endpoint))
    await house.expectDone(['service', 'add', `${id}.yaml`])
    await house.expectDone(['credential', 'add', id, '--service', id, '--stdin'], {
      input: `${id}-${randomBytes(16).toString('hex')}`,
    })
    await house.expectDone(['grant', 'add', '--agent', 'ada', '--credential', id, '--allow', '*'])
    return placeholderOf(await issue('ada'), id)
  }

  test('down', async () => {
    const gone = createHttp()
    const port = await listen(gone)
    await new Promise((done) => gone.close(done))
    const held = await serviceAt('down', `http://127.0.0.1:${port}`)
    expectProblem(await get('/ok', held, 'down'), 'upstream_unreachable')
  })

  test('a certificate that does not verify: it hears nothing', async () => {
    const leaf = await (await createAuthority()).issue(['127.0.0.1'])
    let heard = 0
    const port = await listen(
      createHttps(leaf, (_request, response) => {
        heard += 1
        response.end()
      }),
    )
    const held = await serviceAt('untrusted', `https://127.0.0.1:${port}`)
    expectProblem(await get('/ok', held, 'untrusted'), 'upstream_untrusted')
    expect(heard).toBe(0)
  })

  test('closes before it answers, and half-way', async () => {
    expectProblem(await get('/cut-before'), 'upstream_broken')
    const half = await get('/cut-half-way')
    // It begins as an answer and ends short of its length, so nobody takes the half for the whole.
    expect(half.status === 200 ? half.body.toString() : half.headers['keyward-error']).toMatch(
      /^(?:.{0,14}|upstream_broken)$/,
    )
    const outcomes = await house.keyward(['journal', 'search', 'upstream_broken', '--kind', 'outcome'])
    expect(outcomes.out.trim().split('\n').length).toBeGreaterThanOrEqual(2)
    await expectNothingLost()
  })

  test('slow: its answer comes whole, and others do not wait for it', async () => {
    const slow = get('/slow')
    const startedAt = performance.now()
    expect((await get('/ok')).body.toString()).toBe('welcome')
    expect(performance.now() - startedAt).toBeLessThan(1_400)
    expect((await slow).body.toString()).toBe('first last')
  })

  test('never answers, and the agent gives up: the exchange is closed in the journal', async () => {
    const gone = rawRequest({
      port: server.port,
      target: '/s/main/never',
      headers: { authorization: `Bearer ${placeholderOf(session)}` },
      onConnect: (socket) => setTimeout(() => socket.destroy(), 300),
    })
    await gone.catch(() => undefined)
    await expect
      .poll(async () => (await house.keyward(['journal', 'search', 'aborted', '--kind', 'outcome'])).code, {
        timeout: 10_000,
      })
      .toBe(0)
    await expectNothingLost()
  })
})

describe('the disk', () => {
  const segment = (): string => join(house.home, 'journal/node-1/00000001.jsonl')
  const limit = (soft: number | 'unlimited'): Promise<number | null> =>
    runTool('prlimit', ['--pid', String(server.pid), `--fsize=${soft}:unlimited`])

  test.skipIf(!hasTool('prlimit'))(
    'full: nothing is sent and nothing is acknowledged, and it goes on when there is room',
    { timeout: 60_000 },
    async () => {
      const before = reached
      expect(await limit(statSync(segment()).size)).toBe(0)
      const startedAt = performance.now()
      expectProblem(await get('/ok'), 'journal_unwritable')
      expect(performance.now() - startedAt).toBeLessThan(2_500)
      expectError(await house.keyward(['agent', 'add', 'unwritten']), 'journal_unwritable')
      expect((await house.keyward(['status'])).code).toBe(0)
      expect(reached).toBe(before)
      expect(await limit('unlimited')).toBe(0)
      await expect.poll(async () => (await get('/ok')).status, { timeout: 5_000 }).toBe(200)
      expectError(await house.keyward(['agent', 'show', 'unwritten']), 'not_found')
      await house.expectDone(['agent', 'add', 'unwritten'])
      await expectNothingLost()
    },
  )

  /** Delays the system call itself, as a disk does that does not answer. Where tracing is not allowed, src/journal/disk.test.ts covers it with files that hang. */
  test.skipIf(!hasTool('strace'))(
    'hung: a change is refused in time, the gateway does not freeze',
    { timeout: 60_000 },
    async (context) => {
      const tracer = spawn('strace', [
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-p',
        String(server.pid),
        '-e',
        'trace=fdatasync,fsync',
        '-e',
        'inject=fdatasync,fsync:delay_enter=4s',
      ])
      const ended = new Promise<number | null>((done) => tracer.once('close', done).once('error', () => done(null)))
      const early = await Promise.race([ended, wait(700).then(() => 'tracing')])
      if (early !== 'tracing') return context.skip()
      try {
        const startedAt = performance.now()
        expectError(await house.keyward(['agent', 'add', 'hung']), 'journal_unwritable')
        expect(performance.now() - startedAt).toBeLessThan(3_500)
        const asked = performance.now()
        expect((await house.keyward(['status'])).code).toBe(0)
        expect(performance.now() - asked).toBeLessThan(2_500)
      } finally {
        tracer.kill('SIGINT')
        await ended
      }
      await expect.poll(async () => (await get('/ok')).status, { timeout: 15_000 }).toBe(200)
      await expectNothingLost()
    },
  )
})

describe('starting', () => {
  test('the home is in use', async () => {
    expectError(await house.keyward(['up']), 'home_in_use')
    await expectNothingLost()
  })

  test('without a server: exit 3 and how to start one; run tells of what keeps it from starting', async () => {
    await server.stop()
    expectError(await house.keyward(['credential', 'list']), 'server_unreachable', 3)
    expectError(await house.keyward(['env', '--agent', 'ada']), 'server_unreachable', 3)
    chmodSync(house.rootKeyFile, 0o644)
    expectError(await house.keyward(['run', '--contain', 'none', '--', 'true']), 'root_key_unsafe', 125)
    chmodSync(house.rootKeyFile, 0o600)
  })

  test('the port is in use', async () => {
    const taken = createTcp()
    await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done))
    const address = taken.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    expectError(await house.keyward(['up', '--gateway', `127.0.0.1:${port}`]), 'port_in_use')
    await new Promise((done) => taken.close(done))
  })

  test('a root key that is missing, unreadable, readable by others, another one, or noise', async () => {
    const path = house.rootKeyFile
    const kept = readFileSync(path)
    const put = (content: string | Buffer, mode = 0o600): void => {
      writeFileSync(path, content)
      chmodSync(path, mode)
      own(path)
    }
    rmSync(path)
    expectError(await house.keyward(['up']), 'root_key_missing')
    expect(existsSync(path)).toBe(false)
    put(kept, 0o000)
    expectError(await house.keyward(['up']), 'root_key_missing')
    put(kept, 0o640)
    expectError(await house.keyward(['up']), 'root_key_unsafe')
    put('noise\n')
    expectError(await house.keyward(['up']), 'root_key_wrong')
    const stranger = openHouse()
    try {
      await (await stranger.up()).stop()
      copyFileSync(stranger.rootKeyFile, path)
    } finally {
      await stranger.close()
    }
    chmodSync(path, 0o600)
    own(path)
    expectError(await house.keyward(['up']), 'root_key_wrong')
    put(kept)
  })

  test('a passphrase file that is missing or wrong', async () => {
    expectError(
      await house.keyward(['up'], { variables: { KEYWARD_PASSPHRASE_FILE: join(house.work, 'nosuch') } }),
      'root_key_missing',
    )
    house.write('passphrase', 'not the one')
    expectError(
      await house.keyward(['up'], { variables: { KEYWARD_PASSPHRASE_FILE: join(house.work, 'passphrase') } }),
      'root_key_wrong',
    )
  })

  test('a home that others can enter, and one that cannot be made', async () => {
    chmodSync(house.home, 0o755)
    expectError(await house.keyward(['up']), 'home_unsafe')
    chmodSync(house.home, 0o700)
    expectError(await house.keyward(['up', '--home', '/nosuch/home']), 'config_invalid')
  })

  test.each([
    ['no YAML', 'gateway: [unclosed', 'keyward.yaml'],
    ['an unknown setting', 'surprise: true\n', 'surprise'],
    ['a value of the wrong kind', 'strictJournal: perhaps\n', 'strictJournal'],
    ['an open address', 'gateway: 0.0.0.0:7071\n', 'loopback'],
  ])('keyward.yaml with %s', async (_name, text, named) => {
    const path = join(house.home, 'keyward.yaml')
    writeFileSync(path, text)
    own(path)
    const outcome = await house.keyward(['up'], { variables: { KEYWARD_GATEWAY: '' } })
    expectError(outcome, 'config_invalid')
    expect(outcome.err).toContain(named)
    rmSync(path)
  })

  test('variables and flags that make no sense', async () => {
    for (const variables of [
      { KEYWARD_GATEWAY: 'nowhere' },
      { KEYWARD_MONITOR: 'nowhere' },
      { KEYWARD_MONITOR: 'watch.example.test:9464' },
      { KEYWARD_MONITOR: '127.0.0.1:70000' },
      { KEYWARD_NODE: '../x' },
      { KEYWARD_STRICT_JOURNAL: 'soon' },
      { KEYWARD_ROOT_KEY_FILE: join(house.home, 'key') },
    ]) {
      expectError(await house.keyward(['up'], { variables }), 'config_invalid')
    }
    expectError(await house.keyward(['up', '--gateway', '0.0.0.0:1']), 'config_invalid')
    expectError(await house.keyward(['up', '--nosuch']), 'usage')
  })

  test('after all of it nothing is lost', async () => {
    server = await house.up()
    await expectNothingLost()
    await server.stop()
  })

  /** The shortest session outlives this test, so a server is started whose clock has gone on. */
  test('an expired session', async () => {
    const late = spawn(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        join(import.meta.dirname, 'late-server.ts'),
        house.home,
        String(13 * 3_600_000),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'], ...ordinary },
    )
    const ended = new Promise((done) => late.once('close', done))
    const port = await new Promise<number>((ready, failed) => {
      late.stdout.once('data', (chunk: Buffer) => ready(Number(chunk.toString())))
      late.once('exit', () => failed(new Error('the late server ended')))
    })
    expectProblem(
      await rawRequest({ port, target: '/s/main/ok', headers: { authorization: `Bearer ${placeholderOf(session)}` } }),
      'session_expired',
    )
    late.kill('SIGTERM')
    await ended
  })
})

function runTool(command: string, args: readonly string[]): Promise<number | null> {
  return new Promise((done) => {
    spawn(command, args, { stdio: 'ignore', ...ordinary })
      .once('close', done)
      .once('error', () => done(null))
  })
}

function hasTool(name: string): boolean {
  return (
    process.platform === 'linux' && ['/usr/bin', '/bin', '/usr/sbin'].some((folder) => existsSync(join(folder, name)))
  )
}
