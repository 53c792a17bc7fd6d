import { expect } from 'vitest'
import { proxyCredentials } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

attack('I4', 'nothing that is meant for Keyward or another proxy goes on to the service', fronts, async (front) => {
  const where = await places.place()
  const { token } = where.login
  const before = places.upstream.received().length
  const answer = await places.ask(front, where, {
    headers: [
      ['Authorization', `Bearer ${where.login.placeholder(where.held)}`],
      // Over HTTP/2 this one makes it a request to the proxy, whichever authority it names.
      ...(front.protocol === 'h2' && front.door === 'base-url'
        ? []
        : [['Proxy-Authorization', proxyCredentials(token)] as const]),
      // Over HTTP/2 this one makes the whole request malformed (RFC 9113 section 8.2.2).
      ...(front.protocol === 'h2' ? [] : [['Proxy-Connection', 'keep-alive'] as const]),
      ['Proxy-Something', 'inner'],
      ['Keyward-Session', token],
      ['Keyward-Vault', 'prod'],
      ['X-Forwarded-For', '10.9.8.7'],
      ['X-Forwarded-Host', 'inside.example.test'],
      ['Forwarded', 'for=10.9.8.7'],
      ['Via', '1.1 inside.example.test'],
    ],
  })
  expect(answer.status).toBe(200)
  const got = places.upstream.got.at(-1)
  const names = (got?.rawHeaders ?? []).filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
  for (const name of names) expect(name).not.toMatch(/^(?:proxy-|keyward-|x-forwarded-|forwarded$|via$)/)
  const sent = places.upstream.received().subarray(before).toString('latin1')
  for (const trace of [token, proxyCredentials(token).slice('Basic '.length), '10.9.8.7', 'inside.example.test'])
    expect(sent).not.toContain(trace)
  // Nor does the answer tell the agent's program what stood there.
  expect(JSON.stringify(answer.headers)).not.toContain(token)
})
