import { expect, test } from 'vitest'
import type { ServiceRecord } from '../core/records.ts'
import { createDirectory } from './directory.ts'
import { services } from './index.ts'
import type { Service } from './service.ts'

const echo: Service = {
  id: 'echo',
  name: 'Echo',
  hosts: ['echo.example.test'],
  fields: { key: 'secret' },
  inject: [{ kind: 'bearer' }],
  variables: { fields: { key: ['ECHO_API_KEY'] } },
  operations: [],
  checked: 'documented',
  source: 'a service file of the operator',
}

function directoryWith(...definitions: readonly (readonly [string, unknown])[]) {
  const own = new Map(
    definitions.map(([id, definition]): [string, ServiceRecord] => [id, { definition, createdAt: 0 }]),
  )
  return { own, directory: createDirectory({ builtIn: services, own: () => own }) }
}

test('it knows the built-in services and the operator’s own, by id and by host', () => {
  const { directory } = directoryWith(['echo', echo])
  expect(directory.get('openai')?.name).toBe('OpenAI')
  expect(directory.get('echo')).toEqual(echo)
  expect(directory.get('nothing')).toBeUndefined()
  expect(directory.list().map(({ id }) => id)).toEqual([...services.map(({ id }) => id), 'echo'].toSorted())
  expect(directory.forHost('echo.example.test')).toEqual([echo])
  expect(directory.forHost('api.openai.com').map(({ id }) => id)).toEqual(['openai'])
  expect(directory.forHost('acme.openai.azure.com').map(({ id }) => id)).toEqual(['azure-openai'])
  expect(directory.forHost('api.openai.com.evil.test')).toEqual([])
})

test('an own service takes the place of a built-in one, and its removal gives it back', () => {
  const { own, directory } = directoryWith(['openai', { ...echo, id: 'openai' }])
  expect(directory.forHost('api.openai.com')).toEqual([])
  expect(directory.get('openai')?.hosts).toEqual(['echo.example.test'])
  own.delete('openai')
  expect(directory.get('openai')?.hosts).toContain('api.openai.com')
})

test('the rule objects stay the same from call to call, so that their options are checked once', () => {
  const { directory } = directoryWith(['echo', echo])
  expect(directory.get('echo')?.inject[0]).toBe(directory.get('echo')?.inject[0])
})

test.each([
  ['no row at all', { id: 'echo' }],
  ['an unknown member', { ...echo, extra: 1 }],
  ['a host that is none', { ...echo, hosts: ['*'] }],
  ['the id of another', { ...echo, id: 'other' }],
])('a stored definition with %s is refused by name', (_what, definition) => {
  const { directory } = directoryWith(['echo', definition])
  expect(() => directory.get('echo')).toThrow(
    expect.objectContaining({ code: 'file_invalid', message: expect.stringContaining('echo') }),
  )
})
