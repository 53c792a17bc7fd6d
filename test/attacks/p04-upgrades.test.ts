import { afterAll, beforeAll, expect } from 'vitest'
import { frameOf } from '../../src/gateway/websocket/frames.ts'
import { eventually } from '../e2e/gateway/harness.ts'
import { connectHead } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { openSocketScene, overHttp1, type SocketScene } from './socket-scene.ts'

let scene: SocketScene
beforeAll(async () => void (scene = await openSocketScene()))
afterAll(() => scene.close())

attack('P4', 'an upgrade to something unknown, alone or beside one that is known', overHttp1(fronts), async (front) => {
  for (const upgrade of ['tls/1.0', 'HTTP/2.0', 'websocket, h2c', 'h2c, websocket', 'foo', 'websocket/13']) {
    const before = scene.upstream.received().length
    const wire = await scene.stage.open(front.door, scene.held.host, scene.login)
    wire.write(scene.asking(front, upgrade))
    const answer = await wire.answer()
    expect(answer.headers.find(([name]) => name === 'keyward-error')?.[1], upgrade).toBe('upgrade_refused')
    expect(scene.upstream.received().length).toBe(before)
    wire.close()
  }
})

attack('P4', 'frames, requests or a tunnel before the service has agreed', overHttp1(fronts), async (front) => {
  for (const early of [
    frameOf('text', true, [Buffer.from('smuggled')], Buffer.alloc(4)),
    Buffer.from('DELETE /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'),
    Buffer.from(connectHead('smuggled.example.test:443', scene.login.token)),
  ]) {
    const before = scene.upstream.received().length
    scene.answer((socket, { agreed }) => void socket.write(agreed()))
    const wire = await scene.stage.open(front.door, scene.held.host, scene.login)
    wire.write(Buffer.concat([Buffer.from(scene.asking(front, 'websocket')), early]))
    const answer = await wire.answer()
    expect(answer.headers.find(([name]) => name === 'keyward-error')?.[1]).toBe('request_malformed')
    expect(scene.upstream.received().subarray(before).includes('smuggled')).toBe(false)
    wire.close()
  }
})

attack('P4', 'a service that agrees to an upgrade which nobody asked for', overHttp1(fronts), async (front) => {
  scene.answer((socket, { agreed }) => {
    socket.write(agreed())
    socket.write(frameOf('text', true, [Buffer.from('unasked')], null))
  })
  const wire = await scene.stage.open(front.door, scene.held.host, scene.login)
  wire.write(scene.asking(front, 'h2c'))
  const answer = await wire.answer()
  expect(answer.headers.find(([name]) => name === 'keyward-error')?.[1]).toBe('upstream_broken')
  expect(answer.body.includes('unasked')).toBe(false)
  await eventually(() => scene.upstream.open === 0)
  wire.close()
})
