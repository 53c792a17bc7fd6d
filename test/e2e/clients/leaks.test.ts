import { randomBytes } from 'node:crypto'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { leaksIn, readings } from './leaks.ts'

const secret = `sk-${randomBytes(20).toString('hex')}`

it.each([
  ['text', secret],
  ['hex', Buffer.from(secret).toString('hex')],
  ['Basic', Buffer.from(`user:${secret}`).toString('base64')],
  ['base64 with neighbours', Buffer.from(`{"k":"${secret}","x":1}`).toString('base64')],
  ['base64url with neighbours', Buffer.from(`a${secret}zz`).toString('base64url')],
  ['percent', [...Buffer.from(secret)].map((byte) => `%${byte.toString(16)}`).join('')],
])('finds a secret as %s', (_form, text) => {
  expect(leaksIn(Buffer.from(`before ${text} after`), { key: secret })).not.toEqual([])
})

it('finds nothing where nothing is', () => {
  expect(leaksIn(Buffer.from(`sk-${randomBytes(20).toString('hex')}`), { key: secret })).toEqual([])
})

it.each([
  ['gzip', gzipSync(secret)],
  ['zstd', zstdCompressSync(secret)],
])('reads through chunks and %s', (coding, body) => {
  const chunks = [body.subarray(0, 9), body.subarray(9)].flatMap((part) => [
    Buffer.from(`${part.length.toString(16)}\r\n`),
    part,
    Buffer.from('\r\n'),
  ])
  const answer = Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-encoding: ${coding}\r\n\r\n`),
    ...chunks,
    Buffer.from('0\r\n\r\n'),
  ])
  const read = readings(Buffer.concat([Buffer.from('HTTP/1.1 204 No Content\r\n\r\n'), answer]))
  expect(read.slice(1).flatMap((each) => leaksIn(each, { key: secret }))).toEqual(['key as text'])
})
