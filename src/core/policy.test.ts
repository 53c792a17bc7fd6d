import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Facts } from './condition.ts'
import { Failure } from './condition-value.ts'
import type { NamedOperation } from './operation-pattern.ts'
import { compileGrant, decide, maximumPatternsPerGrant, operationOf, sealedBy } from './policy.ts'
import type { Decision } from './policy.ts'
import type { GrantRecord } from './records.ts'
import { compileRules, maximumSharedRuleSets } from './rule-set.ts'

const operations: readonly NamedOperation[] = [
  { name: 'issues.create', match: 'POST /repos/{owner}/{repo}/issues' },
  { name: 'issues.list', match: 'GET /repos/{owner}/{repo}/issues' },
  { name: 'repos.delete', match: 'DELETE /repos/{owner}/{repo}' },
  { name: 'repos.wipe', match: 'POST /repos/{owner}/{repo}/wipe', destructive: true },
  { name: 'repos.any', match: '* /repos/**' },
]

/** `met`: what the condition of the grant comes to; absent: it has none. */
type Grant = Partial<Pick<GrantRecord, 'allow' | 'deny' | 'limits' | 'approve' | 'expiresAt'>> & {
  id?: string
  met?: boolean | Failure | undefined
}

/** Nothing that these conditions ask. */
const facts: Facts = {
  now: 0,
  plain: () => null,
  headers: () => [],
  query: () => [],
  body: () => null,
}

const now = 1_000

function ask(request: string, grants: readonly Grant[], rows = operations): Decision {
  const [method = '', target = ''] = request.split(' ')
  const compiled = grants.map(({ id, met, ...grant }, index) =>
    compileGrant(
      id ?? `g${index}`,
      { allow: ['*'], deny: [], limits: {}, expiresAt: null, ...grant, ...(met === undefined ? {} : { when: 'any' }) },
      rows,
      () => ({ judge: () => met ?? false }),
    ),
  )
  const [path = ''] = target.split('?')
  return decide({ method, target, operation: operationOf(rows, method, path), grants: compiled, now, facts })
}

test('without a grant nothing is allowed, and with one only what it says', () => {
  expect(ask('GET /repos/a/b/issues', [])).toMatchObject({ allow: false, code: 'grant_missing' })
  const grants = [{ allow: ['issues.*'] }]
  expect(ask('GET /repos/a/b/issues?state=open', grants)).toMatchObject({ allow: true, grant: 'g0', rule: 'issues.*' })
  expect(ask('GET /repos/a/b', grants)).toMatchObject({ allow: false, code: 'operation_not_allowed' })
})

test('the query takes no part', () => {
  const grants = [{ allow: ['GET /a'], deny: ['GET /b'] }]
  expect(ask('GET /a?x=/../b', grants)).toMatchObject({ allow: true })
  expect(ask('GET /b?x', grants)).toMatchObject({ code: 'operation_denied' })
})

test('a deny of any grant wins and names grant and rule', () => {
  const grants = [{ allow: ['*'] }, { allow: ['issues.list'], deny: ['* /repos/{owner}/{repo}/wipe'] }]
  expect(ask('POST /repos/a/b/wipe', grants)).toEqual({
    allow: false,
    code: 'operation_denied',
    grant: 'g1',
    rule: '* /repos/{owner}/{repo}/wipe',
    destructive: true,
  })
})

test('a deny cannot be side-stepped by letter case, a trailing slash or the case of the method', () => {
  for (const deny of ['POST /repos/{owner}/{repo}/issues', 'issues.create']) {
    for (const request of [
      'POST /repos/a/b/issues',
      'POST /repos/a/b/issues/',
      'POST /Repos/a/b/ISSUES',
      'post /repos/a/b/issues',
    ]) {
      expect(ask(request, [{ deny: [deny] }]), `${deny} ${request}`).toMatchObject({ code: 'operation_denied' })
    }
  }
})

test('a deny cannot be side-stepped by writing a character as its escape, nor by the escape in the rule', () => {
  for (const [deny, request] of [
    ['POST /things/{id}:purge', 'POST /things/1%3Apurge'],
    ['POST /things/{id}:purge', 'POST /things/1%3apurge'],
    ['GET /users/a@b', 'GET /users/a%40B'],
    ['GET /a%20b', 'GET /a%20B'],
    ['GET /a%21', 'GET /a!'],
  ] as const) {
    expect(ask(request, [{ deny: [deny] }]), `${deny} ${request}`).toMatchObject({ code: 'operation_denied' })
  }
  expect(sealedBy(['POST /keys:make'], 'POST', '/keys%3Amake')).toBe('POST /keys:make')
  expect(ask('GET /a%2Fb', [{ deny: ['GET /a/b'] }])).toMatchObject({ allow: true })
})

