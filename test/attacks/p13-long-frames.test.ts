import { afterAll, beforeAll, expect } from 'vitest'
import { FRAME_MAXIMUM_BYTES } from '../../src/gateway/websocket/frames.ts'
import { eventually } from '../e2e/gateway/harness.ts'
import { attack, fronts } from './attack.ts'
import { allThat, openSocketScene, overHttp1, type SocketScene } from './socket-scene.ts'

let scene: SocketScene
beforeAll(async () => void (scene = await openSocketScene()))
afterAll(() => scene.close())

/** The head of a binary frame that writes its length in 64 bits. */
function head(length: bigint, mask: boolean): Buffer {
  const bytes = Buffer.alloc(mask ? 14 : 10)
  bytes[0] = 0x82
  bytes[1] = mask ? 0xff : 0x7f
  bytes.writeBigUInt64BE(length, 2)
  return bytes
}

const lengths: readonly (readonly [length: bigint, code: string])[] = [
  [2n ** 64n - 1n, '1002'],
  [2n ** 63n, '1002'],
  [2n ** 63n - 1n, '1009'],
  [2n ** 53n, '1009'],
  [2n ** 53n + 1n, '1009'],
  [BigInt(FRAME_MAXIMUM_BYTES) + 1n, '1009'],
  [5n, '1002'],
  [0n, '1002'],
  [65_535n, '1002'],
]

attack('P13', 'a frame of the service that claims 64 bits of length', overHttp1(fronts), async (front) => {
  for (const [length, code] of lengths) {
    scene.answer((socket, { agreed }) => {
      socket.write(Buffer.concat([Buffer.from(agreed()), head(length, false), Buffer.from('hello')]))
    })
    const seen = await allThat(await scene.dial(front))
    expect(seen, String(length)).toContain(code)
    expect(seen, String(length)).not.toContain('hello')
    await eventually(() => scene.upstream.open === 0)
  }
})

attack('P13', 'a frame of the agent that claims 64 bits of length', overHttp1(fronts), async (front) => {
  for (const [length] of lengths) {
    scene.answer((socket, { agreed }) => void socket.write(agreed()))
    const wire = await scene.stage.open(front.door, scene.held.host, scene.login)
    wire.write(scene.asking(front, 'websocket'))
    expect((await wire.head()).status).toBe(101)
    wire.write(Buffer.concat([head(length, true), Buffer.from('hello')]))
    await wire.closed
    wire.close()
    await eventually(() => scene.upstream.open === 0)
  }
  expect(scene.upstream.received().includes('hello')).toBe(false)
})

attack(
  'P13',
  'a frame that claims the most and brings little is passed on as it comes',
  overHttp1(fronts),
  async (front) => {
    const before = process.memoryUsage().rss
    scene.answer((socket, { agreed }) => {
      socket.write(
        Buffer.concat([Buffer.from(agreed()), head(BigInt(FRAME_MAXIMUM_BYTES), false), Buffer.alloc(100_000, 0x61)]),
      )
      setTimeout(() => socket.destroy(), 50)
    })
    const dialled = await scene.dial(front)
    await dialled.closed
    // Nothing was set aside for what was only announced.
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024)
    dialled.socket.terminate()
  },
)
