import { headerValues } from '../core/request.ts'
import type { HeaderPair } from '../core/request.ts'

/** RFC 9110 section 7.6.1, with the older names that proxies still meet. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Ends of the road, whatever Connection says: a peer must not be able to have them taken out. */
export const END_TO_END: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'host',
  'set-cookie',
])

/** What Connection says in nearly every message names no header. */
const USUAL = /^(?:keep-alive|close|upgrade|te)$/i

/** The headers that go further than one connection. `kept`: further names that Connection cannot take out. */
export function withoutHopByHop(headers: readonly HeaderPair[], kept: ReadonlySet<string> = END_TO_END): HeaderPair[] {
  const named = namedByConnection(headers, kept)
  const left: HeaderPair[] = []
  for (const pair of headers) if (!HOP_BY_HOP.has(pair[0]) && named?.has(pair[0]) !== true) left.push(pair)
  return left
}

/** Names that Connection takes out; null: none. */
export function namedByConnection(
  headers: readonly HeaderPair[],
  kept: ReadonlySet<string>,
): ReadonlySet<string> | null {
  let named: Set<string> | null = null
  for (const value of headerValues(headers, 'connection')) {
    if (USUAL.test(value)) continue
    named ??= new Set()
    for (const token of value.split(',')) {
      const name = token.trim().toLowerCase()
      if (!END_TO_END.has(name) && !kept.has(name)) named.add(name)
    }
  }
  return named
}
