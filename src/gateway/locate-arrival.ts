import type { Arrival } from './arrival.ts'
import type { RequestBody } from './body.ts'
import { readForward } from './forward-target.ts'
import { identifyProxy } from './identify.ts'
import { INFLIGHT_MAXIMUM, type Inflight } from './inflight.ts'
import {
  locateBaseUrl,
  locateForward,
  type BodyFirst,
  type Located,
  type LocatePorts,
  type Unlisted,
} from './locate.ts'
import { isRefusal, refusedTo, type Refusal } from './refusal.ts'
import type { WholeBodies } from './whole-body.ts'

export interface ArrivalPorts extends LocatePorts {
  readonly wholeBodies: WholeBodies
  readonly inflight: Inflight
  readonly ownAuthority: (host: string, port: number) => boolean
}

type Place = Located | Unlisted | Refusal

/**
 * Who asks, and for what. A promise only where the body may hold the credential and so has to be read first
 * (docs/decisions/0015). `gone`: the agent went away meanwhile.
 */
export function locateArrival(
  arrival: Arrival,
  body: RequestBody,
  ports: ArrivalPorts,
): Place | Promise<Place | 'gone'> {
  const place = identifyAndLocate(arrival, null, ports)
  return isBodyFirst(place) ? locateWithBody(arrival, place, body, ports) : place
}

async function locateWithBody(
  arrival: Arrival,
  { caller }: BodyFirst,
  body: RequestBody,
  ports: ArrivalPorts,
): Promise<Place | 'gone'> {
  const whole = await ports.wholeBodies.read(body, caller?.sessionId ?? null)
  if (whole === 'gone') return whole
  if (isRefusal(whole)) return caller === null ? whole : refusedTo(caller, whole)
  const place = identifyAndLocate(arrival, whole.bytes, ports)
  if ('kind' in place && place.kind === 'service') {
    const crowded = whole.belongsTo(place.caller.sessionId)
    return crowded === null ? { ...place, body: whole } : refusedTo(place.caller, crowded)
  }
  whole.leave()
  // It is here, so it is not asked for again.
  return isBodyFirst(place) ? { refusal: 'internal' } : place
}

function identifyAndLocate(arrival: Arrival, body: Uint8Array | null, ports: ArrivalPorts): Place | BodyFirst {
  if (ports.inflight.size >= INFLIGHT_MAXIMUM) return { refusal: 'overloaded', retryAfterSeconds: 1 }
  if (arrival.door === 'base-url') return locateBaseUrl(arrival, ports, body)
  const forward = readForward(arrival)
  if (isRefusal(forward)) return arrival.tunnel === null ? forward : refusedTo(arrival.tunnel.caller, forward)
  const caller = arrival.tunnel?.caller ?? identifyProxy(arrival.headers, ports.sessions)
  if (isRefusal(caller)) return caller
  const place = ports.ownAuthority(forward.host, forward.port)
    ? { refusal: 'loop_refused' as const }
    : locateForward(arrival, caller, forward, ports, body)
  return isRefusal(place) ? refusedTo(caller, place) : place
}

function isBodyFirst(place: Place | BodyFirst): place is BodyFirst {
  return 'kind' in place && place.kind === 'body-first'
}
