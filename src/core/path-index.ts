import { foldTriplets, maximumPatternSegments } from './operation-pattern.ts'
import type { OperationPattern, SegmentPattern } from './operation-pattern.ts'

/**
 * How patterns read a path. `exact`: as written (what allows and names). `wide`: letter case, a trailing
 * slash and percent escapes (but that of a slash) make no difference (what denies), because many servers
 * treat such paths as one and a deny must not be side-stepped by spelling.
 */
export type Reading = 'exact' | 'wide'

export type PathPattern = Extract<OperationPattern, { kind: 'path' }>

/** The method as patterns see it, and the segments of a canonical path in one reading. */
export interface PathView {
  readonly method: string
  readonly segments: readonly string[]
}

/**
 * Many path patterns as one tree by segment, so that a look-up costs about as much as the path is
 * long and not as much as there are patterns.
 */
export interface PathIndex {
  /** The lowest rank (place in the list that was indexed) among the patterns that fit, or -1. */
  find(view: PathView): number
}

/** Most nodes have one way on and nothing else, so what is not there takes no room. */
interface Node {
  literals: Map<string, Node> | null
  variables: Variable[] | null
  /** Of patterns that end here: each method once, with its lowest rank. */
  ends: MethodRank[] | null
  /** The same for patterns that go on with `**`. */
  rests: MethodRank[] | null
}

interface Variable {
  readonly before: string
  readonly after: string
  readonly node: Node
}

interface MethodRank {
  readonly method: string
  readonly rank: number
}

interface Viewed {
  readonly method: string
  readonly path: string
  readonly view: PathView
}

/** One request is asked about several times in a row. */
const last: Record<Reading, Viewed | null> = { exact: null, wide: null }

/** The view of a request. HEAD is GET. Paths that do not begin with `/` have no view, and fit nothing. */
export function viewPath(method: string, path: string, reading: Reading): PathView | null {
  if (!path.startsWith('/')) return null
  const before = last[reading]
  if (before !== null && before.method === method && before.path === path) return before.view
  const view = viewOf(method, path, reading)
  last[reading] = { method, path, view }
  return view
}

function viewOf(method: string, path: string, reading: Reading): PathView {
  const folded = foldTriplets(path)
  if (reading === 'exact') {
    return { method: method === 'HEAD' ? 'GET' : method, segments: split(folded) }
  }
  const upper = method.toUpperCase()
  return { method: upper === 'HEAD' ? 'GET' : upper, segments: withoutTrailing(split(widely(folded))) }
}

/** One more than a pattern can have is enough to know that only `**` still fits. */
function split(path: string): string[] {
  return path.slice(1).split('/', maximumPatternSegments + 2)
}

/** Lower-case, and printable ASCII without its percent escape: `:` is `%3A` to nearly every server. */
function widely(text: string): string {
  const lower = text.toLowerCase()
  if (!lower.includes('%')) return lower
  return lower.replace(/%([2-7][0-9a-f])/g, (triplet, digits: string) =>
    /^(?:25|2f|7f)$/.test(digits) ? triplet : String.fromCharCode(Number.parseInt(digits, 16)).toLowerCase(),
  )
}

function withoutTrailing(segments: string[]): string[] {
  while (segments.at(-1) === '') segments.pop()
  return segments
}

/** `patterns` in order of rank; null leaves a rank unused. */
export function createPathIndex(patterns: readonly (PathPattern | null)[], reading: Reading): PathIndex {
  const root = createNode()
  patterns.forEach((pattern, rank) => {
    if (pattern !== null) insert(root, pattern, rank, reading)
  })
  return {
    find: (view) => search(root, view, 0),
  }
}

function createNode(): Node {
  return { literals: null, variables: null, ends: null, rests: null }
}

function insert(root: Node, pattern: PathPattern, rank: number, reading: Reading): void {
  const read = (text: string): string => (reading === 'wide' ? widely(text) : text)
  const last = pattern.segments.at(-1)
  const dropLast = reading === 'wide' && !pattern.rest && last !== undefined && 'literal' in last && last.literal === ''
  const segments = dropLast ? pattern.segments.slice(0, -1) : pattern.segments
  let node = root
  for (const segment of segments) node = descend(node, segment, read)
  const ranks = pattern.rest ? (node.rests ??= []) : (node.ends ??= [])
  if (!ranks.some(({ method }) => method === pattern.method)) ranks.push({ method: pattern.method, rank })
}

function descend(node: Node, segment: SegmentPattern, read: (text: string) => string): Node {
  if ('literal' in segment) {
    const literal = read(segment.literal)
    const literals = (node.literals ??= new Map())
    const known = literals.get(literal)
    if (known !== undefined) return known
    const made = createNode()
    literals.set(literal, made)
    return made
  }
  const before = read(segment.before)
  const after = read(segment.after)
  const variables = (node.variables ??= [])
  const known = variables.find((variable) => variable.before === before && variable.after === after)
  if (known !== undefined) return known.node
  const made = createNode()
  variables.push({ before, after, node: made })
  return made
}

/** Each node stands at one depth and is met at most once, so the work is bounded by the size of the tree. */
function search(node: Node, view: PathView, depth: number): number {
  let best = rankFor(node.rests, view.method)
  const segment = view.segments[depth]
  if (segment === undefined) return lower(best, rankFor(node.ends, view.method))
  const literal = node.literals?.get(segment)
  if (literal !== undefined) best = lower(best, search(literal, view, depth + 1))
  for (const variable of node.variables ?? []) {
    if (fits(segment, variable.before, variable.after)) best = lower(best, search(variable.node, view, depth + 1))
  }
  return best
}

function fits(segment: string, before: string, after: string): boolean {
  return segment.length > before.length + after.length && segment.startsWith(before) && segment.endsWith(after)
}

function rankFor(ranks: readonly MethodRank[] | null, wanted: string): number {
  let best = -1
  for (const { method, rank } of ranks ?? []) if (method === wanted || method === '*') best = lower(best, rank)
  return best
}

function lower(left: number, right: number): number {
  if (left < 0) return right
  return right < 0 ? left : Math.min(left, right)
}
