import { isCallText, readCallPattern, type CallPattern } from './call-pattern.ts'
import { KeywardError } from './errors.ts'

/**
 * What a grant's rule says, parsed. Four forms: `*` (everything), an operation's name (`chat.completions`,
 * `issues.*`), a call within a body (`GRAPHQL mutation NAME`, `RPC METHOD`), and `METHOD /path`, where
 * METHOD may be `*`, a segment `{x}` or `*` is exactly one non-empty segment, `{x}` may have literal
 * text around it (`{model}:generate`), and `**`, only as the last segment, is zero or more segments.
 * The whole language is in docs/formats/policy.md.
 */
export type OperationPattern =
  | { readonly kind: 'everything'; readonly text: string }
  | {
      readonly kind: 'name'
      readonly text: string
      /** Ends with a dot when `open`. */ readonly name: string
      readonly open: boolean
    }
  | {
      readonly kind: 'path'
      readonly text: string
      /** `*` is any method. HEAD does not occur: it is matched as GET. */
      readonly method: string
      readonly segments: readonly SegmentPattern[]
      /** Ended with `**`. */
      readonly rest: boolean
    }
  | CallPattern

/** A literal segment, or a variable with literal text before and after it (both usually empty). */
export type SegmentPattern = { readonly literal: string } | { readonly before: string; readonly after: string }

/** A named operation of a service, as far as policy knows it. */
export interface NamedOperation {
  readonly name: string
  readonly match: string
  readonly destructive?: boolean
}

/** Longest pattern, in characters. */
export const maximumPatternLength = 1024
/** Most segments of a pattern's path. A request's path may have more; only `**` reaches that far. */
export const maximumPatternSegments = 64

const namePattern = /^[A-Za-z_][\w:-]*(?:\.[\w:-]+)*(?:\.\*)?$/
const methodPattern = /^(?:\*|[A-Z]+(?:-[A-Z]+)*)$/
const bareMethods = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'QUERY',
  'TRACE',
  'CONNECT',
  'WEBSOCKET',
])
/** RFC 3986 `pchar` without `*` and `;`: the first means something here, the second no canonical path has. */
const literalPattern = /^(?:[A-Za-z0-9._~!$&'()+,=:@-]|%[0-9A-Fa-f]{2})*$/
const variablePattern = /^([^{}]*)\{[A-Za-z_][A-Za-z0-9_-]*\}([^{}]*)$/

/** Parses one pattern. Throws KeywardError `usage` that names the pattern and what is wrong with it. */
export function parseOperationPattern(text: string): OperationPattern {
  if (text === '*') return { kind: 'everything', text }
  if (text.length > maximumPatternLength) throw malformed(text, `it is longer than ${maximumPatternLength} characters`)
  if (text.trim() === '') throw malformed(text, 'it is empty; everything is written *')
  if (isCallText(text)) {
    const call = readCallPattern(text)
    if ('fault' in call) throw malformed(text, call.fault)
    return call
  }
  if (!text.includes(' ') && !text.includes('/')) return parseName(text)
  const parts = text.split(' ')
  const [method, path] = parts
  if (parts.length !== 2 || method === undefined || path === undefined || !path.startsWith('/')) {
    throw malformed(text, 'write METHOD, one space, and a path that begins with /')
  }
  if (!methodPattern.test(method)) throw malformed(text, 'the method is upper-case letters, or *')
  if (method === 'HEAD') throw malformed(text, 'HEAD is matched as GET; write GET')
  return { kind: 'path', text, method, ...parsePath(text, path) }
}

function parseName(text: string): OperationPattern {
  if (bareMethods.has(text)) throw malformed(text, `a method needs a path; write ${text} /**`)
  if (!namePattern.test(text))
    throw malformed(text, 'the name of an operation is words with dots between, perhaps ending with .*')
  const open = text.endsWith('.*')
  return { kind: 'name', text, name: open ? text.slice(0, -1) : text, open }
}

function parsePath(text: string, path: string): { segments: SegmentPattern[]; rest: boolean } {
  if (path.includes('?') || path.includes('#'))
    throw malformed(text, 'patterns match the path, without query and fragment')
  const raw = path.slice(1).split('/')
  if (raw.length > maximumPatternSegments) throw malformed(text, `it has more than ${maximumPatternSegments} segments`)
  const rest = raw.at(-1) === '**'
  if (rest) raw.pop()
  const segments = raw.map((segment, index): SegmentPattern => {
    if (segment === '**') throw malformed(text, '** is allowed only as the last segment')
    if (segment === '' && (rest || index < raw.length - 1)) throw malformed(text, 'it has an empty segment')
    if (segment === '.' || segment === '..') throw malformed(text, 'it has a dot segment')
    if (segment === '*') return { before: '', after: '' }
    const variable = variablePattern.exec(segment)
    if (variable !== null) {
      return { before: checkLiteral(text, variable[1] ?? ''), after: checkLiteral(text, variable[2] ?? '') }
    }
    return { literal: checkLiteral(text, segment) }
  })
  return { segments, rest }
}

function checkLiteral(text: string, literal: string): string {
  if (!literalPattern.test(literal)) {
    throw malformed(text, 'a segment is plain URL text, {variable} or *; other characters are percent-encoded')
  }
  const folded = foldTriplets(literal)
  for (const [triplet] of folded.matchAll(/%../g)) {
    const character = decodeURIComponentOrNull(triplet)
    if (character !== null && /[A-Za-z0-9._~-]/.test(character)) {
      throw malformed(text, `${triplet} is a needless percent escape, which no canonical path has`)
    }
  }
  return folded
}

function decodeURIComponentOrNull(triplet: string): string | null {
  const byte = Number.parseInt(triplet.slice(1), 16)
  return byte < 0x80 ? String.fromCharCode(byte) : null
}

/** Percent triplets with upper-case hex digits: `%2f` and `%2F` are one spelling. */
export function foldTriplets(text: string): string {
  return text.includes('%') ? text.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => triplet.toUpperCase()) : text
}

function malformed(pattern: string, why: string): KeywardError {
  const shown = pattern.length > 200 ? `${pattern.slice(0, 200)}…` : pattern
  return new KeywardError('usage', `The pattern ${JSON.stringify(shown)} is malformed: ${why}.`)
}
