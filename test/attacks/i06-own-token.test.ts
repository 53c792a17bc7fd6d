import { expect, vi } from 'vitest'
import { startUpstream, always } from '../e2e/gateway/upstream.ts'
import { madeUp } from '../e2e/gateway/harness.ts'
import { connectHead, requestBytes } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces } from './place.ts'

/**
 * The rule (docs/decisions/0003): places that a guarded service reads credentials from are Keyward's; all
 * else that an agent sends is its own affair, there and at hosts that nobody guards.
 */
const turned = vi.hoisted(() => ({ to: new Map<string, number>() }))
vi.mock('node:net', async (original) => {
  const net = await original<typeof import('node:net')>()
  const connect = (options: unknown, ...rest: unknown[]): unknown => {
    const port =
      typeof options === 'object' && options !== null && 'host' in options
        ? turned.to.get(String(options.host))
        : undefined
    return Reflect.apply(net.connect, net, [port === undefined ? options : { host: '127.0.0.1', port }, ...rest])
  }
  return { ...net, connect, default: { ...net, connect } }
})

const places = usePlaces()
const PUBLIC = '93.184.216.34'

attack('I6', 'what is no place of a credential arrives as the agent wrote it', fronts, async (front) => {
  const where = await places.place()
  const own = madeUp()
  const answer = await places.ask(front, where, {
    headers: [
      ['Authorization', `Bearer ${where.login.placeholder(where.held)}`],
      ['X-Session-Token', own],
      ['Cookie', `session=${own}`],
      ['X-Csrf-Token', own],
    ],
  })
  expect(answer.status).toBe(200)
  const { headers } = places.upstream.got.at(-1) ?? {}
  expect(headers?.authorization).toBe(`Bearer ${where.held.secret()}`)
  expect([headers?.['x-session-token'], headers?.cookie, headers?.['x-csrf-token']]).toEqual([
    own,
    `session=${own}`,
    own,
  ])
})

attack(
  'I6',
  'a host that nobody guards gets the agent’s own token, untouched and with nothing of Keyward’s',
  // By hand over HTTP/1.1: no base URL leads to a host without a service.
  fronts.filter(({ door, protocol }) => door !== 'base-url' && protocol === 'http/1.1'),
  async (front) => {
    const where = await places.place()
    const outside = await startUpstream(always(200, {}, 'outside'))
    turned.to.set(PUBLIC, outside.port)
    places.stage.names.set('outside.example.net', [PUBLIC])
    const own = `Bearer live_${madeUp()}`
    try {
      const ask = {
        held: { id: '', host: 'outside.example.net' },
        login: where.login,
        headers: [['Authorization', own]],
      } as const
      const wire = await places.stage.dial()
      if (front.door === 'tunnel') {
        // In clear: inside TLS that it does not open Keyward sees nothing to touch.
        wire.write(connectHead('outside.example.net:80', where.login.token))
        expect((await wire.head()).status).toBe(200)
      }
      wire.write(requestBytes(places.stage, { ...ask, door: front.door }))
      const answer = await wire.answer()
      wire.close()
      expect([answer.status, answer.body.toString()]).toEqual([200, 'outside'])
      expect(outside.got.at(-1)?.headers.authorization).toBe(own)
      const sent = outside.received().toString('latin1')
      for (const trace of [where.held.secret(), where.login.token, where.login.placeholder(where.held)])
        expect(sent).not.toContain(trace)
    } finally {
      await outside.close()
    }
  },
)
