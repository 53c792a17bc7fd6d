import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { FirstObject, handsOutCredential, isTypeOfHandedOut } from './handed-out.ts'

const made = randomBytes(20).toString('hex')
const judged = (value: unknown): boolean => handsOutCredential(Buffer.from(JSON.stringify(value)))

test('R14: the published shapes of a credential that is handed out', () => {
  for (const value of [
    { access_token: made, token_type: 'Bearer', expires_in: 3600 },
    { refresh_token: made },
    { client_id: 'a', client_secret: made, client_secret_expires_at: 0 },
    { type: 'service_account', private_key: made, client_email: 'a@b.example' },
    { name: 'projects/a/keys/b', privateKeyData: made },
    { Credentials: { AccessKeyId: 'A', SecretAccessKey: made } },
    {
      AssumeRoleResponse: { AssumeRoleResult: { Credentials: { AccessKeyId: 'A', SecretAccessKey: made } } },
    },
    { AccessKeyId: 'A', SecretAccessKey: made },
  ])
    expect(judged(value), Object.keys(value).join()).toBe(true)
  for (const text of [
    `<AssumeRoleResponse><Credentials><SecretAccessKey>${made}</SecretAccessKey></Credentials></AssumeRoleResponse>`,
    `<?xml version="1.0"?>\n<a:SecretAccessKey>\n ${made}</a:SecretAccessKey>`,
    `access_token=${made}&scope=repo&token_type=bearer`,
    `\r\n {"access\\u005ftoken": "${made}", "token_type": "bearer"}\n`,
    `{"access_token": "${made}", "token_type": "bearer"}\n{"more": 1}`,
  ])
    expect(handsOutCredential(Buffer.from(text)), text.slice(0, 20)).toBe(true)
})

test('what only looks like it passes', () => {
  for (const value of [
    { id: 'pi_1', object: 'payment_intent', client_secret: made },
    { access_token: made },
    { access_token: null, token_type: 'bearer', refresh_token: '' },
    { private_key: '', client_email: 'a@b.example' },
    { usage: { prompt_tokens: 1 }, choices: [{ message: { content: '{"access_token":"x","token_type":"y"}' } }] },
    [{ access_token: made, token_type: 'bearer' }],
    { token_type: 'bearer', active: true, scope: 'a' },
    { AccessKeyMetadata: [{ AccessKeyId: 'A' }] },
    { properties: { access_token: { type: 'string' }, token_type: { type: 'string' } } },
  ])
    expect(judged(value), JSON.stringify(value).slice(0, 40)).toBe(false)
  for (const text of ['', ' ', 'access_token=x', '<SecretAccessKey/>', '{"access_token":', 'a refresh_token=b'])
    expect(handsOutCredential(Buffer.from(text)), text).toBe(false)
})

test('an answer can be judged where its first object ends, wherever it is cut', () => {
  for (const [text, at] of [
    ['{"a":{"b":"}\\"}"}}', 18],
    [' \r\n{}{}', 5],
    ['[{"a":1}]', 1],
    ['"text"', 1],
    ['<a></a>', null],
    ['a=b', null],
    ['  ', null],
    ['{"a":"b', null],
  ] as const) {
    const object = new FirstObject()
    const ended = [...Buffer.from(text)].findIndex((byte) => object.push(Uint8Array.of(byte)))
    expect(ended < 0 ? null : ended + 1, text).toBe(at)
  }
})

test('the types in which credentials are handed out', () => {
  for (const type of ['application/json', 'Application/JSON; charset=utf-8', 'application/scim+json', 'text/xml'])
    expect(isTypeOfHandedOut([['content-type', type]]), type).toBe(true)
  for (const type of ['text/event-stream', 'application/x-ndjson', 'application/jsonl', 'application/json-seq'])
    expect(isTypeOfHandedOut([['content-type', type]]), type).toBe(false)
})
