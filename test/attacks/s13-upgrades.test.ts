import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

attack(
  'S13',
  'no upgrade passes whose frames nobody looks into',
  fronts.filter(({ protocol }) => protocol === 'http/1.1'),
  async (front) => {
    const where = await places.place()
    const before = places.upstream.received().length
    for (const upgrade of ['unheard-of', 'websocket, unheard-of', 'tcp']) {
      const answer = await places.ask(front, where, {
        headers: [
          ['Authorization', `Bearer ${where.login.placeholder(where.held)}`],
          ['Connection', 'Upgrade'],
          ['Upgrade', upgrade],
          ['Sec-WebSocket-Version', '13'],
          ['Sec-WebSocket-Key', randomBytes(16).toString('base64')],
          ['Sec-WebSocket-Extensions', 'permessage-deflate; client_no_context_takeover'],
        ],
      })
      expect(codeOf(answer), upgrade).toBe('upgrade_refused')
    }
    expect(places.upstream.received().length).toBe(before)
  },
)
