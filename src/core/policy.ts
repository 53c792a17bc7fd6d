import { ANY_FIELD } from './call-pattern.ts'
import type { Condition, Facts } from './condition.ts'
import { Failure } from './condition-value.ts'
import { KeywardError } from './errors.ts'
import type { ErrorCode } from './errors.ts'
import type { NamedOperation } from './operation-pattern.ts'
import { viewPath } from './path-index.ts'
import type { Approve, GrantRecord } from './records.ts'
import { pathOf } from './request.ts'
import { compileRules, isSafe, tableOf } from './rule-set.ts'
import type { OperationTable, RuleSet } from './rule-set.ts'

export { callSealedBy, mayHandOut, operationOf, sealedBy } from './rule-set.ts'

export type GrantLimits = GrantRecord['limits']

/** A grant, ready to be asked. */
export interface CompiledGrant {
  readonly id: string
  readonly allow: RuleSet
  readonly deny: RuleSet
  /** Where this does not hold, the grant allows nothing; what it denies and asks about stays. Null: it always does. */
  readonly when: Condition | null
  readonly limits: GrantLimits
  /** Of which requests a person is asked first; null: of none. */
  readonly asks: Asking | null
  readonly expiresAt: number | null
  /** The operations of the credential's service. */
  readonly operations: OperationTable
}

/** What the grant allows, read as widely as a deny: what a person is to be asked of must not be had by another spelling. */
export interface Asking {
  readonly rules: RuleSet
  readonly which: Exclude<Approve, 'never'>
}

/** Most patterns of one grant, allow and deny together. */
export const maximumPatternsPerGrant = 1000

/**
 * Throws KeywardError `usage` on an empty `allow`, a malformed pattern (naming it), too many patterns, or impossible
 * limits, and what `conditionOf` throws. Without that, a condition never holds.
 */
export function compileGrant(
  id: string,
  record: Pick<GrantRecord, 'allow' | 'deny' | 'limits' | 'approve' | 'when' | 'expiresAt'>,
  operations: readonly NamedOperation[],
  conditionOf: (text: string) => Condition = () => neverMet,
): CompiledGrant {
  if (record.allow.length === 0) {
    throw new KeywardError('usage', 'The grant allows nothing: name operations or patterns, or write * for everything.')
  }
  if (record.allow.length + record.deny.length > maximumPatternsPerGrant) {
    throw new KeywardError('usage', `A grant has at most ${maximumPatternsPerGrant} patterns.`)
  }
  const denyOnly = record.allow.find((text) => text.startsWith(ANY_FIELD))
  if (denyOnly !== undefined) {
    throw new KeywardError('usage', `${denyOnly} can only be denied: allow the query or mutation that it is part of.`)
  }
  return {
    id,
    allow: compileRules(record.allow, 'exact'),
    deny: compileRules(record.deny, 'wide'),
    when: record.when === undefined ? null : conditionOf(record.when),
    limits: record.limits,
    asks: record.approve === undefined ? null : { rules: compileRules(record.allow, 'wide'), which: record.approve },
    expiresAt: record.expiresAt,
    operations: tableOf(operations),
  }
}

/** Of a condition that cannot be read: it stands for a refusal, not for nothing. */
export const neverMet: Condition = { judge: () => unread }
const unread = new Failure('cannot be read')

/** As much of the limits of one grant as the calls that it allows. */
export interface Share {
  readonly grant: string
  readonly limits: GrantLimits
  readonly count: number
}

export interface DecisionRequest {
  readonly method: string
  /** Canonical: path, and query if there is one. */
  readonly target: string
  /** What `operationOf` called the request. */
  readonly operation: string | null
  /** Every grant of this agent for this credential, in any order. */
  readonly grants: readonly CompiledGrant[]
  /** Milliseconds since the Unix epoch. */
  readonly now: number
  /** What the conditions of these grants are asked about; without it none of them holds. */
  readonly facts?: Facts
}

export interface Asked {
  readonly grant: string
  readonly rule: string
}

/** `rule` is the pattern that decided, as the grant has it; `grant` the id of that grant. */
export type Decision =
  | {
      readonly allow: true
      readonly grant: string
      readonly rule: string
      readonly limits: GrantLimits
      /** Where the request is several calls: what it takes of the limits of every grant that allows one of them. */
      readonly shares?: readonly Share[]
      /** Where a person is to be asked first: the grant and the rule that say so. */
      readonly ask?: Asked
      readonly destructive: boolean
    }
  | {
      readonly allow: false
      readonly code: Extract<
        ErrorCode,
        | 'grant_missing'
        | 'operation_denied'
        | 'grant_expired'
        | 'condition_not_met'
        | 'operation_not_allowed'
        | 'path_not_canonical'
      >
      readonly grant?: string
      readonly rule?: string
      /** Of a condition that is not met: what it does, without what it read. */
      readonly why?: string
      readonly destructive: boolean
    }

/**
 * Default deny; a deny of any grant wins; the order of grants and patterns makes no difference. An
 * expired grant allows nothing any more, but what it denies stays denied until it is removed: time
 * never widens. A grant whose condition is not met, or cannot be judged, allows nothing either, and denies and asks
 * all the same. Where several grants allow, the one with the widest limits counts, so that a further
 * grant never narrows what is allowed. Where any of them asks a person, expired or not, met or not, a person is asked. The procedure, step by step, is in docs/formats/policy.md.
 */
