import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect } from 'vitest'
import { injectCredential } from '../../src/injectors/placement.ts'
import { hostsOf } from '../../src/services/hosts.ts'
import { services } from '../../src/services/index.ts'
import type { Service } from '../../src/services/service.ts'
import { madeUp } from '../e2e/gateway/harness.ts'
import { codeOf, type Ask, type Held, type Login } from '../e2e/gateway/requests.ts'
import { always } from '../e2e/gateway/upstream.ts'
import { attack, fronts, type Front } from './attack.ts'
import { openScene, type Scene } from './scene.ts'

/** R14: calls whose answer is a credential that nobody could know, so that nobody could find it there. */

let scene: Scene
let issuer: Held
let lender: Held
const held = new Map<string, Held>()
const withSeals: readonly Service[] = services.filter((service: Service) => service.sealed !== undefined)

beforeAll(async () => {
  scene = await openScene()
  scene.answer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ access_token: madeUp(), token_type: 'bearer', refresh_token: madeUp() }))
  })
  for (const service of withSeals) {
    const values = Object.fromEntries(
      Object.entries(service.fields).map(([field, kind]) => [field, kind === 'public' ? 'tenant' : madeUp()]),
    )
    held.set(
      service.id,
      await scene.stage.hold({
        ...service,
        hosts: service.hosts,
        endpoint: scene.upstream.origin,
        values,
      }),
    )
  }
  issuer = await scene.stage.hold({
    id: 'issuer',
    endpoint: scene.upstream.origin,
    operations: [{ name: 'token.create', match: 'POST /oauth/token' }],
    sealed: ['* /oauth/**', 'POST /keys'],
    allow: ['token.create', 'POST /oauth/token', 'POST /keys', '*'],
  })
  lender = await scene.stage.hold({ id: 'lender', endpoint: scene.upstream.origin, handsOut: ['GET /session'] })
})
afterAll(() => scene.close())

/** Requests that the pattern means: its method, or several where it says any; its variables and rest filled in. */
function requestsOf(pattern: string): { method: string; target: string }[] {
  const [verb = '', path = ''] = pattern.split(' ')
  const methods = verb === '*' ? ['GET', 'POST', 'DELETE'] : [verb]
  const plain = path.replaceAll(/\{[^}]*\}|(?<=\/)\*(?=\/|$)/g, 'some')
  const targets = plain.endsWith('/**') ? ['a', 'a/b'].map((rest) => plain.replace(/\*\*$/, rest)) : [plain]
  return methods.flatMap((method) => targets.map((target) => ({ method, target })))
}

const GRAPHQL = 'GRAPHQL '

/** A document that does what such a pattern means, under another name. */
function documentOf(pattern: string): string {
  const [, kind = '', name = ''] = pattern.split(' ')
  const field = name.replace('*', 'Whatever')
  return kind === 'field' ? `query { viewer { plain: ${field} } }` : `${kind} { plain: ${field} { id } }`
}

/** The request with a placeholder in the first place of the service, as its SDK would send it. */
function asking(front: Front, service: Service, login: Login, one: { method: string; target: string }): Ask {
  const [rule] = service.inject
  const target = held.get(service.id)
  if (rule === undefined || target === undefined) throw new Error(`${service.id} is not held`)
  const fields = Object.fromEntries(
    Object.entries(service.fields).map(([field, kind]) => [
      field,
      kind === 'secret' ? login.placeholder(target, field) : 'tenant',
    ]),
  )
  const [host = ''] = hostsOf(service, fields)
  const { head } = injectCredential(
    { head: { ...one, scheme: 'https', host, port: 443, headers: [] }, body: null },
    rule,
    fields,
  )
  return {
    ...front,
    held: { id: service.id, host },
    login,
    method: one.method,
    target: head.target,
    headers: head.headers,
  }
}

for (const service of withSeals)
  attack('R14', `every call that ${service.id} seals`, fronts, async (front) => {
    const before = scene.upstream.received().length
    const seals = (service.sealed ?? []).filter((pattern) => !pattern.startsWith(GRAPHQL))
    expect(seals.length).toBeGreaterThan(0)
    await Promise.all(
      seals.map(async (pattern, turn) => {
        // One session for each: the refusals of a session are bounded.
        const login = await scene.stage.login('triage')
        for (const { method, target } of requestsOf(pattern)) {
          // As it is at every front, and one other spelling at each, so that all are tried of each pattern.
          const others = [`${target}/`, `${target}?x=1`, target.toUpperCase()]
          const other = others[(turn + fronts.indexOf(front)) % others.length] ?? target
          for (const spelling of [target, other]) {
            const answer = await scene.stage.request(asking(front, service, login, { method, target: spelling }))
            expect(codeOf(answer), `${method} ${spelling}`).toBe('operation_sealed')
          }
        }
        const [first] = requestsOf(pattern)
        if (first === undefined) throw new Error(`${pattern} means no request`)
        // Escapes of plain letters are another reading, and refused as such.
        const escaped = first.target.replace(/[a-z](?=[^/]*$)/, (letter) => `%${letter.charCodeAt(0).toString(16)}`)
        const answer = await scene.stage.request(asking(front, service, login, { ...first, target: escaped }))
        expect(['operation_sealed', 'path_not_canonical'], escaped).toContain(codeOf(answer))
      }),
    )
    expect(scene.upstream.received().length, 'bytes that reached the service').toBe(before)
  })

