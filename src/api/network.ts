import { createAdaptorServer } from '@hono/node-server'
import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import type { Context } from 'hono'
import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { Server as HttpServer } from 'node:http'
import { createServer as createHttpsServer, Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { TLSSocket } from 'node:tls'
import { KeywardError } from '../core/errors.ts'
import { canonicalAddress } from '../identity/peer.ts'
import type { Peer } from './caller.ts'
import { loginPage, loginScript, loginStyle } from './login-page.ts'
import { answerProblem } from './control.ts'
import { networkRules, withAnswerHeaders } from './network-rules.ts'

/** Connections at a time. */
export const NETWORK_CONNECTIONS_MAXIMUM = 512
export const NETWORK_HEADERS_MILLISECONDS = 10_000
export const NETWORK_REQUEST_MILLISECONDS = 60_000
/** How often the files of the certificate are looked at. */
const RELOAD_MILLISECONDS = 10_000
const OTHERS = 0o077

/** Files in PEM; `clientAuthority`: whose certificates machines log in with. */
export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  readonly clientAuthority: string | null
}

export interface NetworkOptions {
  readonly host: string
  /** 0 takes any that is free. */
  readonly port: number
  /** Further names by which it is asked. */
  readonly names: readonly string[]
  readonly tls: TlsFiles | null
  readonly api: Hono
  readonly onError: (error: unknown) => void
}

export interface NetworkServer {
  /** `https://host:port` as bound. */
  readonly url: string
  close(): Promise<void>
}

/**
 * Serves the control API on a port. Throws `port_in_use`; `config_invalid` where a file of the certificate cannot be
 * used. A certificate that is replaced is taken up; one that cannot be read leaves the former in use.
 */
export async function listenNetwork(options: NetworkOptions): Promise<NetworkServer> {
  const { host, port, names, tls, api, onError } = options
  const app = new Hono<{ Bindings: HttpBindings }>()
  const loopback = host === '127.0.0.1' || host === '::1'
  app.use(networkRules({ hosts: [host, ...names, ...(loopback ? ['localhost'] : [])], isTls: tls !== null }))
  app.get('/login', (context) => context.html(loginPage))
  app.get('/login.css', (context) => context.body(loginStyle, 200, { 'content-type': 'text/css; charset=utf-8' }))
  app.get('/login.js', (context) =>
    context.body(loginScript, 200, { 'content-type': 'text/javascript; charset=utf-8' }),
  )
  app.route('/', api)
  // What the rules refuse has not come as far as the API, which has an answer to errors of its own.
  app.onError((error) => {
    if (!(error instanceof KeywardError)) onError(error)
    return withAnswerHeaders(answerProblem(error instanceof KeywardError ? error : new KeywardError('internal')))
  })
  app.notFound(() => answerProblem(new KeywardError('not_found', 'The control API has no such route.')))
  const common = { fetch: app.fetch }
  const server =
    tls === null
      ? createAdaptorServer(common)
      : createAdaptorServer({ ...common, createServer: createHttpsServer, serverOptions: secureOptions(tls) })
  if (!(server instanceof HttpServer) && !(server instanceof HttpsServer))
    throw new KeywardError('internal', 'The library gave another kind of server.')
  server.maxConnections = NETWORK_CONNECTIONS_MAXIMUM
  server.headersTimeout = NETWORK_HEADERS_MILLISECONDS
  server.requestTimeout = NETWORK_REQUEST_MILLISECONDS
  await new Promise<void>((done, fail) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      fail(error.code === 'EADDRINUSE' ? new KeywardError('port_in_use', `${host}:${port} is taken.`) : error),
    )
    server.listen(port, host, () => done())
  })
  server.on('error', onError)
  const stopReloading = tls !== null && server instanceof HttpsServer ? reload(server, tls, onError) : null
  const bound = server.address()
  const shown = host.includes(':') ? `[${host}]` : host
  return {
    url: `${tls === null ? 'http' : 'https'}://${names[0] ?? shown}:${isAddressInfo(bound) ? bound.port : port}`,
    close: () =>
      new Promise((done) => {
        stopReloading?.()
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
}

/** Who is at the other end of a connection that `listenNetwork` accepted. */
export function networkPeer(context: Context<{ Bindings: HttpBindings }>): Peer {
  const { socket } = context.env.incoming
  const address = canonicalAddress(socket.remoteAddress ?? '')
  if (!(socket instanceof TLSSocket) || !socket.authorized) return { address, certificate: null }
  const { raw } = socket.getPeerCertificate()
  return { address, certificate: raw === undefined ? null : new X509Certificate(raw) }
}

function secureOptions({ certificate, key, clientAuthority }: TlsFiles) {
  if ((statSync(key, { throwIfNoEntry: false })?.mode ?? 0) & OTHERS)
    throw new KeywardError('config_invalid', `${key} can be read by others: chmod 600.`)
  try {
    return {
      cert: readFileSync(certificate),
      key: readFileSync(key),
      minVersion: 'TLSv1.2' as const,
      ...(clientAuthority === null
        ? {}
        : { ca: readFileSync(clientAuthority), requestCert: true, rejectUnauthorized: false }),
    }
  } catch (error) {
    throw new KeywardError('config_invalid', 'The certificate or its key cannot be read.', { cause: error })
  }
}

function reload(server: HttpsServer, tls: TlsFiles, onError: (error: unknown) => void): () => void {
  const seen = (): string =>
    [tls.certificate, tls.key, tls.clientAuthority]
      .map((path) => (path === null ? '' : String(statSync(path, { throwIfNoEntry: false })?.mtimeMs)))
      .join(' ')
  let last = seen()
  const timer = setInterval(() => {
    const now = seen()
    if (now === last) return
    last = now
    try {
      server.setSecureContext(secureOptions(tls))
    } catch (error) {
      onError(error)
    }
  }, RELOAD_MILLISECONDS)
  timer.unref()
  return () => clearInterval(timer)
}

function isAddressInfo(bound: AddressInfo | string | null): bound is AddressInfo {
  return bound !== null && typeof bound === 'object'
}