test('an allow is taken by the letter', () => {
  for (const request of ['GET /A', 'GET /a/', 'get /a', 'GET /a/b']) {
    expect(ask(request, [{ allow: ['GET /a'] }]), request).toMatchObject({ code: 'operation_not_allowed' })
  }
})

test('an expired grant allows nothing, and is named only if nothing else allows', () => {
  const expired = { id: 'old', allow: ['GET /a'], expiresAt: now }
  expect(ask('GET /a', [expired])).toMatchObject({ code: 'grant_expired', grant: 'old', rule: 'GET /a' })
  expect(ask('GET /b', [expired])).toMatchObject({ code: 'operation_not_allowed' })
  expect(ask('GET /a', [expired, { id: 'new', allow: ['*'] }])).toMatchObject({ allow: true, grant: 'new' })
  expect(ask('GET /a', [{ ...expired, expiresAt: now + 1 }])).toMatchObject({ allow: true })
})

test('time never widens: what an expired grant denies stays denied', () => {
  const grants = [{ allow: ['*'] }, { allow: ['GET /a'], deny: ['GET /b'], expiresAt: 1 }]
  expect(ask('GET /b', grants)).toMatchObject({ code: 'operation_denied', grant: 'g1' })
})

test('of several grants that allow, the widest limits count', () => {
  const slow = { id: 'a', limits: { rate: { count: 1, perSeconds: 60 } } }
  const fast = { id: 'b', limits: { rate: { count: 5, perSeconds: 1 } } }
  const free = { id: 'c', limits: { concurrent: 2 } }
  expect(ask('GET /a', [slow, fast])).toMatchObject({ grant: 'b', limits: fast.limits })
  expect(ask('GET /a', [free, slow, fast])).toMatchObject({ grant: 'c', limits: free.limits })
  expect(ask('GET /a', [{ id: 'z' }, free, fast])).toMatchObject({ grant: 'z', limits: {} })
})

test('destructive: as the operation says, every DELETE, and unknown requests that do not only read', () => {
  const told = (request: string, rows = operations): boolean => ask(request, [{}], rows).destructive
  expect(told('POST /repos/a/b/wipe')).toBe(true)
  expect(told('DELETE /repos/a/b')).toBe(true)
  expect(told('POST /repos/a/b/issues')).toBe(false)
  expect(told('POST /elsewhere')).toBe(true)
  expect(told('GET /elsewhere')).toBe(false)
  expect(told('HEAD /elsewhere', [])).toBe(false)
  expect(told('OPTIONS /elsewhere')).toBe(false)
  expect(told('PROPFIND /elsewhere')).toBe(true)
  expect(ask('POST /a', []).destructive).toBe(true)
})

test('a person is asked where any grant that fits asks, expired or not, in any spelling', () => {
  const asked = (request: string, grants: readonly Grant[]) => {
    const decision = ask(request, grants)
    return decision.allow ? (decision.ask ?? null) : decision.code
  }
  const always: Grant = { id: 'a', allow: ['issues.create'], approve: 'always' }
  expect(asked('POST /repos/a/b/issues', [{}])).toBeNull()
  expect(asked('POST /repos/a/b/issues', [{ id: 'b' }, always])).toEqual({ grant: 'a', rule: 'issues.create' })
  expect(asked('POST /Repos/a/b/issues/', [{ id: 'b' }, always])).toEqual({ grant: 'a', rule: 'issues.create' })
  expect(asked('GET /repos/a/b/issues', [{ id: 'b' }, always])).toBeNull()
  expect(asked('POST /repos/a/b/issues', [{ id: 'b' }, { ...always, expiresAt: now - 1 }])).toMatchObject({
    grant: 'a',
  })
  expect(asked('POST /repos/a/b/issues', [{ ...always, expiresAt: now - 1 }])).toBe('grant_expired')
  expect(asked('POST /repos/a/b/issues', [{ ...always, deny: ['issues.*'] }])).toBe('operation_denied')
  const destructive: Grant = { id: 'd', approve: 'destructive' }
  expect(asked('POST /repos/a/b/issues', [destructive])).toBeNull()
  for (const request of ['POST /repos/a/b/wipe', 'DELETE /repos/a/b', 'POST /elsewhere', 'POST /Repos/a/b/issues'])
    expect(asked(request, [destructive, { id: 'e' }]), request).toEqual({ grant: 'd', rule: '*' })
  // The lowest id, in whatever order they stand.
  expect(asked('POST /elsewhere', [{ id: 'z', approve: 'always' }, destructive])).toMatchObject({ grant: 'd' })
  expect(asked('POST /elsewhere', [destructive, { id: 'z', approve: 'always' }])).toMatchObject({ grant: 'd' })
})

