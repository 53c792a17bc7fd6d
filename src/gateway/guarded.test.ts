import { expect, test } from 'vitest'
import { createFakeRecords } from '../../test/fakes/records.ts'
import { createDirectory } from '../services/directory.ts'
import type { Service } from '../services/service.ts'
import type { Credentials, ListedCredential } from '../vault/credentials.ts'
import { createGuarded } from './guarded.ts'

const service = (id: string, hosts: readonly string[], fields: Service['fields'] = { key: 'secret' }): Service => ({
  id,
  name: id,
  hosts,
  fields,
  inject: [{ kind: 'bearer' }],
  variables: { fields: {} },
  operations: [],
  checked: 'documented',
  source: 'test',
})

const builtIn = [
  service('plain', ['api.example.co.uk', 'up.example.co.uk']),
  service('wild', ['*.wild.test']),
  service('own', ['{account}.tenant.test'], { key: 'secret', account: 'public' }),
]

function guardedWith(
  ...held: readonly [id: string, serviceId: string, environment: string, publicFields?: Record<string, string>][]
) {
  const listed: ListedCredential[] = held.map(([id, serviceId, environment, publicFields = {}]) => ({
    id,
    record: {
      name: id,
      environment,
      service: serviceId,
      owner: null,
      sensitivity: 'low',
      state: 'active',
      createdAt: 0,
    },
    version: 1,
    publicFields,
  }))
  const records = createFakeRecords()
  const list: Credentials['list'] = (environment) =>
    listed.filter(({ record }) => environment === undefined || record.environment === environment)
  const guarded = createGuarded({
    credentials: { list },
    services: createDirectory({ builtIn, own: () => new Map() }),
    records,
  })
  return {
    guarded,
    listed,
    records,
    at: (environment: string, host: string) => guarded.at(environment, host).map(({ credentialId }) => credentialId),
  }
}

test('a host is guarded where the environment holds a credential for it, and only there', () => {
  const { at } = guardedWith(['one', 'plain', 'dev'], ['two', 'plain', 'dev'], ['three', 'plain', 'prod'])
  expect(at('dev', 'api.example.co.uk')).toEqual(['one', 'two'])
  expect(at('prod', 'up.example.co.uk')).toEqual(['three'])
  expect(at('staging', 'api.example.co.uk')).toEqual([])
  expect(at('dev', 'example.co.uk')).toEqual([])
})

test('a pattern stands for exactly one label, a field for its own value', () => {
  const { at } = guardedWith(['w', 'wild', 'dev'], ['t', 'own', 'dev', { account: 'acme' }])
  expect(at('dev', 'a.wild.test')).toEqual(['w'])
  for (const host of ['wild.test', 'a.b.wild.test', 'awild.test', '.wild.test']) expect(at('dev', host)).toEqual([])
  expect(at('dev', 'acme.tenant.test')).toEqual(['t'])
  expect(at('dev', 'other.tenant.test')).toEqual([])
})

test('siblings share the registrable domain, not the public suffix', () => {
  const { guarded } = guardedWith(['one', 'plain', 'dev'], ['w', 'wild', 'dev'])
  for (const host of ['example.co.uk', 'admin.example.co.uk', 'a.api.example.co.uk', 'wild.test', 'a.b.wild.test'])
    expect(guarded.isSibling('dev', host), host).toBe(true)
  for (const host of [
    'api.example.co.uk',
    'a.wild.test',
    'other.co.uk',
    'co.uk',
    'example.com',
    '10.0.0.1',
    'localhost',
  ])
    expect(guarded.isSibling('dev', host), host).toBe(false)
  expect(guarded.isSibling('prod', 'admin.example.co.uk')).toBe(false)
})

test('a new credential counts from its commit on', async () => {
  const { listed, records, at, guarded } = guardedWith(['one', 'plain', 'dev'])
  expect(at('dev', 'a.wild.test')).toEqual([])
  const [first] = listed
  if (first === undefined) throw new Error('none')
  listed.push({ ...first, id: 'w', record: { ...first.record, name: 'w', service: 'wild' } })
  await records.commit([{ table: 'credential', id: 'w', body: { ...first.record, name: 'w', service: 'wild' } }], {
    actor: 'test',
    action: 'test',
  })
  expect(at('dev', 'a.wild.test')).toEqual(['w'])
  expect(guarded.of('w')?.service.id).toBe('wild')
})
