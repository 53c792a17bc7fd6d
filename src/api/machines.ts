import type { KeyObject } from 'node:crypto'
import type { Resolve } from '../gateway/egress.ts'
import { createFetchJson } from '../gateway/fetch-json.ts'
import { createIssuerKeys } from '../identity/issuer-keys.ts'
import { lazyDpop } from '../identity/lazy-dpop.ts'
import { createMachineLogins } from '../identity/machine-logins.ts'
import type { Sessions } from '../identity/sessions.ts'
import { createTrusts } from '../identity/trusts.ts'
import type { Records } from '../vault/records.ts'
import { createAttempts } from './network-rules.ts'

/** Everything by which machines log in by themselves. */
export function createMachines(parts: {
  readonly records: Records
  readonly sessions: Sessions
  readonly resolve: Resolve
  /** HMAC-SHA256 key of enrolment secrets. */
  readonly tokenKey: KeyObject
  readonly randomBytes: (size: number) => Uint8Array
  readonly now: () => number
  readonly newId: () => string
}) {
  const { resolve, now } = parts
  const trusts = createTrusts(parts)
  const dpop = lazyDpop(now)
  const keys = createIssuerKeys({ fetchJson: createFetchJson(resolve), now })
  const machineLogins = createMachineLogins({ ...parts, trusts, keys, dpop })
  return { dpop, shown: { trusts, machineLogins, machineAttempts: createAttempts({ now }) } }
}
