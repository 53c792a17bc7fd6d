import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { ServiceView } from '../api/answers.ts'
import { base62, makePlaceholder } from '../core/placeholder.ts'
import { openai as openaiShape } from '../detectors/openai.ts'
import { services } from '../services/index.ts'
import { recogniseKeys } from './recognise.ts'
import type { FoundVariable } from './recognise.ts'

const views: ServiceView[] = services.map((service) => ({
  id: service.id,
  name: service.name,
  hosts: service.hosts,
  endpoint: null,
  fields: service.fields,
  inject: [],
  variables: { fields: service.variables.fields, baseUrl: [], basePath: '' },
  operations: [],
  speaks: [],
  detector: 'detector' in service ? (service.detector ?? null) : null,
  checked: service.checked,
  source: service.source,
  own: false,
}))

const random = (length: number, alphabet: string): string =>
  [...randomBytes(length)].map((byte) => alphabet[byte % alphabet.length]).join('')

function recognise(variables: Record<string, string>) {
  const map = new Map<string, FoundVariable>(
    Object.entries(variables).map(([name, value]) => [name, { value, origin: '.env' }]),
  )
  return recogniseKeys(map, views)
}

test('a variable that a service names holds a key of that service', () => {
  const key = `sk-${random(40, base62)}`
  expect(recognise({ OPENAI_API_KEY: key, PATH: '/usr/bin:/bin' })).toEqual([
    {
      credential: 'openai',
      service: 'openai',
      fields: { key },
      variables: [{ name: 'OPENAI_API_KEY', field: 'key' }],
      origin: '.env',
      characters: key.length,
    },
  ])
})

test('a key is known by its shape under any name', () => {
  for (const key of openaiShape.examples(random)) {
    const [found] = recognise({ MY_OWN_NAME: key })
    expect(found, key.slice(0, 10)).toMatchObject({ service: 'openai', variables: [{ name: 'MY_OWN_NAME' }] })
  }
})

test('the same key under two names is one credential, two keys are two', () => {
  const one = openaiShape.examples(random)[0] ?? ''
  const two = openaiShape.examples(random)[0] ?? ''
  const same = recognise({ OPENAI_API_KEY: one, MY_KEY: one })
  expect(same).toHaveLength(1)
  expect(same[0]?.variables.map((each) => each.name)).toEqual(['OPENAI_API_KEY', 'MY_KEY'])
  const names = recognise({ OPENAI_API_KEY: one, MY_KEY: two }).map((each) => each.credential)
  expect(names).toEqual(['openai', 'openai-my-key'])
})

test('placeholders, references and settings are no keys', () => {
  const placeholder = makePlaceholder(openaiShape.placeholder, random).text
  expect(recognise({ OPENAI_API_KEY: placeholder })).toEqual([])
  expect(recognise({ OPENAI_API_KEY: 'keyward:openai' })).toEqual([])
  expect(recognise({ OPENAI_API_KEY: 'test' })).toEqual([])
  expect(recognise({ OPENAI_API_KEY: '' })).toEqual([])
})

test('a service with a public field needs that too', () => {
  const key = random(84, base62)
  const names = services.find((service) => service.id === 'azure-openai')?.variables.fields ?? {}
  const [secret, setting] = [
    Object.entries(names).find(([field]) => field === 'key')?.[1][0],
    Object.entries(names).find(([field]) => field !== 'key')?.[1][0],
  ]
  if (secret === undefined || setting === undefined) return
  expect(recognise({ [secret]: key }).filter((each) => each.service === 'azure-openai')).toEqual([])
  expect(recognise({ [secret]: key, [setting]: 'my-resource' })).toMatchObject([{ service: 'azure-openai' }])
})