test('a target that is not a path is refused', () => {
  expect(ask('OPTIONS *', [{}])).toMatchObject({ code: 'path_not_canonical' })
  expect(ask('GET https://a.example/', [{}])).toMatchObject({ code: 'path_not_canonical' })
})

test('an empty allow and too many patterns are refused', () => {
  expect(() => ask('GET /a', [{ allow: [] }])).toThrow('write * for everything')
  const many = Array.from({ length: maximumPatternsPerGrant }, (_, index) => `GET /${index}`)
  expect(ask('GET /999', [{ allow: many }])).toMatchObject({ allow: true })
  expect(() => ask('GET /a', [{ allow: many, deny: ['*'] }])).toThrow(String(maximumPatternsPerGrant))
})

test('an operation is named by the first pattern that fits', () => {
  expect(operationOf(operations, 'POST', '/repos/a/b/issues')).toBe('issues.create')
  expect(operationOf(operations, 'PUT', '/repos/a/b/issues')).toBe('repos.any')
  expect(operationOf(operations, 'HEAD', '/repos/a/b/issues')).toBe('issues.list')
  expect(operationOf(operations, 'GET', '/user')).toBeNull()
  expect(() => operationOf([{ name: 'all', match: '*' }], 'GET', '/')).toThrow('all')
})

test('sealed patterns are read as widely as a deny', () => {
  const sealed = ['POST /user/keys', '* /tokens/**']
  expect(sealedBy(sealed, 'POST', '/User/Keys/')).toBe('POST /user/keys')
  expect(sealedBy(sealed, 'GET', '/tokens')).toBe('* /tokens/**')
  expect(sealedBy(sealed, 'GET', '/user/keys')).toBeNull()
  expect(sealedBy([], 'GET', '/tokens')).toBeNull()
})

test('equal rules are compiled once, and as many are kept as the bound says', () => {
  const first = compileRules(['GET /kept', 'GET /b'], 'exact')
  expect(compileRules(['GET /b', 'GET /kept', 'GET /b'], 'exact')).toBe(first)
  expect(compileRules(['GET /b', 'GET /kept'], 'wide')).not.toBe(first)
  for (let index = 0; index < maximumSharedRuleSets; index += 1) compileRules([`GET /other/${index}`], 'exact')
  expect(compileRules(['GET /kept', 'GET /b'], 'exact')).not.toBe(first)
})

const pattern = fc.constantFrom(
  '*',
  'issues.*',
  'issues.list',
  'repos.any',
  'GET /**',
  '* /repos/**',
  'GET /repos/{o}/{r}',
  'POST /repos/*/*/issues',
  'DELETE /repos/a/*',
)
const grant: fc.Arbitrary<Grant> = fc.record({
  id: fc.uuid(),
  allow: fc.array(pattern, { minLength: 1, maxLength: 4 }),
  deny: fc.array(pattern, { maxLength: 2 }),
  expiresAt: fc.constantFrom(null, 500, 1_500),
  limits: fc.constantFrom({}, { concurrent: 1 }, { rate: { count: 5, perSeconds: 60 } }),
  met: fc.constantFrom(undefined, undefined, true, false, new Failure('is a riddle')),
})
const request = fc
  .tuple(
    fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE', 'PATCH'),
    fc.constantFrom('/', '/repos', '/repos/a/b', '/repos/a/b/issues', '/Repos/a/b/issues/', '/user?x'),
  )
  .map((parts) => parts.join(' '))
const unique = { selector: ({ id }: Grant) => id, maxLength: 5 }

test('the order of grants and of patterns makes no difference', () => {
  const shuffled = fc
    .uniqueArray(grant, unique)
    .chain((grants) => fc.tuple(fc.constant(grants), fc.shuffledSubarray(grants, { minLength: grants.length })))
  fc.assert(
    fc.property(request, shuffled, (asked, [grants, other]) => {
      const turned = other.map(({ allow = [], deny = [], ...rest }) => ({
        ...rest,
        allow: allow.toReversed(),
        deny: deny.toReversed(),
      }))
      expect(ask(asked, turned)).toEqual(ask(asked, grants))
    }),
    { numRuns: 1000 },
  )
})

