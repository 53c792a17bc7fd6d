import type { ErrorCode } from '../core/errors.ts'
import type { Sessions } from '../identity/sessions.ts'
import type { Arrival } from './arrival.ts'
import type { RequestBody } from './body.ts'
import type { Dialler } from './dial.ts'
import type { Guarded } from './guarded.ts'
import type { Inflight } from './inflight.ts'
import type { Unlisted } from './locate.ts'
import type { Misplaced } from './misplaced.ts'
import { factsOf, recordOutcome, type RecordPorts } from './record.ts'
import { isRefusal, refusalFrom, sendRefusal, type Refusal } from './refusal.ts'
import { refuse } from './refuse.ts'
import { nothingSent, relay } from './relay.ts'
import type { Reply } from './reply.ts'
import { WEBSOCKET } from './websocket/handshake.ts'
import { relayUpgrade } from './websocket/relay-upgrade.ts'

/** What a host without a service may be reached by. */
export interface EgressPorts {
  readonly guarded: Guarded
  readonly egressOpen: (environment: string) => boolean
}

export interface UnlistedPorts extends RecordPorts, EgressPorts {
  readonly sessions: Sessions
  readonly inflight: Inflight
  readonly misplaced: Misplaced
  readonly dialler: Dialler
  readonly now: () => number
  readonly newId: () => string
}

/** A host that no service guards: allowed in an open environment, without any credential, and recorded. */
export async function passUnlisted(
  arrival: Arrival,
  place: Unlisted,
  body: RequestBody,
  reply: Reply,
  ports: UnlistedPorts,
  startedAt: number,
): Promise<void> {
  const refusal = unlistedRefusal(place, ports)
  if (refusal !== null) return refuse(arrival, place, refusal, reply, ports)
  const counting = ports.sessions.narrowings.use(place.caller)
  if (counting !== null) {
    const used = await counting.catch(refusalFrom)
    if (used !== null) return refuse(arrival, place, used, reply, ports)
  }
  const id = ports.newId()
  try {
    await ports.journal.append({ kind: 'egress', exchange: id, ...factsOf(arrival, place, ports) })
  } catch (error) {
    sendRefusal(reply, refusalFrom(error))
    return
  }
  const { sessionId, agentId, narrowed } = place.caller
  // The journal took its time; until it is watched, nothing would end this request.
  const live = ports.sessions.live(place.caller)
  if (isRefusal(live)) {
    sendRefusal(reply, live)
    recordOutcome(id, place.caller, { ...nothingSent, outcome: 'refused', code: live.refusal }, 0, ports)
    return
  }
  ports.misplaced.inHead(id, place)
  const common = {
    head: place.head,
    reply,
    service: null,
    dialler: ports.dialler,
    protocol: arrival.protocol,
    needles: null,
    watch: (stop: (code: ErrorCode) => void) =>
      ports.inflight.add({ sessionId, agentId, narrowed, credentialId: null, reserved: true, end: stop }),
  }
  const end = await (arrival.upgrade === WEBSOCKET
    ? relayUpgrade({
        ...common,
        asked: arrival.headers,
        swap: null,
        notice: ports.misplaced.watch(id, place, 'message'),
        check: () => unlistedRefusal(place, ports)?.refusal ?? null,
      })
    : relay({ ...common, body: ports.misplaced.inBody(id, place, body.length === 0 ? null : body) }))
  recordOutcome(id, place.caller, end, ports.now() - startedAt, ports)
}

/** Why a host without a service may not be reached by this caller, or null. */
export function unlistedRefusal(
  place: Pick<Unlisted, 'caller'> & { readonly head: { readonly host: string; readonly port: number } },
  ports: EgressPorts,
): Refusal | null {
  const { caller, head } = place
  if (caller.egress !== 'open' || !ports.egressOpen(caller.environment)) return { refusal: 'host_not_listed' }
  if (ports.guarded.isSibling(caller.environment, head.host)) return { refusal: 'host_sibling' }
  if (head.port !== 80 && head.port !== 443) return { refusal: 'port_refused' }
  return null
}
