import { expect, test } from 'vitest'
import type { HeaderPair } from '../../core/request.ts'
import {
  acceptOf,
  offeredProtocols,
  readAgreement,
  SUBPROTOCOLS_MAXIMUM_CHARACTERS,
  SUBPROTOCOLS_MAXIMUM_COUNT,
  upgradeHeaders,
} from './handshake.ts'

/** RFC 6455 section 1.3. */
const key = 'dGhlIHNhbXBsZSBub25jZQ=='
const accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

test('a key is accepted as the RFC says', () => expect(acceptOf(key)).toBe(accept))

const agreement: readonly HeaderPair[] = [
  ['upgrade', 'WebSocket'],
  ['connection', 'keep-alive, Upgrade'],
  ['sec-websocket-accept', accept],
]
const asked = { key, offered: ['chat'] }

test('an agreement is read', () => {
  expect(readAgreement(agreement, asked)).toEqual({ protocol: null })
  expect(readAgreement([...agreement, ['sec-websocket-protocol', 'chat']], asked)).toEqual({ protocol: 'chat' })
})

test.each([
  ['without its Upgrade', agreement.slice(1)],
  ['with two of them', [...agreement, ['upgrade', 'websocket']]],
  ['without its Connection', agreement.filter(([name]) => name !== 'connection')],
  ['without its proof', agreement.slice(0, 2)],
  ['with two proofs', [...agreement, ['sec-websocket-accept', accept]]],
  ['with another proof', [...agreement.slice(0, 2), ['sec-websocket-accept', acceptOf('another')]]],
  ['with an extension', [...agreement, ['sec-websocket-extensions', 'permessage-deflate']]],
  ['with a protocol in other letters', [...agreement, ['sec-websocket-protocol', 'Chat']]],
  ['with an empty protocol', [...agreement, ['sec-websocket-protocol', '']]],
] as const)('an agreement %s is none', (_, headers) =>
  expect(readAgreement(headers, asked)).toMatchObject({ refusal: 'upstream_broken' }),
)

test('the upgrade is written anew, whatever the client asked for', () => {
  const headers: HeaderPair[] = [
    ['host', 'api.example.test'],
    ['sec-websocket-key', 'AAAAAAAAAAAAAAAAAAAAAA=='],
    ['sec-websocket-version', '13'],
    ['sec-websocket-extensions', 'permessage-deflate; client_max_window_bits'],
    ['sec-websocket-accept', 'x'],
    ['sec-websocket-protocol', 'chat'],
  ]
  expect(upgradeHeaders(headers, key)).toEqual([
    ['host', 'api.example.test'],
    ['sec-websocket-protocol', 'chat'],
    ['connection', 'Upgrade'],
    ['upgrade', 'websocket'],
    ['sec-websocket-version', '13'],
    ['sec-websocket-key', key],
  ])
})

test('subprotocols have a bound in count and length', () => {
  const offer = (value: string) => offeredProtocols([['sec-websocket-protocol', value]])
  const many = (count: number): string => Array.from({ length: count }, (_, index) => `p${index}`).join(',')
  expect(offer(many(SUBPROTOCOLS_MAXIMUM_COUNT))).toHaveLength(SUBPROTOCOLS_MAXIMUM_COUNT)
  expect(offer(many(SUBPROTOCOLS_MAXIMUM_COUNT + 1))).toMatchObject({ refusal: 'request_too_large' })
  expect(offer('x'.repeat(SUBPROTOCOLS_MAXIMUM_CHARACTERS))).toHaveLength(1)
  expect(offer('x'.repeat(SUBPROTOCOLS_MAXIMUM_CHARACTERS + 1))).toMatchObject({ refusal: 'request_too_large' })
})

test.each(['a,', ',a', 'a b', 'a, a', 'ä', '"a"'])('%j is no list of subprotocols', (value) =>
  expect(offeredProtocols([['sec-websocket-protocol', value]])).toMatchObject({ refusal: 'request_malformed' }),
)
