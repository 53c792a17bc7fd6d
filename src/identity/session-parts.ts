import type { KeyObject } from 'node:crypto'
import type { PlaceholderShape } from '../core/placeholder.ts'
import type { SessionBinding } from '../core/records.ts'
import type { Records } from '../vault/records.ts'
import type { Timer } from './session-index.ts'

export interface SessionParts {
  readonly records: Records
  /** HMAC-SHA256 key for tokens and placeholders. */
  readonly tokenKey: KeyObject
  /** HMAC-SHA256 key that the tokens of sessions are drawn from, so that what is narrowed from one can be verified without keeping it. */
  readonly sessionKey: KeyObject
  readonly randomBytes: (size: number) => Uint8Array
  readonly now: () => number
  readonly newId: () => string
  /** The name of this node, where others share the store. */
  readonly node?: string | null
  readonly credentialsOf: (agentId: string) => readonly string[]
  readonly secretFieldsOf: (credentialId: string) => readonly string[]
  readonly shapeOf: (credentialId: string, field: string) => PlaceholderShape
  /** Placeholders that are signed with and never sent: they are drawn from `key` (HMAC-SHA256), so that a signature can be checked without keeping them. */
  readonly signing: { readonly key: KeyObject; readonly signsWith: (credentialId: string, field: string) => boolean }
  /** Whether the process that a session is bound to still runs. */
  readonly isAlive: (binding: SessionBinding) => boolean
  readonly timer?: Timer
}
