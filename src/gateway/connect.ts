import { connect as connectTcp, type Socket } from 'node:net'
import {
  checkServerIdentity,
  connect as connectTls,
  createSecureContext,
  rootCertificates,
  type SecureContext,
} from 'node:tls'
import type { RequestHead } from '../core/request.ts'
import type { Service } from '../services/service.ts'
import { checkedAddress, type Resolve } from './egress.ts'
import type { Refusal } from './refusal.ts'

export const CONNECT_TIMEOUT_MILLISECONDS = 10_000

/** A connection that was not made or not trusted, or a request that could not be sent over it. */
export class NotConnected extends Error {
  readonly refusal: Refusal
  constructor(refusal: Refusal) {
    super(refusal.detail)
    this.refusal = refusal
  }
}

const contexts = new WeakMap<Service, SecureContext>()
let ordinary: SecureContext | undefined

/** Whom connections to a service trust. Made once: reading all the roots anew takes some ten milliseconds, in which nothing else happens. */
function contextFor(service: Service | null): SecureContext {
  if (service?.trust === undefined) return (ordinary ??= createSecureContext({ minVersion: 'TLSv1.2' }))
  const known = contexts.get(service)
  if (known !== undefined) return known
  const made = createSecureContext({ ca: [...rootCertificates, service.trust], minVersion: 'TLSv1.2' })
  contexts.set(service, made)
  return made
}

/** Opens verified connections to one origin. Rejects with `NotConnected`, also once `signal` says that nobody wants it any more. */
export type Connector = (signal?: AbortSignal) => Promise<Socket>

/**
 * A connection that has proven itself before a byte of the request is written: the address was checked
 * and is the one dialled, and the certificate verified for the listed host (or for the endpoint that
 * the operator wrote down in its place). `protocols` are offered by ALPN, most wanted first.
 */
export function connector(
  head: Pick<RequestHead, 'scheme' | 'host' | 'port'>,
  service: Service | null,
  options: { readonly resolve: Resolve; readonly protocols: readonly string[] },
): Connector {
  // Not the head itself: a connector outlives the request that it was made for, whose head holds a credential.
  const { scheme, host, port } = head
  const endpoint = service?.endpoint === undefined ? null : new URL(service.endpoint)
  const tls = endpoint === null ? scheme === 'https' : endpoint.protocol === 'https:'
  /** Resumed by later connections: the connector is made for one origin and one trust, so what was verified then holds. */
  let session: Buffer | undefined

  async function target(): Promise<{ host: string; port: number }> {
    if (endpoint !== null) return { host: bare(endpoint.hostname), port: Number(endpoint.port || (tls ? 443 : 80)) }
    const checked = await checkedAddress(host, options.resolve)
    if ('refusal' in checked) throw new NotConnected(checked)
    return { host: checked.address, port }
  }

  function begin(where: { host: string; port: number }): Socket {
    if (!tls) return connectTcp(where)
    const socket = connectTls({
      ...where,
      servername: isName(host) ? host : '',
      secureContext: contextFor(service),
      rejectUnauthorized: true,
      ALPNProtocols: [...options.protocols],
      ...(session === undefined ? {} : { session }),
      checkServerIdentity: (_name, certificate) => {
        const mismatch = checkServerIdentity(host, certificate)
        return mismatch !== undefined && endpoint !== null
          ? checkServerIdentity(bare(endpoint.hostname), certificate)
          : mismatch
      },
    })
    socket.on('session', (ticket) => (session = ticket))
    return socket
  }

  return async (signal) => {
    const where = await target().catch((error: unknown) => {
      throw error instanceof NotConnected ? error : new NotConnected(connectRefusal(error))
    })
    if (signal?.aborted === true) throw new NotConnected({ refusal: 'upstream_unreachable' })
    return new Promise((done, fail) => {
      const socket = begin(where)
      const cancel = (): void => {
        failed(new NotConnected({ refusal: 'upstream_unreachable' }))
        socket.destroy()
      }
      signal?.addEventListener('abort', cancel, { once: true })
      const timer = setTimeout(() => {
        failed(new NotConnected({ refusal: 'upstream_timeout' }))
        socket.destroy()
      }, CONNECT_TIMEOUT_MILLISECONDS)
      const failed = (error: unknown): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', cancel)
        session = undefined
        fail(error instanceof NotConnected ? error : new NotConnected(connectRefusal(error)))
      }
      socket.setNoDelay(true)
      socket.once('error', failed)
      socket.once(tls ? 'secureConnect' : 'connect', () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', cancel)
        socket.removeListener('error', failed)
        done(socket)
      })
    })
  }
}

function bare(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

function isName(host: string): boolean {
  return !host.includes(':') && !/^[\d.]+$/.test(host)
}

/** OpenSSL's verification results and Node's own name check; everything else is a matter of reaching. */
const untrusted =
  /^(ERR_TLS_CERT|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_CA|ERR_SSL_(CERTIFICATE|TLSV1_ALERT_UNKNOWN_CA))/

/** What an error of a socket means to the caller. */
export function connectRefusal(error: unknown): Refusal {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
  if (untrusted.test(code)) return { refusal: 'upstream_untrusted', detail: `(${code})` }
  if (code.endsWith('TIMEOUT') || code === 'ETIMEDOUT') return { refusal: 'upstream_timeout' }
  if (/^(ECONNREFUSED|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EPROTO|ERR_SSL)/.test(code))
    return { refusal: 'upstream_unreachable', detail: `(${code})` }
  return { refusal: 'upstream_broken', ...(code === '' ? {} : { detail: `(${code})` }) }
}
