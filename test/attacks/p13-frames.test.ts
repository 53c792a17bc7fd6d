import { afterAll, beforeAll, expect } from 'vitest'
import { frameOf } from '../../src/gateway/websocket/frames.ts'
import { FRAGMENT_MAXIMUM_BYTES } from '../../src/gateway/websocket/messages.ts'
import { attack, fronts } from './attack.ts'
import { allThat, openSocketScene, overHttp1, type SocketScene } from './socket-scene.ts'

let scene: SocketScene
beforeAll(async () => void (scene = await openSocketScene()))
afterAll(() => scene.close())

const announced = (high: number, low: number): Buffer => {
  const head = Buffer.alloc(10)
  head[0] = 0x82
  head[1] = 127
  head.writeUInt32BE(high, 2)
  head.writeUInt32BE(low, 6)
  return head
}

attack('P13', 'a frame that announces 64 bits of length', overHttp1(fronts), async (front) => {
  for (const [high, low, close] of [
    [0xffffffff, 0xffffffff, '1002'],
    [0x80000000, 0, '1002'],
    [0x7fffffff, 0xffffffff, '1009'],
    [0x00200000, 0, '1009'],
  ] as const) {
    scene.answer(
      (socket, { agreed }) => void socket.write(Buffer.concat([Buffer.from(agreed()), announced(high, low)])),
    )
    expect(await allThat(await scene.dial(front))).toContain(`${close} frame_refused`)
  }
})

attack(
  'P13',
  'a frame that announces a terabyte: what comes of it passes, and nothing is kept for the rest',
  overHttp1(fronts),
  async (front) => {
    const sent = 4 * 1024 * 1024
    scene.answer((socket, { agreed }) => {
      socket.write(agreed())
      socket.write(announced(0x100, 0))
      socket.write(Buffer.alloc(sent))
    })
    const wire = await scene.stage.open(front.door, scene.held.host, scene.login)
    wire.write(scene.asking(front, 'websocket'))
    expect((await wire.head()).status).toBe(101)
    let arrived = 0
    while (arrived < sent - FRAGMENT_MAXIMUM_BYTES) arrived += (await wire.more())?.length ?? 0
    wire.close()
  },
)

attack('P13', 'a flood of empty fragments and pings', overHttp1(fronts), async (front) => {
  const count = 50_000
  scene.answer((socket, { agreed }) => {
    socket.write(agreed())
    const empty = frameOf(null, false, [], null)
    socket.write(
      Buffer.concat([
        frameOf('binary', false, [], null),
        ...Array.from({ length: count }, () => empty),
        frameOf(null, true, [Buffer.from('end')], null),
      ]),
    )
    socket.write(Buffer.concat(Array.from({ length: 1_000 }, () => frameOf('ping', true, [Buffer.from('x')], null))))
    socket.write(frameOf('close', true, [Buffer.from([0x03, 0xe8])], null))
  })
  const dialled = await scene.dial(front)
  let pings = 0
  dialled.socket.on('ping', () => (pings += 1))
  const seen = await allThat(dialled)
  expect(seen).toContain('end')
  expect(pings).toBe(1_000)
  expect((await scene.stage.journaled({ kind: 'outcome' })).event).toMatchObject({
    outcome: 'answered',
    messagesDown: 1,
    bytesDown: 3,
  })
})
