import { createHash } from 'node:crypto'
import { afterAll, expect } from 'vitest'
import { ownersDoor } from '../../src/api/caller.ts'
import { createControlApi } from '../../src/api/control.ts'
import { inputs } from '../../src/api/schema.ts'
import type { RouteName } from '../../src/api/answers.ts'
import { findLeaks } from '../e2e/canary/secrets.ts'
import { eventually, madeUp } from '../e2e/gateway/harness.ts'
import { codeOf, connectHead, proxyCredentials } from '../e2e/gateway/requests.ts'
import { attack, fronts, inside } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()
const secrets = { first: `first-${madeUp()}`, replaced: `replaced-${madeUp()}`, second: `second-${madeUp()}` }
const leaks: string[] = []
afterAll(() => expect(leaks).toEqual([]))

/** A policy file with a secret wherever one could be misplaced. */
const secretive = `kind: credential\nname: mine\nservice: mine\nfrom: { key: "${secrets.second}" }\n${secrets.second}: 1\nowner: !${secrets.second} x\n---\nkind: grant\nagent: mine\ncredential: mine\nallow: ["*"]\nexpires: ${secrets.second}\n`
/** Of the plan that changes nothing in a home that knows no files. */
const noChange = createHash('sha256').update('[[],[]]').digest('base64url')

/** One call of every route in an order that makes sense; `ID` stands for the id that the list of the route before gave. */
const calls: readonly (readonly [route: RouteName, input?: object])[] = [
  ['GET /status'],
  ['GET /environments'],
  ['GET /nodes'],
  ['DELETE /nodes/:name'],
  ['POST /vault/slots', { kind: 'passphrase', passphrase: secrets.first }],
  ['POST /vault/slots', { kind: 'passphrase', passphrase: '' }],
  ['DELETE /vault/slots/:id'],
  ['POST /vault/root-rotations', {}],
  ['POST /vault/term-rotations'],
  ['GET /vault'],
  ['GET /services'],
  ['POST /services', { definition: 'id: mine\nname: Mine\nhosts: [mine.example.test]\ninject: { kind: bearer }\n' }],
  ['GET /services/:service'],
  ['POST /environments/:environment/credentials', { name: 'mine', service: 'mine', fields: { key: secrets.first } }],
  ['POST /environments/:environment/credentials', { name: 'mine', service: 'mine', fields: { key: secrets.second } }],
  ['PUT /environments/:environment/credentials/:name', { fields: { key: secrets.replaced } }],
  ['PUT /environments/:environment/credentials/:name', { fields: { key: `${secrets.second}\n\u0000` } }],
  ['PUT /environments/:environment/credentials/:name', { fields: { [secrets.second]: secrets.second } }],
  ['GET /credentials'],
  ['GET /environments/:environment/credentials/:name'],
  ['POST /environments/:environment/credentials/:name/suspend'],
  ['POST /environments/:environment/credentials/:name/resume'],
  ['POST /environments/:environment/credentials/:name/reveal', { confirmation: 'something else' }],
  ['POST /environments/:environment/agents', { name: 'mine' }],
  ['GET /agents'],
  ['GET /environments/:environment/agents/:name'],
  ['POST /environments/:environment/agents/:name/suspend'],
  ['POST /environments/:environment/agents/:name/resume'],
  ['POST /environments/:environment/grants', { agent: 'mine', credential: 'mine', allow: ['*'] }],
  ['GET /grants'],
  ['GET /grants/:id'],
  ['GET /approvals'],
  ['GET /approvals/:id'],
  ['POST /approvals/:id/refuse'],
  ['GET /approvals'],
  ['POST /approvals/:id/accept'],
  ['GET /policy'],
  ['POST /policy/plan', { files: [{ path: 'a.yaml', text: secretive }], prune: true }],
  ['POST /policy', { files: [{ path: 'a.yaml', text: secretive }], prune: false, digest: noChange, values: {} }],
  [
    'POST /policy',
    {
      files: [{ path: 'a.yaml', text: '' }],
      prune: false,
      digest: noChange,
      values: { mine: { key: secrets.second } },
    },
  ],
  ['POST /environments/:environment/sessions', { agent: 'mine' }],
  ['POST /environments/:environment/runs', { agent: 'mine', contain: 'none' }],
  ['GET /sessions'],
  ['POST /sessions/:id/extend', { ttlSeconds: 3_600 }],
  ['POST /sessions/:id/suspend'],
  ['POST /sessions/:id/resume'],
  ['DELETE /sessions/:id'],
  ['POST /occurrences', { texts: [secrets.first, secrets.replaced, 'nothing'], environment: 'dev' }],
  ['GET /journal', { last: '1000' }],
  ['GET /journal/verification'],
  ['GET /journal/witness'],
  ['POST /journal/prunes', { before: 1 }],
  ['GET /grants'],
  ['DELETE /grants/:id'],
  ['DELETE /environments/:environment/credentials/:name', { cascade: true }],
  ['DELETE /environments/:environment/agents/:name'],
  ['DELETE /services/:service'],
  ['GET /me'],
  ['POST /people', { name: 'mine@example.test', role: 'viewer', groups: ['*'] }],
  ['POST /login-codes', { person: 'mine@example.test' }],
  ['GET /people'],
  ['PUT /people/:id', { role: 'approver', groups: [secrets.second.slice(0, 8)] }],
  ['POST /logins', { code: secrets.first }],
  ['GET /logins'],
  ['DELETE /logins/:id'],
  ['DELETE /me/login'],
  ['POST /logins/oidc/begin'],
  ['POST /logins/oidc', { idToken: secrets.first }],
  ['GET /people'],
  ['DELETE /people/:id'],
  ['POST /environments/:environment/agents', { name: 'mine' }],
  ['POST /environments/:environment/sessions', { agent: 'mine' }],
  ['GET /sessions'],
  ['GET /sessions/:id'],
  ['POST /environments/:environment/agents/:name/enrolments'],
  ['POST /environments/:environment/agents/:name/trusts', { spiffe: 'spiffe://example.test/mine' }],
  ['GET /environments/:environment/agents/:name/logins'],
  ['DELETE /enrolments/:id'],
  ['DELETE /trusts/:id'],
  ['POST /machine/logins', { jwt: secrets.first }],
  ['POST /machine/renewals', { jwt: secrets.first, token: secrets.second }],
  ['POST /machine/logouts', { token: secrets.first }],
  ['POST /backups', { journal: true }],
  ['POST /backups/:id/file', { sha256: '0'.repeat(64), bytes: 1 }],
  ['POST /backups/names', { names: [secrets.first] }],
  ['POST /shutdown'],
]

