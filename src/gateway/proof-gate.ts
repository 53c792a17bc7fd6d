import { headerValues } from '../core/request.ts'
import type { Dpop } from '../identity/dpop.ts'
import type { Caller } from '../identity/sessions.ts'
import type { Arrival } from './arrival.ts'
import type { Located, Unlisted } from './locate.ts'
import { refusedTo, type Refusal } from './refusal.ts'

/** The header of a proof (RFC 9449); it is Keyward's own where the session is bound to a key, and goes no further. */
const PROOF_HEADER = 'dpop'

export interface ProofGate {
  /**
   * Why a request or a CONNECT does not prove that its sender has the key that its session is bound to, or null.
   * `token`: what was shown as the session's, which the proof is for. Not asked within a tunnel: its CONNECT was.
   */
  refusalOf(caller: Caller, arrival: Arrival, token: string): Promise<Refusal | null>
}

export function createProofGate({ dpop }: { dpop: Pick<Dpop, 'verify'> }): ProofGate {
  return {
    async refusalOf(caller, arrival, token) {
      const [proof, ...others] = headerValues(arrival.headers, PROOF_HEADER)
      if (proof === undefined) return refusedTo(caller, { refusal: 'proof_missing' })
      if (others.length > 0) return refusedTo(caller, { refusal: 'proof_invalid', detail: 'There is more than one.' })
      const of = { method: arrival.method, isTarget: (target: string) => isAsked(target, arrival), token }
      const proven = await dpop.verify(proof, of, caller.sessionId)
      if ('refusal' in proven) return refusedTo(caller, proven)
      return proven.thumbprint === caller.jkt
        ? null
        : refusedTo(caller, { refusal: 'proof_invalid', detail: 'It is of another key than the session is bound to.' })
    },
  }
}

/** Whether a target without its query is what the request line, and at the gateway's own port its Host, ask for. */
function isAsked(target: string, { door, method, rawTarget, headers }: Arrival): boolean {
  const asked = rawTarget.replace(/[?#].*$/s, '')
  if (method === 'CONNECT') return target === rawTarget
  if (door === 'absolute') return target === asked
  // A relay that opens TLS may stand in front, so either scheme is the place that was asked.
  const [host = ''] = headerValues(headers, 'host')
  return target === `http://${host}${asked}` || target === `https://${host}${asked}`
}

/** The place without the proof, which was for Keyward and not for the service. */
export function withoutProof<T extends Located | Unlisted>(place: T): T {
  const headers = place.head.headers.filter(([name]) => name !== PROOF_HEADER)
  return { ...place, head: { ...place.head, headers } }
}
