import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, expect, vi } from 'vitest'
import { errors } from '../../src/core/error-table.ts'
import { KeywardError } from '../../src/core/errors.ts'
import { Secret } from '../../src/core/secret.ts'
import { APPROVALS_SESSION_MAXIMUM } from '../../src/gateway/approval/approvals.ts'
import { REFUSALS_LIMIT } from '../../src/gateway/refusal-limits.ts'
import { createAuthority } from '../fakes/authority.ts'
import { madeUp, type HeldOptions } from '../e2e/gateway/harness.ts'
import { codeOf, connectHead, type Ask, type Held, type Login } from '../e2e/gateway/requests.ts'
import { startRawUpstream, startUpstream, type Upstream } from '../e2e/gateway/upstream.ts'
import type { Answer } from '../e2e/gateway/wire.ts'
import { attack, fronts, inside, type Front } from './attack.ts'
import { boundTo } from './relay-process.ts'
import { allOf, bearer, expectNoPiece, openScene, type Scene } from './scene.ts'

/** V12: every error that an agent can meet, with a canary wherever a message could pick one up. */

const SILENCE_MILLISECONDS = 200
/** For a person who answers at once. */
const APPROVAL_MILLISECONDS = 1_500
const HOUR_MILLISECONDS = 3_600_000

let scene: Scene
let broken: Upstream
let untrusted: Upstream
const secrets: string[] = []
const waiting: (() => void)[] = []
const children: ChildProcess[] = []

beforeAll(async () => {
  const upstreamTimeouts = {
    headersTimeoutMilliseconds: SILENCE_MILLISECONDS,
    bodyTimeoutMilliseconds: SILENCE_MILLISECONDS,
  }
  scene = await openScene({}, { upstreamTimeouts, approvalWaitMilliseconds: APPROVAL_MILLISECONDS })
  secrets.push(scene.echo.secret())
  broken = await startRawUpstream((socket) => {
    socket.on('data', (bytes) =>
      socket.end(`HTTP/1.1 200 OK\r\n${bytes.toString('latin1').replaceAll('\r\n', ' ')}\r\n\r\n`),
    )
  })
  const leaf = await (await createAuthority()).issue(['untrusted.example.test'])
  untrusted = await startUpstream((_request, response) => response.end('never'), { leaf })
  scene.answer((_request, response, got) => {
    if (got.target.startsWith('/hang')) return void waiting.push(() => response.end())
    if (got.target.startsWith('/unheard')) response.setHeader('content-encoding', 'x-unheard')
    if (got.target.startsWith('/login'))
      return void response.end(JSON.stringify({ refresh_token: got.rawHeaders.join(' ') }))
    response.end(got.rawHeaders.join('\n'))
  })
})
afterEach(() => void vi.restoreAllMocks())
afterAll(async () => {
  for (const end of waiting) end()
  for (const child of children) child.kill('SIGKILL')
  await scene.close()
  await broken.close()
  await untrusted.close()
})

interface Case {
  readonly ask: Partial<Ask>
  /** What was rejected: never to be seen again. */
  readonly rejected?: readonly string[]
  /** The tunnel itself is refused, and this is what it was asked for. */
  readonly connect?: { readonly authority: string; readonly token: string }
}

interface Place {
  readonly held: Held
  readonly login: Login
  readonly own: Pick<Ask, 'held' | 'login' | 'headers'>
}

let places = 0
/** A service, an agent and a session for one case alone. */
async function place(options: Partial<HeldOptions> = {}): Promise<Place> {
  const name = `case-${(places += 1)}`
  const held = await scene.stage.hold({ id: name, endpoint: scene.upstream.origin, agent: name, ...options })
  for (const field of Object.keys(options.fields ?? { key: 'secret' })) secrets.push(held.secret(field))
  const login = await scene.stage.login(name)
  const [field = 'key'] = Object.keys(options.fields ?? { key: 'secret' })
  return { held, login, own: { held, login, headers: [bearer(login.placeholder(held, field))] } }
}

const presenting = (where: Place, text: string): Case => ({
  ask: { ...where.own, headers: [bearer(text)] },
  rejected: [text],
})

/** What is taken away from a session that exists: at the tunnel it is CONNECT that is refused. */
async function takenAway(front: Front, take: (where: Place) => Promise<void>): Promise<Case> {
  const where = await place()
  await take(where)
  const { held, login } = where
  const gone = { ask: where.own, rejected: [login.token, login.placeholder(held)] }
  return front.door === 'tunnel' ? { ...gone, connect: { authority: `${held.host}:443`, token: login.token } } : gone
}

