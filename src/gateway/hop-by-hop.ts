import { headerValues } from '../core/request.ts'
import type { HeaderPair } from '../core/request.ts'

/** RFC 9110 section 7.6.1, with the older names that proxies still meet. */
const HOP_BY_HOP = new Set([
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
export const END_TO_END = new Set([
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

/** The headers that go further than one connection. `kept`: further names that Connection cannot take out. */
export function withoutHopByHop(headers: readonly HeaderPair[], kept: ReadonlySet<string> = END_TO_END): HeaderPair[] {
  const named = new Set<string>()
  for (const value of headerValues(headers, 'connection')) {
    for (const token of value.split(',')) {
      const name = token.trim().toLowerCase()
      if (!END_TO_END.has(name) && !kept.has(name)) named.add(name)
    }
  }
  return headers.filter(([name]) => !HOP_BY_HOP.has(name) && !named.has(name))
}
