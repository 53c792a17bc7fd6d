import { deflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, expect } from 'vitest'
import { frameOf } from '../../src/gateway/websocket/frames.ts'
import { eventually } from '../e2e/gateway/harness.ts'
import { beneath } from '../e2e/gateway/socket-client.ts'
import { attack, fronts } from './attack.ts'
import { allThat, expectNothingOf, openSocketScene, overHttp1, type SocketScene } from './socket-scene.ts'

let scene: SocketScene
beforeAll(async () => void (scene = await openSocketScene()))
afterAll(() => scene.close())

/** One frame with the first reserved bit: compressed, to a client that agreed to it. */
function compressed(text: string, opcode = 1): Buffer {
  const payload = deflateRawSync(Buffer.from(text), { finishFlush: 2 }).subarray(0, -4)
  return Buffer.concat([Buffer.from([0xc0 | opcode, payload.length]), payload])
}

attack(
  'S13',
  'client and service would compress: the offer does not arrive, and no extension is agreed upon',
  overHttp1(fronts),
  async (front) => {
    const before = scene.upstream.received().length
    scene.answer((socket, { agreed }) => void socket.write(agreed()))
    const dialled = await scene.dial(front, { client: { perMessageDeflate: true } })
    await dialled.open
    expect(scene.upstream.received().subarray(before).toString('latin1')).not.toMatch(/permessage|extensions/i)
    expect(dialled.socket.extensions).toBe('')
    dialled.socket.terminate()
  },
)

attack('S13', 'the service agrees to compression that nobody asked for', overHttp1(fronts), async (front) => {
  scene.answer((socket, { key, agreed }) => {
    socket.write(agreed('Sec-WebSocket-Extensions: permessage-deflate\r\n'))
    socket.write(compressed(key))
  })
  const seen = await allThat(await scene.dial(front, { client: { perMessageDeflate: true } }))
  expect(seen).toContain('upstream_broken')
  expectNothingOf(scene.held.secret(), seen)
  await eventually(() => scene.upstream.open === 0)
})

attack(
  'S13',
  'the service compresses without having agreed: in the first frame, or in a fragment',
  overHttp1(fronts),
  async (front) => {
    const frames = (key: string): Buffer[] => [
      compressed(key),
      compressed(key, 2),
      Buffer.concat([frameOf('text', false, [Buffer.from('a')], null), compressed(key, 0)]),
    ]
    for (const at of [0, 1, 2]) {
      scene.answer((socket, { key, agreed }) => {
        socket.write(agreed())
        socket.write(frames(key)[at] ?? '')
      })
      const raw: Buffer[] = []
      const dialled = await scene.dial(front)
      dialled.socket.on('message', (data: Buffer) => raw.push(data))
      const seen = await allThat(dialled)
      expect(seen).toContain('1002 frame_refused')
      expect(raw).toEqual([])
      expect((await scene.stage.journaled({ kind: 'outcome', code: 'frame_refused' })).event).toMatchObject({
        outcome: 'broken',
      })
    }
  },
)

attack(
  'S13',
  'a client that compresses behind the back of whoever reads its frames',
  overHttp1(fronts),
  async (front) => {
    const before = scene.upstream.received().length
    scene.answer((socket, { agreed }) => void socket.write(agreed()))
    const dialled = await scene.dial(front)
    await dialled.open
    const payload = Buffer.from('hidden')
    beneath(dialled.socket).write(Buffer.concat([Buffer.from([0xc1, 0x80 | payload.length, 0, 0, 0, 0]), payload]))
    expect((await dialled.closed).code).toBe(1002)
    await eventually(() => scene.upstream.open === 0)
    // Behind the request only the Close frame came.
    const frames = scene.upstream.received().subarray(before)
    expect(frames.subarray(frames.indexOf('\r\n\r\n') + 4)).toHaveLength(8)
  },
)
