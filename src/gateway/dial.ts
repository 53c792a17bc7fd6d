import { hash } from 'node:crypto'
import { connect as connectTcp } from 'node:net'
import { Readable } from 'node:stream'
import { checkServerIdentity, connect as connectTls, rootCertificates } from 'node:tls'
import { Pool, errors as undiciErrors, type buildConnector, type Dispatcher } from 'undici'
import type { HeaderPair, RequestHead } from '../core/request.ts'
import type { Service } from '../services/service.ts'
import { checkedAddress, type Resolve } from './egress.ts'
import type { RequestBody, UpstreamBody } from './body.ts'
import type { Refusal } from './refusal.ts'

/** Connections to one origin: more than one session may have in flight, so that no agent can take them all. */
export const CONNECTIONS_MAXIMUM = 4_096
/** Origins with open connections; past this the one used longest ago is closed. */
export const ORIGINS_MAXIMUM = 512
export const CONNECT_TIMEOUT_MILLISECONDS = 10_000
/** Model providers may think for minutes before the first byte. */
export const HEADERS_TIMEOUT_MILLISECONDS = 600_000
/** Silence between two pieces of a body. */
export const BODY_TIMEOUT_MILLISECONDS = 300_000
/** All headers of an answer. */
export const ANSWER_HEADERS_MAXIMUM_BYTES = 64 * 1024

/** What comes back from the other side, in the order in which it comes. */
export interface AnswerListener {
  /** Bytes of the request's body that have gone out. */
  onSent(byteLength: number): void
  /** An interim answer (1xx) other than 100 and 101. */
  onInformation(status: number, headers: readonly HeaderPair[]): void
  onHead(status: number, headers: readonly HeaderPair[], flow: Flow): void
  onData(chunk: Uint8Array): void
  onEnd(trailers: readonly HeaderPair[]): void
  onFailure(refusal: Refusal): void
}

/** Holds back or breaks off the answer. */
export interface Flow {
  pause(): void
  resume(): void
  abort(): void
}

export interface Dialler {
  /** `service` null: a host that no service lists; no credential is in `head`. Returns a way to break off before the answer begins. */
  send(head: RequestHead, body: UpstreamBody, service: Service | null, listener: AnswerListener): { abort(): void }
  close(): Promise<void>
}

const trustIds = new WeakMap<Service, string>()

/** Tells the authorities of two services apart, so that no connection outlives the trust that allowed it. */
function trustId(service: Service | null): string {
  if (service?.trust === undefined) return ''
  const known = trustIds.get(service)
  if (known !== undefined) return known
  const id = hash('sha256', service.trust, 'base64url')
  trustIds.set(service, id)
  return id
}

class GuardRefused extends Error {
  readonly refusal: Refusal
  constructor(refusal: Refusal) {
    super(refusal.detail)
    this.refusal = refusal
  }
}

class Aborted extends Error {}

export function createDialler(options: {
  resolve: Resolve
  headersTimeoutMilliseconds?: number
  bodyTimeoutMilliseconds?: number
}): Dialler {
  const pools = new Map<string, Pool>()

  function poolFor(head: RequestHead, service: Service | null): Pool {
    const key = `${service?.id ?? ''} ${service?.endpoint ?? ''} ${trustId(service)} ${head.scheme}://${head.host}:${head.port}`
    const known = pools.get(key)
    if (known !== undefined) {
      pools.delete(key)
      pools.set(key, known)
      return known
    }
    const oldest = pools.entries().next()
    if (pools.size >= ORIGINS_MAXIMUM && !oldest.done) {
      pools.delete(oldest.value[0])
      void oldest.value[1].close()
    }
    const authority = head.host.includes(':') ? `[${head.host}]` : head.host
    const pool = new Pool(`${head.scheme}://${authority}:${head.port}`, {
      connections: CONNECTIONS_MAXIMUM,
      pipelining: 1,
      headersTimeout: options.headersTimeoutMilliseconds ?? HEADERS_TIMEOUT_MILLISECONDS,
      bodyTimeout: options.bodyTimeoutMilliseconds ?? BODY_TIMEOUT_MILLISECONDS,
      maxHeaderSize: ANSWER_HEADERS_MAXIMUM_BYTES,
      connect: connector(head, service, options.resolve),
    })
    pools.set(key, pool)
    return pool
  }

  return {
    send(head, body, service, listener) {
      let controller: Dispatcher.DispatchController | null = null
      let aborted = false
      const headers: string[] = []
      for (const [name, value] of head.headers) headers.push(name, value)
      poolFor(head, service).dispatch(
        {
          path: head.target,
          method: head.method,
          headers,
          body: body === null || body instanceof Uint8Array ? body : readableOf(body),
        },
        {
          onRequestStart(started) {
            controller = started
            if (aborted) started.abort(new Aborted())
          },
          onBodySent: (chunk: Uint8Array) => listener.onSent(chunk.byteLength),
          onResponseStart(started, status) {
            if (status < 200) return listener.onInformation(status, pairsOf(started.rawHeaders))
            listener.onHead(status, pairsOf(started.rawHeaders), {
              pause: () => started.pause(),
              resume: () => started.resume(),
              abort: () => started.abort(new Aborted()),
            })
          },
          onResponseData: (_controller, chunk) => listener.onData(chunk),
          onResponseEnd: (ended) => listener.onEnd(pairsOf(ended.rawTrailers)),
          onResponseError: (_controller, error) => listener.onFailure(refusalOf(error)),
        },
      )
      return {
        abort() {
          aborted = true
          controller?.abort(new Aborted())
        },
      }
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()))
      pools.clear()
    },
  }
}

