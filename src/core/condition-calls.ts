import type { ASTNode } from '@marcbachmann/cel-js'
import { isInRange, parseAddressRange } from './address-range.ts'
import { CONDITION_SOUGHT_MAXIMUM_LENGTH, isFactRoot, NOW } from './condition-language.ts'
import { Failure, readNumber, wrongType, type Item } from './condition-value.ts'
import {
  compilePart,
  ConditionFault,
  factOf,
  headerIsThere,
  textOf,
  type Compiling,
  type Part,
  type Scope,
} from './condition.ts'
import { isTimeZone, wallClockAt } from './wall-clock.ts'

export type CallNode = ASTNode & { readonly op: 'call' | 'rcall' }

/** A function of the language: what is called, on what, with what. */
export function compileCall(node: CallNode, compiling: Compiling): Part {
  const [name, receiver, args] = node.op === 'rcall' ? node.args : ([node.args[0], null, node.args[1]] as const)
  if (receiver === null) {
    if (name === 'has') return compileHas(args[0], compiling)
    if (name === 'size') return sizeOf(partAt(args, 0, node, compiling))
    if (name === 'timestamp') return moment(node, args)
    if (name === 'number') return asNumber(partAt(args, 0, node, compiling))
    if (name === 'hour' || name === 'minute' || name === 'weekday') return onTheWall(name, node, args, compiling)
    throw unknown(name, node)
  }
  if (name === 'all' || name === 'exists' || name === 'exists_one')
    return quantified(name, receiver, args, node, compiling)
  const of = compilePart(receiver, compiling)
  if (name === 'size') return sizeOf(of)
  if (name === 'inCidr') return inRange(of, node, args)
  if (name === 'startsWith' || name === 'endsWith' || name === 'contains')
    return textual(name, of, partAt(args, 0, node, compiling))
  throw unknown(name, node)
}

function unknown(name: string, node: CallNode): ConditionFault {
  const instead =
    name === 'matches'
      ? 'Conditions have no regular expressions, which can take longer than anybody waits: use startsWith, endsWith, contains or in.'
      : `Conditions have no ${name}; they have has, size, startsWith, endsWith, contains, all, exists, exists_one, timestamp, hour, minute, weekday, number and inCidr.`
  return new ConditionFault(node.pos, instead)
}

function partAt(args: readonly ASTNode[], at: number, node: CallNode, compiling: Compiling): Part {
  const arg = args[at]
  if (arg === undefined || args.length > at + 1) throw new ConditionFault(node.pos, `${node.args[0]} takes one value.`)
  return compilePart(arg, compiling)
}

/** `has(a.b)`: whether the object `a` has the member `b`. Fails where there is no such object: what cannot be read has nothing to say. */
function compileHas(arg: ASTNode | undefined, compiling: Compiling): Part {
  if (arg?.op !== '.') throw new ConditionFault(arg?.pos ?? 0, 'has takes a member, as in has(request.body.model).')
  if (factOf(arg, compiling) !== null)
    throw new ConditionFault(arg.pos, 'This is always there, or cannot be read: has takes a member of it.')
  const [object, name] = arg.args
  if (factOf(object, compiling) === 'request.headers') return headerIsThere(name, arg)
  compiling.names.add(name)
  const part = compilePart(object, compiling)
  return (scope) => {
    const found = part(scope)
    return found instanceof Map ? found.has(name) : found instanceof Failure ? found : wrongType
  }
}

/** Code points of a text, elements of a list, members of an object. */
function sizeOf(part: Part): Part {
  return (scope) => {
    const found = part(scope)
    if (found instanceof Map) return found.size
    if (Array.isArray(found)) return found.length
    if (typeof found !== 'string') return found instanceof Failure ? found : wrongType
    scope.spend(found.length * 16)
    let count = 0
    for (const _ of found) count++
    return count
  }
}

function asNumber(part: Part): Part {
  return (scope) => {
    const found = part(scope)
    return typeof found === 'string' ? readNumber(found) : found instanceof Failure ? found : wrongType
  }
}

