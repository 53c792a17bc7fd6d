import { KeywardError } from '../../core/errors.ts'
import type { CredentialRecord } from '../../core/records.ts'
import type { Secret } from '../../core/secret.ts'
import type { Service } from '../../services/service.ts'
import type { Credentials } from '../../vault/credentials.ts'
import type { Change, Records } from '../../vault/records.ts'
import { endedRecord } from '../session-state.ts'
import { expiryOf } from './documents.ts'
import { versionsOf } from './plan.ts'
import type { Plan, Step } from './plan.ts'
import { managedSetting, managedRows, rowOf } from './present.ts'
import type { Wanted } from './read.ts'

/** Rows that one run may change: the journal names each of them in one entry. */
export const maximumPolicyChanges = 6_000

/** By key of the credential and by field. */
export type Values = Readonly<Record<string, Readonly<Record<string, Secret>>>>

export interface Maker {
  readonly records: Records
  readonly credentials: Pick<Credentials, 'firstVersion'>
  readonly service: (id: string) => Service | undefined
  readonly now: () => number
  readonly newId: () => string
}

/** The rows that a plan without problems writes. Throws `value_missing`, `policy_too_large`, and what `firstVersion` throws. */
export function changesOf(plan: Plan, values: Values, maker: Maker): readonly Change[] {
  const { records, newId } = maker
  const createdAt = maker.now()
  const ids = new Map<string, string>()
  for (const { wanted, present } of plan.steps)
    if (wanted !== null) ids.set(`${wanted.kind} ${wanted.key}`, present?.rowId ?? newId())
  const services = new Map<string, Service>()
  for (const { wanted } of plan.steps) if (wanted?.kind === 'service') services.set(wanted.key, wanted.service)
  const changes: Change[] = []
  const managed = new Set(plan.managed)

  function idOf(kind: 'agent' | 'credential', environment: string, name: string): string {
    const known = ids.get(`${kind} ${environment}/${name}`)
    if (known !== undefined) return known
    for (const [id, record] of records.all(kind))
      if (record.environment === environment && record.name === name) return id
    throw new KeywardError('internal', `A plan refers to the ${kind} ${name}, which is not there.`)
  }

  function bodyOf(wanted: Exclude<Wanted, { kind: 'credential' }>, step: Step): Change {
    const since = step.present?.createdAt ?? createdAt
    switch (wanted.kind) {
      case 'environment': {
        const { name, egress } = wanted.document
        return { table: 'environment', id: name, body: { name, egress, createdAt: since } }
      }
      case 'service':
        return { table: 'service', id: wanted.key, body: { definition: wanted.service, createdAt: since } }
      case 'agent': {
        const { name, environment, owner = null, state } = wanted.document
        const before = step.present === null ? undefined : records.get('agent', step.present.rowId)
        const body = { name, environment, owner, state: state ?? before?.state ?? 'active', createdAt: since } as const
        return { table: 'agent', id: idOf('agent', environment, name), body }
      }
      case 'grant': {
        const { environment, agent, credential, expires } = wanted.document
        const body = {
          agentId: idOf('agent', environment, agent),
          credentialId: idOf('credential', environment, credential),
          ...wanted.terms,
          expiresAt: expiryOf(expires, createdAt),
          createdAt,
        }
        // Always another row: what the journal says of a grant's id stays true of it.
        return { table: 'grant', id: newId(), body }
      }
    }
  }

  function credentialChanges(wanted: Extract<Wanted, { kind: 'credential' }>, step: Step): Change[] {
    const { name, environment, service: serviceId, owner = null, sensitivity, state, from } = wanted.document
    const id = idOf('credential', environment, name)
    const before = records.get('credential', id)
    const body: CredentialRecord = {
      name,
      environment,
      service: serviceId,
      owner,
      sensitivity,
      state: state ?? before?.state ?? 'active',
      createdAt: before?.createdAt ?? createdAt,
    }
    const row: Change = { table: 'credential', id, body }
    if (from === undefined || !step.differences.some(({ member }) => member === 'value')) return [row]
    const fields = Object.hasOwn(values, wanted.key) ? values[wanted.key] : undefined
    const service = services.get(serviceId) ?? maker.service(serviceId)
    if (
      fields === undefined ||
      service === undefined ||
      Object.keys(from).some((field) => !Object.hasOwn(fields, field))
    )
      throw new KeywardError('value_missing', `It is the credential ${wanted.key}.`)
    return [row, { table: 'version', ...maker.credentials.firstVersion(id, body, service, fields) }]
  }

  for (const step of plan.steps) {
    const { action, wanted, present } = step
    if (action === 'keep') continue
    if (wanted === null) changes.push(...removalOf(step.present, records, createdAt))
    else {
      if (wanted.kind === 'credential') changes.push(...credentialChanges(wanted, step))
      else changes.push(bodyOf(wanted, step))
      if (wanted.kind === 'grant' && present !== null) changes.push({ table: 'grant', id: present.rowId, body: null })
    }
  }
  refuseShared(changes, records)
  for (const { table, id, body } of changes) {
    if (
      table !== 'environment' &&
      table !== 'service' &&
      table !== 'credential' &&
      table !== 'agent' &&
      table !== 'grant'
    )
      continue
    if (body === null) managed.delete(rowOf(table, id))
    else managed.add(rowOf(table, id))
  }
  const rows = [...managed].toSorted()
  if (JSON.stringify(rows) !== JSON.stringify([...managedRows(records)]))
    changes.push({ table: 'setting', id: managedSetting, body: { value: rows } })
  if (changes.length > maximumPolicyChanges)
    throw new KeywardError(
      'policy_too_large',
      `It would change ${changes.length} rows, at most ${maximumPolicyChanges}.`,
    )
  return changes
}

function removalOf({ kind, rowId }: NonNullable<Step['present']>, records: Records, now: number): Change[] {
  const row: Change = { table: kind, id: rowId, body: null }
  if (kind === 'credential')
    return [
      row,
      ...versionsOf(rowId, records).map(
        ({ number }) => ({ table: 'version', id: `${rowId}.${number}`, body: null }) as const,
      ),
    ]
  if (kind !== 'agent') return [row]
  const sessions = [...records.all('session')].filter(
    ([, session]) => session.agentId === rowId && session.state !== 'revoked',
  )
  return [row, ...sessions.map(([id, session]) => ({ table: 'session', id, body: endedRecord(session, now) }) as const)]
}

/** Values of one run are compared with each other too: the vault knows those of earlier ones only. */
function refuseShared(changes: readonly Change[], records: Records): void {
  const environments = new Map<string, string>()
  const credentials = new Map<string, CredentialRecord>(records.all('credential'))
  for (const change of changes)
    if (change.table === 'credential' && change.body !== null) credentials.set(change.id, change.body)
  for (const change of changes) {
    if (change.table !== 'version' || change.body === null) continue
    const environment = credentials.get(change.body.credentialId)?.environment ?? ''
    for (const fingerprint of Object.values(change.body.fingerprints)) {
      const other = environments.get(fingerprint)
      if (other !== undefined && other !== environment)
        throw new KeywardError('secret_reused', `One value is meant for ${other} and for ${environment}.`)
      environments.set(fingerprint, environment)
    }
  }
}