/** These are meant to refuse: no proof is good here, and what is named is not there. The canary sees them succeed, from the command line. */
const refusing: readonly RouteName[] = [
  'POST /environments/:environment/credentials/:name/reveal',
  'DELETE /nodes/:name',
  'DELETE /vault/slots/:id',
  'POST /vault/root-rotations',
  'POST /logins',
  'DELETE /logins/:id',
  'DELETE /me/login',
  'POST /logins/oidc/begin',
  'POST /logins/oidc',
  'DELETE /enrolments/:id',
  'DELETE /trusts/:id',
  'POST /machine/logins',
  'POST /machine/renewals',
  'POST /machine/logouts',
  'POST /backups/:id/file',
]

/** Two requests about which a person is asked, with secrets of the vault wherever a person is shown something. */
async function askTwice(): Promise<Promise<unknown>[]> {
  const where = await places.place({ approve: 'always' })
  const [front] = fronts
  if (front === undefined) throw new Error('no front')
  const asking = [secrets.first, secrets.replaced].map((secret) =>
    places.ask(front, where, {
      method: 'POST',
      target: `/x?y=${encodeURIComponent(secret)}`,
      body: JSON.stringify({ text: secret }),
    }),
  )
  await eventually(() => places.stage.app.approvals.list().length === asking.length)
  return asking
}

