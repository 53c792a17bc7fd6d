import type { HeaderPair } from '../core/request.ts'
import { headerValues } from '../core/request.ts'
import { CODINGS } from './codings.ts'
import { END_TO_END, withoutHopByHop } from './hop-by-hop.ts'
import type { Refusal } from './refusal.ts'

/** Headers of one request. */
export const HEADERS_MAXIMUM = 200
const METHOD_MAXIMUM = 32

/** Two of these would be two readings of one request. */
const ONCE = ['authorization', 'content-length', 'content-type', 'host', 'transfer-encoding']
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
const REFUSED_METHODS = new Set(['TRACE', 'TRACK', 'CONNECT'])

const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

/**
 * The headers of a request as they go upstream, or the refusal of what has more than one reading. `guarded`:
 * lower-case names of headers in which credentials are put; Connection cannot take them out, and their
 * look-alikes with underscores are refused. Names are lower-case already.
 */
export function requestHeadersForUpstream(
  headers: readonly HeaderPair[],
  options: { readonly method: string; readonly guarded?: readonly string[] },
): { readonly headers: HeaderPair[] } | Refusal {
  const guarded = new Set([...END_TO_END, ...ONCE, ...(options.guarded ?? [])])
  const refusal = methodFault(options.method) ?? headersFault(headers, guarded) ?? framingFault(headers)
  if (refusal !== null) return refusal
  const kept: HeaderPair[] = []
  for (const [name, value] of withoutHopByHop(headers, guarded)) {
    if (DROPPED.has(name) || /^(?:keyward-|proxy-|x-forwarded-)/.test(name)) continue
    if (name !== 'accept-encoding') kept.push([name, value])
  }
  const accepted = headerValues(headers, 'accept-encoding')
  if (accepted.length > 0) kept.push(['accept-encoding', acceptable(accepted.join(','))])
  return { headers: kept }
}

/**
 * Takes the conditions away under which an answer comes in parts: read part by part, an echo would show a
 * secret of which no answer holds enough to be recognised.
 */
export function stripRange(headers: readonly HeaderPair[]): HeaderPair[] {
  return headers.filter(([name]) => name !== 'range' && name !== 'if-range' && name !== 'request-range')
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
  const seen = new Set<string>()
  for (const [name, value] of headers) {
    const plain = name.replaceAll('_', '-')
    if (!TOKEN.test(name))
      return { refusal: 'request_malformed', detail: 'The name of a header holds a character that none may hold.' }
    // oxlint-disable-next-line no-control-regex
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value))
      return { refusal: 'request_malformed', detail: `The header ${name} holds a control character.` }
    if (METHOD_OVERRIDES.has(plain))
      return { refusal: 'method_refused', detail: `The header ${name} would change the method.` }
    if (TARGET_OVERRIDES.has(plain))
      return { refusal: 'request_malformed', detail: `The header ${name} would change the target.` }
    if (plain !== name && guarded.has(plain))
      return { refusal: 'request_malformed', detail: `The header ${name} looks like ${plain}.` }
    if (ONCE.includes(name) && seen.has(name)) {
      return {
        refusal: name === 'authorization' ? 'placeholder_ambiguous' : 'request_malformed',
        detail: `The header ${name} is there twice.`,
      }
    }
    seen.add(name)
  }
  return null
}

/** RFC 9112 sections 6.1 and 6.3: what a smuggler needs is refused, although the codec should have refused it already. */
function framingFault(headers: readonly HeaderPair[]): Refusal | null {
  const [transfer] = headerValues(headers, 'transfer-encoding')
  const [length] = headerValues(headers, 'content-length')
  if (transfer !== undefined && transfer.toLowerCase() !== 'chunked')
    return { refusal: 'request_malformed', detail: 'The only transfer coding is chunked.' }
  if (transfer !== undefined && length !== undefined)
    return { refusal: 'request_malformed', detail: 'The length of the body is given twice.' }
  if (length !== undefined && !/^(?:0|[1-9][0-9]{0,14})$/.test(length))
    return { refusal: 'request_malformed', detail: 'The length of the body is not a plain number.' }
  return null
}

/** RFC 9110 section 12.5.3: only codings that can be undone again, with the weights that the agent gave them. */
function acceptable(value: string): string {
  const kept: string[] = []
  for (const part of value.split(',')) {
    const [coding = '', weight = '', ...others] = part.split(';').map((text) => text.trim().toLowerCase())
    if (others.length > 0 || !CODINGS.includes(coding)) continue
    if (weight === '') kept.push(coding)
    else if (/^q=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/.test(weight)) kept.push(`${coding};${weight}`)
  }
  return kept.length === 0 ? 'identity' : kept.join(', ')
}
