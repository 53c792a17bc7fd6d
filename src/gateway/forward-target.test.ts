import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Arrival, Tunnel } from './arrival.ts'
import { readForward } from './forward-target.ts'

const caller = {
  sessionId: 's',
  agentId: 'a',
  agent: 'triage',
  environment: 'dev',
  egress: 'deny',
  binding: { kind: 'unbound' },
  jkt: null,
  narrowed: null,
} as const
const remote = { address: '127.0.0.1', port: 1, localAddress: '127.0.0.1', localPort: 2 }
const tunnel: Tunnel = { caller, host: 'api.example.test', port: 443, scheme: 'https' }
const arrival = (rawTarget: string, through: Tunnel | null): Arrival => ({
  door: through === null ? 'absolute' : 'tunnel',
  method: 'GET',
  rawTarget,
  headers: [],
  peer: '',
  remote,
  tunnel: through,
  protocol: 'http/1.1',
  upgrade: null,
})

describe('outside a tunnel', () => {
  test.each([
    ['http://api.example.test/a?b', { scheme: 'http', host: 'api.example.test', port: 80, rawTarget: '/a?b' }],
    ['HTTP://API.Example.test.:8080', { scheme: 'http', host: 'api.example.test', port: 8080, rawTarget: '/' }],
    ['http://api.example.test?b', { scheme: 'http', host: 'api.example.test', port: 80, rawTarget: '/?b' }],
    ['http://[::1]:81/', { scheme: 'http', host: '::1', port: 81, rawTarget: '/' }],
    [
      'http://api.example.test/http://other.test/',
      { scheme: 'http', host: 'api.example.test', port: 80, rawTarget: '/http://other.test/' },
    ],
  ])('%s', (raw, want) => expect(readForward(arrival(raw, null))).toEqual(want))

  test.each([
    'https://api.example.test/',
    'ftp://x/',
    '/a',
    '*',
    '',
    'api.example.test:443',
    'http:/a',
    'http://',
    'http://user@api.example.test/',
    'http://api.example.test#x',
    'http://api.example.test:0/',
    'http://2130706433/',
    'http://api.example.test\\@other.test/',
    ' http://api.example.test/',
  ])('refused: %j', (raw) => expect(readForward(arrival(raw, null))).toMatchObject({ refusal: 'request_malformed' }))
})

test('inside a tunnel the host is the tunnel’s, whatever the target says', () => {
  fc.assert(
    fc.property(fc.string(), (raw) => {
      const read = readForward(arrival(raw, tunnel))
      if (raw.startsWith('/'))
        expect(read).toEqual({ scheme: 'https', host: 'api.example.test', port: 443, rawTarget: raw })
      else expect(read).toMatchObject({ refusal: 'request_malformed' })
    }),
  )
})