attack('I10', 'no answer of any route of the control API holds a secret', inside, async () => {
  expect([...new Set(calls.map(([route]) => route))].toSorted()).toEqual(Object.keys(inputs).toSorted())
  const seen: string[] = []
  const api = createControlApi(
    { ...places.stage.app, stop: () => undefined },
    { door: ownersDoor('operator:test'), onError: (_reference, error) => void seen.push(String(error)) },
  )
  const worked = new Set<string>()
  let asking: Promise<unknown>[] = []
  let id = ''
  for (const [route, input = {}] of calls) {
    if (route === 'GET /approvals' && asking.length === 0) asking = await askTwice()
    const [method = 'GET', template = '/'] = route.split(' ')
    const path = template
      .replace(':environment', 'dev')
      .replace(':service', 'mine')
      .replace(':name', 'mine')
      .replace(':id', id)
    const reads = method === 'GET'
    const query = reads
      ? `?${new URLSearchParams(Object.entries(input).map(([key, value]): [string, string] => [key, String(value)]))}`
      : ''
    const response = await api.request(`http://keyward${path}${query}`, {
      method,
      ...(reads ? {} : { body: JSON.stringify(input), headers: { 'content-type': 'application/json' } }),
    })
    const text = await response.text()
    if (response.ok) worked.add(route)
    for (const leak of findLeaks(Buffer.from(`${JSON.stringify([...response.headers])}${text}`), secrets))
      leaks.push(`${route}: ${leak}`)
    const isStream = route === 'GET /journal' || (route === 'POST /backups' && response.ok)
    const listed: unknown = isStream ? null : JSON.parse(text)
    const first: unknown = Array.isArray(listed) ? listed.find((one) => one?.state !== 'refused')?.id : null
    if (typeof first === 'string') id = first
  }
  await Promise.all(asking)
  expect(leaks).toEqual([])
  expect(seen).toEqual([])
  // A route that only ever refused has shown nothing; this one is meant to refuse.
  const silent = calls.map(([route]) => route).filter((route) => !worked.has(route))
  expect(silent.toSorted()).toEqual(refusing.toSorted())
})

attack(
  'I10',
  'an agent has no way to read at all: its token opens no route through any door',
  fronts,
  async (front) => {
    const where = await places.place()
    const before = places.upstream.received().length
    const own = `127.0.0.1:${places.stage.port}`
    const { token } = where.login
    if (front.door === 'tunnel') {
      const wire = await places.stage.dial()
      wire.write(connectHead(own, token))
      expect(codeOf(await wire.answer())).toBe('loop_refused')
      return
    }
    for (const route of Object.keys(inputs)) {
      const [method = 'GET', template = '/'] = route.split(' ')
      const target = template.replace(':environment', 'dev').replaceAll(/:[a-z]+/g, where.held.id)
      const credentials = [
        ['Proxy-Authorization', proxyCredentials(token)],
        ['Authorization', `Bearer ${token}`],
      ] as const
      if (front.protocol === 'h2') {
        const wire = await places.stage.openH2(front.door, own, where.login)
        const fields = [
          [':method', method],
          [':scheme', 'http'],
          [':authority', own],
          [':path', target],
          ...credentials.map(([name, value]) => [name.toLowerCase(), value] as const),
        ] as const
        expect(['service_unknown', 'loop_refused', 'port_refused'], route).toContain(codeOf(await wire.request(fields)))
        wire.close()
        continue
      }
      const wire = await places.stage.dial()
      const line = front.door === 'absolute' ? `http://${own}${target}` : target
      const lines = [
        `${method} ${line} HTTP/1.1`,
        `Host: ${own}`,
        ...credentials.map((pair) => pair.join(': ')),
        '',
        '',
      ]
      wire.write(lines.join('\r\n'))
      expect(codeOf(await wire.answer()), route).toBe(front.door === 'absolute' ? 'loop_refused' : 'service_unknown')
      wire.close()
    }
    expect(places.upstream.received().length).toBe(before)
  },
)
