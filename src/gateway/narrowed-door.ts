import { narrowedPrefix } from '../core/narrowed-token.ts'
import { headerValues } from '../core/request.ts'
import type { Sessions } from '../identity/sessions.ts'
import type { Arrival } from './arrival.ts'
import type { RequestBody } from './body.ts'
import { ownHostRefusal } from './locate.ts'
import type { ProofGate } from './proof-gate.ts'
import { recordRefusal, type RecordPorts } from './record.ts'
import { isRefusal, refusalFrom, refusedTo, sendRefusal, type Refusal } from './refusal.ts'
import type { Reply } from './reply.ts'

/** Where a narrowed session gets placeholders of its own, on the gateway's own port. */
export const NARROWED_PATH = '/session/narrowed'

export interface NarrowedPorts extends RecordPorts {
  readonly sessions: Pick<Sessions, 'byToken'>
  readonly proofs: ProofGate
  /** What is told to the holder of a narrowed token: plain JSON. Throws a KeywardError to refuse. */
  readonly registerNarrowed: (token: string) => Promise<object>
}

export function isNarrowedDoor({ door, rawTarget }: Arrival): boolean {
  return door === 'base-url' && rawTarget === NARROWED_PATH
}

/**
 * Gives the holder of a narrowed token placeholders that are worth as much as it. The gateway's port is the one
 * place that every agent can reach, also one without a network of its own; it asks for nothing but the token.
 */
export async function answerNarrowed(
  arrival: Arrival,
  body: RequestBody,
  reply: Reply,
  ports: NarrowedPorts,
): Promise<void> {
  const answer = await register(arrival, body, ports).catch(refusalFrom)
  if (isRefusal(answer)) {
    const facts = { door: arrival.door, peer: arrival.peer, method: arrival.method }
    return sendRefusal(reply, await recordRefusal(answer, facts, ports))
  }
  const bytes = Buffer.from(`${JSON.stringify(answer)}\n`)
  const headers = [
    ['content-type', 'application/json'],
    ['content-length', String(bytes.byteLength)],
    ['cache-control', 'no-store'],
  ] as const
  reply.respond(200, headers, bytes)
}

async function register(arrival: Arrival, body: RequestBody, ports: NarrowedPorts): Promise<object | Refusal> {
  const hostRefusal = ownHostRefusal(arrival.headers)
  if (hostRefusal !== null) return hostRefusal
  if (arrival.method !== 'POST') return { refusal: 'method_refused', detail: `${NARROWED_PATH} takes POST.` }
  if (body.length !== 0) return { refusal: 'request_malformed', detail: `${NARROWED_PATH} takes no body.` }
  const [value, ...others] = headerValues(arrival.headers, 'authorization')
  const token = /^bearer ([\w-]+)$/i.exec(value ?? '')?.[1]
  if (token === undefined || others.length > 0 || !token.startsWith(narrowedPrefix))
    return { refusal: 'token_invalid', detail: 'Send the narrowed token as Authorization: Bearer.' }
  const caller = ports.sessions.byToken(token)
  if (isRefusal(caller)) return caller
  const elsewhere = await ports.peers.refusalOf(caller, arrival.remote)
  if (elsewhere !== null) return elsewhere
  const unproven = caller.jkt === null ? null : await ports.proofs.refusalOf(caller, arrival, token)
  if (unproven !== null) return unproven
  return ports.registerNarrowed(token).catch((error: unknown) => refusedTo(caller, refusalFrom(error)))
}
