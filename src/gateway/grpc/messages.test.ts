import { randomBytes } from 'node:crypto'
import { deflateSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { needlesOf } from '../../core/needles.ts'
import {
  COMPRESSED_MESSAGE_MAXIMUM_BYTES,
  isGrpc,
  messageCoding,
  MessageScrubber,
  scrubBinary,
  type MessageCoding,
} from './messages.ts'

const secret = randomBytes(24).toString('base64url')
const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: 'short' }])
const mask = 'x'.repeat(secret.length)

function message(payload: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt8(flag, 0)
  prefix.writeUInt32BE(payload.length, 1)
  return Buffer.concat([prefix, payload])
}

async function scrubbed(
  chunks: readonly Uint8Array[],
  coding: MessageCoding = 'identity',
): Promise<{ bytes: Buffer; hits: number }> {
  const out: Uint8Array[] = []
  const scrubber = new MessageScrubber(needles, coding, (piece) => void out.push(piece))
  for (const chunk of chunks) await scrubber.push(chunk)
  scrubber.end()
  return { bytes: Buffer.concat(out), hits: scrubber.hits }
}

test('a secret is overwritten at its own length, wherever the bytes are cut', async () => {
  const all = Buffer.concat([
    message(Buffer.from(`a ${secret} b`)),
    message(Buffer.alloc(0)),
    message(Buffer.from(secret)),
  ])
  const clean = Buffer.concat([
    message(Buffer.from(`a ${mask} b`)),
    message(Buffer.alloc(0)),
    message(Buffer.from(mask)),
  ])
  for (let at = 0; at <= all.length; at++)
    expect(await scrubbed([all.subarray(0, at), all.subarray(at)])).toEqual({ bytes: clean, hits: 2 })
  expect(await scrubbed(Array.from(all, (byte) => Buffer.of(byte)))).toEqual({ bytes: clean, hits: 2 })
})

test('occurrences that overlap, and forms of the secret, keep their length too', async () => {
  for (const text of [
    secret + secret,
    Buffer.from(secret).toString('base64'),
    Buffer.from(secret).toString('hex'),
    secret.slice(0, 10) + secret,
    `${encodeURIComponent(secret)}%41`,
  ]) {
    const { bytes, hits } = await scrubbed([message(Buffer.from(text))])
    expect(bytes.length).toBe(5 + Buffer.byteLength(text))
    expect(bytes.readUInt32BE(1)).toBe(Buffer.byteLength(text))
    expect(hits).toBeGreaterThan(0)
    expect(bytes.toString()).not.toContain(secret)
  }
})

test('the end of a message waits for no other message', () => {
  const out: Uint8Array[] = []
  const scrubber = new MessageScrubber(needles, 'identity', (piece) => void out.push(piece))
  const whole = message(Buffer.from(secret.slice(0, 12)))
  void scrubber.push(whole)
  expect(Buffer.concat(out)).toEqual(whole)
})

test.each(['gzip', 'deflate'] as const)('a message in %s goes on without it', async (coding) => {
  const code = coding === 'gzip' ? gzipSync : deflateSync
  const all = Buffer.concat([message(code(`a ${secret}`), 1), message(Buffer.from('plain')), message(code('b'), 1)])
  const clean = Buffer.concat([
    message(Buffer.from(`a ${mask}`)),
    message(Buffer.from('plain')),
    message(Buffer.from('b')),
  ])
  for (let at = 0; at <= all.length; at += 3)
    expect(await scrubbed([all.subarray(0, at), all.subarray(at)], coding)).toEqual({ bytes: clean, hits: 1 })
})

test.each<[string, readonly Uint8Array[], MessageCoding, string]>([
  ['cut in its prefix', [message(Buffer.from('abc')).subarray(0, 3)], 'identity', 'upstream_broken'],
  ['cut in its middle', [message(Buffer.from('abc')).subarray(0, 7)], 'identity', 'upstream_broken'],
  ['with an unknown mark', [message(Buffer.from('abc'), 2)], 'identity', 'upstream_broken'],
  ['compressed in no way that was named', [message(gzipSync('a'), 1)], 'identity', 'upstream_broken'],
  ['that is not what it says', [message(Buffer.from('abc'), 1)], 'gzip', 'answer_withheld'],
  [
    'that is a bomb',
    [message(gzipSync(Buffer.alloc(COMPRESSED_MESSAGE_MAXIMUM_BYTES + 1)), 1)],
    'gzip',
    'answer_withheld',
  ],
  ['that is announced as too large to hold', [Buffer.from([1, 0x7f, 0, 0, 0])], 'gzip', 'answer_withheld'],
])('a message %s is not passed on', async (_name, chunks, coding, code) => {
  await expect(scrubbed(chunks, coding)).rejects.toMatchObject({ code })
})

test('what is gRPC, and how it is compressed', () => {
  for (const type of [
    'application/grpc',
    'application/grpc+proto',
    'Application/gRPC; a=b',
    'application/grpc-web+proto',
  ])
    expect(isGrpc([['content-type', type]])).toBe(true)
  for (const type of ['application/grpcish', 'application/json', 'application/grpc-web-text'])
    expect(isGrpc([['content-type', type]])).toBe(false)
  expect(messageCoding([])).toBe('identity')
  expect(messageCoding([['grpc-encoding', 'gzip']])).toBe('gzip')
  expect(messageCoding([['grpc-encoding', 'snappy']])).toBeNull()
  expect(
    messageCoding([
      ['grpc-encoding', 'gzip'],
      ['grpc-encoding', 'gzip'],
    ]),
  ).toBeNull()
})

test('binary metadata keeps the lengths within it, at every alignment and with and without padding', () => {
  for (let before = 0; before < 3; before++)
    for (let after = 0; after < 3; after++)
      for (const strip of [true, false]) {
        const message = `${'a'.repeat(before)}${secret}${'b'.repeat(after)}`
        const value = Buffer.from(message)
          .toString('base64')
          .replace(strip ? /=+$/ : /$/, '')
        const clean = scrubBinary(needles, 'grpc-status-details-bin', value)
        expect(Buffer.from(clean?.text ?? '', 'base64').toString()).toBe(message.replace(secret, mask))
        expect(clean?.text.length).toBe(value.length)
      }
  expect(scrubBinary(needles, 'x-plain', secret)).toBeNull()
  expect(scrubBinary(needles, 'x-bin', 'none')).toBeNull()
})
