import type { ErrorCode } from '../core/errors.ts'
import { KeywardError } from '../core/errors.ts'
import type { AgentRecord, SessionBinding, SessionRecord } from '../core/records.ts'
import { canonicalAddress } from './peer.ts'

export const minimumTtlSeconds = 15 * 60
export const maximumTtlSeconds = 12 * 60 * 60
export const defaultTtlSeconds = 60 * 60
/** Secret fields of all credentials that one agent may be granted. */
export const maximumPlaceholdersPerSession = 256
/** The first schema of the store that knows the chain of a session: before, every node can use the session, and nobody narrow it. */
export const chainSchema = 2
/** Sessions that are not revoked and not expired. */
export const maximumLiveSessions = 10_000
/** Placeholders of all sessions on record, which bounds the memory of the look-up. */
export const maximumPlaceholders = 200_000
/** Sessions that are over and still known, so that their tokens get a better answer than "unknown". The oldest go first. */
export const maximumEndedSessions = 10_000
/** How long a session that is over stays known. */
export const keepEndedMilliseconds = 24 * 60 * 60 * 1000

export type SessionRefusal = Extract<
  ErrorCode,
  'token_invalid' | 'session_revoked' | 'session_expired' | 'session_suspended' | 'agent_suspended'
>

/** Why the session opens nothing at `now`, or null. A removed agent counts as a revocation. */
export function refusalOf(record: SessionRecord, agent: AgentRecord | undefined, now: number): SessionRefusal | null {
  if (record.state === 'revoked' || agent === undefined) return 'session_revoked'
  if (record.expiresAt <= now) return 'session_expired'
  if (record.state === 'suspended') return 'session_suspended'
  return agent.state === 'suspended' ? 'agent_suspended' : null
}

/** Not revoked and not expired; it may be suspended. */
export function isLive(record: SessionRecord, now: number): boolean {
  return record.state !== 'revoked' && record.expiresAt > now
}

/** The row of a session that is revoked at `now`. `expiresAt` then says when it ended. */
export function endedRecord(record: SessionRecord, now: number): SessionRecord {
  return { ...record, state: 'revoked', expiresAt: Math.min(record.expiresAt, now) }
}

/** Throws KeywardError `usage`. Gives the time of life back. */
export function checkTtl(ttlSeconds: number): number {
  if (Number.isSafeInteger(ttlSeconds) && ttlSeconds >= minimumTtlSeconds && ttlSeconds <= maximumTtlSeconds)
    return ttlSeconds
  throw new KeywardError('usage', 'A session lasts 15 minutes to 12 hours.')
}

/** Throws KeywardError `usage`. */
export function checkBinding(binding: SessionBinding): SessionBinding {
  if (binding.kind === 'unbound') return { kind: 'unbound' }
  if (binding.kind === 'address') {
    const address = canonicalAddress(binding.address)
    if (address !== null) return { kind: 'address', address }
    throw new KeywardError('usage', 'A session is bound to one IPv4 or IPv6 address.')
  }
  const { processId, startTicks } = binding
  if (Number.isSafeInteger(processId) && processId > 0 && /^[0-9]{1,20}$/.test(startTicks)) {
    return { kind: 'process', processId, startTicks }
  }
  throw new KeywardError('usage', 'A session is bound to a process by its id and its start time in clock ticks.')
}
