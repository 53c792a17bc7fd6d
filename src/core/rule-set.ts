import { createCallIndex, type CallIndex, type Calls } from './call-pattern.ts'
import { KeywardError } from './errors.ts'
import { parseOperationPattern } from './operation-pattern.ts'
import type { NamedOperation, OperationPattern } from './operation-pattern.ts'
import { createPathIndex, viewPath } from './path-index.ts'
import type { PathIndex, PathView, Reading } from './path-index.ts'

/** Many patterns as one question: which of them fits this request? */
export interface RuleSet {
  readonly reading: Reading
  /** The text of the first fitting pattern in the order of their texts, or null. `operation` is the request's name in this set's reading. */
  find(view: PathView | null, operation: string | null): string | null
  /** The same for one call of a body, which patterns of paths do not fit. */
  findCall(call: string, operation: string | null): string | null
  /** Whether the request's operation name can matter. */
  readonly usesNames: boolean
  readonly isEmpty: boolean
}

/** Rule sets kept for grants that say the same, which most of many grants do. The oldest go first. */
export const maximumSharedRuleSets = 1000
const shared = new Map<string, RuleSet>()

/** Throws KeywardError `usage` naming the pattern that is malformed. The order of `texts` makes no difference. */
export function compileRules(texts: readonly string[], reading: Reading): RuleSet {
  const rules = [...new Set(texts)].toSorted()
  const key = JSON.stringify([reading, rules])
  const known = shared.get(key)
  if (known !== undefined) return known
  const made = compile(rules, reading)
  if (shared.size >= maximumSharedRuleSets)
    for (const oldest of shared.keys()) {
      shared.delete(oldest)
      break
    }
  shared.set(key, made)
  return made
}

function compile(rules: readonly string[], reading: Reading): RuleSet {
  const patterns = rules.map(parseOperationPattern)
  const everything = patterns.findIndex((pattern) => pattern.kind === 'everything')
  const names = rankNames(patterns)
  const paths = createPathIndex(
    patterns.map((pattern) => (pattern.kind === 'path' ? pattern : null)),
    reading,
  )
  const calls = createCallIndex(
    patterns.map((pattern) => (pattern.kind === 'call' ? pattern : null)),
    reading,
  )
  const textOf = (rank: number): string | null => (rank < 0 ? null : (rules[rank] ?? null))
  return {
    reading,
    usesNames: names.size > 0,
    isEmpty: rules.length === 0,
    find(view, operation) {
      let best = everything
      if (view !== null) best = lower(best, paths.find(view))
      if (operation !== null && names.size > 0) best = lower(best, rankOfName(names, operation))
      return textOf(best)
    },
    findCall(call, operation) {
      const best = lower(everything, calls.find(call))
      return textOf(operation === null || names.size === 0 ? best : lower(best, rankOfName(names, operation)))
    },
  }
}

/** Full names, and open ones with their closing dot, to their rank. */
function rankNames(patterns: readonly OperationPattern[]): Map<string, number> {
  const names = new Map<string, number>()
  patterns.forEach((pattern, rank) => {
    if (pattern.kind === 'name') names.set(pattern.name, rank)
  })
  return names
}

function rankOfName(names: ReadonlyMap<string, number>, operation: string): number {
  let best = names.get(operation) ?? -1
  for (let dot = operation.indexOf('.'); dot >= 0; dot = operation.indexOf('.', dot + 1)) {
    best = lower(best, names.get(operation.slice(0, dot + 1)) ?? -1)
  }
  return best
}

function lower(left: number, right: number): number {
  if (left < 0) return right
  return right < 0 ? left : Math.min(left, right)
}

/** A service's operations, ready to name requests. */
export interface OperationTable {
  /** Name of the first operation whose pattern fits, or null. */
  nameOf(view: PathView | null, reading: Reading): string | null
  /** The same for one call of a body. */
  nameOfCall(call: string, reading: Reading): string | null
  /** Whether the request counts as destructive: as its operation says; a DELETE and, where no operation is known, everything but GET, HEAD and OPTIONS do. */
  destructive(operation: string | null, method: string): boolean
  /** The same for one call: as its operation says; where that does not say and none but a wildcard names it, everything but a query and a subscription is. */
  destructiveCall(call: string): boolean
  readonly names: ReadonlySet<string>
}