/** A host that is no service's; its tunnel is refused before anything is said in it. */
async function elsewhere(front: Front, host: string, egress: 'open' | 'deny' = 'open'): Promise<Case> {
  const login = await scene.stage.login('triage', { egress })
  const ask = { held: { id: 'none', host }, login, headers: [] }
  const authority = /:\d+$/.test(host) ? host : `${host}:443`
  return { ask, ...(front.door === 'tunnel' ? { connect: { authority, token: login.token } } : {}) }
}

/** Errors that are not met at every door, for what they say does not exist there. */
const onlyAt: Readonly<Record<string, readonly Front['door'][]>> = {
  token_missing: ['base-url', 'absolute'],
  placeholder_foreign: ['absolute', 'tunnel'],
  service_unknown: ['base-url'],
  host_not_listed: ['absolute', 'tunnel'],
  host_sibling: ['absolute', 'tunnel'],
  host_refused: ['absolute', 'tunnel'],
  port_refused: ['absolute', 'tunnel'],
  loop_refused: ['absolute', 'tunnel'],
  cleartext_refused: ['absolute'],
  credential_ambiguous: ['absolute', 'tunnel'],
  signature_missing: ['absolute', 'tunnel'],
  // To a service behind TLS the absolute form is cleartext, and refused as that.
  upstream_untrusted: ['base-url', 'tunnel'],
}

const signing = () =>
  place({ inject: [{ kind: 'sigv4' }], fields: { accessKeyId: 'secret', secretAccessKey: 'secret' } })

/** A signature of nobody, under a name of the agent's own. */
function signedAt(
  { own, held, login }: Awaited<ReturnType<typeof place>>,
  ...more: (readonly [string, string])[]
): Case {
  const name = login.placeholder(held, 'accessKeyId')
  const scope = '20200101/region/service/aws4_request'
  const signature = `Credential=${name}/${scope}, SignedHeaders=host, Signature=${'0'.repeat(64)}`
  return { ask: { ...own, headers: [['Authorization', `AWS4-HMAC-SHA256 ${signature}`], ...more] }, rejected: [name] }
}

/** The id of what a person is asked about this agent, once it is asked. */
async function whenAsked({ held }: Place): Promise<string> {
  const find = () => scene.stage.app.approvals.list().find(({ facts }) => facts.service === held.id)
  return (await vi.waitUntil(find, { interval: 10, timeout: 10_000 })).id
}

