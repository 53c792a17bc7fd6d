import { describe, expect, test } from 'vitest'
import type { Role } from '../core/records.ts'
import { roles } from '../identity/people.ts'
import { checkAccess, checkProof, REVEAL_PROOF_MILLISECONDS, visibleTo } from './access.ts'
import type { Known } from './caller.ts'
import { operations } from './operations.ts'

/** Who owns what: `mine` is owned by the group, `theirs` by another, `nobodys` by nobody. */
const owners: Readonly<Record<string, string | null>> = {
  mine: 'team-a',
  theirs: 'team-b',
  nobodys: null,
  own: 'anna@example.test',
}
const found = (name: string) =>
  Object.hasOwn(owners, name) ? { id: name, record: { owner: owners[name] ?? null } } : undefined

const parts = new Proxy(Object.create(null), {
  get: (_, member) => {
    if (member === 'agents' || member === 'credentials')
      return { find: (environment: string, name: string) => (environment === 'dev' ? found(name) : undefined) }
    if (member === 'approvals')
      return {
        get: (id: string) => (id === 'asked' ? { facts: { environment: 'dev', credential: 'mine' } } : undefined),
      }
    if (member === 'records')
      return {
        get(table: string, id: string) {
          if (table === 'session') return Object.hasOwn(owners, id) ? { agentId: id } : undefined
          if (table === 'grant') return id === 'mixed' ? { agentId: 'mine', credentialId: 'theirs' } : undefined
          return Object.hasOwn(owners, id) ? { owner: owners[id] ?? null } : undefined
        },
      }
    throw new Error(`touched ${String(member)}`)
  },
})

function person(role: Role, groups: readonly string[]): Known {
  return { kind: 'person', actor: 'person:anna@example.test', name: 'anna@example.test', role, groups, login: null }
}

const nowhere = { environment: '', name: '', id: '', service: '' }
const routes = Object.entries(operations)

test('a route that changes nothing needs no more than a viewer, but for people, logins and secrets', () => {
  const wider = routes
    .filter(([route, { needs }]) => route.startsWith('GET ') && needs !== 'viewer')
    .map(([route]) => route)
  expect(wider.toSorted()).toEqual(['GET /logins', 'GET /people'])
})

test('what changes something needs an approver at least, but for logging in and out', () => {
  const lesser = routes.filter(
    ([route, { needs }]) => !route.startsWith('GET ') && (needs === 'viewer' || needs === 'anyone'),
  )
  expect(lesser.map(([route]) => route).toSorted()).toEqual([
    'DELETE /me/login',
    'POST /logins',
    'POST /logins/oidc',
    'POST /logins/oidc/begin',
    'POST /machine/logins',
    'POST /machine/logouts',
    'POST /machine/renewals',
  ])
})

test('what ends the server, shows a secret or makes people is an admin’s', () => {
  const admins = routes.filter(([, { needs }]) => needs === 'admin').map(([route]) => route)
  expect(admins).toEqual(
    expect.arrayContaining([
      'POST /shutdown',
      'POST /journal/prunes',
      'POST /environments/:environment/credentials/:name/reveal',
      'POST /people',
      'PUT /people/:id',
      'DELETE /people/:id',
      'POST /login-codes',
    ]),
  )
})

describe.each(routes)('%s', (route, access) => {
  test.each(roles)('is for a %s of everything exactly where its role reaches', (role) => {
    const ask = () => checkAccess(person(role, ['*']), access, { path: nowhere, input: {} }, parts)
    if (access.needs === 'anyone' || roles.indexOf(role) >= roles.indexOf(access.needs)) expect(ask).not.toThrow()
    else expect(ask).toThrow(expect.objectContaining({ code: 'role_missing' }))
  })

  test('nobody gets in without a login', () => {
    const ask = () => checkAccess({ kind: 'nobody' }, access, { path: nowhere, input: {} }, parts)
    if (access.needs === 'anyone') expect(ask).not.toThrow()
    else expect(ask).toThrow(expect.objectContaining({ code: 'login_required' }))
  })

  test('an admin of one group does nothing to the whole home, nor to what is not theirs', () => {
    if (access.needs === 'anyone' || access.on === 'anything' || access.lists === true) return
    for (const name of ['theirs', 'nobodys', 'missing']) {
      const path = { environment: 'dev', name, id: name, service: name }
      const input = { agent: name, credential: name, owner: owners[name] ?? undefined, name }
      expect(
        () => checkAccess(person('admin', ['team-a']), access, { path, input }, parts),
        `${route} ${name}`,
      ).toThrow(expect.objectContaining({ code: 'role_missing' }))
    }
  })
})

test.each([
  ['PUT /environments/:environment/credentials/:name', { ...nowhere, environment: 'dev', name: 'mine' }, {}],
  ['PUT /environments/:environment/credentials/:name', { ...nowhere, environment: 'dev', name: 'own' }, {}],
  ['POST /environments/:environment/agents', { ...nowhere, environment: 'dev' }, { name: 'new', owner: 'team-a' }],
  ['POST /environments/:environment/grants', { ...nowhere, environment: 'dev' }, { agent: 'mine', credential: 'own' }],
  ['POST /environments/:environment/sessions', { ...nowhere, environment: 'dev' }, { agent: 'mine' }],
  ['DELETE /sessions/:id', { ...nowhere, id: 'mine' }, {}],
  ['POST /approvals/:id/accept', { ...nowhere, id: 'asked' }, {}],
] as const)('%s is for whoever has what it is about: %j %j', (route, path, input) => {
  expect(() => checkAccess(person('operator', ['team-a']), operations[route], { path, input }, parts)).not.toThrow()
  const stranger: Known = { ...person('operator', ['team-c']), name: 'bert@example.test' }
  expect(() => checkAccess(stranger, operations[route], { path, input }, parts)).toThrow(
    expect.objectContaining({ code: 'role_missing' }),
  )
})

test('a grant that joins what is ours with what is theirs is not ours', () => {
  const path = { ...nowhere, id: 'mixed' }
  expect(() =>
    checkAccess(person('admin', ['team-a']), operations['DELETE /grants/:id'], { path, input: {} }, parts),
  ).toThrow(expect.objectContaining({ code: 'role_missing' }))
})

test('of a list everybody sees what is his', () => {
  const items = ['mine', 'theirs', 'nobodys', 'own'].map((name) => ({ environment: 'dev', name }))
  const names = (groups: readonly string[]) =>
    visibleTo(person('viewer', groups), operations['GET /agents'], items, parts).map(({ name }) => name)
  expect(names(['team-a'])).toEqual(['mine', 'own'])
  expect(names(['team-c'])).toEqual(['own'])
  expect(names(['*'])).toEqual(['mine', 'theirs', 'nobodys', 'own'])
})

test('a login of six minutes ago shows no secret', () => {
  const login = { id: 'x', person: null, personId: null, provenAt: 0, expiresAt: Infinity }
  const caller = { ...person('admin', ['*']), login }
  expect(() => checkProof(caller, REVEAL_PROOF_MILLISECONDS)).not.toThrow()
  expect(() => checkProof(caller, REVEAL_PROOF_MILLISECONDS + 1)).toThrow(
    expect.objectContaining({ code: 'login_stale' }),
  )
  expect(() => checkProof({ kind: 'nobody' }, 0)).toThrow(expect.objectContaining({ code: 'login_required' }))
})
