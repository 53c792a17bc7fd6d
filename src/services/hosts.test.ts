import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { hostField, hostMatches, hostProblem, hostsOf } from './hosts.ts'

test.each([
  ['api.example.com', 'api.example.com', true],
  ['api.example.com', 'evil-api.example.com', false],
  ['api.example.com', 'api.example.com.evil.test', false],
  ['*.example.com', 'a.example.com', true],
  ['*.example.com', 'a.b.example.com', false],
  ['*.example.com', 'example.com', false],
  ['*.example.com', '.example.com', false],
  ['*.example.com', 'a.example.com.evil.test', false],
  ['*.example.com', 'aexample.com', false],
  ['{resource}.example.com', 'acme.example.com', true],
  ['{resource}.example.com', 'a.b.example.com', false],
  ['api.example.com', '*.example.com', false],
])('%s covers %s: %s', (pattern, host, covered) => {
  expect(hostMatches(pattern, host)).toBe(covered)
})

test('a wildcard never covers a host of another domain', () => {
  fc.assert(
    fc.property(fc.domain(), fc.domain(), (domain, host) => {
      if (hostMatches(`*.${domain}`, host)) expect(host.endsWith(`.${domain}`)).toBe(true)
    }),
  )
})

test('a public field fills in one label and nothing else', () => {
  const service = { hosts: ['{resource}.openai.example.com', 'fixed.example.com'] }
  expect(hostsOf(service, { resource: 'Acme-1' })).toEqual(['acme-1.openai.example.com', 'fixed.example.com'])
  for (const resource of [
    '',
    'a.b',
    'evil.test/',
    'evil.test#',
    'a:1',
    '*',
    '-a',
    'a-',
    'a'.repeat(64),
    '{x}',
    'ä',
    'a@b',
  ]) {
    expect(hostsOf(service, { resource })).toEqual(['fixed.example.com'])
  }
  expect(hostsOf(service, {})).toEqual(['fixed.example.com'])
  expect(hostsOf({ hosts: ['{constructor}.example.com'] }, {})).toEqual([])
  expect(hostField('{resource}.example.com')).toBe('resource')
  expect(hostField('*.example.com')).toBeNull()
})

test.each(['example.com', 'api.example.test', '*.example.com', '{resource}.example.com', '*.internal.example.co.uk'])(
  '%s is allowed',
  (pattern) => {
    expect(hostProblem(pattern)).toBeNull()
  },
)

test.each([
  ['*', /domain|covers|host name/],
  ['*.com', /other people/],
  ['*.co.uk', /other people/],
  ['*.github.io', /other people/],
  ['{x}.com', /other people/],
  ['api.*.com', /only as the whole first label/],
  ['a*.example.com', /only as the whole first label/],
  ['*.*.example.com', /only as the whole first label/],
  ['API.example.com', /lower-case/],
  ['https://api.example.com', /not a host name/],
  ['api.example.com:443', /not a host name/],
  ['api.example.com/', /not a host name/],
  ['api.example.com.', /not a host name/],
  ['', /not a host name/],
  ['localhost', /domain/],
  ['127.0.0.1', /address/],
  ['-a.example.com', /not a host name/],
  [`${'a.'.repeat(200)}com`, /longer/],
])('%s is refused', (pattern, message) => {
  expect(hostProblem(pattern)).toMatch(message)
})