/** How each error is met. */
const cases: Readonly<Record<string, (front: Front) => Promise<Case>>> = {
  token_missing: async () => ({ ask: { held: (await place()).held, headers: [] } }),
  token_invalid: async () => {
    const where = await place()
    const text = where.login.placeholder(where.held)
    return presenting(where, text.slice(0, -1) + (text.endsWith('a') ? 'b' : 'a'))
  },
  placeholder_required: async () => presenting(await place(), madeUp()),
  placeholder_ambiguous: async () => {
    const where = await place()
    const text = where.login.placeholder(where.held)
    return { ask: { ...where.own, headers: [bearer(text), bearer(madeUp())] }, rejected: [text] }
  },
  placeholder_foreign: async () => {
    const where = await place()
    const other = await scene.stage.login(where.held.id)
    return presenting(where, other.placeholder(where.held))
  },
  placeholder_elsewhere: async () => {
    const where = await place()
    const other = await scene.stage.hold({
      id: `${where.held.id}-b`,
      endpoint: scene.upstream.origin,
      agent: where.held.id,
    })
    const login = await scene.stage.login(where.held.id)
    return presenting({ ...where, own: { ...where.own, login } }, login.placeholder(other))
  },
  body_not_injectable: async () => {
    const { own } = await place({ inject: [{ kind: 'body', pointer: '/key' }] })
    return {
      ask: {
        ...own,
        headers: [
          ['Content-Type', 'application/json'],
          ['Content-Encoding', 'gzip'],
        ],
      },
    }
  },
  signature_missing: async () => ({ ask: { ...(await signing()).own, headers: [] } }),
  signature_invalid: async () => signedAt(await signing()),
  signature_expired: async () => signedAt(await signing(), ['X-Amz-Date', '20200101T000000Z']),
  signature_unsupported: async () => ({
    ask: { ...(await signing()).own, headers: [['Authorization', `AWS ${madeUp()}:x`]] },
  }),
  session_revoked: (front) => takenAway(front, ({ login }) => scene.stage.app.sessions.revoke(login.id, 'test')),
  session_suspended: (front) => takenAway(front, ({ login }) => scene.stage.app.sessions.suspend(login.id, 'test')),
  agent_suspended: (front) => takenAway(front, ({ held }) => scene.stage.app.agents.suspend(held.agentId, 'test')),
  session_elsewhere: async ({ door }) => {
    const other = spawn('sleep', ['60'], { stdio: 'ignore' })
    children.push(other)
    const { held } = await place()
    const login = await scene.stage.login(held.id, { binding: boundTo(other.pid ?? 0) })
    const ask = { held, login, headers: [bearer(login.placeholder(held))] }
    const connect = { authority: `${held.host}:443`, token: login.token }
    const rejected = [login.token, login.placeholder(held)]
    return { ask, rejected, ...(door === 'tunnel' ? { connect } : {}) }
  },
  service_changed: async () => {
    const where = await place()
    const definition = scene.stage.app.records.get('service', where.held.id)?.definition
    const change = { table: 'service', id: where.held.id, body: { definition, createdAt: 1 } } as const
    beforeIntents(() => scene.stage.app.records.commit([change], { actor: 'test', action: 'service.set' }))
    return { ask: where.own }
  },
  service_unknown: async () => {
    const where = await place()
    return { ask: { ...where.own, held: { id: 'nowhere', host: where.held.host } } }
  },
  host_not_listed: (front) => elsewhere(front, 'nowhere.example.net', 'deny'),
  host_sibling: (front) => elsewhere(front, 'sibling.example.test'),
  host_refused: async (front) => {
    scene.stage.names.set('inner.example.net', ['10.0.0.1'])
    return elsewhere(front, 'inner.example.net')
  },
  host_mismatch: async () => {
    const { own } = await place()
    return { ask: { ...own, headers: [...(own.headers ?? []), ['Host', 'other.example.net']] } }
  },
  port_refused: (front) => elsewhere(front, 'nowhere.example.net:8080'),
  loop_refused: (front) => elsewhere(front, `127.0.0.1:${scene.stage.port}`),
  cleartext_refused: async () => ({ ask: (await place({ endpoint: 'https://127.0.0.1:1' })).own }),
  credential_ambiguous: async () => {
    const where = await place()
    const fields = { key: Secret.fromText('key', madeUp()) }
    const second = {
      name: `${where.held.id}-2`,
      environment: 'dev',
      service: where.held.id,
      fields,
      owner: null,
      sensitivity: 'low',
    } as const
    const { id } = await scene.stage.app.credentials.add(second, 'test')
    const grant = { agentId: where.held.agentId, credentialId: id, allow: ['*'], deny: [], limits: {}, expiresAt: null }
    await scene.stage.app.grants.add(grant, 'test')
    return { ask: { ...where.own, headers: [] } }
  },
  credential_suspended: async () => {
    const where = await place()
    await scene.stage.app.credentials.suspend(where.held.credentialId, 'test')
    return { ask: where.own }
  },
  field_missing: async () => {
    const where = await place()
    const row = scene.stage.app.records.get('service', where.held.id)?.definition
    const inject = [{ kind: 'basic', userField: 'more', passwordField: 'key' }]
    const definition = { ...(typeof row === 'object' ? row : {}), fields: { key: 'secret', more: 'secret' }, inject }
    const change = { table: 'service', id: where.held.id, body: { definition, createdAt: 1 } } as const
    await scene.stage.app.records.commit([change], { actor: 'test', action: 'service.set' })
    const value = Buffer.from(`any:${where.login.placeholder(where.held)}`).toString('base64')
    return { ask: { ...where.own, headers: [['Authorization', `Basic ${value}`]] }, rejected: [value] }
  },
  grant_missing: async () => {
    const where = await place()
    await scene.stage.app.grants.remove(where.held.grantId, 'test')
    return { ask: where.own }
  },
  grant_expired: async () => {
    const where = await place({ expiresAt: scene.stage.app.now() + 1_000 })
    scene.stage.advance(2_000)
    return { ask: where.own }
  },
  approval_required: async () => ({ ask: (await place({ approve: 'always' })).own }),
  approval_refused: async () => {
    const where = await place({ approve: 'always' })
    void whenAsked(where).then((id) => scene.stage.app.approvals.answer(id, 'refuse', 'operator:test'))
    return { ask: where.own }
  },
  approval_void: async () => {
    const where = await place({ approve: 'always' })
    const { agentId, credentialId } = where.held
    const more = { agentId, credentialId, allow: ['GET /x'], deny: [], limits: {}, expiresAt: null }
    void whenAsked(where).then(async (id) => {
      await scene.stage.app.grants.add(more, 'test')
      await scene.stage.app.approvals.answer(id, 'accept', 'operator:test')
    })
    return { ask: where.own }
  },
  approvals_full: async (front) => {
    const where = await place({ approve: 'always' })
    const asked = Array.from({ length: APPROVALS_SESSION_MAXIMUM }, (_, at) =>
      scene.stage.request({ ...front, ...where.own, target: `/${at}` }),
    )
    await Promise.all(asked)
    return { ask: where.own }
  },
  operation_not_allowed: async () => ({ ask: (await place({ allow: ['GET /only/this'] })).own }),
  operation_denied: async () => ({ ask: (await place({ deny: ['*'] })).own }),
  operation_unreadable: async () => {
    const where = await place({ speaks: [{ path: '/rpc', language: 'json-rpc' }] })
    const rejected = madeUp()
    const body = JSON.stringify({ jsonrpc: '2.0', method: `a ${rejected}` })
    const headers = [...(where.own.headers ?? []), ['Content-Type', 'application/json'] as const]
    return { ask: { ...where.own, headers, method: 'POST', target: '/rpc', body }, rejected: [rejected] }
  },
  operation_sealed: async () => ({ ask: (await place({ sealed: ['* /**'] })).own }),
  credential_withheld: async () => ({ ask: { ...(await place()).own, target: '/login' } }),
  rate_exceeded: async (front) => {
    const where = await place({ limits: { rate: { count: 1, perSeconds: 60 } } })
    await scene.stage.request({ ...front, ...where.own })
    return { ask: where.own }
  },
  concurrency_exceeded: async () => {
    const where = await place({ limits: { concurrent: 1 } })
    vi.spyOn(scene.stage.app.inflight, 'countOf').mockReturnValue(0)
    const count = waiting.length
    void scene.stage.request({ door: 'base-url', ...where.own, target: '/hang' }).catch(() => undefined)
    await vi.waitUntil(() => waiting.length > count)
    return { ask: where.own }
  },
  request_malformed: async () => {
    const where = await place()
    return { ask: { ...where.own, headers: [...(where.own.headers ?? []), ['X-Original-Url', `/${madeUp()}`]] } }
  },
  path_not_canonical: async () => ({ ask: { ...(await place()).own, target: '/a/../b' } }),
  method_refused: async () => ({ ask: { ...(await place()).own, method: 'TRACE' } }),
  request_too_large: async () => {
    const where = await place()
    const many = Array.from({ length: 250 }, (_, index) => [`X-${index}`, madeUp()] as const)
    return { ask: { ...where.own, headers: [...(where.own.headers ?? []), ...many] } }
  },
  upgrade_refused: async () => {
    const where = await place()
    const upgrade = [
      ['Connection', 'upgrade'],
      ['Upgrade', 'unheard-of'],
    ] as const
    return { ask: { ...where.own, headers: [...(where.own.headers ?? []), ...upgrade] } }
  },
  secret_not_injectable: async () => {
    const fields = { user: 'secret', key: 'secret' } as const
    const inject = [{ kind: 'basic', userField: 'user', passwordField: 'key' }]
    const where = await place({ fields, inject, values: { user: `with:colon${madeUp()}` } })
    const value = Buffer.from(`any:${where.login.placeholder(where.held)}`).toString('base64')
    return { ask: { ...where.own, headers: [['Authorization', `Basic ${value}`]] }, rejected: [value] }
  },
  too_many_attempts: async () => {
    const where = await place({ deny: ['*'] })
    // Refusals count for the session, whichever door they are met at.
    const one = (): Promise<Answer> => scene.stage.request({ door: 'base-url', ...where.own })
    for (let sent = 0; sent < REFUSALS_LIMIT.count; sent += 50) await Promise.all(Array.from({ length: 50 }, one))
    return { ask: where.own }
  },
  overloaded: async ({ door }) => {
    const { own, held, login } = await place()
    vi.spyOn(scene.stage.app.inflight, 'countOf').mockReturnValue(Number.MAX_SAFE_INTEGER)
    const connect = { authority: `${held.host}:443`, token: login.token }
    return { ask: own, ...(door === 'tunnel' ? { connect } : {}) }
  },
  upstream_unreachable: async () => ({ ask: (await place({ endpoint: 'http://127.0.0.1:1' })).own }),
  upstream_untrusted: async () => {
    const hosts = [`untrusted-${places}.example.test`]
    return { ask: (await place({ endpoint: untrusted.origin, hosts })).own }
  },
  upstream_timeout: async () => ({ ask: { ...(await place()).own, target: '/hang' } }),
  upstream_broken: async () => ({ ask: (await place({ endpoint: broken.origin })).own }),
  answer_withheld: async () => ({ ask: { ...(await place()).own, target: '/unheard' } }),
  journal_unwritable: async () => {
    const where = await place()
    failIntents(() => new KeywardError('journal_unwritable', undefined, { cause: new Error(where.held.secret()) }))
    return { ask: where.own }
  },
  internal: async () => {
    const where = await place()
    failIntents(() => new Error(`unexpected ${where.held.secret()} of ${where.login.token}`))
    return { ask: where.own }
  },
  // The last: the certificates that are made from here on are not valid yet by the clock of this test.
  session_expired: (front) => takenAway(front, async () => scene.stage.advance(HOUR_MILLISECONDS + 1)),
}

