import { decideCalls, type CallsDecision } from '../../core/call-decision.ts'
import { callSealedBy, operationOf, sealedBy, type CompiledGrant } from '../../core/policy.ts'
import type { Facts } from '../../core/condition.ts'
import { pathOf } from '../../core/request.ts'
import { refusalOfDecision } from '../decision-refusal.ts'
import type { Located } from '../locate.ts'
import type { Refusal } from '../refusal.ts'
import type { Meaning } from './read.ts'

/** What was decided on a request by the calls that its body makes. */
export function judgeCalls(
  { service, head }: Located,
  { calls, written }: Meaning,
  grants: readonly CompiledGrant[],
  now: number,
  conditionFacts: Facts | undefined,
): { decision: Extract<CallsDecision, { allow: true }>; operation: string } | Refusal {
  const { method, target } = head
  const facts = { operation: written }
  const { sealed } = service
  const sealing =
    sealed === undefined ? null : (sealedBy(sealed, method, pathOf(target)) ?? callSealedBy(sealed, calls))
  if (sealing !== null) return { refusal: 'operation_sealed', rule: sealing, facts }
  const operation = operationOf(service.operations, method, pathOf(target))
  const decision = decideCalls(
    { method, target, operation, grants, now, ...(conditionFacts === undefined ? {} : { facts: conditionFacts }) },
    calls,
  )
  if (decision.allow) return { decision, operation: written }
  const refusal = refusalOfDecision(decision)
  const asked = decision.call === undefined ? [] : [`It asks for ${decision.call}.`]
  const detail = [...asked, ...(refusal.detail === undefined ? [] : [refusal.detail])].join(' ')
  return { ...refusal, ...(detail === '' ? {} : { detail }), facts: { ...facts, ...refusal.facts } }
}
