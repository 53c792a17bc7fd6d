import { decide, findAsk, operationOf, sealedBy, type CompiledGrant, type Decision } from '../core/policy.ts'
import { pathOf } from '../core/request.ts'
import type { Grants } from '../identity/grants.ts'
import type { Sessions } from '../identity/sessions.ts'
import type { ServiceDirectory } from '../services/directory.ts'
import type { Records } from '../vault/records.ts'
import type { Approval } from './approval/approvals.ts'
import type { Arrival } from './arrival.ts'
import { createFacts, type RequestFacts } from './condition-facts.ts'
import { refusalOfDecision } from './decision-refusal.ts'
import { namesMethod } from './form-method.ts'
import type { Located } from './locate.ts'
import { judgeCalls } from './meaning/judge.ts'
import { isRefusal, type Refusal } from './refusal.ts'
import { WEBSOCKET, WEBSOCKET_METHOD } from './websocket/handshake.ts'

export interface JudgePorts {
  readonly sessions: Sessions
  readonly services: ServiceDirectory
  readonly grants: Grants
  readonly records: Pick<Records, 'get'>
  /** Whether this node may still act on the policy that it knows. */
  readonly lease: { held(): boolean }
  readonly now: () => number
}

export type Judgement = {
  readonly decision: Extract<Decision, { allow: true }>
  readonly operation: string | null
  /** What was decided on; another list means that something may have changed. */
  readonly grants: readonly CompiledGrant[]
}

/** What policy says to a located request at this instant. Pure but for what it looks up. */
export function judge(arrival: Arrival, place: Located, ports: JudgePorts): Judgement | Refusal {
  const { head, caller } = place
  const changed = stillAllowed(place, ports)
  if (changed !== null) return changed
  if (namesMethod(head.target)) return { refusal: 'method_refused', detail: 'The query would change the method.' }
  const grants = ports.grants.of(caller.agentId, place.credentialId)
  const facts = grants.some(hasCondition) ? createFacts(arrival, place, ports) : undefined
  const judged = judgeBy(arrival, place, grants, facts, ports)
  return isRefusal(judged) && judged.refusal === 'condition_not_met' && facts?.wantsBody === true
    ? { ...judged, wantsBody: true }
    : judged
}

function hasCondition({ when }: CompiledGrant): boolean {
  return when !== null
}

function judgeBy(
  arrival: Arrival,
  place: Located,
  grants: readonly CompiledGrant[],
  facts: RequestFacts | undefined,
  ports: JudgePorts,
): Judgement | Refusal {
  if (place.meaning !== undefined) {
    const judged = judgeCalls(place, place.meaning, grants, ports.now(), facts)
    if (isRefusal(judged)) return judged
    return narrowedAway(place.head.method, place, ports) ?? { ...judged, grants }
  }
  const asked = askedFor(place.head.method, place, grants, facts, ports)
  if (arrival.upgrade !== WEBSOCKET || isDenied(asked)) return asked
  return askingAsGet(askedFor(WEBSOCKET_METHOD, place, grants, facts, ports), place)
}

/**
 * Why what was judged before holds no longer, or null: to be asked just before a credential leaves. `approval`: the
 * one by which the request passes, where a person had to be asked.
 */
export function changedSince(
  arrival: Arrival,
  place: Located,
  grants: readonly CompiledGrant[],
  approval: Approval | null,
  ports: JudgePorts,
): Refusal | null {
  // A condition may ask what time it is, or how old the session.
  const isSame = ports.grants.of(place.caller.agentId, place.credentialId) === grants
  if (isSame && !grants.some(hasCondition)) return stillAllowed(place, ports)
  return refusedNow(arrival, place, approval, ports)
}

/** The same with everything judged anew, for what goes on for long. */
export function refusedNow(
  arrival: Arrival,
  place: Located,
  approval: Approval | null,
  ports: JudgePorts,
): Refusal | null {
  const again = judge(arrival, place, ports)
  if (isRefusal(again)) return again
  if (approval !== null) return approval.holds() ? null : { refusal: 'approval_void' }
  return again.decision.ask === undefined ? null : { refusal: 'approval_required', rule: again.decision.ask.rule }
}

/** What was said to the request as one of this method. */
function askedFor(
  method: string,
  place: Located,
  grants: readonly CompiledGrant[],
  facts: RequestFacts | undefined,
  ports: JudgePorts,
): Judgement | Refusal {
  const { service, head } = place
  const path = pathOf(head.target)
  const operation = operationOf(service.operations, method, path)
  const sealed = service.sealed === undefined ? null : sealedBy(service.sealed, method, path)
  if (sealed !== null) return { refusal: 'operation_sealed', rule: sealed }
  const request = { method, target: head.target, operation, grants, now: ports.now() }
  const decision = decide(facts === undefined ? request : { ...request, facts })
  if (!decision.allow) return refusalOfDecision(decision)
  return narrowedAway(method, place, ports) ?? { decision, operation, grants }
}

/** Why the request is not among what is left of the session to this caller, or null. Asked beside the grants and never instead. */
function narrowedAway(method: string, place: Located, ports: JudgePorts): Refusal | null {
  const { narrowed } = place.caller
  if (narrowed === null) return null
  const { head, service, meaning } = place
  const { operations } = service
  const refusal = narrowed.refusalOf(ports.records.get('credential', place.credentialId)?.name ?? '', {
    method,
    target: head.target,
    operation: operationOf(operations, method, pathOf(head.target)),
    operations,
    calls: meaning?.calls ?? null,
  })
  return refusal === null
    ? null
    : { refusal: refusal.code, ...(refusal.rule === undefined ? {} : { rule: refusal.rule }) }
}

/** The opening of a WebSocket asks a person where the GET would that it is. */
function askingAsGet(judged: Judgement | Refusal, { service, head }: Located): Judgement | Refusal {
  if (isRefusal(judged) || judged.decision.ask !== undefined) return judged
  const path = pathOf(head.target)
  const operation = operationOf(service.operations, head.method, path)
  const ask = findAsk(head.method, path, operation, judged.grants, judged.decision.destructive)
  return ask === null ? judged : { ...judged, decision: { ...judged.decision, ask } }
}

const unsaid: ReadonlySet<Refusal['refusal']> = new Set([
  'operation_not_allowed',
  'grant_expired',
  'condition_not_met',
  'narrowed_operation',
])

/** Whether something says no, rather than nothing says yes. */
function isDenied(judged: Judgement | Refusal): boolean {
  return isRefusal(judged) && !unsaid.has(judged.refusal)
}

/** Session, agent, credential, service and lease, as they are at this instant. */
function stillAllowed(place: Located, ports: JudgePorts): Refusal | null {
  if (!ports.lease.held()) return { refusal: 'lease_lost' }
  const caller = ports.sessions.live(place.caller)
  if (isRefusal(caller)) return caller
  const credential = ports.records.get('credential', place.credentialId)
  if (credential === undefined) return { refusal: 'credential_missing' }
  if (credential.environment !== place.caller.environment) return { refusal: 'environment_mismatch' }
  if (credential.state === 'suspended') return { refusal: 'credential_suspended' }
  if (ports.services.get(place.service.id) !== place.service) return { refusal: 'service_changed' }
  return null
}
