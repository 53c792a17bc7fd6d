import { connect as connectTls } from 'node:tls'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HELLO_MAXIMUM_BYTES, readServerName } from './server-name.ts'

/** The first flight that Node's own TLS client sends. */
function helloFor(servername: string): Promise<Buffer> {
  return new Promise((done) => {
    const wire = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, next) {
        done(chunk)
        next()
      },
    })
    const client = connectTls({ socket: wire, ...(servername === '' ? {} : { servername }) })
    client.on('error', () => undefined)
  })
}

test('reads the name that a real client sends, lower-case', async () => {
  expect(readServerName(await helloFor('API.Example.Test'))).toEqual({ state: 'read', serverName: 'api.example.test' })
})

test('a client without a name sends none', async () => {
  expect(readServerName(await helloFor(''))).toEqual({ state: 'read', serverName: null })
})

test('asks for more at every cut, and never reads a name from a part', async () => {
  const hello = await helloFor('api.example.test')
  for (let end = 0; end < hello.byteLength; end += 1) expect(readServerName(hello.subarray(0, end)).state).toBe('more')
})

test('a name split over records is read whole', async () => {
  const hello = await helloFor('api.example.test')
  const body = hello.subarray(5)
  const record = (part: Buffer) =>
    Buffer.concat([Buffer.from([22, 3, 1, part.byteLength >> 8, part.byteLength & 255]), part])
  for (const cut of [1, 3, 4, 50, body.byteLength - 1]) {
    const split = Buffer.concat([record(body.subarray(0, cut)), record(body.subarray(cut))])
    expect(readServerName(split)).toEqual({ state: 'read', serverName: 'api.example.test' })
  }
})

test('two server names are refused', async () => {
  const hello = await helloFor('api.example.test')
  const at = hello.indexOf('api.example.test')
  // The extension starts 9 bytes before the name: type, length, list length, kind, name length.
  const extension = hello.subarray(at - 9, at + 16)
  const twice = Buffer.concat([hello, extension])
  twice.writeUInt16BE(twice.readUInt16BE(3) + extension.byteLength, 3)
  twice.writeUIntBE(twice.readUIntBE(6, 3) + extension.byteLength, 6, 3)
  const extensionsAt = 5 + 4 + 2 + 32 + 1 + (twice[43] ?? 0)
  const ciphers = twice.readUInt16BE(extensionsAt)
  const lengthAt = extensionsAt + 2 + ciphers + 2
  twice.writeUInt16BE(twice.readUInt16BE(lengthAt) + extension.byteLength, lengthAt)
  expect(readServerName(twice)).toEqual({ state: 'refused' })
})

test('arbitrary bytes never throw and never pass the bound', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(['more', 'read', 'refused']).toContain(readServerName(Uint8Array.from([22, 3, 1, ...bytes])).state)
    }),
  )
  expect(readServerName(Buffer.alloc(HELLO_MAXIMUM_BYTES + 1, 22)).state).toBe('refused')
})