/** Throws KeywardError `usage` naming the operation whose `match` is malformed or means no single requests or calls. */
export function compileOperations(operations: readonly NamedOperation[]): OperationTable {
  const patterns = operations.map((operation) => {
    const pattern = parseOperationPattern(operation.match)
    if (pattern.kind === 'path' || (pattern.kind === 'call' && !pattern.denyOnly)) return pattern
    throw new KeywardError(
      'usage',
      `The operation ${operation.name} is matched by METHOD /path, GRAPHQL, RPC or AWS, not by ${pattern.text}.`,
    )
  })
  const paths = patterns.map((pattern) => (pattern.kind === 'path' ? pattern : null))
  const indexes: Record<Reading, PathIndex> = {
    exact: createPathIndex(paths, 'exact'),
    wide: createPathIndex(paths, 'wide'),
  }
  const calls = patterns.map((pattern) => (pattern.kind === 'call' ? pattern : null))
  const callIndexes: Record<Reading, CallIndex> = {
    exact: createCallIndex(calls, 'exact'),
    wide: createCallIndex(calls, 'wide'),
  }
  const rows = new Map<string, NamedOperation>()
  for (const operation of operations) {
    const known = rows.get(operation.name)
    if (known === undefined || operation.destructive === true) rows.set(operation.name, operation)
  }
  return {
    names: new Set(rows.keys()),
    nameOf(view, reading) {
      if (view === null) return null
      const rank = indexes[reading].find(view)
      return rank < 0 ? null : (operations[rank]?.name ?? null)
    },
    nameOfCall(call, reading) {
      const rank = callIndexes[reading].find(call)
      return rank < 0 ? null : (operations[rank]?.name ?? null)
    },
    destructiveCall(call) {
      const rank = callIndexes.exact.find(call)
      const said = rows.get(operations[rank]?.name ?? '')?.destructive
      // A row for whatever begins so knows none of what it names.
      const isKnown = said !== undefined || calls[rank]?.open === false
      return isKnown ? said === true : !/^GRAPHQL (?:query|subscription) /.test(call)
    },
    destructive(operation, method) {
      const row = operation === null ? undefined : rows.get(operation)
      if (row === undefined) return !isSafe(method)
      return row.destructive ?? method === 'DELETE'
    },
  }
}

/** RFC 9110 section 9.2.1, of the methods that are forwarded. */
export function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}

const tables = new WeakMap<readonly NamedOperation[], OperationTable>()

/** The same list gives the same table, so a service that stays in memory is compiled once. */
export function tableOf(operations: readonly NamedOperation[]): OperationTable {
  const known = tables.get(operations)
  if (known !== undefined) return known
  const table = compileOperations(operations)
  tables.set(operations, table)
  return table
}

/**
 * The name of a request at a service: the first of its operations whose pattern fits, or null.
 * `path` is canonical and has no query.
 */
export function operationOf(operations: readonly NamedOperation[], method: string, path: string): string | null {
  if (operations.length === 0) return null
  return tableOf(operations).nameOf(viewPath(method, path, 'exact'), 'exact')
}

const listed: Readonly<Record<Reading, WeakMap<readonly string[], RuleSet>>> = {
  exact: new WeakMap(),
  wide: new WeakMap(),
}

/**
 * The first of a service's sealed patterns that fits the request, or null. Read as widely as a deny.
 * The same list is compiled once.
 */
export function sealedBy(patterns: readonly string[], method: string, path: string): string | null {
  return listedBy(patterns, method, path, 'wide')
}

/** Whether a service's patterns of calls that may hand out a credential fit the request. Read as narrowly as an allow. */
export function mayHandOut(patterns: readonly string[], method: string, path: string): boolean {
  return listedBy(patterns, method, path, 'exact') !== null
}

function listedBy(patterns: readonly string[], method: string, path: string, reading: Reading): string | null {
  return patterns.length === 0 ? null : listedRules(patterns, reading).find(viewPath(method, path, reading), null)
}

/** The first of a service's sealed patterns that fits one of the calls, or null. */
export function callSealedBy(patterns: readonly string[], calls: Calls): string | null {
  const rules = listedRules(patterns, 'wide')
  for (const call of [...calls.made.keys(), ...calls.touched]) {
    const rule = rules.findCall(call, null)
    if (rule !== null) return rule
  }
  return null
}

function listedRules(patterns: readonly string[], reading: Reading): RuleSet {
  let rules = listed[reading].get(patterns)
  if (rules === undefined) {
    rules = compileRules(patterns, reading)
    listed[reading].set(patterns, rules)
  }
  return rules
}
