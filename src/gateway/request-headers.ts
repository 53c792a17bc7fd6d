import type { HeaderPair } from '../core/request.ts'
import { MESSAGE_CODINGS } from './grpc/messages.ts'
import { CODINGS } from './codings.ts'
import { END_TO_END, HOP_BY_HOP, namedByConnection } from './hop-by-hop.ts'
import type { Refusal } from './refusal.ts'

/** Headers of one request. */
export const HEADERS_MAXIMUM = 200
const METHOD_MAXIMUM = 32
/** Names of headers of which is remembered what they mean; callers may send any. */
const NAMES_MAXIMUM = 4_096
/** Longer texts are worked out each time. */
const REMEMBERED_MAXIMUM_CHARACTERS = 128

/** Two of these would be two readings of one request. */
const ONCE: ReadonlySet<string> = new Set([
  'authorization',
  'content-length',
  'content-type',
  'host',
  'transfer-encoding',
])
const METHOD_OVERRIDES = new Set(['x-http-method-override', 'x-http-method', 'x-method-override'])
/** Some servers take the target from these instead of from the request line. */
const TARGET_OVERRIDES = new Set([
  'x-original-url',
  'x-rewrite-url',
  'x-original-uri',
  'x-original-host',
  'x-host',
  'x-http-host-override',
])
const DROPPED = new Set(['expect', 'forwarded', 'http2-settings', 'max-forwards', 'via'])
const DROPPED_PREFIX = /^(?:keyward-|proxy-|x-forwarded-)/
/** Conditions under which an answer comes in parts. */
const OF_PARTS = new Set(['range', 'if-range', 'request-range'])
const REFUSED_METHODS = new Set(['TRACE', 'TRACK', 'CONNECT'])

const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/

/** What a name of a header means, worked out once for each. */
interface Meaning {
  readonly isToken: boolean
  /** As servers that know no underscores read it. */
  readonly plain: string
  readonly once: boolean
  readonly fate: 'kept' | 'dropped' | 'changes-method' | 'changes-target'
}

const meanings = new Map<string, Meaning>()

function meaningOf(name: string): Meaning {
  const known = meanings.get(name)
  if (known !== undefined) return known
  const plain = name.replaceAll('_', '-')
  const dropped = DROPPED.has(name) || DROPPED_PREFIX.test(name) || HOP_BY_HOP.has(name)
  const meaning: Meaning = {
    isToken: TOKEN.test(name),
    plain,
    once: ONCE.has(name),
    fate: METHOD_OVERRIDES.has(plain)
      ? 'changes-method'
      : TARGET_OVERRIDES.has(plain)
        ? 'changes-target'
        : dropped
          ? 'dropped'
          : 'kept',
  }
  if (name.length > REMEMBERED_MAXIMUM_CHARACTERS) return meaning
  if (meanings.size >= NAMES_MAXIMUM) meanings.clear()
  meanings.set(name, meaning)
  return meaning
}

const guardedSets = new WeakMap<readonly string[], ReadonlySet<string>>()

function guardedSet(names: readonly string[]): ReadonlySet<string> {
  const known = guardedSets.get(names)
  if (known !== undefined) return known
  const made = new Set([...END_TO_END, ...ONCE, ...names])
  guardedSets.set(names, made)
  return made
}

const nobody: readonly string[] = []

/**
 * The headers of a request as they go upstream, or the refusal of what has more than one reading. `guarded`:
 * lower-case names of headers in which credentials are put; Connection cannot take them out, and their
 * look-alikes with underscores are refused. Names are lower-case already. `whole`: the conditions under
 * which an answer comes in parts are left out: read part by part, an echo would show a secret of which no
 * answer holds enough to be recognised.
 */
export function requestHeadersForUpstream(
  headers: readonly HeaderPair[],
  options: { readonly method: string; readonly guarded?: readonly string[]; readonly whole?: boolean },
): { readonly headers: HeaderPair[] } | Refusal {
  const guarded = guardedSet(options.guarded ?? nobody)
  const refusal = methodFault(options.method) ?? headersFault(headers, guarded)
  if (refusal !== null) return refusal
  const named = namedByConnection(headers, guarded)
  const kept: HeaderPair[] = []
  let accepted: string | null = null
  for (const pair of headers) {
    const name = pair[0]
    if (name === 'accept-encoding') accepted = accepted === null ? pair[1] : `${accepted},${pair[1]}`
    else if (
      meaningOf(name).fate === 'kept' &&
      named?.has(name) !== true &&
      !(options.whole === true && OF_PARTS.has(name))
    )
      kept.push(name === 'grpc-accept-encoding' ? [name, undoable(pair[1])] : pair)
  }
  if (accepted !== null) kept.push(['accept-encoding', acceptable(accepted)])
  return { headers: kept }
}

