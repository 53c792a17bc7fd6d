import { canonicalJson } from '../../core/canonical-json.ts'
import type { Json } from '../../core/canonical-json.ts'
import { definitionOf } from '../../services/definition.ts'
import { serviceRow } from '../../services/schema.ts'
import type { Service } from '../../services/service.ts'
import { checkAfter } from './after.ts'
import { expiryOf, grantDocument, policyKinds } from './documents.ts'
import { ifSuspended, managedRows, ownedBy, presentDocuments, rowOf } from './present.ts'
import type { Present, Tables } from './present.ts'
import type { PolicyProblem, Wanted } from './read.ts'

export interface Difference {
  readonly member: string
  /** Null: it was not there. */
  readonly before: Json
  /** Null: it is taken away. */
  readonly after: Json
}

/** What becomes of one thing. What files do not describe has no step, unless it is removed. */
export type Step = { readonly differences: readonly Difference[] } & (
  | { readonly action: 'create'; readonly wanted: Wanted; readonly present: null }
  | { readonly action: 'change' | 'keep'; readonly wanted: Wanted; readonly present: Present }
  | { readonly action: 'remove'; readonly wanted: null; readonly present: Present }
)

export interface Plan {
  readonly steps: readonly Step[]
  readonly problems: readonly PolicyProblem[]
  /** Rows that files describe from now on, `table/id`, in order; those of what is created are not among them yet. */
  readonly managed: readonly string[]
}

/**
 * From what files want and what a home has to what must be done. Pure, and independent of the order
 * of the documents. `prune` removes what files described once and describe no more; what never was in
 * a file stays.
 */
export function planPolicy(
  wanted: readonly Wanted[],
  records: Tables,
  options: { readonly prune: boolean; readonly builtIn: readonly Service[] },
): Plan {
  const present = presentDocuments(records)
  const before = managedRows(records)
  const byName = Map.groupBy(present, nameOf)
  const steps: Step[] = []
  for (const [name, documents] of [...Map.groupBy(wanted, nameOf)].toSorted(([left], [right]) =>
    left < right ? -1 : 1,
  ))
    steps.push(...pair(documents, byName.get(name) ?? [], records))
  const described = new Set(steps.flatMap((step) => (step.present === null ? [] : [rowIn(step.present)])))
  const left = present.filter((one) => before.has(rowIn(one)) && !described.has(rowIn(one)))
  if (options.prune)
    for (const one of left.toReversed())
      steps.push({ action: 'remove', wanted: null, present: one, differences: removal(one, records) })
  const managed = [...described, ...(options.prune ? [] : left.map(rowIn))].toSorted()
  return { steps, problems: checkAfter(steps, present, records, options.builtIn), managed }
}

/** Documents and rows of one name. Only grants can be several: equal ones belong together, then the nearest. */
function pair(documents: readonly Wanted[], rows: readonly Present[], records: Tables): Step[] {
  const steps: Step[] = []
  const free = new Set(rows)
  const unmatched: Wanted[] = []
  for (const wanted of documents) {
    const equal = [...free].find((row) => stepFor(wanted, row, records).differences.length === 0)
    if (equal === undefined) unmatched.push(wanted)
    else {
      free.delete(equal)
      steps.push(stepFor(wanted, equal, records))
    }
  }
  for (const wanted of unmatched.toSorted((left, right) => (spelled(left) < spelled(right) ? -1 : 1))) {
    // The nearest, so that what is said to change is what somebody changed.
    const [row = null] = [...free].toSorted(
      (left, right) => distance(wanted, left, records) - distance(wanted, right, records),
    )
    if (row !== null) free.delete(row)
    steps.push(stepFor(wanted, row, records))
  }
  return steps
}

function distance(wanted: Wanted, row: Present, records: Tables): number {
  return stepFor(wanted, row, records).differences.length
}

function stepFor(wanted: Wanted, present: Present | null, records: Tables): Step {
  const after = saidBy(wanted, present)
  const differences = [...differ(present?.said ?? {}, after), ...valueDifference(wanted, present, records)]
  if (present === null) return { action: 'create', wanted, present, differences }
  // A grant that is changed is made anew, and its days begin anew.
  if (wanted.kind === 'grant' && differences.length > 0)
    return { action: 'change', wanted, present, differences: differ(present.said, saidBy(wanted, null)) }
  return { action: differences.length === 0 ? 'keep' : 'change', wanted, present, differences }
}

/** The members as they shall be; where a file leaves them open (a state, a count of days) they follow what is there. */
function saidBy(wanted: Wanted, present: Present | null): Readonly<Record<string, Json>> {
  switch (wanted.kind) {
    case 'environment':
      return { name: wanted.document.name, egress: wanted.document.egress }
    case 'service':
      return definitionOf(storedAs(wanted.service))
    case 'credential': {
      const { name, environment, service, owner, sensitivity, state } = wanted.document
      return { name, environment, service, ...ownedBy(owner), sensitivity, ...stateAfter(state, present) }
    }
    case 'agent': {
      const { name, environment, owner, state } = wanted.document
      return { name, environment, ...ownedBy(owner), ...stateAfter(state, present) }
    }
    case 'grant': {
      const { expires } = wanted.document
      // Of a grant that is still to be made nobody knows yet when its days begin.
      if (present === null && expires !== undefined) return { ...grantSaid(wanted, null), expires }
      return grantSaid(wanted, expiryOf(expires, present?.createdAt ?? 0))
    }
  }
}

function grantSaid(
  wanted: Extract<Wanted, { kind: 'grant' }>,
  expiresAt: number | null,
): Readonly<Record<string, Json>> {
  return grantDocument(wanted.document, { ...wanted.terms, expiresAt })
}

/** The row as it is read back from the store, so that equal services look equal. */
function storedAs(service: Service): Service {
  return serviceRow.parse(JSON.parse(JSON.stringify(service)))
}

function stateAfter(state: 'suspended' | undefined, present: Present | null): { state?: 'suspended' } {
  const standing = present?.said['state']
  return ifSuspended(state ?? (typeof standing === 'string' ? standing : undefined))
}

/** A value is fetched once, while there is none: files never replace one. */
function valueDifference(wanted: Wanted, present: Present | null, records: Tables): Difference[] {
  if (wanted.kind !== 'credential' || wanted.document.from === undefined) return []
  if (present !== null && versionsOf(present.rowId, records).some((version) => version.state !== 'revoked')) return []
  return [{ member: 'value', before: null, after: wanted.document.from }]
}

export function versionsOf(credentialId: string, records: Tables) {
  return [...records.all('version').values()].filter((version) => version.credentialId === credentialId)
}

function removal(present: Present, records: Tables): Difference[] {
  if (present.kind !== 'credential') return []
  // Never in silence: what goes with it cannot be had again.
  return [{ member: 'versions', before: versionsOf(present.rowId, records).length, after: null }]
}

function differ(before: Readonly<Record<string, Json>>, after: Readonly<Record<string, Json>>): Difference[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((member) => {
    const [was, is] = [before[member] ?? null, after[member] ?? null]
    return canonicalJson(was) === canonicalJson(is) ? [] : [{ member, before: was, after: is }]
  })
}

function nameOf({ kind, key }: { readonly kind: string; readonly key: string }): string {
  return `${order.indexOf(kind)} ${kind} ${key}`
}

const order: readonly string[] = policyKinds

function rowIn({ kind, rowId }: Present): string {
  return rowOf(kind, rowId)
}

function spelled(wanted: Wanted): string {
  return wanted.kind === 'grant' ? JSON.stringify([wanted.terms, wanted.document.expires]) : wanted.key
}
