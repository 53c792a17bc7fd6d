import type { Decision } from '../core/policy.ts'
import type { Refusal } from './refusal.ts'

/** A decision's no, in the words of the gateway. The journal is told the grant as well. */
export function refusalOfDecision({ code, rule, grant, why }: Extract<Decision, { allow: false }>): Refusal {
  return {
    refusal: code,
    ...(rule === undefined ? {} : { rule }),
    ...(why === undefined ? {} : { detail: `The condition of grant ${grant ?? ''} ${why}.` }),
    ...(why === undefined || grant === undefined ? {} : { facts: { grant } }),
  }
}
