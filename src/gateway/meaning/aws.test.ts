import { expect, test } from 'vitest'
import type { HeaderPair, RequestHead } from '../../core/request.ts'
import { callsOfAws } from './aws.ts'
import { parametersOf } from './parameters.ts'
import { isFault } from './tally.ts'

const scope =
  'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261127/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=00'

function actionOf({
  method = 'POST',
  target = '/',
  headers = [],
  body = '',
  authorization = scope,
}: {
  method?: string
  target?: string
  headers?: readonly HeaderPair[]
  body?: string | null
  authorization?: string
}): string {
  const head: RequestHead = {
    method,
    scheme: 'https',
    host: 'ec2.us-east-1.amazonaws.com',
    port: 443,
    target,
    headers: [['authorization', authorization], ...headers],
  }
  const parameters = parametersOf(target)
  if (isFault(parameters)) return parameters.fault
  const calls = callsOfAws(head, parameters, body === null ? null : Buffer.from(body))
  return isFault(calls) ? calls.fault : [...calls.made.keys()].join(', ')
}

const form: readonly HeaderPair[] = [['content-type', 'application/x-www-form-urlencoded; charset=utf-8']]
const json = (target: string): readonly HeaderPair[] => [
  ['content-type', 'application/x-amz-json-1.1'],
  ['x-amz-target', target],
]

test('an action is where one of the protocols of AWS puts it', () => {
  const terminate = 'AWS ec2:TerminateInstances'
  expect(actionOf({ method: 'GET', target: '/?Action=TerminateInstances&Version=2016-11-15' })).toBe(terminate)
  expect(actionOf({ headers: form, body: 'Action=TerminateInstances&InstanceId.1=i-1' })).toBe(terminate)
  expect(actionOf({ headers: form, target: '/?Action=TerminateInstances', body: 'InstanceId.1=i-1' })).toBe(terminate)
  expect(actionOf({ headers: form, body: 'Action=Terminate%49nstances' })).toBe(terminate)
  expect(actionOf({ headers: json('DynamoDB_20120810.GetItem'), body: null })).toBe('AWS ec2:GetItem')
  expect(actionOf({ headers: json('com.amazonaws.x.Service.GetItem'), body: null })).toBe('AWS ec2:GetItem')
  const rpc: readonly HeaderPair[] = [
    ['content-type', 'application/cbor'],
    ['smithy-protocol', 'rpc-v2-cbor'],
  ]
  const target = '/service/GraniteServiceVersion20100801/operation/PutMetricData'
  expect(actionOf({ headers: rpc, target, body: null })).toBe('AWS ec2:PutMetricData')
})

test.each<[string, Parameters<typeof actionOf>[0], RegExp]>([
  ['no action', { method: 'GET', target: '/?Version=1' }, /names no action/],
  ['an action twice in the query', { method: 'GET', target: '/?Action=A&Action=B' }, /Action stands twice/],
  ['an action twice in a form', { headers: form, body: 'Action=A&Action=B' }, /Action stands twice/],
  ['a version twice', { headers: form, body: 'Action=A&Version=1&Version=2' }, /Version stands twice/],
  ['in query and form', { headers: form, target: '/?Action=A', body: 'Action=B' }, /more than one place/],
  ['the same in query and form', { headers: form, target: '/?Action=A', body: 'Action=A' }, /more than one place/],
  ['in header and query', { headers: json('S.A'), target: '/?Action=B', body: null }, /more than one place/],
  [
    'in header and path',
    { headers: [...json('S.A'), ['smithy-protocol', 'rpc-v2-json']], target: '/service/S/operation/B', body: null },
    /not of its protocol|more than one place/,
  ],
  ['in header and form', { headers: [...form, ['x-amz-target', 'S.A']], body: 'Action=B' }, /not declared as JSON/],
  ['two headers', { headers: [...json('S.A'), ['x-amz-target', 'S.B']], body: null }, /not name one action/],
  [
    'a header that looks like it',
    { headers: [...json('S.A'), ['x_amz_target', 'S.B']], body: null },
    /looks like X-Amz-Target/,
  ],
  ['an action in other letters', { method: 'GET', target: '/?Action=A&action=B' }, /looks like Action/],
  ['an action in full width', { method: 'GET', target: '/?%EF%BC%A1ction=B' }, /looks like Action/],
  ['a name that is none', { method: 'GET', target: '/?Action=A%00B' }, /not the name of one/],
  ['an empty name', { method: 'GET', target: '/?Action=' }, /not the name of one/],
  ['a target without a service', { headers: json('GetItem'), body: null }, /not name one action/],
  ['a target with more behind it', { headers: json('S.A,S.B'), body: null }, /not name one action/],
  ['a path without its protocol', { target: '/service/S/operation/B' }, /do not name one action/],
  ['a protocol without its path', { headers: [['smithy-protocol', 'rpc-v2-cbor']] }, /do not name one action/],
  [
    'another body beside a query',
    { target: '/?Action=A', headers: [['content-type', 'text/plain']], body: 'Action=B' },
    /stands beside/,
  ],
  [
    'another charset',
    { headers: [['content-type', 'application/x-www-form-urlencoded; charset=utf-7']], body: 'Action=A' },
    /names no action/,
  ],
  ['a form in other bytes', { headers: form, body: 'Action=A&x=\u00e4' }, /visible ASCII/],
  ['a semicolon in a form', { headers: form, body: 'Action=A;Action=B' }, /semicolon/],
  ['not signed', { method: 'GET', target: '/?Action=A', authorization: 'Bearer x' }, /not signed/],
])('%s is not judged', (_what, request, fault) => {
  expect(actionOf(request)).toMatch(fault)
})
