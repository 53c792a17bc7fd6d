import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { signed } from '../fakes/signer.ts'
import { attack, fronts, type Front } from './attack.ts'
import { outcomeOf } from './asking.ts'
import { usePlaces, type Placed } from './place.ts'

/** P7, at AWS: actions of its query and JSON protocols are what a grant allows, and not the `POST /` that all of them are. */

const places = usePlaces(undefined, { approvalWaitMilliseconds: 200 })

function cloud(
  allow: readonly string[],
  more: { readonly deny?: readonly string[]; readonly approve?: 'destructive' } = {},
) {
  return places.place({
    inject: [{ kind: 'sigv4' }],
    fields: { accessKeyId: 'secret', secretAccessKey: 'secret' },
    values: {
      accessKeyId: `AKIA${randomBytes(12).toString('hex').toUpperCase()}`,
      secretAccessKey: randomBytes(30).toString('base64'),
    },
    speaks: [{ path: '/**', language: 'aws' }],
    operations: [
      { name: 'instances.list', match: 'AWS ec2:Describe*', destructive: false },
      { name: 'instances.end', match: 'AWS ec2:TerminateInstances', destructive: true },
    ],
    sealed: ['AWS sts:GetSessionToken'],
    allow,
    ...more,
  })
}

interface Call {
  readonly method?: string
  readonly target?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly service?: string
}

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const json = (target: string) => ({ 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': target })

async function send(front: Front, { held, login }: Placed, call: Call): Promise<string> {
  const { method = 'POST', target = '/', headers = form, body, service = 'ec2' } = call
  const isBase = front.door === 'base-url'
  const written = await signed(
    {
      method,
      host: isBase ? `127.0.0.1:${places.stage.port}` : held.host,
      target: isBase ? `/s/${held.id}${target}` : target,
      headers,
      ...(body === undefined ? {} : { body }),
    },
    {
      accessKeyId: login.placeholder(held, 'accessKeyId'),
      secretAccessKey: login.placeholder(held, 'secretAccessKey'),
    },
    { service, region: 'eu-central-1', at: new Date() },
  )
  const answer = await places.stage.request({
    ...front,
    held,
    login,
    method,
    target,
    headers: Object.entries(written).filter(([name]) => name !== 'host'),
    ...(body === undefined ? {} : { body }),
  })
  return outcomeOf(answer)
}

attack('P7', 'AWS: only the actions that are allowed pass, wherever a protocol puts them', fronts, async (front) => {
  const where = await cloud(['instances.*', 'AWS dynamodb:Get*'], { deny: ['AWS ec2:TerminateInstances'] })
  const passing: readonly Call[] = [
    { method: 'GET', target: '/?Action=DescribeInstances&Version=2016-11-15', headers: {} },
    { body: 'Action=DescribeInstances&Version=2016-11-15' },
    { headers: json('DynamoDB_20120810.GetItem'), body: '{}', service: 'dynamodb' },
  ]
  for (const call of passing) expect(await send(front, where, call), JSON.stringify(call)).toBe('answered 200')
  const { event } = await places.stage.journaled({ kind: 'intent', agent: where.agent, text: 'dynamodb' })
  expect(event).toMatchObject({ operation: 'AWS dynamodb:GetItem', rule: 'AWS dynamodb:Get*' })
  const before = places.upstream.got.length
  const refused: readonly (readonly [Call, string])[] = [
    [{ body: 'Action=TerminateInstances' }, 'operation_denied'],
    [{ body: 'Action=terminateinstances' }, 'operation_denied'],
    [{ body: 'Action=Terminate%49nstances' }, 'operation_denied'],
    [{ body: 'Action=RunInstances' }, 'operation_not_allowed'],
    // The same name at another service is another action.
    [{ body: 'Action=DescribeInstances', service: 'rds' }, 'operation_not_allowed'],
    [{ headers: json('DynamoDB_20120810.DeleteItem'), body: '{}', service: 'dynamodb' }, 'operation_not_allowed'],
    [{ body: 'Action=GetSessionToken', service: 'sts' }, 'operation_sealed'],
    [{ body: 'Action=DescribeInstances&Action=TerminateInstances' }, 'operation_unreadable'],
    [{ target: '/?Action=DescribeInstances', body: 'Action=TerminateInstances' }, 'operation_unreadable'],
    [
      { target: '/?Action=DescribeInstances', headers: json('E.TerminateInstances'), body: '{}' },
      'operation_unreadable',
    ],
    [
      { headers: { ...form, 'x-amz-target': 'E.DescribeInstances' }, body: 'Action=TerminateInstances' },
      'operation_unreadable',
    ],
    [
      { headers: json('E.DescribeInstances'), target: '/service/E/operation/TerminateInstances', body: '{}' },
      'operation_unreadable',
    ],
    [{ body: 'Action=DescribeInstances;Action=TerminateInstances' }, 'operation_unreadable'],
    [{ body: 'Version=2016-11-15' }, 'operation_unreadable'],
    [{ headers: { ...form, 'content-encoding': 'gzip' }, body: 'Action=DescribeInstances' }, 'operation_unreadable'],
  ]
  for (const [call, code] of refused) expect(await send(front, where, call), JSON.stringify(call)).toBe(code)
  expect(places.upstream.got.length).toBe(before)
})

attack('P7', 'AWS: an action that nobody knows counts as destructive, and a person is asked', fronts, async (front) => {
  const where = await cloud(['*'], { approve: 'destructive' })
  expect(await send(front, where, { body: 'Action=DescribeInstances' })).toBe('answered 200')
  const before = places.upstream.got.length
  for (const action of ['TerminateInstances', 'SomethingNew'])
    expect(await send(front, where, { body: `Action=${action}` }), action).toBe('approval_required')
  expect(await send(front, where, { headers: json('E.ListThings'), body: '{}' })).toBe('approval_required')
  expect(places.upstream.got.length).toBe(before)
})
