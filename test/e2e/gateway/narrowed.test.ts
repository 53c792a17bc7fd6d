import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { narrow } from '../../../src/core/narrowed-token.ts'
import { openStage, type Stage } from './harness.ts'
import { askForPlaceholders, narrowLogin } from './narrowing.ts'
import { codeOf, connectHead, doors, requestBytes, type Door, type Held, type Login } from './requests.ts'
import { startUpstream, type Upstream } from './upstream.ts'

/** Sessions that their holders narrowed, through every door of the whole product. */

const WITHIN_MILLISECONDS = 1_000

let stage: Stage
let upstream: Upstream
let one: Held
let two: Held
let root: Login

beforeAll(async () => {
  stage = await openStage()
  upstream = await startUpstream((_request, response, got) => {
    if (got.target !== '/stream') return void response.end('ok')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => response.write('data: tick\n\n'), 10)
    response.on('close', () => clearInterval(timer))
  })
  one = await stage.hold({ id: 'one', endpoint: upstream.origin })
  two = await stage.hold({ id: 'two', endpoint: upstream.origin })
  root = await stage.login('triage')
})

afterAll(async () => {
  await stage.close()
  await upstream.close()
})

const ask = (door: Door, held: Held, login: Login, target = '/') =>
  stage.request({ door, held, login, target, headers: [['Authorization', `Bearer ${login.placeholder(held)}`]] })

