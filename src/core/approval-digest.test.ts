import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { digestOfApproval, digestOfRequest, type ApprovedRequest } from './approval-digest.ts'

const one: ApprovedRequest = {
  head: {
    method: 'POST',
    scheme: 'https',
    host: 'api.example.test',
    port: 443,
    target: '/orders?dry=no',
    headers: [
      ['host', 'api.example.test'],
      ['content-type', 'application/json'],
    ],
  },
  body: Buffer.from('{"amount":1}'),
  upgrade: '',
  sessionId: 's1',
  agentId: 'a1',
  credentialId: 'c1',
  service: 'revision-of-service',
  grants: 'revision-of-grants',
}

test('the form is that of docs/formats/approval.md', () => {
  const put = (parts: readonly (string | Buffer)[]): Buffer =>
    Buffer.concat(
      parts.flatMap((part) => {
        const bytes = Buffer.from(part)
        const length = Buffer.alloc(8)
        length.writeUInt32BE(bytes.length, 4)
        return [length, bytes]
      }),
    )
  const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex')
  const policy = ['s1', 'a1', 'c1', 'revision-of-service', 'revision-of-grants']
  const line = ['https', 'api.example.test', '443', '/orders?dry=no', 'POST', '']
  const headers = ['2', 'host', 'api.example.test', 'content-type', 'application/json']
  const written = put(['keyward approval 1', ...policy, ...line, ...headers, sha256('{"amount":1}')])
  expect(digestOfRequest(one)).toBe(sha256(written))
  expect(digestOfApproval(sha256(written), 'nonce')).toBe(sha256(put(['keyward approval 1', sha256(written), 'nonce'])))
})

test('anything that differs is another request', () => {
  const { head } = one
  const others: ApprovedRequest[] = [
    { ...one, sessionId: 's2' },
    { ...one, agentId: 'a2' },
    { ...one, credentialId: 'c2' },
    { ...one, service: 'x' },
    { ...one, grants: 'x' },
    { ...one, upgrade: 'websocket' },
    { ...one, body: Buffer.from('{"amount":2}') },
    { ...one, body: new Uint8Array(0) },
    { ...one, head: { ...head, method: 'PUT' } },
    { ...one, head: { ...head, scheme: 'http' } },
    { ...one, head: { ...head, host: 'api.example.tes' } },
    { ...one, head: { ...head, port: 444 } },
    { ...one, head: { ...head, target: '/orders?dry=no&' } },
    { ...one, head: { ...head, headers: [] } },
    { ...one, head: { ...head, headers: head.headers.toReversed() } },
    // The same characters, cut elsewhere.
    { ...one, sessionId: 's', agentId: '1a1' },
    { ...one, head: { ...head, host: 'api.example.test443', port: 4 } },
    {
      ...one,
      head: { ...head, headers: [['hostapi.example.test', ''], ...head.headers.slice(1)] },
    },
  ]
  const digests = [one, ...others].map(digestOfRequest)
  expect(new Set(digests).size).toBe(digests.length)
  expect(digestOfApproval(digests[0] ?? '', 'n')).not.toBe(digestOfApproval(digests[0] ?? '', 'm'))
})
