import fc from 'fast-check'
import { expect, test } from 'vitest'
import { callsOfRpcBody, rpcParametersFault } from './json-rpc.ts'
import { parametersOf } from './parameters.ts'
import { CALLS_MAXIMUM_COUNT, isFault } from './tally.ts'

function read(body: unknown): string[] | string {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const calls = callsOfRpcBody(Buffer.from(text))
  return isFault(calls) ? `fault: ${calls.fault}` : [...calls.made].flatMap(([call, count]) => Array(count).fill(call))
}

const call = (method: unknown, params?: unknown, beside: object = {}): object => ({
  jsonrpc: '2.0',
  id: 1,
  method,
  ...(params === undefined ? {} : { params }),
  ...beside,
})

test('the method of a call, and the tool of a call of a tool', () => {
  for (const [message, name] of [
    [call('tools/list'), 'RPC tools/list'],
    [call('eth_call', [1, 2]), 'RPC eth_call'],
    [call('a.b', {}), 'RPC a.b'],
    [call('tools/call', { name: 'search', arguments: { name: 'delete' } }), 'RPC tools/call search'],
    [call('tools/call', { arguments: {}, name: 'search' }), 'RPC tools/call search'],
    [call('Tools/Call', { name: 'search' }), 'RPC Tools/Call search'],
    [{ jsonrpc: '2.0', method: 'notifications/initialized' }, 'RPC notifications/initialized'],
    [call('x', undefined, { id: null }), 'RPC x'],
    [call('x', undefined, { id: 'a' }), 'RPC x'],
    [call('x', undefined, { _meta: {} }), 'RPC x'],
  ] as const)
    expect(read(message), JSON.stringify(message)).toEqual([name])
})

test('a batch is all of its calls, notifications among them', () => {
  const batch = [call('a'), { jsonrpc: '2.0', method: 'b' }, call('tools/call', { name: 'c' }), call('a')]
  expect(read(batch)).toEqual(['RPC a', 'RPC a', 'RPC b', 'RPC tools/call c'])
  expect(read(Array(CALLS_MAXIMUM_COUNT).fill(call('a')))).toHaveLength(CALLS_MAXIMUM_COUNT)
  expect(read(Array(CALLS_MAXIMUM_COUNT + 1).fill(call('a')))).toContain('fault')
})

test('what is no plain call is refused', () => {
  for (const message of [
    '',
    'null',
    '1',
    [],
    [[]],
    [call('a'), null],
    [call('a'), [call('b')]],
    {},
    { jsonrpc: '2.0', id: 1 },
    { jsonrpc: '2.0', id: 1, result: {} },
    { method: 'a', id: 1 },
    { jsonrpc: '1.0', method: 'a', id: 1 },
    { jsonrpc: 2, method: 'a', id: 1 },
    call(1),
    call(null),
    call(['a']),
    call(''),
    call('a b'),
    call('a\u0000'),
    call('dé'),
    call('ａ'),
    call('x'.repeat(300)),
    call('a', 'x'),
    call('a', null),
    call('a', {}, { id: {} }),
    call('a', {}, { id: true }),
    call('a', {}, { Method: 'b' }),
    call('a', {}, { PARAMS: {} }),
    call('a', {}, { 'param\u017F': {} }),
    call('a', {}, { ｍethod: 'b' }),
    call('tools/call'),
    call('tools/call', []),
    call('tools/call', ['search']),
    call('tools/call', {}),
    call('tools/call', { name: 1 }),
    call('tools/call', { name: '' }),
    call('tools/call', { name: 'a b' }),
    call('tools/call', { name: 'search', Name: 'delete' }),
    call('TOOLS/CALL', {}),
    '{"jsonrpc":"2.0","method":"a","method":"b"}',
    '{"jsonrpc":"2.0","method":"a","meth\\u006fd":"b"}',
    '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a","name":"b"}}',
    `${JSON.stringify(call('a'))}${JSON.stringify(call('b'))}`,
    `\uFEFF${JSON.stringify(call('a'))}`,
  ])
    expect(read(message), JSON.stringify(message)).toContain('fault')
})

test('a query that names what a call is made of', () => {
  const fault = (query: string): unknown => {
    const parameters = parametersOf(`/rpc?${query}`)
    return isFault(parameters) ? parameters : rpcParametersFault(parameters)
  }
  for (const query of [
    'method=x',
    'a=1&Method=x',
    '%6dethod=x',
    'params[name]=x',
    'params.name=x',
    '_json[]=x',
    'jsonrpc=2.0',
    '+method=x',
    'a;method=x',
    '%ff=1',
  ])
    expect(fault(query), query).toHaveProperty('fault')
  for (const query of ['', 'sessionId=1', 'name=x', 'methods=x', 'project_ref=a&read_only=true'])
    expect(fault(query), query).toBeNull()
})

test('every method that a pattern can hold is read as it is, however it is escaped', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[!-~]{1,20}$/), fc.boolean(), (method, isEscaped) => {
      fc.pre(method.toLowerCase() !== 'tools/call')
      const written = isEscaped
        ? `"${Array.from(method, (character) => `\\u00${character.charCodeAt(0).toString(16)}`).join('')}"`
        : JSON.stringify(method)
      expect(read(`{"method":${written},"jsonrpc":"2.0"}`)).toEqual([`RPC ${method}`])
    }),
  )
})
