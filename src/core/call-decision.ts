import type { Calls } from './call-pattern.ts'
import {
  findAsk,
  findDeny,
  isWider,
  nearer,
  notAllowing,
  type Asked,
  type CompiledGrant,
  type Decision,
  type DecisionRequest,
  type NotAllowing,
} from './policy.ts'
import { viewPath } from './path-index.ts'
import { pathOf } from './request.ts'

/** The decision on a request of calls. `call`: the one that was refused. */
export type CallsDecision =
  | Extract<Decision, { allow: true }>
  | (Extract<Decision, { allow: false }> & { readonly call?: string })

/** Characters of the joined rules that allowed. */
export const JOINED_RULES_MAXIMUM_LENGTH = 1_024

/**
 * Every call must be allowed, and neither the request itself, nor a call, nor a field that is asked for may be
 * denied. What allows paths allows no calls: the path does not say what is done there. The procedure is in
 * docs/formats/policy.md.
 */
export function decideCalls(request: DecisionRequest, calls: Calls): CallsDecision {
  const { method, operation, grants } = request
  const first = grants[0]
  const destructive = [...calls.made.keys()].some((call) => first?.operations.destructiveCall(call) ?? true)
  if (first === undefined) return { allow: false, code: 'grant_missing', destructive }
  const path = pathOf(request.target)
  if (viewPath(method, path, 'exact') === null) return { allow: false, code: 'path_not_canonical', destructive }
  const denied = findDeny(method, path, operation, grants)
  if (denied !== null) return { allow: false, code: 'operation_denied', ...denied, destructive }
  for (const call of [...calls.made.keys(), ...calls.touched]) {
    const deniedCall = findDeniedCall(call, grants)
    if (deniedCall !== null) return { allow: false, code: 'operation_denied', ...deniedCall, call, destructive }
  }
  // Who asks for nothing is allowed nothing: otherwise every call of none would be allowed.
  if (calls.made.size === 0) return { allow: false, code: 'operation_not_allowed', destructive }
  const allowing = new Map<CompiledGrant, { rule: string; count: number }[]>()
  for (const [call, count] of calls.made) {
    const found = findAllow(call, grants, request)
    if ('code' in found) return { allow: false, ...found, call, destructive }
    const rules = allowing.get(found.grant)
    if (rules === undefined) allowing.set(found.grant, [{ rule: found.rule, count }])
    else rules.push({ rule: found.rule, count })
  }
  const used = [...allowing].toSorted(([left], [right]) => (left.id < right.id ? -1 : 1))
  const shares = used.map(([grant, rules]) => ({
    grant: grant.id,
    limits: grant.limits,
    count: rules.reduce((sum, { count }) => sum + count, 0),
  }))
  return {
    allow: true,
    grant: shares.map(({ grant }) => grant).join(', '),
    rule: shortened([...new Set(used.flatMap(([, rules]) => rules.map(({ rule }) => rule)))].toSorted().join(', ')),
    limits: used[0]?.[0].limits ?? {},
    shares,
    ...asking(findAsk(method, path, operation, grants, destructive) ?? findAskedCall(calls, grants)),
    destructive,
  }
}

function asking(ask: Asked | null): { ask?: Asked } {
  return ask === null ? {} : { ask }
}

/** The asking rule of the grant with the lowest id that asks of one of the calls. */
function findAskedCall({ made }: Calls, grants: readonly CompiledGrant[]): Asked | null {
  let found: Asked | null = null
  for (const { id, asks, operations } of grants) {
    if (asks === null || (found !== null && found.grant < id)) continue
    for (const call of made.keys()) {
      if (asks.which === 'destructive' && !operations.destructiveCall(call)) continue
      const rule =
        asks.rules.findCall(call, operations.nameOfCall(call, 'exact')) ??
        (asks.rules.usesNames ? asks.rules.findCall(call, operations.nameOfCall(call, 'wide')) : null)
      if (rule === null) continue
      found = { grant: id, rule }
      break
    }
  }
  return found
}

/** The denying rule of the grant with the lowest id. */
function findDeniedCall(call: string, grants: readonly CompiledGrant[]): { grant: string; rule: string } | null {
  let found: { grant: string; rule: string } | null = null
  for (const { id, deny, operations } of grants) {
    if (deny.isEmpty || (found !== null && found.grant < id)) continue
    const rule =
      deny.findCall(call, operations.nameOfCall(call, 'exact')) ??
      (deny.usesNames ? deny.findCall(call, operations.nameOfCall(call, 'wide')) : null)
    if (rule !== null) found = { grant: id, rule }
  }
  return found
}

type Found =
  | { readonly grant: CompiledGrant; readonly rule: string }
  | { readonly code: 'operation_not_allowed' }
  | NotAllowing

/** The widest grant that allows the call. */
function findAllow(
  call: string,
  grants: readonly CompiledGrant[],
  { now, facts }: Pick<DecisionRequest, 'now' | 'facts'>,
): Found {
  let allowing: { grant: CompiledGrant; rule: string } | null = null
  let refusing: NotAllowing | null = null
  for (const grant of grants) {
    const rule = grant.allow.findCall(call, grant.operations.nameOfCall(call, 'exact'))
    if (rule === null) continue
    const against = notAllowing(grant, rule, now, facts)
    if (against !== null) refusing = nearer(refusing, against)
    else if (allowing === null || isWider(grant, allowing.grant)) allowing = { grant, rule }
  }
  return allowing ?? refusing ?? { code: 'operation_not_allowed' }
}

function shortened(text: string): string {
  return text.length <= JOINED_RULES_MAXIMUM_LENGTH ? text : `${text.slice(0, JOINED_RULES_MAXIMUM_LENGTH)}…`
}