export function decide(request: DecisionRequest): Decision {
  const { method, operation, grants, now } = request
  const first = grants[0]
  if (first === undefined) {
    return { allow: false, code: 'grant_missing', destructive: !isSafe(method) }
  }
  const path = pathOf(request.target)
  const destructive = first.operations.destructive(operation, method)
  const view = viewPath(method, path, 'exact')
  if (view === null) return { allow: false, code: 'path_not_canonical', destructive }

  const denied = findDeny(method, path, operation, grants)
  if (denied !== null) return { allow: false, code: 'operation_denied', ...denied, destructive }

  let allowing: CompiledGrant | null = null
  let allowingRule = ''
  let refusing: NotAllowing | null = null
  for (const grant of grants) {
    const rule = grant.allow.find(view, operation)
    if (rule === null) continue
    const against = notAllowing(grant, rule, now, request.facts)
    if (against !== null) refusing = nearer(refusing, against)
    else if (allowing === null || isWider(grant, allowing)) {
      allowing = grant
      allowingRule = rule
    }
  }
  if (allowing !== null) {
    const { id, limits } = allowing
    const ask = findAsk(method, path, operation, grants, destructive)
    return ask === null
      ? { allow: true, grant: id, rule: allowingRule, limits, destructive }
      : { allow: true, grant: id, rule: allowingRule, limits, ask, destructive }
  }
  return { allow: false, ...(refusing ?? { code: 'operation_not_allowed' }), destructive }
}

/** Why a grant whose rule fits allows nothing at this instant. */
export type NotAllowing =
  | { readonly code: 'grant_expired'; readonly grant: string; readonly rule: string }
  | { readonly code: 'condition_not_met'; readonly grant: string; readonly rule: string; readonly why: string }

/** Null: it allows. */
export function notAllowing(
  grant: CompiledGrant,
  rule: string,
  now: number,
  facts: Facts | undefined,
): NotAllowing | null {
  if (grant.expiresAt !== null && grant.expiresAt <= now) return { code: 'grant_expired', grant: grant.id, rule }
  if (grant.when === null) return null
  const met = facts === undefined ? unread : grant.when.judge(facts)
  if (met === true) return null
  return { code: 'condition_not_met', grant: grant.id, rule, why: met === false ? 'is false' : met.why }
}

/** Which of two to name: what could still become true before what is over, then the lower id. */
export function nearer(left: NotAllowing | null, right: NotAllowing): NotAllowing {
  if (left === null) return right
  if (left.code !== right.code) return left.code === 'condition_not_met' ? left : right
  return left.grant < right.grant ? left : right
}

/** The denying rule of the grant with the lowest id. */
export function findDeny(
  method: string,
  path: string,
  operation: string | null,
  grants: readonly CompiledGrant[],
): { grant: string; rule: string } | null {
  let view: ReturnType<typeof viewPath> | undefined
  let found: { grant: string; rule: string } | null = null
  for (const grant of grants) {
    if (grant.deny.isEmpty || (found !== null && found.grant < grant.id)) continue
    view ??= viewPath(method, path, 'wide')
    let rule = grant.deny.find(view, operation)
    // A name is only as good as its spelling: a path that the service may well read as the same
    // operation must not lose that operation's deny by another letter case.
    if (rule === null && grant.deny.usesNames) rule = grant.deny.find(null, grant.operations.nameOf(view, 'wide'))
    if (rule !== null) found = { grant: grant.id, rule }
  }
  return found
}

/** The asking rule of the grant with the lowest id. `destructive`: whether what is asked for is, as far as its exact spelling tells. */
export function findAsk(
  method: string,
  path: string,
  operation: string | null,
  grants: readonly CompiledGrant[],
  destructive: boolean,
): Asked | null {
  let found: Asked | null = null
  for (const { id, asks, operations } of grants) {
    if (asks === null || (found !== null && found.grant < id)) continue
    const view = viewPath(method, path, 'wide')
    const wideName = operations.nameOf(view, 'wide')
    if (
      asks.which === 'destructive' &&
      !destructive &&
      !(wideName !== null && operations.destructive(wideName, method))
    )
      continue
    const rule = asks.rules.find(view, operation) ?? (asks.rules.usesNames ? asks.rules.find(null, wideName) : null)
    if (rule !== null) found = { grant: id, rule }
  }
  return found
}

/** No limit before a limit, more a second before less, more at once before less, then the lower id. */
export function isWider(left: CompiledGrant, right: CompiledGrant): boolean {
  const perSecond = (limits: GrantLimits): number =>
    limits.rate === undefined ? Infinity : limits.rate.count / limits.rate.perSeconds
  const leftRate = perSecond(left.limits)
  const rightRate = perSecond(right.limits)
  if (leftRate !== rightRate) return leftRate > rightRate
  const leftCount = left.limits.rate?.count ?? Infinity
  const rightCount = right.limits.rate?.count ?? Infinity
  if (leftCount !== rightCount) return leftCount > rightCount
  const leftConcurrent = left.limits.concurrent ?? Infinity
  const rightConcurrent = right.limits.concurrent ?? Infinity
  if (leftConcurrent !== rightConcurrent) return leftConcurrent > rightConcurrent
  return left.id < right.id
}