/** Codes that the gateway knows and that nobody meets by a request of his own, with what is said of them. */
const notMet: Readonly<Record<string, string>> = {
  narrowed_expired:
    'a narrowed session; each told by its title alone, and tried in I18 and test/e2e/gateway/narrowed.test.ts',
  narrowed_operation:
    'a narrowed session; each told by its title alone, and tried in I18 and test/e2e/gateway/narrowed.test.ts',
  narrowed_elsewhere:
    'a narrowed session; each told by its title alone, and tried in I18 and test/e2e/gateway/narrowed.test.ts',
  narrowed_revoked:
    'a narrowed session; each told by its title alone, and tried in I18 and test/e2e/gateway/narrowed.test.ts',
  caveat_unknown:
    'a narrowed session; each told by its title alone, and tried in I18 and test/e2e/gateway/narrowed.test.ts',
  narrowed_used_up:
    'a narrowed session; each told by its title alone, and tried in I18 and test/e2e/gateway/narrowed.test.ts',
  proof_missing: 'a session that is bound to a key; tried in test/e2e/gateway/proofs.test.ts',
  proof_invalid: 'a session that is bound to a key; tried in test/e2e/gateway/proofs.test.ts',
  proof_replayed: 'a session that is bound to a key; tried in test/e2e/gateway/proofs.test.ts',
  issuer_unreachable: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  jwt_invalid: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  issuer_unknown: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  jwt_audience: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  jwt_foreign: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  jwt_early: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  jwt_expired: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  jwt_replayed: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  enrolment_invalid: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  enrolment_used: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  enrolment_expired: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  certificate_missing: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  certificate_foreign: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  login_foreign: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  login_ambiguous: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  renewal_refused: 'a machine that logs in at the control API; tried in src/identity/machine-logins.test.ts',
  login_invalid: 'a person who logs in at the control API; tried in src/api/network.test.ts',
  condition_not_met: 'names grant and rule, no value; tried in P14 and test/e2e/gateway/conditions.test.ts',
  condition_invalid: 'what the operator types',
  schema_held: 'two releases on one store; what the operator types',
  credential_replaced: 'the version is taken away under an open request; told by its title alone',
  connection_flooded: 'ends a connection of HTTP/2; told to the journal',
  frame_refused: 'ends a WebSocket; told by the code of its Close',
  websocket_idle: 'ends a WebSocket; told by the code of its Close',
  credential_missing: 'the credential is removed between two steps; told by its title alone',
  environment_mismatch: 'the credential is moved between two steps; told by its title alone',
  lease_lost: 'one process and one store always hold the lease',
  request_timeout: 'after a minute of silence; told by its title alone',
  approval_streamed: 'told to gRPC, by its title alone',
  approval_answered: 'what the operator types',
  approval_expired: 'what the operator types',
  policy_repeated: 'what the operator types',
  policy_dangling: 'what the operator types',
  policy_secret: 'what the operator types',
  policy_too_large: 'what the operator types',
  policy_conflict: 'what the operator types',
  plan_stale: 'what the operator types',
  value_missing: 'what the operator types',
  secret_reused: 'what the operator types',
  port_in_use: 'when the server starts',
  file_invalid: 'a service that the operator wrote',
  usage: 'what the operator types',
  not_found: 'what the operator types',
  already_exists: 'what the operator types',
  still_in_use: 'what the operator types',
}

