import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decideCalls, JOINED_RULES_MAXIMUM_LENGTH } from './call-decision.ts'
import type { NamedOperation } from './operation-pattern.ts'
import { callSealedBy, compileGrant } from './policy.ts'

const operations: readonly NamedOperation[] = [
  { name: 'graphql', match: 'POST /graphql' },
  { name: 'volumes.delete', match: 'GRAPHQL mutation volumeDelete', destructive: true },
  { name: 'volumes.create', match: 'GRAPHQL mutation volumeCreate' },
  { name: 'volumes.any', match: 'GRAPHQL mutation volume*' },
  { name: 'tools.search', match: 'RPC tools/call search' },
]

interface Given {
  readonly id?: string
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
  readonly rate?: number
  readonly approve?: 'destructive' | 'always'
  readonly expiresAt?: number
}

const calls = (made: readonly string[], touched: readonly string[] = []) => ({
  made: new Map([...new Set(made)].map((call) => [call, made.filter((other) => other === call).length])),
  touched: new Set(touched.map((field) => `GRAPHQL field ${field}`)),
})

function ask(given: readonly Given[], made: readonly string[], touched: readonly string[] = []) {
  const grants = given.map(({ id = 'g1', allow = ['RPC x'], deny = [], rate, approve, expiresAt = null }) =>
    compileGrant(
      id,
      {
        allow: [...allow],
        deny: [...deny],
        limits: rate === undefined ? {} : { rate: { count: rate, perSeconds: 60 } },
        ...(approve === undefined ? {} : { approve }),
        expiresAt,
      },
      operations,
    ),
  )
  const request = { method: 'POST', target: '/graphql', operation: 'graphql', grants, now: 1_000 }
  return decideCalls(request, calls(made, touched))
}

const query = 'GRAPHQL query viewer'
const create = 'GRAPHQL mutation volumeCreate'
const remove = 'GRAPHQL mutation volumeDelete'

test('a path allows no call, however wide', () => {
  for (const allow of [['POST /graphql'], ['* /**'], ['graphql']])
    expect(ask([{ allow }], [query])).toMatchObject({ code: 'operation_not_allowed', call: query })
})

test('what names a call, and everything, allows it', () => {
  for (const [allow, call] of [
    [['*'], remove],
    [['GRAPHQL query *'], query],
    [['volumes.delete'], remove],
    [['volumes.*'], create],
    [['GRAPHQL mutation volume*'], remove],
    [['tools.search'], 'RPC tools/call search'],
  ] as const)
    expect(ask([{ allow }], [call])).toMatchObject({ allow: true, grant: 'g1', rule: allow[0] })
})

test('every call must be allowed, and the first that is not is named', () => {
  expect(ask([{ allow: ['GRAPHQL query *'] }], [query, create, remove])).toMatchObject({
    code: 'operation_not_allowed',
    call: create,
  })
})

test('any deny refuses the whole: of the path, its name, a call, its name in another case, a field at any depth', () => {
  for (const deny of [
    'POST /graphql',
    'graphql',
    '* /**',
    'GRAPHQL mutation volumeDelete',
    'GRAPHQL mutation VOLUMEdelete',
    'volumes.delete',
    'volumes.*',
    'GRAPHQL field secret',
    'GRAPHQL field sec*',
  ])
    expect(ask([{ allow: ['*'], deny: [deny] }], [query, remove], ['viewer', 'secret']), deny).toMatchObject({
      code: 'operation_denied',
      rule: deny,
      grant: 'g1',
    })
  expect(
    ask([{ allow: ['*'], deny: ['GRAPHQL field secret', 'GRAPHQL mutation *'] }], [query], ['secrets']).allow,
  ).toBe(true)
  // A service that does not mind letter case would do what is denied.
  expect(ask([{ allow: ['*'], deny: ['volumes.delete'] }], ['GRAPHQL mutation VolumeDelete']).allow).toBe(false)
})

test('what asks for nothing is allowed nothing', () => {
  expect(ask([{ allow: ['*'] }], [])).toMatchObject({ code: 'operation_not_allowed' })
})

test('a deny of an expired grant holds, its allow does not', () => {
  expect(ask([{ allow: ['*'], expiresAt: 1_000 }], [query])).toMatchObject({ code: 'grant_expired', rule: '*' })
  expect(
    ask(
      [
        { id: 'a', deny: ['GRAPHQL * *'], expiresAt: 1 },
        { id: 'b', allow: ['*'] },
      ],
      [query],
    ),
  ).toMatchObject({
    code: 'operation_denied',
    grant: 'a',
  })
  expect(ask([], [query])).toMatchObject({ code: 'grant_missing', destructive: true })
})

