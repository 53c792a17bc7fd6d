import type { Json } from '../../core/canonical-json.ts'
import type { TableName } from '../../core/records.ts'
import { definitionOf } from '../../services/definition.ts'
import { serviceRow } from '../../services/schema.ts'
import type { Records } from '../../vault/records.ts'
import { grantDocument, policyKinds } from './documents.ts'
import type { PolicyKind } from './documents.ts'

/** The id of the setting that lists the rows which files describe. */
export const managedSetting = 'policy-files'

/** Something that the home has, as a document would say it. */
export interface Present {
  readonly kind: PolicyKind
  /** `prod`, `openai`, `dev/triage`; of a grant `dev/triage/openai`, which several may share. */
  readonly key: string
  readonly rowId: string
  /** The members of its document, in order, without `kind`. */
  readonly said: Readonly<Record<string, Json>>
  readonly createdAt: number
}

export type Tables = Pick<Records, 'all'>

/** Everything in the home that files can describe, by kind and then by key. Services that came with Keyward are not in it. */
export function presentDocuments(records: Tables): Present[] {
  const found: Present[] = []
  for (const [rowId, { name, egress, createdAt }] of records.all('environment'))
    found.push({ kind: 'environment', key: name, rowId, said: { name, egress }, createdAt })
  for (const [rowId, { definition, createdAt }] of records.all('service'))
    found.push({ kind: 'service', key: rowId, rowId, said: definitionOf(serviceRow.parse(definition)), createdAt })
  for (const [rowId, record] of records.all('credential')) {
    const { name, environment, service, owner, sensitivity, state, createdAt } = record
    const said = { name, environment, service, ...ownedBy(owner), sensitivity, ...ifSuspended(state) }
    found.push({ kind: 'credential', key: `${environment}/${name}`, rowId, said, createdAt })
  }
  for (const [rowId, { name, environment, owner, state, createdAt }] of records.all('agent')) {
    const said = { name, environment, ...ownedBy(owner), ...ifSuspended(state) }
    found.push({ kind: 'agent', key: `${environment}/${name}`, rowId, said, createdAt })
  }
  for (const [rowId, grant] of records.all('grant')) {
    const agent = records.all('agent').get(grant.agentId)
    const credential = records.all('credential').get(grant.credentialId)
    if (agent === undefined || credential === undefined) continue
    const place = { agent: agent.name, credential: credential.name, environment: agent.environment }
    const key = `${place.environment}/${place.agent}/${place.credential}`
    found.push({ kind: 'grant', key, rowId, said: grantDocument(place, grant), createdAt: grant.createdAt })
  }
  return found
    .map((one) => ({ one, place: policyKinds.indexOf(one.kind), spelled: JSON.stringify(one.said) }))
    .toSorted(
      (left, right) =>
        left.place - right.place ||
        compare(left.one.key, right.one.key) ||
        compare(left.spelled, right.spelled) ||
        compare(left.one.rowId, right.one.rowId),
    )
    .map(({ one }) => one)
}

/** The rows that files describe, or did: `table/id`. */
export function managedRows(records: Tables): ReadonlySet<string> {
  const value = records.all('setting').get(managedSetting)?.value
  return new Set(Array.isArray(value) ? value.filter((row) => typeof row === 'string') : [])
}

/** Its name among the managed rows: a kind is a table. */
export function rowOf(table: TableName & PolicyKind, id: string): string {
  return `${table}/${id}`
}

export function ownedBy(owner: string | null | undefined): { owner?: string } {
  return owner === null || owner === undefined ? {} : { owner }
}

export function ifSuspended(state: string | undefined): { state?: 'suspended' } {
  return state === 'suspended' ? { state } : {}
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
