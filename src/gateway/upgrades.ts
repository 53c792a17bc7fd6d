import type { RequestHead } from '../core/request.ts'
import type { Service } from '../services/service.ts'
import { connector, NotConnected } from './connect.ts'
import { CONNECTIONS_MAXIMUM, type UpgradeListener } from './dial.ts'
import type { Resolve } from './egress.ts'
import { ClientConnection, type ClientTimes } from './http1/client.ts'
import { originKey } from './origins.ts'

/** Connections that were opened to go on with another protocol: each is verified like any other, and used once. */
export interface Upgrades {
  open(head: RequestHead, service: Service | null, listener: UpgradeListener): { abort(): void }
  close(): void
}

const LOOK_MILLISECONDS = 1_000

export function createUpgrades(options: { readonly resolve: Resolve; readonly times: ClientTimes }): Upgrades {
  const { resolve, times } = options
  const open = new Set<ClientConnection>()
  /** Open and opening, by origin. */
  const counts = new Map<string, number>()
  const clock = { now: performance.now() }
  const sweeper = setInterval(
    () => {
      clock.now = performance.now()
      for (const connection of open) connection.look()
    },
    Math.max(10, Math.min(LOOK_MILLISECONDS, times.headMilliseconds / 4)),
  )
  sweeper.unref()

  function leave(key: string): void {
    const left = (counts.get(key) ?? 1) - 1
    if (left === 0) counts.delete(key)
    else counts.set(key, left)
  }

  async function connectAndSend(
    key: string,
    head: RequestHead,
    service: Service | null,
    listener: UpgradeListener,
    request: { aborted: boolean; abort: () => void },
  ): Promise<void> {
    const socket = await connector(head, service, { resolve, protocols: ['http/1.1'] })()
    // From here on the connection counts until its socket is closed.
    const connection = new ClientConnection(
      socket,
      {
        free: (one) => one.destroy(),
        gone: (one) => {
          open.delete(one)
          leave(key)
        },
      },
      times,
      clock,
    )
    open.add(connection)
    if (request.aborted) return connection.destroy()
    request.abort = connection.upgrade(head, listener).abort
  }

  return {
    open(head, service, listener) {
      const key = originKey(head, service)
      const request = { aborted: false, abort: () => void (request.aborted = true) }
      const count = counts.get(key) ?? 0
      if (count >= CONNECTIONS_MAXIMUM) {
        listener.onFailure({ refusal: 'overloaded', retryAfterSeconds: 1 })
        return request
      }
      counts.set(key, count + 1)
      connectAndSend(key, head, service, listener, request).catch((error: unknown) => {
        leave(key)
        if (!request.aborted)
          listener.onFailure(error instanceof NotConnected ? error.refusal : { refusal: 'upstream_broken' })
      })
      return { abort: () => request.abort() }
    },
    close() {
      clearInterval(sweeper)
      for (const connection of open) connection.destroy()
      open.clear()
    },
  }
}
