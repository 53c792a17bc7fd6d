import { METHODS } from 'node:http'
import { constants, type ServerHttp2Stream } from 'node:http2'
import { parseAuthority } from '../../core/canonical-target.ts'
import type { HeaderPair } from '../../core/request.ts'
import type { Arrival, Door } from '../arrival.ts'
import { noBody, type RequestBody } from '../body.ts'
import type { Connection } from '../codec.ts'
import { isLoopback } from '../egress.ts'
import { HEAD_MAXIMUM_BYTES } from '../http1/head.ts'
import { isRefusal, type Refusal } from '../refusal.ts'
import { CONNECTION_FIELDS, readFields } from './fields.ts'

const methods: ReadonlySet<string> = new Set(METHODS)

function malformed(detail: string): Refusal {
  return { refusal: 'request_malformed', detail }
}

/**
 * The request that one stream brings, as HTTP/1.1 would have written it, so that every later stage reads
 * the same thing; or why there is none. The library has checked the grammar of RFC 9113 section 8.3 already.
 */
export function readArrival(raw: readonly string[], connection: Connection): Arrival | Refusal {
  // The library knows the same bound, but only once the client has acknowledged it.
  if (raw.reduce((sum, text) => sum + text.length, 0) > HEAD_MAXIMUM_BYTES) return { refusal: 'request_too_large' }
  const { pseudo, headers } = readFields(raw)
  const { tunnel, peer, remote } = connection
  const method = pseudo.get(':method') ?? ''
  if (method === 'CONNECT') return { refusal: 'method_refused', detail: 'CONNECT is spoken in HTTP/1.1.' }
  if (!methods.has(method)) return malformed('There is no such method.')
  if (pseudo.get(':scheme') !== (tunnel?.scheme ?? 'http'))
    return malformed('The scheme is not that of the connection.')
  const path = pseudo.get(':path') ?? ''
  if (!path.startsWith('/') && path !== '*') return malformed('The path does not begin with a slash.')
  const authority = authorityOf(pseudo.get(':authority'), headers)
  if (typeof authority !== 'string') return authority
  const fields = fieldsOf(headers)
  if (!Array.isArray(fields)) return fields
  const door: Door = tunnel !== null ? 'tunnel' : isBaseUrl(authority, headers) ? 'base-url' : 'absolute'
  return {
    door,
    protocol: 'h2',
    method,
    rawTarget: door === 'absolute' ? `http://${authority}${path}` : path,
    headers: [['host', authority], ...fields],
    peer,
    remote,
    tunnel,
    upgrade: null,
  }
}

/** RFC 9113 section 8.3.1: Host may stand in for `:authority`, and may not contradict it. */
function authorityOf(authority: string | undefined, headers: readonly HeaderPair[]): string | Refusal {
  const hosts = headers.flatMap(([name, value]) => (name === 'host' ? [value] : []))
  const chosen = authority ?? hosts[0] ?? ''
  if (chosen === '') return malformed('The request names no host.')
  return hosts.every((host) => host === chosen) ? chosen : malformed('Host and `:authority` name different hosts.')
}

/** The gateway's own port is asked under a loopback name; whoever brings proxy credentials speaks to a proxy. */
function isBaseUrl(authority: string, headers: readonly HeaderPair[]): boolean {
  if (headers.some(([name]) => name === 'proxy-authorization')) return false
  const parsed = parseAuthority(authority)
  return !isRefusal(parsed) && (parsed.host === 'localhost' || isLoopback(parsed.host))
}

function fieldsOf(headers: readonly HeaderPair[]): HeaderPair[] | Refusal {
  const kept: HeaderPair[] = []
  const cookies: string[] = []
  for (const [name, value] of headers) {
    if (CONNECTION_FIELDS.has(name)) return malformed('A header speaks of the connection, which HTTP/2 does without.')
    if (name === 'te' && value.toLowerCase() !== 'trailers') return malformed('The only value of TE is trailers.')
    if (name === 'cookie') cookies.push(value)
    else if (name !== 'host') kept.push([name, value])
  }
  // RFC 9113 section 8.2.3: what was taken apart for the sake of compression is one header elsewhere.
  if (cookies.length > 0) kept.push(['cookie', cookies.join('; ')])
  return kept
}

/** The body that a stream brings. */
export function bodyOf(stream: ServerHttp2Stream, { headers }: Arrival): RequestBody {
  if (stream.endAfterHeaders) {
    stream.resume()
    return noBody
  }
  const length = headers.find(([name]) => name === 'content-length')?.[1]
  return {
    length: length === undefined ? null : Number(length),
    read(sink) {
      let over = false
      const once = (step: () => void): void => {
        if (!over) step()
        over = true
      }
      if (stream.destroyed || stream.closed) return once(() => sink.fail(null))
      if (headers.some(([name]) => name === 'expect') && !stream.headersSent)
        stream.additionalHeaders({ ':status': constants.HTTP_STATUS_CONTINUE })
      stream.on('data', (chunk: Buffer) => {
        if (!over) sink.data(chunk)
      })
      let trailers: readonly HeaderPair[] = []
      stream.on('trailers', (_headers: unknown, _flags: number, raw: readonly string[]) => {
        trailers = readFields(raw).headers
      })
      stream.once('end', () => once(() => (stream.aborted ? sink.fail(null) : sink.end(trailers))))
      stream.once('aborted', () => once(() => sink.fail(null)))
      stream.once('close', () => once(() => sink.fail(null)))
    },
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
  }
}