test('a further deny never widens, a further allow and a further grant without deny never narrow', () => {
  fc.assert(
    fc.property(
      request,
      fc.uniqueArray(grant, { ...unique, minLength: 1 }),
      fc.nat(),
      pattern,
      (asked, grants, place, text) => {
        const at = place % grants.length
        const before = ask(asked, grants).allow
        const denied = grants.map((one, index) => (index === at ? { ...one, deny: [...(one.deny ?? []), text] } : one))
        const allowed = grants.map((one, index) =>
          index === at ? { ...one, allow: [...(one.allow ?? []), text] } : one,
        )
        if (!before) expect(ask(asked, denied).allow).toBe(false)
        if (before) {
          expect(ask(asked, allowed).allow).toBe(true)
          expect(ask(asked, [...grants, { id: 'further', allow: [text] }]).allow).toBe(true)
        }
      },
    ),
    { numRuns: 1000 },
  )
})

test('a condition never widens: whatever it comes to, no more is allowed, and no less denied or asked about, than without it', () => {
  const asking = fc
    .tuple(grant, fc.constantFrom(undefined, 'destructive', 'always'))
    .map(([one, approve]): Grant => ({ ...one, ...(approve === undefined ? {} : { approve }) }))
  fc.assert(
    fc.property(request, fc.uniqueArray(asking, { ...unique, minLength: 1 }), (asked, grants) => {
      const before = ask(
        asked,
        grants.map((one) => ({ ...one, met: undefined })),
      )
      const after = ask(asked, grants)
      if (!before.allow) expect(after.allow).toBe(false)
      if (after.allow && before.allow) expect(after.ask).toEqual(before.ask)
      if (!before.allow && before.code === 'operation_denied') expect(after).toEqual(before)
    }),
    { numRuns: 2000 },
  )
})

test('a condition that is not met, or cannot be judged, allows nothing; the refusal says which and why', () => {
  const limits = { concurrent: 1 }
  expect(ask('GET /a', [{ met: true, limits }])).toMatchObject({ allow: true, grant: 'g0', limits })
  expect(ask('GET /a', [{ met: false }])).toEqual({
    allow: false,
    code: 'condition_not_met',
    grant: 'g0',
    rule: '*',
    why: 'is false',
    destructive: false,
  })
  expect(ask('GET /a', [{ met: new Failure('is a riddle') }])).toMatchObject({ allow: false, why: 'is a riddle' })
  // What is over is named after what could still become true; what denies, before both.
  expect(
    ask('GET /a', [
      { id: 'a', expiresAt: 500 },
      { id: 'b', met: false },
    ]),
  ).toMatchObject({ grant: 'b' })
  expect(ask('GET /a', [{ met: false, deny: ['GET /a'] }])).toMatchObject({ code: 'operation_denied' })
  expect(ask('GET /a', [{ met: false, deny: ['GET /a'] }, {}])).toMatchObject({ code: 'operation_denied' })
  // A wider grant counts where its condition is met, and there alone.
  expect(ask('GET /a', [{ limits }, { met: true }])).toMatchObject({ grant: 'g1' })
  expect(ask('GET /a', [{ limits }, { met: false }])).toMatchObject({ grant: 'g0' })
})

test('what was compiled without a reader of conditions, or is decided without facts, allows nothing', () => {
  const record = { allow: ['*'], deny: [], limits: {}, expiresAt: null, when: 'true' }
  const asked = { method: 'GET', target: '/a', operation: null, now }
  const unread = compileGrant('g', record, [])
  expect(decide({ ...asked, grants: [unread], facts })).toMatchObject({ code: 'condition_not_met' })
  const read = compileGrant('g', record, [], () => ({ judge: () => true }))
  expect(decide({ ...asked, grants: [read], facts })).toMatchObject({ allow: true })
  expect(decide({ ...asked, grants: [read] })).toMatchObject({ code: 'condition_not_met' })
})

test('a decision names a rule that the grant has, and a deny that fits always wins', () => {
  fc.assert(
    fc.property(request, fc.uniqueArray(grant, { ...unique, minLength: 1 }), (asked, grants) => {
      const decision = ask(asked, grants)
      const named = grants.find(({ id }) => id === decision.grant)
      if (decision.allow) expect(named?.allow).toContain(decision.rule)
      const denies = grants.some(({ deny = [] }) => deny.some((text) => ask(asked, [{ deny: [text] }]).allow === false))
      expect(!decision.allow && decision.code === 'operation_denied').toBe(denies)
      if (denies) expect(named?.deny).toContain(decision.rule)
    }),
    { numRuns: 1000 },
  )
})