function methodFault(method: string): Refusal | null {
  if (REFUSED_METHODS.has(method.toUpperCase()))
    return { refusal: 'method_refused', detail: `${method} is not forwarded.` }
  if (method.length > METHOD_MAXIMUM || !/^[A-Z]+(?:-[A-Z]+)*$/.test(method))
    return { refusal: 'request_malformed', detail: 'The method is not written in capital letters.' }
  return null
}

function headersFault(headers: readonly HeaderPair[], guarded: ReadonlySet<string>): Refusal | null {
  if (headers.length > HEADERS_MAXIMUM)
    return { refusal: 'request_too_large', detail: `There are more than ${HEADERS_MAXIMUM} headers.` }
  const seen: string[] = []
  let transfer: string | null = null
  let length: string | null = null
  for (const [name, value] of headers) {
    const { isToken, plain, once, fate } = meaningOf(name)
    if (!isToken)
      return { refusal: 'request_malformed', detail: 'The name of a header holds a character that none may hold.' }
    if (CONTROL.test(value))
      return { refusal: 'request_malformed', detail: `The header ${name} holds a control character.` }
    if (fate === 'changes-method')
      return { refusal: 'method_refused', detail: `The header ${name} would change the method.` }
    if (fate === 'changes-target')
      return { refusal: 'request_malformed', detail: `The header ${name} would change the target.` }
    if (plain !== name && guarded.has(plain))
      return { refusal: 'request_malformed', detail: `The header ${name} looks like ${plain}.` }
    if (!once) continue
    if (seen.includes(name)) {
      return {
        refusal: name === 'authorization' ? 'placeholder_ambiguous' : 'request_malformed',
        detail: `The header ${name} is there twice.`,
      }
    }
    seen.push(name)
    if (name === 'transfer-encoding') transfer = value
    if (name === 'content-length') length = value
  }
  return framingFault(transfer, length)
}

/** RFC 9112 sections 6.1 and 6.3: what a smuggler needs is refused, although the codec should have refused it already. */
function framingFault(transfer: string | null, length: string | null): Refusal | null {
  if (transfer !== null && transfer.toLowerCase() !== 'chunked')
    return { refusal: 'request_malformed', detail: 'The only transfer coding is chunked.' }
  if (transfer !== null && length !== null)
    return { refusal: 'request_malformed', detail: 'The length of the body is given twice.' }
  if (length !== null && !/^(?:0|[1-9][0-9]{0,14})$/.test(length))
    return { refusal: 'request_malformed', detail: 'The length of the body is not a plain number.' }
  return null
}

/** Programs send the same few values all the time. */
const acceptables = new Map<string, string>()

/** The compressions of gRPC messages that can be undone again. */
function undoable(value: string): string {
  const kept = value.split(',').filter((coding) => MESSAGE_CODINGS.includes(coding.trim().toLowerCase()))
  return kept.length === 0 ? 'identity' : kept.join(',')
}

/** RFC 9110 section 12.5.3: only codings that can be undone again, with the weights that the agent gave them. */
function acceptable(value: string): string {
  const known = acceptables.get(value)
  if (known !== undefined) return known
  const kept: string[] = []
  for (const part of value.split(',')) {
    const [coding = '', weight = '', ...others] = part.split(';').map((text) => text.trim().toLowerCase())
    if (others.length > 0 || !CODINGS.includes(coding)) continue
    if (weight === '') kept.push(coding)
    else if (/^q=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/.test(weight)) kept.push(`${coding};${weight}`)
  }
  const written = kept.length === 0 ? 'identity' : kept.join(', ')
  if (value.length > REMEMBERED_MAXIMUM_CHARACTERS) return written
  if (acceptables.size >= NAMES_MAXIMUM) acceptables.clear()
  acceptables.set(value, written)
  return written
}
