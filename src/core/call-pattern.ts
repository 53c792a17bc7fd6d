import type { Reading } from './path-index.ts'

/**
 * What a request asks for, one by one: the fields of a GraphQL operation, the calls of a JSON-RPC message, an action of
 * AWS. Each is written as the pattern that means it alone: `GRAPHQL mutation volumeDelete`, `RPC tools/list`,
 * `RPC tools/call search`, `AWS ec2:TerminateInstances`.
 */
export interface Calls {
  /** What must be allowed, and how often it is asked for. Never empty. */
  readonly made: ReadonlyMap<string, number>
  /** What can only be denied: `GRAPHQL field NAME` for every field at any depth. */
  readonly touched: ReadonlySet<string>
}

/** A pattern for calls: texts that fit as they are, or (`open`) as a beginning. */
export interface CallPattern {
  readonly kind: 'call'
  readonly text: string
  readonly language: CallLanguage
  readonly texts: readonly string[]
  readonly open: boolean
  /** It means fields at any depth, which can be denied and sealed but not allowed. */
  readonly denyOnly: boolean
}

/** What a body may be written in, as services and policy name it. */
export type CallLanguage = 'graphql' | 'json-rpc' | 'aws'
export const callLanguages = ['graphql', 'json-rpc', 'aws'] as const satisfies readonly CallLanguage[]

const kinds = ['query', 'mutation', 'subscription']
const fieldPattern = /^(?:[A-Za-z_][A-Za-z0-9_]*\*?|\*)$/
/** Visible ASCII, perhaps with a `*` at the end. */
const methodPattern = /^(?:[!-)+-~]+\*?|\*)$/
/** The name that a request is signed for, and an action there, perhaps with a `*` at the end. */
const actionPattern = /^(?:\*|[a-z0-9-]+:(?:\*|[A-Za-z][A-Za-z0-9]*\*?))$/
/** The method of MCP whose meaning is in the name of its tool. */
export const TOOL_CALL = 'tools/call'

/** How patterns for fields at any depth begin. */
export const ANY_FIELD = 'GRAPHQL field '

/** Longest name of a field, method or tool that is judged, in characters. */
export const CALL_NAME_MAXIMUM_LENGTH = 256

/** A name as it can stand in a pattern. */
export function isCallName(name: string): boolean {
  return name.length <= CALL_NAME_MAXIMUM_LENGTH && /^[!-~]+$/.test(name)
}

/** Whether a text is meant as a pattern for calls. */
export function isCallText(text: string): boolean {
  return /^(?:GRAPHQL|RPC|AWS)(?: |$)/.test(text)
}

/** The pattern, or what is wrong with it. */
export function readCallPattern(text: string): CallPattern | { readonly fault: string } {
  const [language, first = '', second, ...others] = text.split(' ')
  if (language === 'GRAPHQL') {
    if (second === undefined || others.length > 0 || !fieldPattern.test(second) || !isKind(first))
      return { fault: 'write GRAPHQL, then query, mutation, subscription, field or *, then a field, FIELD* or *' }
    const firsts = first === '*' ? kinds : [first]
    return {
      kind: 'call',
      text,
      language: 'graphql',
      texts: firsts.map((kind) => `GRAPHQL ${kind} ${withoutStar(second)}`),
      open: second.endsWith('*'),
      denyOnly: first === 'field',
    }
  }
  if (language === 'AWS') {
    if (second !== undefined || !actionPattern.test(first))
      return { fault: 'write AWS, then SERVICE:ACTION, SERVICE:ACTION*, SERVICE:* or *' }
    return {
      kind: 'call',
      text,
      language: 'aws',
      texts: [`AWS ${withoutStar(first)}`],
      open: first.endsWith('*'),
      denyOnly: false,
    }
  }
  if (first === TOOL_CALL && second === undefined)
    return { fault: `name the tool, or write RPC ${TOOL_CALL} * for every tool` }
  const words = second === undefined ? [first] : [first, second]
  if ((second !== undefined && first !== TOOL_CALL) || others.length > 0 || !words.every((w) => methodPattern.test(w)))
    return { fault: `write RPC, then a method, METHOD* or *; after ${TOOL_CALL} a tool, TOOL* or *` }
  const name = words.join(' ')
  return {
    kind: 'call',
    text,
    language: 'json-rpc',
    texts: [`RPC ${withoutStar(name)}`],
    open: name.endsWith('*'),
    denyOnly: false,
  }
}

function isKind(word: string): boolean {
  return word === '*' || word === 'field' || kinds.includes(word)
}

function withoutStar(word: string): string {
  return word.endsWith('*') ? word.slice(0, -1) : word
}

/**
 * Many patterns for calls as one question. Read widely, letter case and underscores make no difference: some
 * servers take `volume_delete` for `volumeDelete`, and a deny must not be side-stepped by spelling.
 */
export interface CallIndex {
  /** The lowest rank among the patterns that fit, or -1. */
  find(call: string): number
}

const fitsNothing: CallIndex = { find: () => -1 }

/** `patterns` in order of rank; null leaves a rank unused. */
export function createCallIndex(patterns: readonly (CallPattern | null)[], reading: Reading): CallIndex {
  if (patterns.every((pattern) => pattern === null)) return fitsNothing
  const read = (text: string): string => (reading === 'wide' ? text.toLowerCase().replaceAll('_', '') : text)
  const whole = new Map<string, number>()
  const beginnings = new Map<string, number>()
  patterns.forEach((pattern, rank) => {
    for (const text of pattern?.texts ?? []) {
      const known = pattern?.open === true ? beginnings : whole
      if (!known.has(read(text))) known.set(read(text), rank)
    }
  })
  return {
    find(call) {
      const text = read(call)
      let best = whole.get(text) ?? -1
      for (const [beginning, rank] of beginnings)
        if ((best < 0 || rank < best) && text.startsWith(beginning)) best = rank
      return best
    },
  }
}
