import { createHash } from 'node:crypto'
import { headerValues, type HeaderPair } from '../../core/request.ts'
import type { Arrival } from '../arrival.ts'
import { isRefusal, type Refusal } from '../refusal.ts'
import type { Reply } from '../reply.ts'

/** Subprotocols that a client may offer. */
export const SUBPROTOCOLS_MAXIMUM_COUNT = 32
/** All of them together; some clients put a key among them. */
export const SUBPROTOCOLS_MAXIMUM_CHARACTERS = 8 * 1024

/** Value of Upgrade (RFC 6455 section 11.2). */
export const WEBSOCKET = 'websocket'

/**
 * How grants call a GET by which messages go both ways: who may read is not thereby allowed to speak, so a pattern
 * for GET does not allow it; but it denies it. No request line has this method.
 */
export const WEBSOCKET_METHOD = 'WEBSOCKET'

/** RFC 6455 section 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** Sixteen bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** Why a request that asks for a WebSocket (RFC 6455 section 4.2.1) is none that can be carried, or null. */
export function upgradeRefusal(arrival: Arrival, reply: Pick<Reply, 'switching'>): Refusal | null {
  const { method, headers } = arrival
  if (reply.switching === undefined) return { refusal: 'upgrade_refused' }
  if (method !== 'GET') return malformed('A WebSocket is opened by GET.')
  if (headers.some(([name, value]) => name === 'transfer-encoding' || (name === 'content-length' && value !== '0')))
    return malformed('A request for a WebSocket has no body.')
  if (!reply.switching.clean) return malformed('Bytes came before the WebSocket was open.')
  const [version, ...versions] = headerValues(headers, 'sec-websocket-version')
  if (version !== '13' || versions.length > 0)
    return { refusal: 'upgrade_refused', detail: 'The only version of the WebSocket protocol is 13.' }
  const [key = '', ...keys] = headerValues(headers, 'sec-websocket-key')
  if (!KEY.test(key) || keys.length > 0) return malformed('There is not one well-formed Sec-WebSocket-Key.')
  const offered = offeredProtocols(headers)
  return isRefusal(offered) ? offered : null
}

/** What the client would speak inside, most wanted first. */
export function offeredProtocols(headers: readonly HeaderPair[]): string[] | Refusal {
  const value = headerValues(headers, 'sec-websocket-protocol').join(',')
  if (value === '') return []
  const offered = value.split(',').map((part) => part.trim())
  if (offered.length > SUBPROTOCOLS_MAXIMUM_COUNT || value.length > SUBPROTOCOLS_MAXIMUM_CHARACTERS)
    return { refusal: 'request_too_large', detail: 'There are too many subprotocols.' }
  if (!offered.every((protocol) => TOKEN.test(protocol)) || new Set(offered).size < offered.length)
    return malformed('The subprotocols are not a list of different tokens.')
  return offered
}

/**
 * The headers of the request to the service: those that were judged, and the upgrade written anew. No
 * extension is offered, so that every frame can be read; compression is the only one that exists in practice.
 */
export function upgradeHeaders(headers: readonly HeaderPair[], key: string): HeaderPair[] {
  return [
    ...headers.filter(([name]) => !name.startsWith('sec-websocket-') || name === 'sec-websocket-protocol'),
    ['connection', 'Upgrade'],
    ['upgrade', WEBSOCKET],
    ['sec-websocket-version', '13'],
    ['sec-websocket-key', key],
  ]
}

/** What the service says to the key (section 4.2.2), and what the agent is told to its own. */
export function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + GUID, 'latin1')
    .digest('base64')
}

/** Which of the offered protocols the service chose; null: none. Refused where it agreed to something else than was asked (section 4.1). */
export function readAgreement(
  headers: readonly HeaderPair[],
  asked: { readonly key: string; readonly offered: readonly string[] },
): { readonly protocol: string | null } | Refusal {
  const upgrade = headerValues(headers, 'upgrade')
  const connection = headerValues(headers, 'connection').flatMap((value) => value.split(','))
  if (upgrade.length !== 1 || upgrade[0]?.toLowerCase() !== WEBSOCKET) return broken
  if (!connection.some((token) => token.trim().toLowerCase() === 'upgrade')) return broken
  const accept = headerValues(headers, 'sec-websocket-accept')
  if (accept.length !== 1 || accept[0] !== acceptOf(asked.key)) return broken
  if (headerValues(headers, 'sec-websocket-extensions').length > 0) return broken
  const [protocol = null, ...others] = headerValues(headers, 'sec-websocket-protocol')
  if (others.length > 0 || (protocol !== null && !asked.offered.includes(protocol))) return broken
  return { protocol }
}

const broken: Refusal = {
  refusal: 'upstream_broken',
  detail: 'The service agreed to another protocol than was asked for.',
}

function malformed(detail: string): Refusal {
  return { refusal: 'request_malformed', detail }
}