/** Does this before an intent is written. */
function beforeIntents(act: () => Promise<unknown>): void {
  const { journal } = scene.stage.app
  const append = journal.append.bind(journal)
  vi.spyOn(journal, 'append').mockImplementation(async (event, options) => {
    if (event.kind === 'intent') await act()
    return append(event, options)
  })
}

const failIntents = (error: () => Error): void => beforeIntents(() => Promise.reject(error()))

async function answerTo(front: Front, { ask, connect }: Case, canary: string): Promise<Answer> {
  const { target = '/v1/things', method = 'POST', headers = [], held = scene.echo, ...rest } = ask
  if (connect !== undefined) {
    const wire = await scene.stage.dial()
    wire.write(connectHead(connect.authority, connect.token))
    const answer = await wire.answer()
    wire.close()
    return answer
  }
  return scene.stage.request({
    ...front,
    ...rest,
    held,
    method,
    target: `${target}?canary=${canary}`,
    headers: [...headers, ['X-Canary', canary], ['Cookie', `c=${canary}`]],
    ...(method === 'TRACE' ? {} : { body: canary }),
  })
}

/**
 * What is met in another way over HTTP/2: there is no upgrade; a stream with so many headers is reset; and the
 * authority says which door it is, so that only a tunnel can have another.
 */
