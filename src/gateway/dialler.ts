import { BODY_TIMEOUT_MILLISECONDS, HEADERS_TIMEOUT_MILLISECONDS, type Dialler } from './dial.ts'
import type { Resolve } from './egress.ts'
import { createLibraryDialler } from './library-dialler.ts'
import { createOrigins } from './origins.ts'
import { createUpgrades } from './upgrades.ts'

/** Whose code reads and writes HTTP/1.1: Keyward's own, or the libraries' (node:http and undici), which stay as its yardstick. */
export type CodecChoice = 'own' | 'library'

export interface DiallerOptions {
  readonly resolve: Resolve
  readonly headersTimeoutMilliseconds?: number
  readonly bodyTimeoutMilliseconds?: number
  readonly codec?: CodecChoice
}

export function createDialler(options: DiallerOptions): Dialler {
  const times = {
    headMilliseconds: options.headersTimeoutMilliseconds ?? HEADERS_TIMEOUT_MILLISECONDS,
    bodyMilliseconds: options.bodyTimeoutMilliseconds ?? BODY_TIMEOUT_MILLISECONDS,
  }
  if (options.codec === 'library') return createLibraryDialler(options.resolve, times)
  const origins = createOrigins({ resolve: options.resolve, times })
  const upgrades = createUpgrades({ resolve: options.resolve, times })
  return {
    send: (head, body, service, listener, protocol) => origins.send(head, body, service, listener, protocol),
    upgrade: (head, service, listener) => upgrades.open(head, service, listener),
    async close() {
      origins.close()
      upgrades.close()
    },
  }
}