const speaking = withSeals.filter(({ sealed = [] }) => sealed.some((pattern) => pattern.startsWith(GRAPHQL)))

for (const service of speaking)
  attack('R14', `every call of GraphQL that ${service.id} seals`, fronts, async (front) => {
    const before = scene.upstream.received().length
    const seals = (service.sealed ?? []).filter((pattern) => pattern.startsWith(GRAPHQL))
    const paths = (service.speaks ?? []).map(({ path }) => path.replace('{format}', 'json'))
    expect(paths.length).toBeGreaterThan(0)
    await Promise.all(
      seals.map(async (pattern, turn) => {
        const login = await scene.stage.login('triage')
        const target = paths[(turn + fronts.indexOf(front)) % paths.length] ?? ''
        const ask = asking(front, service, login, { method: 'POST', target })
        const answer = await scene.stage.request({
          ...ask,
          headers: [...(ask.headers ?? []), ['content-type', 'application/json']],
          body: JSON.stringify({ query: documentOf(pattern) }),
        })
        expect(codeOf(answer), `${pattern} at ${target}`).toBe('operation_sealed')
      }),
    )
    expect(scene.upstream.received().length, 'bytes that reached the service').toBe(before)
  })

attack('R14', 'what is sealed stays so, whatever a grant allows by name', fronts, async (front) => {
  const before = scene.upstream.received().length
  const who = await scene.stage.login('triage')
  for (const [method, target] of [
    ['POST', '/oauth/token'],
    ['GET', '/oauth/token/info'],
    ['HEAD', '/oauth/token'],
    ['POST', '/keys'],
    ['POST', '/Keys/'],
  ] as const) {
    const answer = await scene.stage.request({
      ...front,
      held: issuer,
      login: who,
      method,
      target,
      headers: [['Authorization', `Bearer ${who.placeholder(issuer)}`]],
    })
    expect(answer.status, `${method} ${target}`).toBe(403)
    expect(answer.headers.find(([name]) => name === 'keyward-error')?.[1]).toBe('operation_sealed')
  }
  expect(scene.upstream.received().length).toBe(before)
})

/** What an endpoint says that hands out a credential, and the type under which it does. */
const handed: readonly [what: string, type: string, body: () => string][] = [
  [
    'a token (RFC 6749)',
    'application/json;charset=UTF-8',
    () => JSON.stringify({ access_token: madeUp(), token_type: 'Bearer', expires_in: 3600 }),
  ],
  ['a token as a form', 'application/x-www-form-urlencoded', () => `access_token=${madeUp()}&token_type=bearer`],
  ['a refresh token', 'application/json', () => JSON.stringify({ refresh_token: madeUp() })],
  [
    'a registered client (RFC 7591)',
    'application/json',
    () => JSON.stringify({ client_id: 'me', client_secret: madeUp() }),
  ],
  [
    'a key file of a service account',
    'application/json',
    () => JSON.stringify({ private_key: madeUp(), client_email: 'a@b.example' }, null, 2),
  ],
  [
    'keys of AWS as JSON',
    'application/x-amz-json-1.1',
    () => JSON.stringify({ Credentials: { AccessKeyId: 'A', SecretAccessKey: madeUp() } }),
  ],
  [
    'keys of AWS as XML',
    'text/xml',
    () =>
      `<AssumeRoleResponse><Credentials><SecretAccessKey>${madeUp()}</SecretAccessKey></Credentials></AssumeRoleResponse>`,
  ],
]

attack('R14', 'a credential that an answer hands out at a path that no row seals', fronts, async (front) => {
  const own = await scene.stage.login('triage')
  for (const [what, type, body] of handed) {
    const text = body()
    const whole = { 'content-type': type, 'content-length': String(text.length) }
    const answers = [
      always(200, whole, text),
      always(
        200,
        { ...whole, 'content-length': String(gzipSync(text).length), 'content-encoding': 'gzip' },
        gzipSync(text),
      ),
      // In pieces without a length, as those types allow it.
      inPieces(type, text),
    ]
    for (const handler of answers) {
      scene.answer(handler)
      const answer = await scene.stage.request(askIssuer(front, issuer, own, '/session'))
      expect(codeOf(answer), what).toBe('credential_withheld')
      expect(JSON.parse(answer.body.toString()).next, what).toContain('handsOut')
    }
  }
  // Where the service says that the agent is to have it, it comes as it is; beside that it does not.
  const [, type = '', body = () => ''] = handed[0] ?? []
  const text = body()
  for (const handler of [
    always(200, { 'content-type': type, 'content-length': String(text.length) }, text),
    inPieces(type, text),
  ]) {
    scene.answer(handler)
    expect((await scene.stage.request(askIssuer(front, lender, own, '/session'))).body.toString()).toBe(text)
    expect(codeOf(await scene.stage.request(askIssuer(front, lender, own, '/Session')))).toBe('credential_withheld')
  }
})

function askIssuer(front: Front, at: Held, who: Login, target: string): Ask {
  return { ...front, held: at, login: who, target, headers: [['Authorization', `Bearer ${who.placeholder(at)}`]] }
}

function inPieces(type: string, text: string): Parameters<Scene['answer']>[0] {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': type })
    for (let at = 0; at < text.length; at += 16) response.write(text.slice(at, at + 16))
    response.end()
  }
}
