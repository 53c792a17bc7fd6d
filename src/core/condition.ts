import type { ASTNode } from '@marcbachmann/cel-js'
import { compileCall } from './condition-calls.ts'
import {
  CONDITION_MAXIMUM_STEPS,
  isFactRoot,
  isPlainFact,
  NOW,
  type FactRoot,
  type PlainFact,
} from './condition-language.ts'
import {
  areEqual,
  Failure,
  headerOf,
  memberOf,
  missing,
  namesOf,
  readParameters,
  withoutLookAlikes,
  wrongType,
  type Item,
  type Names,
  type Value,
} from './condition-value.ts'
import type { HeaderPair } from './request.ts'

/** What a condition may ask about a request. What has more than one reading comes raw: which names count, the condition knows. */
export interface Facts {
  /** Milliseconds since the Unix epoch. */
  readonly now: number
  plain(fact: PlainFact): Item
  /** As they are sent, lower-case, without those that hold credentials. */
  headers(): readonly HeaderPair[]
  query(): readonly (readonly [string, string])[] | Failure
  /** Null: there is none. */
  body(): Item
}

/** A condition of a grant, ready to be asked. */
export interface Condition {
  /** True, false, or why it cannot be judged; both of the latter allow nothing. */
  judge(facts: Facts): boolean | Failure
}

/** One evaluation. */
export interface Scope {
  readonly facts: Facts
  /** Elements that quantifiers stand at, the outermost first. */
  readonly elements: Item[]
  steps: number
  query?: Item
  body?: Item
  /** Counts characters that are looked at; false where the steps are used up. */
  readonly spend: (characters: number) => boolean
}

export type Part = (scope: Scope) => Item

/** What is wrong with an expression, and where: the first character is 0. */
export class ConditionFault extends Error {
  readonly at: number
  constructor(at: number, why: string) {
    super(why)
    this.at = at
  }
}

/** What is known while the parts are made. */
export interface Compiling {
  readonly timeZone: string
  /** The variables of the quantifiers around, the outermost first. */
  readonly variables: readonly string[]
  /** Names of members that the expression reads. */
  readonly names: Set<string>
  /** The same, once all of it was compiled. */
  readonly read: () => Names
}

const tooDear = new Failure('takes more steps than a request is given')
const CHARACTERS_PER_STEP = 512

/**
 * A condition of an expression that was parsed and whose types were checked (identity/condition-reader.ts). What it
 * comes to is worked out here, and not by the library: every step is counted, values of different types are not
 * compared, and nothing that a body holds is remembered (docs/decisions/0029). Throws ConditionFault for what the
 * language has not.
 */
export function compileCondition(ast: ASTNode, timeZone: string): Condition {
  const names = new Set<string>()
  let read: Names | null = null
  const part = compilePart(ast, { timeZone, variables: [], names, read: () => (read ??= namesOf(names)) })
  return {
    judge(facts) {
      const scope: Scope = {
        facts,
        elements: [],
        steps: CONDITION_MAXIMUM_STEPS,
        spend(characters) {
          scope.steps -= 1 + Math.floor(characters / CHARACTERS_PER_STEP)
          return scope.steps >= 0
        },
      }
      const found = part(scope)
      // Also where it came to something without what was too dear: that must not depend on how much it was.
      if (scope.steps < 0) return tooDear
      return typeof found === 'boolean' || found instanceof Failure ? found : wrongType
    },
  }
}

/** One part of an expression. */
export function compilePart(node: ASTNode, compiling: Compiling): Part {
  const made = compileNode(node, compiling)
  return (scope) => (scope.spend(0) ? made(scope) : tooDear)
}