test('each grant is charged for the calls that it allows', () => {
  const decision = ask(
    [
      { id: 'b', allow: ['GRAPHQL mutation *'], rate: 5 },
      { id: 'a', allow: ['GRAPHQL query *'] },
    ],
    [query, create, create, remove],
  )
  expect(decision).toMatchObject({
    allow: true,
    grant: 'a, b',
    rule: 'GRAPHQL mutation *, GRAPHQL query *',
    shares: [
      { grant: 'a', limits: {}, count: 1 },
      { grant: 'b', limits: { rate: { count: 5, perSeconds: 60 } }, count: 3 },
    ],
  })
  const many = Array.from({ length: 200 }, (_, index) => `RPC method-${index}-${'x'.repeat(40)}`)
  const long = ask([{ allow: many }], many)
  expect(long.allow && long.rule.length).toBeLessThanOrEqual(JOINED_RULES_MAXIMUM_LENGTH + 1)
})

test('destructive: as the operation says; an unknown mutation and an unknown method are', () => {
  const told = (made: readonly string[]): boolean => ask([{ allow: ['*'] }], made).destructive
  expect(told([query])).toBe(false)
  expect(told(['GRAPHQL subscription x'])).toBe(false)
  expect(told([create])).toBe(false)
  expect(told([remove])).toBe(true)
  expect(told(['GRAPHQL mutation volumeResize']), 'a wildcard knows nothing of it').toBe(true)
  expect(told(['GRAPHQL mutation other'])).toBe(true)
  expect(told(['RPC tools/call search'])).toBe(false)
  expect(told(['RPC tools/call delete'])).toBe(true)
  expect(told([query, remove])).toBe(true)
})

test('a field is denied and never allowed', () => {
  expect(() => compileGrant('g', { allow: ['GRAPHQL field x'], deny: [], limits: {}, expiresAt: null }, [])).toThrow(
    'GRAPHQL field x',
  )
})

test('sealed calls', () => {
  const sealed = ['POST /keys', 'GRAPHQL mutation makeKey', 'GRAPHQL field secret']
  expect(callSealedBy(sealed, calls([query, 'GRAPHQL mutation MakeKey']))).toBe('GRAPHQL mutation makeKey')
  expect(callSealedBy(sealed, calls([query], ['secret']))).toBe('GRAPHQL field secret')
  expect(callSealedBy(sealed, calls([query], ['secrets']))).toBeNull()
})

test('a batch passes if and only if each of its calls passes alone', () => {
  const call = fc.constantFrom(query, create, remove, 'GRAPHQL mutation other', 'RPC tools/call search', 'RPC x')
  const rule = fc.constantFrom(
    '*',
    'volumes.*',
    'volumes.delete',
    'GRAPHQL query *',
    'GRAPHQL mutation *',
    'RPC *',
    'POST /**',
    'RPC tools/call search',
  )
  const grant = fc.record({
    id: fc.constantFrom('a', 'b', 'c'),
    allow: fc.array(rule, { minLength: 1, maxLength: 3 }),
    deny: fc.array(rule, { maxLength: 1 }),
    expiresAt: fc.constantFrom(1, 10_000),
  })
  fc.assert(
    fc.property(
      fc.uniqueArray(grant, { selector: ({ id }) => id }),
      fc.array(call, { minLength: 1, maxLength: 6 }),
      (grants, made) => {
        const whole = ask(grants, made)
        expect(whole.allow).toBe(made.every((one) => ask(grants, [one]).allow))
        expect(whole.allow).toBe(ask(grants.toReversed(), made.toReversed()).allow)
      },
    ),
  )
})

test('a person is asked of the whole request where a grant asks of one of its calls', () => {
  const asked = (given: readonly Given[], made: readonly string[]) => {
    const decision = ask(given, made)
    return decision.allow ? (decision.ask ?? null) : decision.code
  }
  const all: Given = { id: 'g2', allow: ['*'] }
  const read = 'GRAPHQL query viewer'
  const wipe = 'GRAPHQL mutation volumeDelete'
  expect(asked([all], [read, wipe])).toBeNull()
  expect(asked([{ ...all, approve: 'destructive' }], [read])).toBeNull()
  expect(asked([{ ...all, approve: 'destructive' }], [read, wipe])).toEqual({ grant: 'g2', rule: '*' })
  expect(asked([{ ...all, approve: 'destructive' }], ['GRAPHQL mutation volumeCreate'])).toBeNull()
  expect(asked([{ ...all, approve: 'destructive' }], ['GRAPHQL mutation somethingNew'])).not.toBeNull()
  expect(asked([{ ...all, approve: 'destructive' }], ['RPC tools/call unknown'])).not.toBeNull()
  const narrow: Given = { id: 'g1', allow: ['volumes.delete'], approve: 'always' }
  expect(asked([all, narrow], [read])).toBeNull()
  expect(asked([all, narrow], [read, wipe])).toEqual({ grant: 'g1', rule: 'volumes.delete' })
  expect(asked([all, narrow], ['GRAPHQL mutation volume_delete'])).toEqual({ grant: 'g1', rule: 'volumes.delete' })
  // A grant that asks of the request as such.
  expect(asked([all, { id: 'g1', allow: ['POST /graphql'], approve: 'always' }], [read])).toMatchObject({ grant: 'g1' })
})
