import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  callsOfGraphqlBody,
  callsOfGraphqlQuery,
  DOCUMENT_MAXIMUM_DEPTH,
  DOCUMENT_TOKENS_MAXIMUM_COUNT,
  DOCUMENTS_MAXIMUM_LENGTH,
} from './graphql.ts'
import { parametersOf } from './parameters.ts'
import { CALLS_MAXIMUM_COUNT, isFault } from './tally.ts'

/** The calls of a body, each as often as it is made, or `fault: …`. */
function read(body: unknown): string[] | string {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const calls = callsOfGraphqlBody(Buffer.from(text), 'json')
  return isFault(calls) ? `fault: ${calls.fault}` : [...calls.made].flatMap(([call, count]) => Array(count).fill(call))
}

const asked = (query: string, beside: object = {}): string[] | string => read({ query, ...beside })
const fieldsOf = (query: string): string[] => {
  const calls = callsOfGraphqlBody(Buffer.from(JSON.stringify({ query })), 'json')
  if (isFault(calls)) throw new Error(calls.fault)
  return [...calls.touched].map((field) => field.replace('GRAPHQL field ', '')).toSorted()
}

test('the fields of the outermost level, whatever leads to them', () => {
  for (const [query, calls] of [
    ['{ a }', ['GRAPHQL query a']],
    ['query { a b }', ['GRAPHQL query a', 'GRAPHQL query b']],
    ['mutation M { x: a y: a }', ['GRAPHQL mutation a', 'GRAPHQL mutation a']],
    ['subscription { s }', ['GRAPHQL subscription s']],
    ['mutation { ... { a } ... on Mutation { b } }', ['GRAPHQL mutation b', 'GRAPHQL mutation a']],
    [
      'mutation { ...F } fragment F on Mutation { a ...G } fragment G on Mutation { b }',
      ['GRAPHQL mutation a', 'GRAPHQL mutation b'],
    ],
    ['mutation { ...F ...F } fragment F on Mutation { a }', ['GRAPHQL mutation a']],
    ['{ ...F } fragment F on Query { a ...G } fragment G on Query { b ...F }', ['GRAPHQL query a', 'GRAPHQL query b']],
    [
      'query($v: Boolean!) { a @skip(if: $v) b @include(if: false) ...F @include(if: false) } fragment F on Query { c }',
      ['GRAPHQL query a', 'GRAPHQL query b', 'GRAPHQL query c'],
    ],
    ['{ a(x: "} mutation { b }", y: """{ c }""") { d } } # { e }', ['GRAPHQL query a']],
    ['{ a } fragment Unused on Query { b }', ['GRAPHQL query a']],
    ['{a,b}\r\n', ['GRAPHQL query a', 'GRAPHQL query b']],
    ['{ __schema { types { name } } __typename }', ['GRAPHQL query __schema', 'GRAPHQL query __typename']],
    ['{ mutation }', ['GRAPHQL query mutation']],
    ['query mutation { query }', ['GRAPHQL query query']],
  ] as const)
    expect(asked(query), query).toEqual(calls)
})

test('fields at any depth, by their names and not by their aliases', () => {
  expect(fieldsOf('{ a { x: secret { b } ...F } } fragment F on T { c ... { d } }')).toEqual([
    'a',
    'b',
    'c',
    'd',
    'secret',
  ])
  expect(fieldsOf('{ secret: a }')).toEqual(['a'])
})

test('which operation of several is meant', () => {
  const query = 'query A { a } mutation B { b }'
  expect(asked(query, { operationName: 'A' })).toEqual(['GRAPHQL query a'])
  expect(asked(query, { operationName: 'B' })).toEqual(['GRAPHQL mutation b'])
  expect(asked('query A { a }', { operationName: null })).toEqual(['GRAPHQL query a'])
  expect(asked('query A { a }', { operationName: '' })).toEqual(['GRAPHQL query a'])
  for (const operationName of [undefined, null, '', 'C', 'a', 1])
    expect(asked(query, { operationName }), String(operationName)).toContain('fault')
  expect(asked('query A { a }', { operationName: 'B' })).toContain('fault')
  expect(asked('query A { a } mutation A { b }', { operationName: 'A' })).toContain('fault')
  expect(asked('{ a } mutation B { b }', { operationName: 'B' })).toContain('fault')
  expect(asked('{ a } { b }')).toContain('fault')
})

test('a list of requests is all of them', () => {
  expect(read([{ query: '{ a }' }, { query: 'mutation { b }' }])).toEqual(['GRAPHQL query a', 'GRAPHQL mutation b'])
  for (const body of [
    [],
    [{ query: '{ a }' }, 1],
    [{ query: '{ a }' }, null],
    [[{ query: '{ a }' }]],
    [{ query: '{ a }' }, {}],
  ])
    expect(read(body), JSON.stringify(body)).toContain('fault')
})

