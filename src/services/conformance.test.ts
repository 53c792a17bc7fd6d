import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { detectors } from '../detectors/index.ts'
import type { RequestHead } from '../core/request.ts'
import { findPlaceholder, injectCredential, preparedRule } from '../injectors/placement.ts'
import { serviceProblems } from './check.ts'
import { hostMatches } from './hosts.ts'
import { services } from './index.ts'
import { serviceRow } from './schema.ts'
import type { Service } from './service.ts'

const rows = services.map((service): [string, Service] => [service.id, service])
/** Their APIs have no call that hands out a credential at the hosts of the row. */
const nothingToSeal = new Set(['deepseek', 'groq', 'tavily'])
const head: RequestHead = {
  method: 'GET',
  scheme: 'https',
  host: 'api.example.com',
  port: 443,
  target: '/v1/x',
  headers: [],
}

test('the list is in alphabetical order and has every file', () => {
  const ids = services.map((service) => service.id)
  expect(ids).toEqual(ids.toSorted())
  expect(new Set(ids).size).toBe(ids.length)
  for (const id of ids) expect(existsSync(new URL(`${id}.ts`, import.meta.url))).toBe(true)
  const parts = [
    'check',
    'definition',
    'directory',
    'hosts',
    'index',
    'matrix',
    'mutations',
    'schema',
    'service',
    'yaml-documents',
  ]
  const files = readdirSync(new URL('.', import.meta.url)).filter((file) => !file.endsWith('.test.ts'))
  expect(files.toSorted()).toEqual([...ids, ...parts].map((name) => `${name}.ts`).toSorted())
})

test.each(rows)('%s is a valid row', (_id, service) => {
  expect(serviceRow.safeParse(service).error).toBeUndefined()
  expect(serviceProblems(service)).toEqual([])
})

test.each(rows)(
  '%s names its detector, its source, variables for every field, operations and what is sealed',
  (id, service) => {
    expect(detectors.map((detector) => detector.id)).toContain(service.detector)
    expect(service.detector).toBe(id)
    expect(service.source).toMatch(/\w+\.\w+/)
    for (const field of Object.keys(service.fields)) expect(service.variables.fields[field]?.length).toBeGreaterThan(0)
    expect(service.operations.length).toBeGreaterThan(4)
    expect(service.sealed === undefined).toBe(nothingToSeal.has(id))
    expect(service.sealed?.length).not.toBe(0)
    expect(service.variables.basePath === undefined).toBe(service.variables.baseUrl === undefined)
  },
)

test.each(rows)('each place of %s is found again, and no two of its rules claim the same thing', (_id, service) => {
  for (const rule of service.inject) {
    const fields = Object.fromEntries(
      preparedRule(rule).fields.map((field) => [field, randomBytes(16).toString('hex')]),
    )
    const filled = injectCredential({ head, body: null }, rule, fields)
    expect(findPlaceholder(filled.head, service, filled.body)?.rule).toBe(rule)
  }
})

test('no two services share a host, a variable or a base-URL variable', () => {
  const taken = new Map<string, string>()
  for (const service of services) {
    const names = [
      ...Object.values(service.variables.fields).flat(),
      ...(service.variables.baseUrl ?? []),
      ...service.hosts,
    ]
    for (const name of names) {
      expect(taken.get(name), name).toBeUndefined()
      taken.set(name, service.id)
    }
  }
  for (const service of services) {
    for (const other of services) {
      if (other === service) continue
      for (const pattern of service.hosts)
        for (const host of other.hosts) expect(hostMatches(pattern, host)).toBe(false)
    }
  }
})

test('no operation hides behind an earlier one of the same form', () => {
  for (const service of services) {
    const forms = service.operations.map(({ match }) => match.replaceAll(/\{[^}]*\}/g, '*'))
    expect(
      forms.filter((form, index) => forms.indexOf(form) !== index),
      service.id,
    ).toEqual([])
  }
})
