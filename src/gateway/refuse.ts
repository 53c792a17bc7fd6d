import type { Arrival } from './arrival.ts'
import type { Located, Unlisted } from './locate.ts'
import { factsOf, recordRefusal, type RecordPorts } from './record.ts'
import { refusedTo, sendRefusal, type Refusal } from './refusal.ts'
import type { Reply } from './reply.ts'

/** Writes a refusal down and answers with it. `place`: null where it is not known who asks, or for what. */
export async function refuse(
  arrival: Arrival,
  place: Located | Unlisted | null,
  refusal: Refusal,
  reply: Reply,
  ports: RecordPorts,
): Promise<void> {
  const facts =
    place === null ? { door: arrival.door, peer: arrival.peer, method: arrival.method } : factsOf(arrival, place, ports)
  sendRefusal(reply, await recordRefusal(place === null ? refusal : refusedTo(place.caller, refusal), facts, ports))
}
