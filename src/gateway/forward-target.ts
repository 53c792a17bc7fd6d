import { parseAuthority } from '../core/canonical-target.ts'
import type { Arrival } from './arrival.ts'
import { isRefusal, type Refusal } from './refusal.ts'

export interface ForwardTarget {
  readonly scheme: 'https' | 'http'
  readonly host: string
  readonly port: number
  /** Origin form, not yet canonical. */
  readonly rawTarget: string
}

const ABSOLUTE = /^http:\/\/([^/?#]*)([/?].*)?$/is

/**
 * Where a forward-proxy request goes: inside a tunnel it is the tunnel's host and nothing else, and the
 * target must be in origin form; outside it must be absolute `http://` (TLS belongs into a CONNECT).
 */
export function readForward(arrival: Arrival): ForwardTarget | Refusal {
  const { tunnel, rawTarget } = arrival
  if (tunnel !== null) {
    if (!rawTarget.startsWith('/'))
      return { refusal: 'request_malformed', detail: 'Inside a tunnel the target is a path.' }
    return { scheme: tunnel.scheme, host: tunnel.host, port: tunnel.port, rawTarget }
  }
  const match = ABSOLUTE.exec(rawTarget)
  if (match === null)
    return { refusal: 'request_malformed', detail: 'The target must be `http://HOST/PATH`; use CONNECT for https.' }
  const authority = parseAuthority(match[1] ?? '')
  if (isRefusal(authority)) return authority
  const rest = match[2] ?? '/'
  return {
    scheme: 'http',
    host: authority.host,
    port: authority.port ?? 80,
    rawTarget: rest.startsWith('/') ? rest : `/${rest}`,
  }
}
