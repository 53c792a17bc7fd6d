import { createServer, connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { Front } from '../codec.ts'
import { nowhere } from '../peer-gate.ts'
import { FloodGauge, IDLE_FRAMES_MAXIMUM_COUNT, IDLE_FRAMES_PER_SECOND, RESETS_MAXIMUM_COUNT } from './flood.ts'
import { FrameReader, frameType, PREFACE, type Frame } from './frames.ts'
import { createHttp2Codec } from './server.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

const preface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
])

/** A connection to the codec alone, with times that a test can wait for. */
async function talk(times: { head: number; keepAlive: number; silence: number }): Promise<{
  socket: Socket
  refused: string[]
  closed: Promise<void>
}> {
  const refused: string[] = []
  const front: Front = {
    request: () => undefined,
    connect: () => undefined,
    preface: () => undefined,
    async malformed(_connection, refusal) {
      refused.push(refusal.refusal)
      return refusal
    },
  }
  const codec = createHttp2Codec(front, {
    headMilliseconds: times.head,
    keepAliveMilliseconds: times.keepAlive,
    silenceMilliseconds: times.silence,
  })
  const server = createServer((stream) => codec.serve({ stream, peer: '', remote: nowhere, tunnel: null }))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const socket = connect(address.port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.resume()
  closers.push(() => {
    socket.destroy()
    server.close()
    codec.close()
  })
  return { socket, refused, closed: new Promise((done) => socket.once('close', () => done())) }
}

test('headers that never end', async () => {
  const { socket, refused, closed } = await talk({ head: 60, keepAlive: 60_000, silence: 60_000 })
  socket.write(preface)
  // HEADERS without END_HEADERS.
  socket.write(Buffer.from([0, 0, 1, 1, 1, 0, 0, 0, 1, 0x82]))
  await closed
  expect(refused).toEqual(['request_timeout'])
})

test('a connection without a stream, whatever else it sends', async () => {
  const { socket, refused, closed } = await talk({ head: 60, keepAlive: 150, silence: 60_000 })
  socket.write(preface)
  const ping = setInterval(() => socket.write(Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])), 20)
  await closed
  clearInterval(ping)
  expect(refused).toEqual([])
})

test('a stream on which nothing moves', async () => {
  const { socket, closed } = await talk({ head: 60, keepAlive: 60_000, silence: 150 })
  socket.write(preface)
  // GET / http, with an authority, as the static table has them.
  const fields = Buffer.from([0x82, 0x86, 0x84, 0x41, 1, 0x61])
  socket.write(Buffer.concat([Buffer.from([0, 0, fields.length, 1, 5, 0, 0, 0, 1]), fields]))
  await closed
})

test('a preface that is none', async () => {
  const { socket, refused, closed } = await talk({ head: 60, keepAlive: 60_000, silence: 60_000 })
  socket.write(`PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n${'\0'.repeat(30)}`)
  await closed
  expect(refused).toEqual(['request_malformed'])
})

test('frames are told apart however their bytes are cut', () => {
  const bytes = Buffer.concat([
    preface,
    Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
    Buffer.from([0, 0, 4, 3, 0, 0, 0, 0, 5, 0, 0, 0, 8]),
    Buffer.from([0, 0, 0, 0, 1, 0x80, 0, 0, 7]),
  ])
  const expected: Frame[] = [
    { type: frameType.settings, flags: 0, stream: 0, byteLength: 0, word: 0 },
    { type: frameType.ping, flags: 0, stream: 0, byteLength: 8, word: 0x01020304 },
    { type: frameType.reset, flags: 0, stream: 5, byteLength: 4, word: 8 },
    { type: frameType.data, flags: 1, stream: 7, byteLength: 0, word: 0 },
  ]
  for (let at = 0; at <= bytes.length; at++) {
    const seen: Frame[] = []
    const reader = new FrameReader((frame) => seen.push(frame), PREFACE)
    reader.push(bytes.subarray(0, at))
    reader.push(bytes.subarray(at))
    expect(seen).toEqual(expected)
  }
})

test('who takes back streams slowly, and who acknowledges what was read, is no flood', () => {
  const reset: Frame = { type: frameType.reset, flags: 0, stream: 1, byteLength: 4, word: 8 }
  const update: Frame = { type: frameType.windowUpdate, flags: 0, stream: 0, byteLength: 4, word: 1 }
  const data: Frame = { type: frameType.data, flags: 0, stream: 1, byteLength: 10, word: 0 }
  const gauge = new FloodGauge(0)
  for (let i = 0; i < 10 * RESETS_MAXIMUM_COUNT; i++) expect(gauge.received(reset, i * 20)).toBeNull()
  const reader = new FloodGauge(0)
  for (let i = 0; i < 10 * IDLE_FRAMES_MAXIMUM_COUNT; i++) {
    reader.sent(data)
    expect(reader.received(update, 0)).toBeNull()
    expect(reader.received(update, 0)).toBeNull()
  }
  const flood = new FloodGauge(0)
  let passed = 0
  while (flood.received(update, 1_000) === null) passed++
  expect(passed).toBe(IDLE_FRAMES_MAXIMUM_COUNT)
  expect(flood.received(update, 2_000)).toBeNull()
  expect(IDLE_FRAMES_PER_SECOND).toBeGreaterThan(0)
})
