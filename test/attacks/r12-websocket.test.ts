import { afterAll, beforeAll, expect } from 'vitest'
import { frameOf, type ControlKind, type MessageKind } from '../../src/gateway/websocket/frames.ts'
import { requestFields } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { allThat, expectNothingOf, openSocketScene, overHttp1, type SocketScene } from './socket-scene.ts'

let scene: SocketScene
beforeAll(async () => void (scene = await openSocketScene()))
afterAll(() => scene.close())

const frame = (kind: MessageKind | ControlKind | null, final: boolean, payload: string | Buffer): Buffer =>
  frameOf(kind, final, [Buffer.from(payload)], null)
const closing = (reason: string): Buffer =>
  frame('close', true, Buffer.concat([Buffer.from([0x03, 0xe8]), Buffer.from(reason)]))

attack(
  'R12',
  'the key in text, binary, ping, pong, Close and every header of the agreement',
  overHttp1(fronts),
  async (front) => {
    scene.answer((socket, { key, agreed }) => {
      socket.write(
        agreed(
          `X-Echo: Bearer ${key}\r\nSet-Cookie: key=${encodeURIComponent(key)}\r\nX-${'Y'.repeat(8)}: ${Buffer.from(key).toString('base64')}\r\n`,
        ),
      )
      socket.write(
        Buffer.concat([
          frame('text', true, JSON.stringify({ key })),
          frame('text', true, Buffer.from(key).toString('base64')),
          frame('binary', true, Buffer.concat([Buffer.from([0, 255]), Buffer.from(key)])),
          frame('binary', true, Buffer.from(key).toString('hex')),
          frame('ping', true, key),
          frame('pong', true, key),
          closing(`for ${key}`),
        ]),
      )
    })
    const seen = await allThat(await scene.dial(front))
    expect(seen).toContain(scene.login.placeholder(scene.held))
    expectNothingOf(scene.held.secret(), seen)
    for (const coding of ['base64', 'hex'] as const)
      expect(seen.includes(Buffer.from(scene.held.secret()).toString(coding))).toBe(false)
  },
)

attack(
  'R12',
  'the key split at every offset over two fragments, with a ping between them',
  overHttp1(fronts),
  async (front) => {
    scene.answer((socket, { key, agreed }) => {
      socket.write(agreed())
      for (let at = 0; at <= key.length; at++)
        socket.write(
          Buffer.concat([
            frame(at % 2 === 0 ? 'text' : 'binary', false, key.slice(0, at)),
            frame('ping', true, ''),
            frame(null, true, key.slice(at)),
          ]),
        )
      socket.write(closing(''))
    })
    expectNothingOf(scene.held.secret(), await allThat(await scene.dial(front)))
  },
)

attack('R12', 'the key byte by byte: one fragment, one segment each', overHttp1(fronts), async (front) => {
  scene.answer((socket, { key, agreed }) => {
    const frames = [...Buffer.from(key)].map((byte, index) =>
      frame(index === 0 ? 'binary' : null, false, Buffer.from([byte])),
    )
    const all = [Buffer.from(agreed()), ...frames, frame(null, true, ''), closing('')]
    const next = (): void => {
      const one = all.shift()
      if (one !== undefined) socket.write(one, () => setImmediate(next))
    }
    next()
  })
  const seen = await allThat(await scene.dial(front))
  expect(seen).toContain(scene.login.placeholder(scene.held))
  expectNothingOf(scene.held.secret(), seen)
})

attack('R12', 'the key in an answer that is none to the upgrade', overHttp1(fronts), async (front) => {
  scene.answer(
    (socket, { key }) =>
      void socket.end(`HTTP/1.1 400 Bad ${key}\r\nX-Echo: ${key}\r\nContent-Length: ${key.length}\r\n\r\n${key}`),
  )
  expectNothingOf(scene.held.secret(), await allThat(await scene.dial(front)))
})

attack('R12', 'the key as the subprotocol that the service chooses', overHttp1(fronts), async (front) => {
  scene.answer(
    (socket, { key, agreed }) =>
      void socket.write(agreed(`Sec-WebSocket-Protocol: ${key.replaceAll(/[^\w+-]/g, '')}\r\n`)),
  )
  const seen = await allThat(await scene.dial(front, { protocols: ['chat'] }))
  expect(seen).toContain('upstream_broken')
  expectNothingOf(scene.held.secret(), seen)
})

attack('R12', 'the key behind the Close frame, or in a message that never ends', overHttp1(fronts), async (front) => {
  scene.answer((socket, { key, agreed }) => {
    socket.write(agreed())
    socket.write(
      Buffer.concat([
        frame('text', false, `x${key.slice(0, -1)}`),
        closing(''),
        frame(null, true, key),
        frame('text', true, key),
      ]),
    )
  })
  const seen = await allThat(await scene.dial(front))
  expect(seen.includes(scene.held.secret())).toBe(false)
})

for (const id of ['R12', 'S13', 'P4']) {
  attack(
    id,
    'a WebSocket by extended CONNECT, whose frames would be the data of a stream',
    fronts.filter(({ protocol }) => protocol === 'h2'),
    async (front) => {
      const { stage, held, login, upstream } = scene
      const before = upstream.received().length
      const headers = [
        [':method', 'CONNECT'],
        [':protocol', 'websocket'],
        ['authorization', `Bearer ${login.placeholder(held)}`],
        ['sec-websocket-version', '13'],
      ] as const
      const wire = await stage.openH2(front.door, held.host, login)
      await expect(wire.request(requestFields(stage, { door: front.door, held, login, headers }))).rejects.toThrow(
        'reset',
      )
      // Nor does an upgrade in the manner of HTTP/1.1 open one.
      const asking = [['upgrade', 'websocket'], ['connection', 'Upgrade'], ...headers.slice(2)] as const
      await expect(
        wire.request(requestFields(stage, { door: front.door, held, login, headers: asking })),
      ).rejects.toThrow('reset')
      expect(upstream.received().length).toBe(before)
      wire.close()
    },
  )
}
