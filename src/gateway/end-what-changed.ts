import type { TableName } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'
import type { Inflight } from './inflight.ts'

/**
 * What a commit takes away ends at once: open exchanges and tunnels of a suspended or removed agent,
 * credential, version or grant, exchanges of a service that is another now, approvals of any of these, and
 * all that reaches hosts without a service from an environment that is closed now.
 */
export function endWhatChanged(
  changes: readonly Change<TableName>[],
  records: Pick<Records, 'get' | 'all'>,
  inflight: Pick<Inflight, 'endWhere'>,
): void {
  for (const change of changes) {
    if (change.table === 'agent' && change.body?.state !== 'active')
      inflight.endWhere((entry) => entry.agentId === change.id, 'agent_suspended')
    if (change.table === 'credential' && change.body?.state !== 'active')
      inflight.endWhere((entry) => entry.credentialId === change.id, 'credential_suspended')
    if (change.table === 'service') {
      const { id } = change
      inflight.endWhere(
        ({ credentialId }) => credentialId !== null && records.get('credential', credentialId)?.service === id,
        'service_changed',
      )
    }
    if (change.table === 'environment' && change.body?.egress !== 'open') {
      const { id } = change
      // A tunnel of listed hosts goes too: its next one is judged anew like every other.
      inflight.endWhere(
        ({ credentialId, agentId }) => credentialId === null && records.get('agent', agentId)?.environment === id,
        'host_not_listed',
      )
    }
    if (change.table === 'version' && change.body?.state === 'revoked') {
      const { credentialId, number } = change.body
      inflight.endWhere(
        (entry) => entry.credentialId === credentialId && entry.version === number,
        'credential_replaced',
      )
    }
    if (change.table === 'grant' && change.body === null) {
      inflight.endWhere(
        (entry) => entry.credentialId !== null && !isGranted(entry.agentId, entry.credentialId, records),
        'grant_missing',
      )
    }
  }
}

/** Ends what goes on in narrowed sessions whose time is over. */
export function endExpired(inflight: Pick<Inflight, 'endWhere'>, now: number): void {
  inflight.endWhere(({ narrowed }) => narrowed !== null && (narrowed.expiresAt ?? Infinity) <= now, 'narrowed_expired')
}

function isGranted(agentId: string, credentialId: string, records: Pick<Records, 'all'>): boolean {
  for (const grant of records.all('grant').values())
    if (grant.agentId === agentId && grant.credentialId === credentialId) return true
  return false
}