function textual(name: 'startsWith' | 'endsWith' | 'contains', of: Part, sought: Part): Part {
  return (scope) => {
    const text = of(scope)
    const piece = sought(scope)
    if (text instanceof Failure) return text
    if (piece instanceof Failure) return piece
    if (typeof text !== 'string' || typeof piece !== 'string') return wrongType
    if (name !== 'contains')
      return scope.spend(piece.length) && (name === 'startsWith' ? text.startsWith(piece) : text.endsWith(piece))
    if (piece.length > CONDITION_SOUGHT_MAXIMUM_LENGTH) return tooLong
    // What a search may cost where a text repeats itself.
    return scope.spend(text.length * (1 + piece.length)) && text.includes(piece)
  }
}

const tooLong = new Failure(`looks for more than ${CONDITION_SOUGHT_MAXIMUM_LENGTH} characters within a text`)

function moment(node: CallNode, args: readonly ASTNode[]): Part {
  const text = textOf(args[0], 'the moment')
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at)) throw new ConditionFault(node.pos, 'A moment is written as 2027-01-31T08:00:00Z.')
  return () => new Date(at)
}

/** The hour, minute or day of the week of `now`, where the settings say, or in the time zone that is named. */
function onTheWall(
  name: 'hour' | 'minute' | 'weekday',
  node: CallNode,
  args: readonly ASTNode[],
  { timeZone, variables }: Compiling,
): Part {
  const [when, zone, ...others] = args
  if (when?.op !== 'id' || when.args !== NOW || variables.includes(NOW) || others.length > 0)
    throw new ConditionFault(node.pos, `Write ${name}(now) or ${name}(now, "Europe/Berlin").`)
  const where = zone === undefined ? timeZone : textOf(zone, 'the time zone')
  if (!isTimeZone(where)) throw new ConditionFault(zone?.pos ?? node.pos, 'There is no time zone of this name.')
  return ({ facts }) => wallClockAt(facts.now, where)[name]
}

function inRange(of: Part, node: CallNode, args: readonly ASTNode[]): Part {
  const range = parseAddressRange(textOf(args[0], 'the range of addresses'))
  if (range === null)
    throw new ConditionFault(node.pos, 'A range of addresses is written as 10.0.0.0/8 or 2001:db8::/32.')
  return (scope) => {
    const found = of(scope)
    if (typeof found !== 'string') return found instanceof Failure ? found : wrongType
    return isInRange(found, range) ?? wrongType
  }
}

/** Whether something is so of all elements of a list, or names of an object; of one at least; of exactly one. */
function quantified(
  name: 'all' | 'exists' | 'exists_one',
  receiver: ASTNode,
  args: readonly ASTNode[],
  node: CallNode,
  compiling: Compiling,
): Part {
  const [variable, asked] = args
  if (variable?.op !== 'id' || asked === undefined || args.length > 2)
    throw new ConditionFault(
      node.pos,
      `${name} takes a name and what is asked of each, as in ${name}(m, m.role == "user").`,
    )
  const taken = variable.args === NOW || isFactRoot(variable.args) || compiling.variables.includes(variable.args)
  if (taken) throw new ConditionFault(variable.pos, `${variable.args} is something else already; take another name.`)
  const list = compilePart(receiver, compiling)
  const depth = compiling.variables.length
  const each = compilePart(asked, { ...compiling, variables: [...compiling.variables, variable.args] })
  return (scope) => {
    const found = list(scope)
    if (found instanceof Failure) return found
    const elements = found instanceof Map ? [...found.keys()] : found
    if (!Array.isArray(elements)) return wrongType
    const counted = countWhere(elements, each, depth, scope, name === 'all' ? false : name === 'exists' ? true : null)
    if (counted instanceof Failure) return counted
    return name === 'all' ? counted === elements.length : name === 'exists' ? counted > 0 : counted === 1
  }
}

/** Of how many elements it is so. `settles`: what, of one element, settles it whatever the others fail at. */
function countWhere(
  elements: readonly Item[],
  each: Part,
  depth: number,
  scope: Scope,
  settles: boolean | null,
): number | Failure {
  let count = 0
  let failure: Failure | null = null
  try {
    for (const element of elements) {
      scope.elements[depth] = element
      const found = each(scope)
      if (scope.steps < 0) return found instanceof Failure ? found : wrongType
      if (typeof found !== 'boolean') failure ??= found instanceof Failure ? found : wrongType
      else if (found) count += 1
      if (found === settles) return settles ? 1 : -1
    }
  } finally {
    scope.elements.length = depth
  }
  return failure ?? count
}