/**
 * A connection that has proven itself before a byte of the request is written: the address was checked
 * and is the one dialled, and the certificate verified for the listed host (or for the endpoint that
 * the operator wrote down in its place).
 */
function connector(head: RequestHead, service: Service | null, resolve: Resolve): buildConnector.connector {
  const endpoint = service?.endpoint === undefined ? null : new URL(service.endpoint)
  const tls = endpoint === null ? head.scheme === 'https' : endpoint.protocol === 'https:'
  const ca = service?.trust === undefined ? undefined : [...rootCertificates, service.trust]

  return (_options, callback) => {
    void open()

    async function open(): Promise<void> {
      try {
        const target =
          endpoint === null
            ? await guarded()
            : { host: bare(endpoint.hostname), port: Number(endpoint.port || (tls ? 443 : 80)) }
        const socket = tls
          ? connectTls({
              ...target,
              servername: isName(head.host) ? head.host : '',
              ca,
              minVersion: 'TLSv1.2',
              rejectUnauthorized: true,
              ALPNProtocols: ['http/1.1'],
              checkServerIdentity: (_name, certificate) => {
                const mismatch = checkServerIdentity(head.host, certificate)
                return mismatch !== undefined && endpoint !== null
                  ? checkServerIdentity(bare(endpoint.hostname), certificate)
                  : mismatch
              },
            })
          : connectTcp(target)
        const timer = setTimeout(
          () => socket.destroy(new undiciErrors.ConnectTimeoutError('connect timeout')),
          CONNECT_TIMEOUT_MILLISECONDS,
        )
        socket.setNoDelay(true)
        socket.once('error', failed)
        socket.once(tls ? 'secureConnect' : 'connect', () => {
          clearTimeout(timer)
          socket.removeListener('error', failed)
          callback(null, socket)
        })
        socket.once('close', () => clearTimeout(timer))
      } catch (error) {
        failed(error instanceof Error ? error : new Error(String(error)))
      }
    }

    async function guarded(): Promise<{ host: string; port: number }> {
      const checked = await checkedAddress(head.host, resolve)
      if ('refusal' in checked) throw new GuardRefused(checked)
      return { host: checked.address, port: head.port }
    }

    function failed(error: Error): void {
      callback(error, null)
    }
  }
}

/** The body as undici wants it; the stream asks for more only when undici does. */
function readableOf(body: RequestBody): Readable {
  let begun = false
  const stream = new Readable({
    read() {
      if (begun) return body.resume()
      begun = true
      body.read({
        data(chunk) {
          if (!stream.push(chunk)) body.pause()
        },
        end: () => void stream.push(null),
        fail: () => void stream.destroy(new Aborted()),
      })
    },
  })
  return stream
}

function bare(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

function isName(host: string): boolean {
  return !host.includes(':') && !/^[\d.]+$/.test(host)
}

function pairsOf(raw: Dispatcher.DispatchController['rawHeaders']): HeaderPair[] {
  if (!Array.isArray(raw)) return []
  const pairs: HeaderPair[] = []
  for (let index = 0; index + 1 < raw.length; index += 2) {
    pairs.push([textOf(raw[index]).toLowerCase(), textOf(raw[index + 1])])
  }
  return pairs
}

function textOf(value: Buffer | string | undefined): string {
  return typeof value === 'string' ? value : (value?.toString('latin1') ?? '')
}

/** OpenSSL's verification results and Node's own name check; everything else is a matter of reaching. */
const untrusted =
  /^(ERR_TLS_CERT|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_CA|ERR_SSL_(CERTIFICATE|TLSV1_ALERT_UNKNOWN_CA))/

function refusalOf(error: Error): Refusal {
  if (error instanceof GuardRefused) return error.refusal
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (error.cause instanceof GuardRefused) return error.cause.refusal
  if (untrusted.test(code)) return { refusal: 'upstream_untrusted', detail: `(${code})` }
  if (code.endsWith('TIMEOUT') || code === 'ETIMEDOUT') return { refusal: 'upstream_timeout' }
  if (/^(ECONNREFUSED|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EPROTO|ERR_SSL)/.test(code))
    return { refusal: 'upstream_unreachable', detail: `(${code})` }
  return { refusal: 'upstream_broken', ...(code === '' ? {} : { detail: `(${code})` }) }
}