test('a stored query, and every member beyond the four, is refused', () => {
  const query = '{ a }'
  const sha256Hash = createHash('sha256').update(query).digest('hex')
  for (const body of [
    {},
    { query: '' },
    { query: null },
    { query: 1 },
    { query: [query] },
    { query: '   ' },
    { query: '# nothing' },
    { extensions: { persistedQuery: { version: 1, sha256Hash } } },
    { query, extensions: { persistedQuery: { version: 1, sha256Hash: 'ab' } } },
    { query, extensions: { persistedQuery: { version: 1 } } },
    { query, extensions: { persistedQuery: sha256Hash } },
    { query, extensions: { persistedquery: { sha256Hash } } },
    { query, extensions: { persistedQuery: { sha256Hash }, documentId: 'x' } },
    { query, extensions: [] },
    { query, variables: [] },
    { query, variables: '{}' },
    { query, id: 'x' },
    { query, documentId: null },
    { query, Query: query },
    { query, _json: [] },
    { query, operations: {} },
    'null',
    '"query"',
    query,
  ])
    expect(read(body), JSON.stringify(body)).toContain('fault')
  expect(read({ query, extensions: { persistedQuery: { version: 1, sha256Hash } }, variables: null })).toEqual([
    'GRAPHQL query a',
  ])
  expect(read({ query, extensions: { clientLibrary: { name: 'x' } }, variables: { id: 1 } })).toEqual([
    'GRAPHQL query a',
  ])
})

test('a document that is none, or more than operations, is refused', () => {
  for (const query of [
    '{',
    '{ }',
    'mutation { ... { } }',
    '{ ...F } fragment F on Query { ...F }',
    '}{',
    'mutation',
    '{ a } }',
    '{ ...F }',
    '{ ...F } fragment G on Query { a }',
    '{ ...F } fragment F on Query { a } fragment F on Query { b }',
    'type Query { a: Int }',
    '{ a } type B { c: Int }',
    'extend type Query { a: Int }',
    'fragment F on Query { a }',
    'MUTATION { a }',
    '{ a(x: "\n") }',
    '{ a(x: "\\q") }',
    '{ \u0430 }\u0000',
  ])
    expect(asked(query), query).toContain('fault')
})

test('what another lexer reads in another way is refused', () => {
  for (const query of [
    '{ a # \r mutation { b } \n }',
    '{ a # \u2028 b \n }',
    '{ a # \u2029 b \n }',
    '{ a # \u0085 b \n }',
    '\uFEFF{ a }',
    '{ a(x: ["""a"""" ]) } ) "]) }',
    '{ a(x: """a\\\\""" """ ) }',
    '{ a(x: "", y: """"""" ) }',
    '{ a # "\n }',
    '{ a } # "',
    '{ a(x: """ " """) }',
    '{ a(x: """ \\""" """) }',
    '{ a(x: "a\\\\") }',
    '{ a(x: ["a""b"]) }',
    '{ a(x: ["" """b"""]) b(y: [""""b"""]) }',
    // To graphql-ruby's scanner of quotes, a comment that goes on over the beginning of a block text.
    '{ safe(x: 1, z: [2\n# "\n""" # "\n]) del(w: [3\n# "\n""" # "\n]) }',
    '{ safe(x: "a\\\\", z: [2 # \n""" # "\n]) del(w: [3 # \n""" # "\n]) }',
  ])
    expect(asked(query), query).toContain('fault')
  for (const query of [
    '{ a(x: "\\"b\\"", y: "\\\\n") }',
    '{ a(x: """b\nc""", y: "") }',
    '{ a(x: ["", "b"]) } # it’s fine',
  ])
    expect(asked(query), query).toEqual(['GRAPHQL query a'])
})

