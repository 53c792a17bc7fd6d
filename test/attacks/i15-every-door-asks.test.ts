import { connect } from 'node:net'
import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { codeOf, connectHead, proxyCredentials, requestBytes } from '../e2e/gateway/requests.ts'
import { wireOf, type Answer } from '../e2e/gateway/wire.ts'
import { attack, fronts, inside, type Front } from './attack.ts'
import { usePlaces, type Placed } from './place.ts'

const places = usePlaces()

/** Who is there is asked where the door opens: at a tunnel, that is its CONNECT. */
async function knock(front: Front, { held }: Placed, token: string | null): Promise<Answer> {
  if (front.door === 'base-url')
    return places.stage.request({
      ...front,
      held,
      headers: token === null ? [] : [['Authorization', `Bearer ${token}`]],
    })
  if (front.door === 'absolute')
    return places.stage.request({
      ...front,
      held,
      headers: token === null ? [] : [['Proxy-Authorization', proxyCredentials(token)]],
    })
  const wire = await places.stage.dial()
  wire.write(connectHead(`${held.host}:443`, token))
  return wire.answer()
}

/** One character of the middle is another, so the checksum is wrong. */
function mistyped(token: string): string {
  const at = Math.floor(token.length / 2)
  return token.slice(0, at) + (token[at] === 'a' ? 'b' : 'a') + token.slice(at + 1)
}

attack('I15', 'no token, a wrong one, a cut one, an ended one', fronts, async (front) => {
  const where = await places.place()
  const text = front.door === 'base-url' ? where.login.placeholder(where.held) : where.login.token
  const before = places.upstream.received().length
  expect(codeOf(await knock(front, where, null))).toBe('token_missing')
  const wrong = ['token_invalid', 'placeholder_required']
  for (const token of [mistyped(text), text.slice(0, -1), `${text}x`, `kws_${randomBytes(24).toString('hex')}`, '-'])
    expect(wrong).toContain(codeOf(await knock(front, where, token)))
  await places.stage.app.sessions.revoke(where.login.id, 'test')
  expect(codeOf(await knock(front, where, text))).toBe('session_revoked')
  expect(places.upstream.received().length).toBe(before)
})

attack('I15', 'the Unix socket of contained agents asks the same', inside, async () => {
  const where = await places.place()
  for (const door of ['base-url', 'absolute'] as const) {
    const socket = connect(places.stage.app.gatewaySocket)
    const wire = wireOf(socket)
    wire.write(requestBytes(places.stage, { door, held: where.held }))
    expect(codeOf(await wire.answer())).toBe('token_missing')
    wire.close()
  }
  const wire = wireOf(connect(places.stage.app.gatewaySocket))
  wire.write(connectHead(`${where.held.host}:443`, null))
  expect(codeOf(await wire.answer())).toBe('token_missing')
  wire.close()
})

attack('I15', 'hosts without a service, and tunnels in clear, ask as well', inside, async () => {
  for (const authority of ['outside.example.net:443', 'outside.example.net:80', `127.0.0.1:${places.stage.port}`]) {
    const wire = await places.stage.dial()
    wire.write(connectHead(authority, null))
    expect(codeOf(await wire.answer()), authority).toBe('token_missing')
  }
  const wire = await places.stage.dial()
  wire.write('GET http://outside.example.net/ HTTP/1.1\r\nHost: outside.example.net\r\n\r\n')
  expect(codeOf(await wire.answer())).toBe('token_missing')
})
