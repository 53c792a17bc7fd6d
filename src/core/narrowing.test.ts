import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Calls } from './call-pattern.ts'
import type { Caveat } from './caveats.ts'
import { narrowingOf, type NarrowedRequest } from './narrowing.ts'
import type { NamedOperation } from './operation-pattern.ts'
import { operationOf } from './policy.ts'

/** A world small enough that a model can be written down by hand. */
const operations: readonly NamedOperation[] = [
  { name: 'repos.get', match: 'GET /repos/{name}' },
  { name: 'repos.create', match: 'POST /repos' },
  { name: 'issues.list', match: 'GET /repos/{name}/issues' },
]
const requests = [
  ['GET', '/repos/one'],
  ['GET', '/repos/ONE'],
  ['POST', '/repos'],
  ['GET', '/repos/one/issues'],
  ['DELETE', '/repos/one'],
] as const
const credentials = ['github', 'other'] as const
type Fits = (method: string, path: string) => boolean

/** Patterns, each with what it means in so many words: exactly, and as widely as a denial is read. */
const patterns: Readonly<Record<string, { exact: Fits; wide: Fits }>> = {
  '*': { exact: () => true, wide: () => true },
  'repos.get': {
    exact: (method, path) => method === 'GET' && /^\/repos\/[^/]+$/.test(path),
    wide: (method, path) => method === 'GET' && /^\/repos\/[^/]+$/i.test(path),
  },
  'repos.*': {
    exact: (method, path) =>
      (method === 'GET' && /^\/repos\/[^/]+$/.test(path)) || (method === 'POST' && path === '/repos'),
    wide: (method, path) =>
      (method === 'GET' && /^\/repos\/[^/]+$/i.test(path)) || (method === 'POST' && /^\/repos$/i.test(path)),
  },
  'GET /repos/one': {
    exact: (method, path) => method === 'GET' && path === '/repos/one',
    wide: (method, path) => method === 'GET' && path.toLowerCase() === '/repos/one',
  },
  '* /repos/**': {
    exact: (_, path) => path === '/repos' || path.startsWith('/repos/'),
    wide: (_, path) => path === '/repos' || path.startsWith('/repos/'),
  },
}
const pattern = fc.constantFrom(...Object.keys(patterns))
const some = fc.array(pattern, { minLength: 1, maxLength: 3 })
const caveat: fc.Arbitrary<Caveat> = fc.oneof(
  fc.record({ kind: fc.constant('allow' as const), patterns: some }),
  fc.record({ kind: fc.constant('deny' as const), patterns: some }),
  fc.record({
    kind: fc.constant('credentials' as const),
    names: fc.array(fc.constantFrom(...credentials), { minLength: 1 }),
  }),
  fc.record({ kind: fc.constant('expires' as const), at: fc.integer({ min: 1, max: 100 }) }),
  fc.record({ kind: fc.constant('uses' as const), count: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ kind: fc.constant('address' as const), address: fc.constantFrom('127.0.0.1', '192.0.2.1') }),
)

const narrowing = (caveats: readonly Caveat[]) =>
  narrowingOf(
    caveats.map((_, at) => `id${at}`),
    caveats,
  )

function askOf(method: string, target: string, calls: Calls | null = null): NarrowedRequest {
  return { method, target, operation: operationOf(operations, method, target), operations, calls }
}

/** Decided without any of the code: each caveat by itself, in a few lines. */
function modelAllows(caveats: readonly Caveat[], credential: string, method: string, path: string): boolean {
  return caveats.every((one) => {
    if (one.kind === 'allow') return one.patterns.some((text) => patterns[text]?.exact(method, path))
    if (one.kind === 'deny') return !one.patterns.some((text) => patterns[text]?.wide(method, path))
    return one.kind !== 'credentials' || one.names.includes(credential)
  })
}

test('child ⊆ parent: whatever a chain allows, every beginning of it allows, and both are what the model says', () => {
  fc.assert(
    fc.property(fc.array(caveat, { maxLength: 6 }), fc.array(caveat, { minLength: 1, maxLength: 4 }), (above, more) => {
      const child = [...above, ...more]
      for (const credential of credentials)
        for (const [method, path] of requests) {
          const ask = askOf(method, path)
          const childMay = narrowing(child).refusalOf(credential, ask) === null
          const parentMay = narrowing(above).refusalOf(credential, ask) === null
          expect(childMay).toBe(modelAllows(child, credential, method, path))
          expect(parentMay).toBe(modelAllows(above, credential, method, path))
          if (childMay) expect(parentMay).toBe(true)
        }
      const [from, to] = [narrowing(above), narrowing(child)]
      expect(to.expiresAt ?? Infinity).toBeLessThanOrEqual(from.expiresAt ?? Infinity)
      expect(to.counted.slice(0, from.counted.length)).toEqual(from.counted)
      expect(to.addresses.slice(0, from.addresses.length)).toEqual(from.addresses)
      if (from.isClosed) expect(to.isClosed).toBe(true)
      for (const name of credentials) if (to.hasCredential(name)) expect(from.hasCredential(name)).toBe(true)
    }),
    { numRuns: 300 },
  )
})

test('what is counted hangs on the beginning of the chain that ends with the caveat', () => {
  const { counted, id, ids } = narrowing([
    { kind: 'narrowing', nonce: new Uint8Array(12) },
    { kind: 'uses', count: 5 },
    { kind: 'narrowing', nonce: new Uint8Array(12) },
    { kind: 'uses', count: 2 },
  ])
  expect(counted).toEqual([
    { id: 'id1', count: 5 },
    { id: 'id3', count: 2 },
  ])
  expect([id, ids.length]).toEqual(['id3', 4])
})

test('calls within a body: every one must be left, and none denied by another spelling', () => {
  const calls = (...made: string[]): Calls => ({ made: new Map(made.map((one) => [one, 1])), touched: new Set() })
  const refusal = (caveats: readonly Caveat[], asked: Calls) =>
    narrowing(caveats).refusalOf('github', askOf('POST', '/graphql', asked))?.code ?? null
  const allow: Caveat = { kind: 'allow', patterns: ['GRAPHQL query viewer'] }
  expect(refusal([allow], calls('GRAPHQL query viewer'))).toBeNull()
  expect(refusal([allow], calls('GRAPHQL query viewer', 'GRAPHQL mutation wipe'))).toBe('narrowed_operation')
  // What allows the path does not allow what the body asks for.
  expect(refusal([{ kind: 'allow', patterns: ['POST /graphql'] }], calls('GRAPHQL query viewer'))).toBe(
    'narrowed_operation',
  )
  const deny: Caveat = { kind: 'deny', patterns: ['GRAPHQL mutation volumeDelete'] }
  expect(refusal([deny], calls('GRAPHQL mutation volume_delete'))).toBe('narrowed_denied')
  expect(refusal([deny], calls('GRAPHQL query viewer'))).toBeNull()
})
