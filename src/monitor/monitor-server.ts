import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { Server } from 'node:http'
import { isIP } from 'node:net'
import type { AddressInfo } from 'node:net'
import { KeywardError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { Metrics } from './metrics.ts'

/** What stands in the way of serving requests; nothing where this is empty. */
export type Readiness = readonly ErrorCode[]

export interface MonitorOptions {
  readonly host: string
  /** 0 takes any that is free. */
  readonly port: number
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>
  readonly readiness: () => Readiness
}

export interface MonitorServer {
  /** `host:port` as bound. */
  readonly address: string
  close(): Promise<void>
}

/** Whoever asks does so every few seconds, over a connection or two. */
export const MONITOR_CONNECTIONS_MAXIMUM = 64
export const MONITOR_REQUEST_MILLISECONDS = 5_000

/**
 * Tells those who watch over Keyward, on a port of its own: `/healthz` (it runs), `/readyz` (it can serve
 * requests, or the codes of what stands in the way) and `/metrics`. Whoever reaches the port may read them, so
 * they say nothing of agents and nothing of what was sent. Asked by the name of a host it refuses: a page in a
 * browser that has its own name lead here (DNS rebinding) learns nothing. Throws `port_in_use`.
 */
export async function listenMonitor({ host, port, metrics, readiness }: MonitorOptions): Promise<MonitorServer> {
  const app = new Hono()
  app.use(async (context, next) => {
    if (!isAddressed(context.req.header('host') ?? '', host)) return context.text('Ask by address.\n', 421)
    await next()
    context.header('cache-control', 'no-store')
    context.header('x-content-type-options', 'nosniff')
  })
  app.get('/healthz', (context) => context.text('ok\n'))
  app.get('/readyz', (context) => {
    const reasons = readiness()
    return reasons.length === 0 ? context.text('ready\n') : context.text(`${reasons.join('\n')}\n`, 503)
  })
  app.get('/metrics', async (context) =>
    context.body(await metrics.text(), 200, { 'content-type': metrics.contentType }),
  )

  const server = createAdaptorServer({ fetch: app.fetch })
  if (!(server instanceof Server)) throw new KeywardError('internal', 'The library gave another kind of server.')
  server.maxConnections = MONITOR_CONNECTIONS_MAXIMUM
  server.requestTimeout = MONITOR_REQUEST_MILLISECONDS
  server.headersTimeout = MONITOR_REQUEST_MILLISECONDS
  await new Promise<void>((done, fail) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      fail(error.code === 'EADDRINUSE' ? new KeywardError('port_in_use', `${host}:${port} is taken.`) : error),
    )
    server.listen(port, host, () => done())
  })
  const bound = server.address()
  return {
    address: written(host, isAddressInfo(bound) ? bound.port : port),
    close: () =>
      new Promise((done) => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
}

/** Whether the Host is an address, `localhost`, or what the operator wrote. */
function isAddressed(raw: string, own: string): boolean {
  const host = raw.replace(/:\d{1,5}$/, '').replace(/^\[(.*)\]$/, '$1')
  return host === own || host === 'localhost' || isIP(host) !== 0
}

function written(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

function isAddressInfo(bound: AddressInfo | string | null): bound is AddressInfo {
  return bound !== null && typeof bound === 'object'
}
