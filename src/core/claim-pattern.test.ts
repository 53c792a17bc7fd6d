import fc from 'fast-check'
import { expect, test } from 'vitest'
import { claimAt, CLAIM_VALUE_MAXIMUM_CHARACTERS, fitsPattern } from './claim-pattern.ts'

test('exact unless * is written, and * never crosses the sign that divides the parts', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['repo:o/r:ref:refs/heads/main', 'repo:o/r:ref:refs/heads/main', true],
    ['repo:o/r:ref:refs/heads/main', 'repo:o/r:ref:refs/heads/main2', false],
    ['repo:o/r:ref:refs/heads/*', 'repo:o/r:ref:refs/heads/feature/x', true],
    ['repo:o/*', 'repo:o/r:environment:prod', false],
    ['repo:o/*:environment:prod', 'repo:o/r:environment:prod', true],
    ['repo:o/*:environment:prod', 'repo:o/r:ref:x:environment:prod', false],
    ['repo:o/r*', 'repo:O/r', false],
    ['a.c', 'abc', false],
    ['*', '', true],
    ['', '', true],
  ]
  for (const [pattern, value, fits] of cases) expect(fitsPattern(pattern, value, ':'), `${pattern} ${value}`).toBe(fits)
  expect(fitsPattern('*', 'x'.repeat(CLAIM_VALUE_MAXIMUM_CHARACTERS + 1), ':')).toBe(false)
})

test('the same as an expression that says it', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', ':', '*'), maxLength: 12 })
  fc.assert(
    fc.property(text, text, (pattern, value) => {
      const expression = new RegExp(`^${pattern.replaceAll('*', '[^:]*')}$`)
      expect(fitsPattern(pattern, value, ':')).toBe(expression.test(value))
    }),
    { numRuns: 2_000 },
  )
})

test('many stars cost no more than both lengths', () => {
  expect(fitsPattern(`${'*a'.repeat(250)}b`, 'a'.repeat(1_000), ':')).toBe(false)
})

test('claims are found by their path, and what cannot be compared is none', () => {
  const claims = {
    sub: 'x',
    'kubernetes.io': { namespace: 'prod', pod: { uid: 'u' } },
    'https://e.example/role': 'r',
    admin: true,
    run: 7,
    groups: ['a'],
  }
  const cases: readonly (readonly [string, string | null])[] = [
    ['sub', 'x'],
    ['kubernetes.io/namespace', 'prod'],
    ['kubernetes.io/pod/uid', 'u'],
    ['https:~1~1e.example~1role', 'r'],
    ['admin', 'true'],
    ['run', '7'],
    ['groups', null],
    ['groups/0', null],
    ['kubernetes.io', null],
    ['kubernetes.io/none', null],
    ['constructor', null],
    ['__proto__/constructor', null],
    ['sub/length', null],
  ]
  for (const [path, value] of cases) expect(claimAt(claims, path), path).toBe(value)
})
