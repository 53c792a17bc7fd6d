import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { signed } from '../../test/fakes/signer.ts'
import type { HeaderPair } from '../core/request.ts'
import { findPlaceholder, injectCredential, preparedRule } from './placement.ts'
import { SIGNATURE_AGE_MAXIMUM_MILLISECONDS, sigv4 } from './sigv4.ts'

const rule = { kind: 'sigv4' }
const key = (): { accessKeyId: string; secretAccessKey: string } => ({
  accessKeyId: randomBytes(12).toString('hex'),
  secretAccessKey: randomBytes(30).toString('base64'),
})
const mine = key()
const at = Date.UTC(2026, 10, 27, 10, 20, 30)

/** What a caller sends that signs with `mine`, with some headers changed afterwards. */
async function request(changed: readonly HeaderPair[] = [], body = '') {
  const written = await signed(
    { method: 'POST', host: 'api.example.com', target: '/', headers: { 'x-amz-target': 'A.B' }, body },
    mine,
    { service: 'dynamodb', region: 'eu-central-1', at: new Date(at) },
  )
  const headers: HeaderPair[] = Object.entries(written).filter(([name]) => !changed.some(([key]) => key === name))
  headers.push(...changed)
  const head = { method: 'POST', scheme: 'https', host: 'api.example.com', port: 443, target: '/', headers } as const
  return { head, body: Buffer.from(body) }
}

function verify({ head, body }: Awaited<ReturnType<typeof request>>, options = {}, now = at): void {
  const { method, target, headers } = head
  preparedRule({ ...rule, ...options }).proof?.verify({ method, target, headers, body }, mine, now)
}

test('the age of a signature has a bound, either way, to the millisecond', async () => {
  const sent = await request()
  for (const sign of [-1, 1]) {
    verify(sent, {}, at + sign * SIGNATURE_AGE_MAXIMUM_MILLISECONDS)
    expect(() => verify(sent, {}, at + sign * (SIGNATURE_AGE_MAXIMUM_MILLISECONDS + 1))).toThrow(
      expect.objectContaining({ code: 'signature_expired' }),
    )
  }
})

test.each([
  ['no date', 'x-amz-date', ''],
  ['another form of it', 'x-amz-date', 'Fri, 27 Nov 2026 10:20:30 GMT'],
  ['a day that does not exist', 'x-amz-date', '20261131T102030Z'],
  ['the day before', 'x-amz-date', '20261126T235959Z'],
])('%s is refused', async (_what, name, value) => {
  const sent = await request([[name, value]])
  expect(() => verify(sent)).toThrow(expect.objectContaining({ code: 'signature_invalid' }))
})

test.each(['x-amz-date', 'x-amz-content-sha256', 'authorization'])('%s twice is refused', async (name) => {
  const { head, body } = await request([['x-amz-content-sha256', 'UNSIGNED-PAYLOAD']])
  const again: HeaderPair[] = head.headers.filter(([key]) => key === name)
  const twice = { head: { ...head, headers: [...head.headers, ...again] }, body }
  expect(() => verify(twice, { unsignedPayload: true })).toThrow(expect.objectContaining({ code: 'signature_invalid' }))
})

test('whose signature it claims to be is found, and nothing where nobody signed', async () => {
  const { head, body } = await request()
  expect(findPlaceholder(head, { inject: [rule] }, body)).toMatchObject({
    field: 'accessKeyId',
    text: mine.accessKeyId,
  })
  const plain = { ...head, headers: head.headers.filter(([name]) => name !== 'authorization') }
  expect(findPlaceholder(plain, { inject: [rule] }, body)).toBeNull()
})

test('the body is asked for where it was signed', async () => {
  const reads = sigv4.prepare({}).readsBody
  expect(reads?.((await request()).head)).toBe(true)
  expect(reads?.((await request([['x-amz-content-sha256', 'UNSIGNED-PAYLOAD']])).head)).toBe(false)
  expect(reads?.((await request([['authorization', 'Bearer x']])).head)).toBe(false)
})

test('what the gateway has taken out of the request is not signed again', async () => {
  const written = await signed(
    { method: 'GET', host: 'api.example.com', target: '/b/k', headers: { range: 'bytes=0-1', 'content-length': '0' } },
    mine,
    { service: 's3', region: 'eu-central-1', at: new Date(at) },
  )
  const headers: HeaderPair[] = Object.entries(written).filter(([name]) => name !== 'range')
  const head = { method: 'GET', scheme: 'https', host: 'api.example.com', port: 443, target: '/b/k', headers } as const
  const after = injectCredential({ head, body: null }, rule, key())
  expect(after.head.headers.find(([name]) => name === 'authorization')?.[1]).toContain('SignedHeaders=host;x-amz-date,')
})

test('a key id that would make another header of it is not injected', async () => {
  const sent = await request()
  for (const accessKeyId of ['a/b', 'a,b', 'a b'])
    expect(() => injectCredential(sent, rule, { ...key(), accessKeyId })).toThrow(
      expect.objectContaining({ code: 'secret_not_injectable' }),
    )
})