describe.each(doors)('%s', (door) => {
  test('what is left is allowed with the real key, what is not is refused by its own code', async () => {
    const login = await narrowLogin(stage, root, [
      { kind: 'allow', patterns: ['GET /open/**'] },
      { kind: 'deny', patterns: ['* /open/secret'] },
    ])
    const before = upstream.got.length
    expect((await ask(door, one, login, '/open/a')).status).toBe(200)
    expect(upstream.got.at(-1)?.headers.authorization).toBe(`Bearer ${one.secret()}`)
    expect(codeOf(await ask(door, one, login, '/other'))).toBe('narrowed_operation')
    expect(codeOf(await ask(door, one, login, '/open/SECRET'))).toBe('narrowed_denied')
    expect(upstream.got).toHaveLength(before + 1)
    const intent = await stage.journaled({ kind: 'intent', text: login.narrowing })
    expect(intent.event).toMatchObject({ session: root.id, narrowed: login.narrowing })
    await stage.journaled({ kind: 'refusal', text: 'narrowed_denied' })
    expect((await ask(door, one, root, '/other')).status).toBe(200)
  })

  test('a narrowing of a narrowing may do what both leave', async () => {
    const parent = await narrowLogin(stage, root, [{ kind: 'allow', patterns: ['GET /a/**', 'GET /b/**'] }])
    const child = await narrowLogin(stage, parent, [{ kind: 'allow', patterns: ['GET /b/**', 'GET /c/**'] }])
    for (const [target, status] of [
      ['/a/x', 403],
      ['/b/x', 200],
      ['/c/x', 403],
    ] as const)
      expect((await ask(door, one, child, target)).status, target).toBe(status)
  })

  test('a revoked beginning ends the whole subtree within a second, what is open in it too, and nothing else', async () => {
    const parent = await narrowLogin(stage, root, [{ kind: 'credentials', names: ['one'] }])
    const child = await narrowLogin(stage, parent, [{ kind: 'allow', patterns: ['GET /**'] }])
    const sibling = await narrowLogin(stage, root, [{ kind: 'credentials', names: ['one'] }])
    const open = async (login: Login) => {
      const wire = await stage.open(door, one.host, login)
      const headers = [['Authorization', `Bearer ${login.placeholder(one)}`]] as const
      wire.write(requestBytes(stage, { door, held: one, login, target: '/stream', headers }))
      expect((await wire.head()).status).toBe(200)
      return wire
    }
    const [streams, other] = [[await open(parent), await open(child)], await open(sibling)]
    let otherEnded = false
    void other.closed.then(() => (otherEnded = true))
    const from = performance.now()
    await stage.app.sessions.revoke(parent.narrowing, 'test')
    await Promise.all(streams.map(({ closed }) => closed))
    expect(performance.now() - from).toBeLessThan(WITHIN_MILLISECONDS)
    expect(otherEnded).toBe(false)
    other.close()
    if (door === 'base-url') {
      expect(codeOf(await ask(door, one, child))).toBe('narrowed_revoked')
    } else {
      const wire = await stage.dial()
      wire.write(connectHead(`${one.host}:443`, child.token))
      expect(codeOf(await wire.answer())).toBe('narrowed_revoked')
      wire.close()
    }
    expect((await ask(door, one, sibling)).status).toBe(200)
    expect((await ask(door, one, root)).status).toBe(200)
  })

  test('what expires ends what is open in it', async () => {
    const login = await narrowLogin(stage, root, [{ kind: 'expires', at: stage.app.now() + 60_000 }])
    const wire = await stage.open(door, one.host, login)
    const headers = [['Authorization', `Bearer ${login.placeholder(one)}`]] as const
    wire.write(requestBytes(stage, { door, held: one, login, target: '/stream', headers }))
    expect((await wire.head()).status).toBe(200)
    stage.advance(60_000)
    await wire.closed
    stage.advance(-60_000)
  })

  test('fifty requests at once have as many uses as were left, over all narrowings of it', async () => {
    const parent = await narrowLogin(stage, root, [{ kind: 'uses', count: 7 }])
    const children = [
      await narrowLogin(stage, parent, [{ kind: 'credentials', names: ['one'] }]),
      await narrowLogin(stage, parent, [{ kind: 'uses', count: 50 }]),
    ]
    const before = upstream.got.length
    const answers = await Promise.all(Array.from({ length: 50 }, (_, at) => ask(door, one, children[at % 2] ?? parent)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(7)
    expect(upstream.got).toHaveLength(before + 7)
    for (const answer of answers) if (answer.status !== 200) expect(codeOf(answer)).toBe('narrowed_used_up')
    const shown = stage.app.sessions.narrowings.ofSession(root.id).find(({ id }) => id === parent.narrowing)
    expect(shown).toMatchObject({ used: 7, parent: null, state: 'active' })
  })

  test('only from the address that it was narrowed to', async () => {
    const here = await narrowLogin(stage, root, [{ kind: 'address', address: '127.0.0.1' }])
    expect((await ask(door, one, here)).status).toBe(200)
    const { token } = narrow(root.token, [{ kind: 'address', address: '192.0.2.1' }], randomBytes(12))
    expect(codeOf(await askForPlaceholders(stage, token))).toBe('narrowed_elsewhere')
    const wire = await stage.dial()
    wire.write(connectHead(`${one.host}:443`, token))
    expect(codeOf(await wire.answer())).toBe('narrowed_elsewhere')
    wire.close()
  })
})

test('the narrower of token and placeholder counts, and one that does not come from the other opens nothing', async () => {
  const parent = await narrowLogin(stage, root, [{ kind: 'allow', patterns: ['GET /a/**'] }])
  const child = await narrowLogin(stage, parent, [{ kind: 'allow', patterns: ['GET /a/b'] }])
  const stranger = await narrowLogin(stage, root, [{ kind: 'allow', patterns: ['GET /a/**'] }])
  const mixed = (by: Login, held: Login, target: string) => {
    const headers = [['Authorization', `Bearer ${held.placeholder(one)}`]] as const
    return stage.request({ door: 'absolute', held: one, login: by, target, headers })
  }
  for (const [by, held] of [
    [parent, child],
    [child, parent],
    [root, child],
    [child, root],
  ] as const) {
    expect((await mixed(by, held, '/a/b')).status).toBe(200)
    expect(codeOf(await mixed(by, held, '/a/c'))).toBe('narrowed_operation')
  }
  expect(codeOf(await mixed(stranger, child, '/a/b'))).toBe('placeholder_foreign')
})

test('a credential that is not left has no placeholder, and hosts without a service are closed', async () => {
  const login = await narrowLogin(stage, root, [{ kind: 'credentials', names: ['one'] }])
  expect(login.placeholder(one)).not.toBe('')
  expect(login.placeholder(two)).toBe('')
  const headers = [['Authorization', `Bearer ${root.placeholder(two)}`]] as const
  expect(codeOf(await stage.request({ door: 'absolute', held: two, login, headers }))).toBe('narrowed_credential')
  stage.names.set('elsewhere.example.test', ['127.0.0.1'])
  const elsewhere = { id: 'x', host: 'elsewhere.example.test' }
  expect(codeOf(await stage.request({ door: 'absolute', held: elsewhere, login }))).toBe('host_not_listed')
})

test('the door of narrowed sessions takes a narrowed token, a POST, no body, and the gateway’s own name', async () => {
  const { token } = narrow(root.token, [{ kind: 'uses', count: 1 }], randomBytes(12))
  expect((await askForPlaceholders(stage, token)).status).toBe(200)
  expect(codeOf(await askForPlaceholders(stage, token, [], 'PUT'))).toBe('method_refused')
  expect(codeOf(await askForPlaceholders(stage, root.token))).toBe('token_invalid')
  expect(codeOf(await askForPlaceholders(stage, `${token.slice(0, -1)}x`))).toBe('token_invalid')
  expect(codeOf(await askForPlaceholders(stage, token, [`Authorization: Bearer ${token}`]))).toBe('token_invalid')
  const wire = await stage.dial()
  wire.write(
    `POST /session/narrowed HTTP/1.1\r\nHost: evil.example.test\r\nAuthorization: Bearer ${token}\r\nContent-Length: 0\r\n\r\n`,
  )
  expect(codeOf(await wire.answer())).toBe('host_mismatch')
  wire.close()
})