function compileNode(node: ASTNode, compiling: Compiling): Part {
  switch (node.op) {
    case 'value':
      return constant(literalOf(node))
    case 'id':
      return compileName(node, compiling)
    case '.':
      return compileMember(node, compiling)
    case '[]':
      return compileIndex(node, compiling)
    case 'list': {
      // Nearly all of them; one inside a quantifier is not made anew for every element.
      if (node.args.every(({ op }) => op === 'value')) return constant(node.args.map(literalOf))
      const parts = node.args.map((element) => compilePart(element, compiling))
      return (scope) => parts.map((part) => part(scope))
    }
    case 'call':
    case 'rcall':
      return compileCall(node, compiling)
    case '?:': {
      const [asked, left, right] = node.args.map((part) => compilePart(part, compiling))
      if (asked === undefined || left === undefined || right === undefined) throw unknown(node)
      return (scope) => {
        const found = asked(scope)
        if (typeof found !== 'boolean') return found instanceof Failure ? found : wrongType
        return found ? left(scope) : right(scope)
      }
    }
    case '&&':
      return logical(node.args, false, compiling)
    case '||':
      return logical(node.args, true, compiling)
    case '!_': {
      const part = compilePart(node.args, compiling)
      return (scope) => {
        const found = part(scope)
        return typeof found === 'boolean' ? !found : found instanceof Failure ? found : wrongType
      }
    }
    case '-_':
      return constant(negative(node.args))
    case '==':
    case '!=': {
      const [left, right] = both(node.args, compiling)
      const wanted = node.op === '=='
      return (scope) => {
        const equal = areEqual(left(scope), right(scope), scope.spend)
        return equal instanceof Failure ? equal : equal === wanted
      }
    }
    case 'in':
      return compileIn(node, compiling)
    case '<':
    case '<=':
    case '>':
    case '>=':
      for (const side of node.args)
        if (side.op === 'value' && typeof side.args === 'string')
          throw new ConditionFault(side.pos, 'Only numbers and moments come before each other.')
      return ordered(node.op, both(node.args, compiling))
    default:
      throw unknown(node)
  }
}

function unknown(node: ASTNode): ConditionFault {
  return new ConditionFault(node.pos, `Conditions have no ${node.op}.`)
}

function both([left, right]: readonly [ASTNode, ASTNode], compiling: Compiling): [Part, Part] {
  return [compilePart(left, compiling), compilePart(right, compiling)]
}

function constant(value: Value): Part {
  return () => value
}

/** The value of a literal. */
function literalOf(node: ASTNode): string | number | boolean | null {
  const value = node.op === 'value' ? node.args : undefined
  if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) return Number(value)
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value
  throw new ConditionFault(node.pos, 'Values are texts, numbers, true, false and null.')
}

/** The text of a literal, where the language wants one: what a caller sends decides nothing there. */
export function textOf(node: ASTNode | undefined, what: string): string {
  if (node?.op === 'value' && typeof node.args === 'string') return node.args
  throw new ConditionFault(node?.pos ?? 0, `Write ${what} as a text in quotes.`)
}

function negative(node: ASTNode): number {
  const value = literalOf(node)
  if (typeof value === 'number') return -value
  throw new ConditionFault(node.pos, 'A minus stands before a number only.')
}

/** CEL: what one side settles, the other cannot unsettle. */
function logical(sides: readonly [ASTNode, ASTNode], settles: boolean, compiling: Compiling): Part {
  const [left, right] = both(sides, compiling)
  return (scope) => {
    const first = left(scope)
    if (first === settles) return settles
    const second = right(scope)
    if (second === settles) return settles
    if (first instanceof Failure) return first
    return typeof first === 'boolean' && (typeof second === 'boolean' || second instanceof Failure) ? second : wrongType
  }
}

function ordered(op: '<' | '<=' | '>' | '>=', [left, right]: readonly [Part, Part]): Part {
  return (scope) => {
    const first = left(scope)
    const second = right(scope)
    if (first instanceof Failure) return first
    if (second instanceof Failure) return second
    const areMoments = first instanceof Date && second instanceof Date
    if (!areMoments && !(typeof first === 'number' && typeof second === 'number')) return wrongType
    if (op === '<') return first < second
    if (op === '<=') return first <= second
    return op === '>' ? first > second : first >= second
  }
}

function compileName(node: ASTNode & { readonly op: 'id' }, { variables }: Compiling): Part {
  const name = node.args
  const depth = variables.lastIndexOf(name)
  if (depth >= 0) return ({ elements }) => elements[depth] ?? missing
  if (name === NOW) return ({ facts }) => new Date(facts.now)
  throw new ConditionFault(
    node.pos,
    isFactRoot(name) ? `Name a part of ${name}, as in ${name}.${firstOf[name]}.` : `There is no ${name}.`,
  )
}

const firstOf: Readonly<Record<FactRoot, string>> = {
  request: 'method',
  agent: 'name',
  session: 'age',
  source: 'address',
}

/** The fact that a node means, as `request.method`; null where it means something else. */
export function factOf(node: ASTNode, { variables }: Compiling): string | null {
  if (node.op !== '.') return null
  const [root, name] = node.args
  return root.op === 'id' && isFactRoot(root.args) && !variables.includes(root.args) ? `${root.args}.${name}` : null
}

