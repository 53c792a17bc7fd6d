import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCallIndex, isCallName, readCallPattern, type CallPattern } from './call-pattern.ts'
import { parseOperationPattern } from './operation-pattern.ts'
import type { Reading } from './path-index.ts'

function pattern(text: string): CallPattern {
  const parsed = parseOperationPattern(text)
  if (parsed.kind !== 'call') throw new Error(`${text} is no pattern for calls`)
  return parsed
}

const fits = (text: string, call: string, reading: Reading = 'exact'): boolean =>
  createCallIndex([pattern(text)], reading).find(call) === 0

test('which calls a pattern fits', () => {
  for (const [text, call] of [
    ['GRAPHQL query viewer', 'GRAPHQL query viewer'],
    ['GRAPHQL mutation delete*', 'GRAPHQL mutation deleteRef'],
    ['GRAPHQL mutation *', 'GRAPHQL mutation x'],
    ['GRAPHQL * viewer', 'GRAPHQL subscription viewer'],
    ['GRAPHQL * *', 'GRAPHQL mutation x'],
    ['GRAPHQL field secret', 'GRAPHQL field secret'],
    ['RPC tools/list', 'RPC tools/list'],
    ['RPC tools/*', 'RPC tools/call search'],
    ['RPC tools/call search', 'RPC tools/call search'],
    ['RPC tools/call *', 'RPC tools/call search'],
    ['RPC tools/call get_*', 'RPC tools/call get_issue'],
    ['RPC *', 'RPC tools/call search'],
    ['RPC eth_*', 'RPC eth_call'],
    ['RPC /path/like', 'RPC /path/like'],
    ['RPC a.b:c', 'RPC a.b:c'],
    ['AWS ec2:TerminateInstances', 'AWS ec2:TerminateInstances'],
    ['AWS ec2:Describe*', 'AWS ec2:DescribeInstances'],
    ['AWS ec2:*', 'AWS ec2:TerminateInstances'],
    ['AWS *', 'AWS s3:PutObject'],
  ] as const)
    expect(fits(text, call), `${text} ${call}`).toBe(true)
  for (const [text, call] of [
    ['GRAPHQL query viewer', 'GRAPHQL query viewers'],
    ['GRAPHQL query viewer', 'GRAPHQL mutation viewer'],
    ['GRAPHQL query viewer', 'GRAPHQL query Viewer'],
    ['GRAPHQL * viewer', 'GRAPHQL field viewer'],
    ['GRAPHQL * *', 'GRAPHQL field viewer'],
    ['GRAPHQL * *', 'RPC query'],
    ['RPC tools/list', 'RPC tools/lists'],
    ['RPC tools/call search', 'RPC tools/call search2'],
    ['RPC tools/call search', 'RPC Tools/Call search'],
    ['RPC query', 'GRAPHQL query query'],
    ['AWS ec2:Describe*', 'AWS rds:DescribeInstances'],
    ['AWS ec2:*', 'AWS ec2messages:GetMessages'],
    ['AWS *', 'RPC query'],
  ] as const)
    expect(fits(text, call), `${text} ${call}`).toBe(false)
})

test('read widely, letter case and underscores make no difference', () => {
  expect(fits('RPC tools/call Delete*', 'RPC Tools/CALL deleteAll', 'wide')).toBe(true)
  expect(fits('GRAPHQL mutation volumeDelete', 'GRAPHQL mutation VOLUMEDELETE', 'wide')).toBe(true)
  expect(fits('GRAPHQL mutation volumeDelete', 'GRAPHQL mutation volume_delete', 'wide')).toBe(true)
  expect(fits('GRAPHQL mutation volume_delete', 'GRAPHQL mutation volumeDelete', 'wide')).toBe(true)
  expect(fits('RPC drop_table', 'RPC dropTable', 'wide')).toBe(true)
  expect(fits('GRAPHQL mutation volumeDelete', 'GRAPHQL mutation volume_delete')).toBe(false)
  expect(fits('GRAPHQL mutation volumeDelete', 'GRAPHQL mutation volumeDeleted', 'wide')).toBe(false)
})

test('the first of several patterns counts', () => {
  const index = createCallIndex(
    [null, 'RPC b', 'RPC *', 'RPC a*', 'RPC b'].map((text) => (text === null ? null : pattern(text))),
    'exact',
  )
  expect(['RPC b', 'RPC a', 'GRAPHQL query a'].map(index.find)).toEqual([1, 2, -1])
})

test('malformed patterns name themselves', () => {
  for (const text of [
    'GRAPHQL',
    'GRAPHQL ',
    'GRAPHQL mutation',
    'GRAPHQL mutation ',
    'GRAPHQL Mutation x',
    'GRAPHQL mutation x y',
    'GRAPHQL mutation  x',
    'GRAPHQL mutation x-y',
    'GRAPHQL mutation *x',
    'GRAPHQL mutation x**',
    'GRAPHQL mutation /x',
    'GRAPHQL /graphql',
    'RPC',
    'RPC ',
    'RPC tools/call',
    'RPC tools/call ',
    'RPC tools/list x',
    'RPC tools/call a b',
    'RPC *x',
    'RPC a*b',
    'RPC é',
  ])
    expect(() => parseOperationPattern(text), text).toThrow(JSON.stringify(text))
  expect(parseOperationPattern('RPCX /x').kind).toBe('path')
  expect(parseOperationPattern('graphql.query').kind).toBe('name')
})

test('a pattern with a star fits what begins so, and nothing else', () => {
  const name = fc.stringMatching(/^[!-)+-~]{1,12}$/)
  fc.assert(
    fc.property(name, name, (one, other) => {
      fc.pre(one !== 'tools/call')
      expect(fits(`RPC ${one}*`, `RPC ${other}`)).toBe(other.startsWith(one))
      expect(fits(`RPC ${one}`, `RPC ${other}`)).toBe(one === other)
      expect('fault' in readCallPattern(`RPC ${one}`)).toBe(false)
    }),
  )
})

test('names that a pattern can hold', () => {
  for (const name of ['a', 'tools/call', '$x', '~', 'x'.repeat(256)]) expect(isCallName(name), name).toBe(true)
  for (const name of ['', ' ', 'a b', 'a\n', 'é', '\0', '\u202E', 'x'.repeat(257)])
    expect(isCallName(name), name).toBe(false)
})
