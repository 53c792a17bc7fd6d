import type { OutgoingHttpHeaders } from 'node:http2'
import type { HeaderPair } from '../../core/request.ts'

/** RFC 9113 section 8.2.2: they speak of a connection of HTTP/1.1, and make a message of HTTP/2 malformed. */
export const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** Node's list of what it sends only once; of two, the first goes. */
const ONCE: ReadonlySet<string> = new Set([
  'access-control-allow-credentials',
  'access-control-max-age',
  'access-control-request-method',
  'age',
  'authorization',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-md5',
  'content-range',
  'content-type',
  'date',
  'dnt',
  'etag',
  'expires',
  'from',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'range',
  'referer',
  'retry-after',
  'tk',
  'upgrade-insecure-requests',
  'user-agent',
  'x-content-type-options',
])

/** Names and values in turn, as the library sends and receives them. */
export function flatFields(headers: readonly HeaderPair[], first: readonly string[] = []): string[] {
  const flat = [...first]
  const seen = new Set<string>()
  for (const [name, value] of headers) {
    if (CONNECTION_FIELDS.has(name) || (ONCE.has(name) && seen.has(name))) continue
    seen.add(name)
    flat.push(name, value)
  }
  return flat
}

/** Whether something that is sent once is there twice. */
export function isDoubled(headers: readonly HeaderPair[]): boolean {
  const seen = new Set<string>()
  return headers.some(([name]) => ONCE.has(name) && seen.size === seen.add(name).size)
}

/** As `flatFields`, where the library takes nothing but an object: trailers and interim answers. */
export function fieldRecord(headers: readonly HeaderPair[]): OutgoingHttpHeaders {
  const record: Record<string, string | string[]> = Object.create(null)
  const flat = flatFields(headers)
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const [name = '', value = ''] = flat.slice(at, at + 2)
    const known = record[name]
    record[name] = known === undefined ? value : [known, value].flat()
  }
  return record
}

/** Pseudo-headers apart from the fields. */
export interface ReadFields {
  readonly pseudo: ReadonlyMap<string, string>
  readonly headers: HeaderPair[]
}

/** What the library read; names are in lower case already, or the message was malformed. */
export function readFields(raw: readonly string[]): ReadFields {
  const pseudo = new Map<string, string>()
  const headers: HeaderPair[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const value = raw[at + 1] ?? ''
    if (name.startsWith(':')) pseudo.set(name, value)
    else headers.push([name, value])
  }
  return { pseudo, headers }
}