const notOverH2: Readonly<Record<string, readonly Front['door'][]>> = {
  upgrade_refused: ['base-url', 'absolute', 'tunnel'],
  request_too_large: ['base-url', 'absolute', 'tunnel'],
  host_mismatch: ['base-url', 'absolute'],
}

const isMetAt =
  (code: string) =>
  ({ door, protocol }: Front): boolean =>
    (onlyAt[code]?.includes(door) ?? true) && !(protocol === 'h2' && notOverH2[code]?.includes(door) === true)

for (const [code, prepare] of Object.entries(cases))
  attack('V12', code, fronts.filter(isMetAt(code)), async (front) => {
    const canary = randomBytes(16).toString('hex')
    secrets.splice(1)
    const met = await prepare(front)
    const since = scene.stage.app.now()
    scene.stage.errors.length = 0
    const answer = await answerTo(front, met, canary)
    expect(codeOf(answer)).toBe(code)
    const told = allOf(answer)
    const written = JSON.stringify(await scene.stage.entries({ since }))
    // An error that nobody expected goes to the log whole, which is the operator's own.
    const logged = code === 'internal' ? '' : inspect(scene.stage.errors, { depth: 8 })
    for (const [where, text] of Object.entries({ told, written, logged })) {
      for (const secret of secrets) expectNoPiece(text, secret, `${where}: a secret`)
      for (const rejected of [canary, ...(met.rejected ?? [])])
        expect(text.includes(rejected), `${where}: what was rejected`).toBe(false)
    }
  })

attack('V12', 'no code of the gateway is left out', inside, () => {
  const root = join(import.meta.dirname, '../../src')
  const files = ['gateway', 'identity', 'injectors']
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
    )
    .concat('core/policy.ts', 'core/rate.ts', 'core/canonical-target.ts', 'core/operation-pattern.ts')
    .filter((name) => name.endsWith('.ts') && !/\.test\.ts$|conformance\.ts$/.test(name))
  const known = new Set<string>(Object.keys(errors))
  const used = new Set(
    files.flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/'([a-z]+(?:_[a-z]+)*)'/g)].flatMap(([, word = '']) =>
        known.has(word) ? [word] : [],
      ),
    ),
  )
  expect(used.size).toBeGreaterThan(40)
  const covered = [...Object.keys(cases), ...Object.keys(notMet)]
  expect([...used].filter((code) => !covered.includes(code))).toEqual([])
  expect(covered.filter((code) => !known.has(code))).toEqual([])
  expect(Object.keys(notMet).filter((code) => code in cases)).toEqual([])
})
