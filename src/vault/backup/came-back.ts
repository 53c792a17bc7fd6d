import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../../core/errors.ts'
import { originOf } from '../../journal/checkpoint.ts'
import { searchJournal } from '../../journal/search.ts'
import { verifyJournal } from '../../journal/verify.ts'
import type { Records } from '../records.ts'
import type { BackupContents } from './contents.ts'

/** Changes that are told one by one. */
export const CAME_BACK_MAXIMUM = 1_000

/** Something that was changed after the backup, and is now as it was before. */
export interface CameBack {
  readonly kind: 'credential' | 'agent' | 'grant' | 'person' | 'environment' | 'service' | 'slot' | 'term'
  /** `dev/openai`; of a grant `dev/triage/openai`; of others their id. */
  readonly name: string
  /** What was done to it last, and undone by the restore: `credential.suspend`. */
  readonly action: string
  readonly actor: string
  /** Milliseconds since the Unix epoch. */
  readonly at: number
}

export interface Undone {
  readonly cameBack: readonly CameBack[]
  /** Changes after the backup to what it does not hold: made since, and gone. */
  readonly gone: number
  /** Whether there were more than are told. */
  readonly more: boolean
  /** The last entry that the newer journal has. */
  readonly until: number | null
}

/**
 * What a newer journal of the same node says was changed after a backup: rotated, removed and suspended since, and all
 * of it undone by a restore. The journal must verify, and hold the head that the backup knows. Throws
 * `journal_damaged`.
 */
export async function whatComesBack(
  records: Records,
  { heads, epoch }: BackupContents,
  newer: { readonly directory: string; readonly node: string; readonly publicKey: KeyObject },
): Promise<Undone> {
  const { directory, node, publicKey } = newer
  const head = heads.find((one) => one.node === node)
  const anchor = head === undefined ? {} : { anchor: { size: head.size, root: head.root } }
  const report = await verifyJournal({ directory, publicKey, origin: originOf(node), ...anchor })
  if (report.problem !== null)
    throw new KeywardError(
      'journal_damaged',
      `The newer journal, entry ${report.problem.sequence}: ${report.problem.detail}`,
    )
  const nameOf = namesIn(records)
  const found = new Map<string, CameBack>()
  const gone = new Set<string>()
  let more = false
  for await (const { at, event } of searchJournal({ directory, kind: 'control', order: 'oldest' })) {
    if (typeof event['epoch'] !== 'number' || event['epoch'] <= epoch || !Array.isArray(event['rows'])) continue
    const { action, actor } = event
    for (const row of event['rows']) {
      const subject = nameOf(String(row))
      if (subject === 'unknown') gone.add(String(row))
      if (subject === null || subject === 'unknown') continue
      const key = `${subject.kind} ${subject.name}`
      if (!found.has(key) && found.size >= CAME_BACK_MAXIMUM) {
        more = true
        continue
      }
      found.delete(key)
      found.set(key, { ...subject, action: String(action), actor: String(actor), at })
    }
  }
  return { cameBack: [...found.values()], gone: gone.size, more, until: report.lastAt }
}

type Subject = Pick<CameBack, 'kind' | 'name'>

/** Rows by what a person calls them. `unknown`: not in the backup. Null: of no matter here. */
function namesIn(records: Records): (row: string) => Subject | 'unknown' | null {
  const credential = (id: string): string | null => {
    const found = records.get('credential', id)
    return found === undefined ? null : `${found.environment}/${found.name}`
  }
  return (row) => {
    const cut = row.indexOf('/')
    const [table, id] = [row.slice(0, cut), row.slice(cut + 1)]
    if (table === 'credential' || table === 'version') {
      const name = credential(table === 'version' ? (id.split('.')[0] ?? '') : id)
      return name === null ? 'unknown' : { kind: 'credential', name }
    }
    if (table === 'agent') {
      const found = records.get('agent', id)
      return found === undefined ? 'unknown' : { kind: 'agent', name: `${found.environment}/${found.name}` }
    }
    if (table === 'grant') {
      const found = records.get('grant', id)
      const agent = found === undefined ? undefined : records.get('agent', found.agentId)
      if (found === undefined || agent === undefined) return 'unknown'
      const of = records.get('credential', found.credentialId)?.name ?? found.credentialId
      return { kind: 'grant', name: `${agent.environment}/${agent.name}/${of}` }
    }
    if (table === 'person') {
      const found = records.get('person', id)
      return found === undefined ? 'unknown' : { kind: 'person', name: found.name }
    }
    if (table === 'environment' || table === 'service' || table === 'slot' || table === 'term')
      return records.get(table, id) === undefined ? 'unknown' : { kind: table, name: id }
    return null
  }
}