function compileMember(node: ASTNode & { readonly op: '.' }, compiling: Compiling): Part {
  const fact = factOf(node, compiling)
  if (fact !== null) return compileFact(fact, node, compiling)
  const [object, name] = node.args
  if (factOf(object, compiling) === 'request.headers') return headerAt(name, node)
  compiling.names.add(name)
  const part = compilePart(object, compiling)
  return (scope) => memberOf(part(scope), name)
}

function compileFact(fact: string, node: ASTNode, { read }: Compiling): Part {
  if (isPlainFact(fact)) return ({ facts }) => facts.plain(fact)
  if (fact === 'request.query')
    return (scope) => {
      const pairs = scope.facts.query()
      return (scope.query ??=
        pairs instanceof Failure ? pairs : withoutLookAlikes(readParameters(pairs), read(), scope.spend))
    }
  if (fact === 'request.body') {
    // A request is judged several times, and its body is read once (gateway/condition-facts.ts).
    const looked = new WeakMap<object, Item>()
    return (scope) => (scope.body === undefined ? (scope.body = readBody(scope, read(), looked)) : scope.body)
  }
  throw new ConditionFault(
    node.pos,
    fact === 'request.headers'
      ? 'Name a header, as in request.headers["x-team"], has(request.headers.accept) or "x-team" in request.headers.'
      : `There is no ${fact}.`,
  )
}

function readBody(scope: Scope, names: Names, looked: WeakMap<object, Item>): Item {
  const body = scope.facts.body()
  if (!(body instanceof Map) && !Array.isArray(body)) return body
  const known = looked.get(body)
  if (known !== undefined) return known
  const found = withoutLookAlikes(body, names, scope.spend)
  if (scope.steps >= 0) looked.set(body, found)
  return found
}

/** A header's value. Its name is a literal, so that it is known which other name would be taken for it. */
function headerAt(name: string, node: ASTNode): Part {
  const known = headerName(name, node)
  return ({ facts }) => headerOf(facts.headers(), known) ?? missing
}

/** Whether a header is there. */
export function headerIsThere(name: string, node: ASTNode): Part {
  const known = headerName(name, node)
  return ({ facts }) => {
    const found = headerOf(facts.headers(), known)
    return found instanceof Failure ? found : found !== null
  }
}

function headerName(name: string, node: ASTNode): string {
  if (/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) return name
  throw new ConditionFault(node.pos, 'Names of headers are written in small letters.')
}

function compileIndex(node: ASTNode & { readonly op: '[]' }, compiling: Compiling): Part {
  const [object, index] = node.args
  if (factOf(object, compiling) === 'request.headers') return headerAt(textOf(index, 'the name of the header'), node)
  if (index.op === 'value' && typeof index.args === 'string') compiling.names.add(index.args)
  const [of, at] = both(node.args, compiling)
  return (scope) => {
    const value = of(scope)
    const key = at(scope)
    if (key instanceof Failure) return key
    if (typeof key === 'string') return memberOf(value, key)
    if (value instanceof Failure) return value
    return typeof key === 'number' && Array.isArray(value) ? (value[key] ?? missingUnlessNull(value, key)) : wrongType
  }
}

function missingUnlessNull(list: readonly Item[], at: number): Item {
  return list[at] === null ? null : missing
}

function compileIn(node: ASTNode & { readonly op: 'in' }, compiling: Compiling): Part {
  const [sought, within] = node.args
  if (factOf(within, compiling) === 'request.headers')
    return headerIsThere(textOf(sought, 'the name of the header'), node)
  if (sought.op === 'value' && typeof sought.args === 'string' && within.op !== 'list') compiling.names.add(sought.args)
  const [left, right] = both(node.args, compiling)
  return (scope) => {
    const value = left(scope)
    const group = right(scope)
    if (value instanceof Failure) return value
    if (group instanceof Failure) return group
    if (group instanceof Map) return typeof value === 'string' ? group.has(value) : wrongType
    return Array.isArray(group) ? isAmong(value, group, scope) : wrongType
  }
}

function isAmong(value: Value, list: readonly Item[], { spend }: Scope): boolean | Failure {
  let failure: Failure | null = null
  for (const item of list) {
    if (!spend(0)) return tooDear
    const equal = areEqual(value, item, spend)
    if (equal === true) return true
    if (equal instanceof Failure) failure ??= equal
  }
  return failure ?? false
}