test('documents are bounded before they are read', () => {
  const nested = (open: string, close: string, depth: number): string => `${open.repeat(depth)}${close.repeat(depth)}`
  for (const query of [
    `{ a(x: ${nested('[', ']', DOCUMENT_MAXIMUM_DEPTH)}) }`,
    `{ a(x: ${nested('[', ']', 100_000)}) }`,
    nested('{a', '}', 100_000),
    `{ a(x: ${nested('{x:', '}', 50_000)}) }`,
    `query($v: ${nested('[', ']', 100_000)}) { a }`,
    `{ ${'a '.repeat(DOCUMENT_TOKENS_MAXIMUM_COUNT)} }`,
    `{ ${'a '.repeat(CALLS_MAXIMUM_COUNT + 1)} }`,
    `{ ${'a'.repeat(257)} }`,
    `${'}'.repeat(1_000)}${nested('{a', '}', 100_000)}`,
  ])
    expect(asked(query), query.slice(0, 40)).toContain('fault')
  expect(asked(`{ ${'a '.repeat(CALLS_MAXIMUM_COUNT)} }`)).toHaveLength(CALLS_MAXIMUM_COUNT)
  const chain = Array.from({ length: 1_000 }, (_, at) => `fragment F${at} on Q { ...F${at + 1} }`).join(' ')
  expect(asked(`{ ...F0 } ${chain} fragment F1000 on Q { a }`)).toEqual(['GRAPHQL query a'])
  const comments = '#\n'.repeat(DOCUMENTS_MAXIMUM_LENGTH / 2 - 4)
  expect(asked(`${comments}{ a }`)).toEqual(['GRAPHQL query a'])
  expect(asked(`${comments}#\n#\n{ a }`)).toContain('fault')
  const half = `{ a } ${' '.repeat(DOCUMENTS_MAXIMUM_LENGTH / 2)}`
  expect(asked(half)).toEqual(['GRAPHQL query a'])
  expect(read([{ query: half }, { query: half }])).toContain('fault')
})

test('a document alone', () => {
  const text = (bytes: Uint8Array) => callsOfGraphqlBody(bytes, 'text')
  expect(text(Buffer.from('mutation { a }'))).toMatchObject({ made: new Map([['GRAPHQL mutation a', 1]]) })
  expect(text(Buffer.from('\uFEFF{ a }'))).toHaveProperty('fault')
  expect(text(Buffer.from([0x7b, 0xff, 0x7d]))).toHaveProperty('fault')
  expect(text(Buffer.from('query A { a } mutation B { b }'))).toHaveProperty('fault')
})

function inQuery(query: string): unknown {
  const parameters = parametersOf(`/graphql?${query}`)
  return isFault(parameters) ? parameters : callsOfGraphqlQuery(parameters)
}

test('a request in a query', () => {
  expect(inQuery('query=%7Ba%7D&variables=&operationName=&extensions=null')).toMatchObject({
    made: new Map([['GRAPHQL query a', 1]]),
  })
  expect(inQuery('query=%7B+a%2Cb+%7D&variables=%7B%22x%22:1%7D')).toMatchObject({
    made: new Map([
      ['GRAPHQL query a', 1],
      ['GRAPHQL query b', 1],
    ]),
  })
  expect(inQuery('query=mutation%7Ba%7D')).toBe('mutation')
  expect(inQuery('query=query+A%7Ba%7Dmutation+B%7Bb%7D&operationName=B')).toBe('mutation')
  for (const query of [
    'query=%7Ba%7D&query=%7Ba%7D',
    'query=%7Ba%7D&variables=%7B',
    'query=%7Ba%7D&variables=%7B%22a%22:1,%22a%22:2%7D',
    'query=%7Ba%7D&variables=[]',
    'query=%7Ba%7D&extensions=1',
    'query=%7Ba%7D&a=1',
    'query=%7Ba%7D&',
    'query=%7Ba%7D;a',
    'query=%7Ba%ff%7D',
    'query[]=%7Ba%7D',
    'Query=%7Ba%7D',
    'query',
    'variables=%7B%7D',
    'id=1',
  ])
    expect(inQuery(query), query).toHaveProperty('fault')
})

test('whatever is written where, a mutation is found by the name of its field', () => {
  const name = fc.stringMatching(/^[a-z][a-zA-Z0-9_]{0,8}$/)
  const ignored = fc.stringMatching(/^[ ,\n\t]{1,4}$/)
  fc.assert(
    fc.property(name, name, ignored, fc.nat(3), fc.string(), (field, alias, blank, depth, text) => {
      const inner = `${alias}:${blank}${field}(x:${JSON.stringify(text.replaceAll(/[^ -~]|["\\]/g, '.'))})`
      const query = `mutation${blank}{${`...${blank}on${blank}M{`.repeat(depth)}${inner}${'}'.repeat(depth)}}`
      expect(asked(query), query).toEqual([`GRAPHQL mutation ${field}`])
    }),
  )
})

test('no text makes the reader fail in another way than by a fault', () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '(',
    ')',
    '[',
    ']',
    '"',
    '"""',
    '\\',
    '#',
    '\n',
    '\r',
    '...',
    'on',
    'query',
    'mutation',
    'fragment',
    'F',
    'a',
    ':',
    '$',
    '@',
    '!',
    '1',
    '-',
    '.',
    '\uFEFF',
    '\uD800',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const answer = asked(pieces.join(''))
      expect(typeof answer === 'string' ? answer.startsWith('fault: ') : answer.length > 0).toBe(true)
    }),
    { numRuns: 500 },
  )
})
