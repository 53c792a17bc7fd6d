import { createHash } from 'node:crypto'
import { digestOfRequest } from '../../core/approval-digest.ts'
import type { Grants } from '../../identity/grants.ts'
import type { ServiceDirectory } from '../../services/directory.ts'
import type { Service } from '../../services/service.ts'
import type { Arrival } from '../arrival.ts'
import type { RequestBody } from '../body.ts'
import type { Judgement } from '../judge.ts'
import type { Located } from '../locate.ts'
import { factsOf, recordRefusal, type RecordPorts } from '../record.ts'
import { isRefusal, refusedTo, type Refusal } from '../refusal.ts'
import type { Reply } from '../reply.ts'
import type { WholeBodies } from '../whole-body.ts'
import type { Approval, Approvals } from './approvals.ts'
import { factsOfApproval } from './facts.ts'
import { singleMessage } from './single-message.ts'

export interface AskPorts extends RecordPorts {
  readonly approvals: Approvals
  readonly grants: Grants
  readonly services: ServiceDirectory
  readonly wholeBodies: WholeBodies
}

/** A request that a person has accepted, with its body: what was approved is what `place` holds. */
export interface Accepted {
  readonly place: Located
  readonly approval: Approval
  readonly leave: () => void
}

/**
 * Reads the body whole, asks a person about the request as it will be sent (but for the credential), and holds it
 * until there is an answer, the agent goes away, or the wait is over. `gone`: the agent went away.
 */
export async function askPerson(
  arrival: Arrival,
  place: Located,
  judged: Judgement,
  body: RequestBody,
  reply: Reply,
  ports: AskPorts,
): Promise<Accepted | Refusal | 'gone'> {
  const { ask } = judged.decision
  if (ask === undefined) return { refusal: 'internal' }
  const whole = await withBody(place, body, reply, ports)
  if (whole === 'gone' || isRefusal(whole)) return whole
  let isAccepted = false
  try {
    const asked = await ports.approvals.ask(questionOf(arrival, whole, judged, ask, ports), (withdraw) =>
      reply.onClose(withdraw),
    )
    if ('withdrawn' in asked) {
      const refusal: Refusal = { refusal: 'approval_required', rule: ask.rule, facts: { approval: asked.withdrawn } }
      await recordRefusal(refusedTo(place.caller, refusal), factsOf(arrival, place, ports), ports)
      return 'gone'
    }
    if (isRefusal(asked)) return asked
    isAccepted = true
    const leave = (): void => {
      asked.leave()
      whole.body?.leave()
    }
    return { place: whole, approval: asked, leave }
  } finally {
    if (!isAccepted) whole.body?.leave()
  }
}

/** The request with its body, which takes the place of what is still on its way. */
async function withBody(
  place: Located,
  body: RequestBody,
  reply: Reply,
  { wholeBodies }: AskPorts,
): Promise<Located | Refusal | 'gone'> {
  if (place.body !== null || body.length === 0) return place
  const read = await wholeBodies.read(reply.grpc === true ? singleMessage(body) : body, place.caller.sessionId)
  return read === 'gone' || isRefusal(read) ? read : { ...place, body: read }
}

function questionOf(
  arrival: Arrival,
  place: Located,
  judged: Judgement,
  ask: NonNullable<Judgement['decision']['ask']>,
  ports: AskPorts,
): Parameters<Approvals['ask']>[0] {
  const { caller, head, credentialId, service } = place
  const { sessionId, agentId, narrowed } = caller
  const body = place.body?.bytes ?? new Uint8Array(0)
  return {
    sessionId,
    agentId,
    narrowed,
    credentialId,
    bodyBytes: body.byteLength,
    digest() {
      const now = ports.services.get(service.id)
      return digestOfRequest({
        head,
        body,
        // What one narrowing was allowed, another of the same session was not.
        sessionId: narrowed === null ? sessionId : `${sessionId} ${narrowed.id}`,
        agentId,
        credentialId,
        upgrade: arrival.upgrade ?? '',
        service: now === undefined ? '' : revisionOf(now),
        grants: ports.grants.revisionOf(agentId, credentialId),
      })
    },
    describe() {
      const facts = factsOfApproval(arrival, place, judged, ask, body, ports)
      const { operation, grant, rule } = facts
      const named = operation === null ? {} : { operation }
      return { facts, journaled: { ...factsOf(arrival, place, ports), ...named, grant, rule } }
    },
  }
}

const revisions = new WeakMap<Service, string>()

/** SHA-256 of a service's row. */
function revisionOf(service: Service): string {
  const known = revisions.get(service)
  if (known !== undefined) return known
  const revision = createHash('sha256').update(JSON.stringify(service)).digest('hex')
  revisions.set(service, revision)
  return revision
}
