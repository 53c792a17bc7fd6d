import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { Records } from './records.ts'

/** Size and Merkle root (base64) of a node's journal at some moment: later it may only have grown. */
export interface JournalHead {
  readonly size: number
  readonly root: string
}

const headSchema = z.strictObject({ size: z.int().nonnegative(), root: z.string().max(64) })
const idOf = (node: string): string => `journal-head.${node}`

/** The head that the store remembers for this node, or null. */
export function keptJournalHead(records: Records, node: string): JournalHead | null {
  const parsed = headSchema.safeParse(records.get('setting', idOf(node))?.value)
  return parsed.success ? parsed.data : null
}

/** The head that the store remembers for each node. */
export function keptJournalHeads(records: Records): ReadonlyMap<string, JournalHead> {
  const heads = new Map<string, JournalHead>()
  for (const id of records.all('setting').keys()) {
    const node = id.startsWith(idOf('')) ? id.slice(idOf('').length) : null
    const head = node === null ? null : keptJournalHead(records, node)
    if (node !== null && head !== null) heads.set(node, head)
  }
  return heads
}

export interface NodeHead extends JournalHead {
  readonly node: string
  readonly prunedTo: number
}

/** The same, with up to where each was pruned, in the order of the names. */
export function keptNodeHeads(records: Records): NodeHead[] {
  return [...keptJournalHeads(records)]
    .map(([node, head]) => ({ node, ...head, prunedTo: keptPruning(records, node) }))
    .toSorted((left, right) => (left.node < right.node ? -1 : 1))
}

/** Remembers a head in the store, so that a journal which is cut back together with its checkpoints is found out. A head only grows: `journal_rolled_back` where the store remembers a later one, or another of this size. */
export async function keepJournalHead(records: Records, node: string, head: JournalHead): Promise<void> {
  const value = { size: head.size, root: head.root }
  const change = () => {
    const kept = keptJournalHead(records, node)
    if (kept !== null && (kept.size > head.size || (kept.size === head.size && kept.root !== head.root)))
      throw new KeywardError('journal_rolled_back', `The store remembers ${kept.size} entries, not ${head.size}.`)
    return [{ table: 'setting', id: idOf(node), body: { value } }] as const
  }
  await records.commit(change, { actor: 'keyward', action: 'journal.head', detail: value })
}

/**
 * Begins anew from what was restored: its head is the one from now on, where it begins (null: with its first entry) is
 * taken as it is, and no session of an agent and no login of a person lives on.
 */
export async function acceptRollback(
  records: Records,
  node: string,
  { head, begin }: { readonly head: JournalHead; readonly begin: JournalHead | null },
): Promise<void> {
  const value = { size: head.size, root: head.root }
  const forgotten = keptJournalHead(records, node)
  const change = () => [
    { table: 'setting' as const, id: idOf(node), body: { value } },
    ...(begin === null && records.get('setting', pruningIdOf(node)) === undefined
      ? []
      : [{ table: 'setting' as const, id: pruningIdOf(node), body: begin === null ? null : { value: { ...begin } } }]),
    ...(['session', 'narrowing', 'login'] as const).flatMap((table) =>
      [...records.all(table).keys()].map((id) => ({ table, id, body: null })),
    ),
  ]
  await records.commit(change, {
    actor: 'operator',
    action: 'journal.accept_rollback',
    detail: { accepted: value, forgotten: forgotten === null ? null : { ...forgotten } },
  })
}

const pruningIdOf = (node: string): string => `journal-pruned.${node}`

/** Up to which entry the journal of this node was pruned, as the store remembers it; 0: not at all. */
export function keptPruning(records: Records, node: string): number {
  const parsed = headSchema.safeParse(records.get('setting', pruningIdOf(node))?.value)
  return parsed.success ? parsed.data.size : 0
}

/** Remembers that the entries up to `head` are to go. Journaled and synced before it resolves; refused with `store_conflict` where another pruning was remembered since `from`. */
export async function keepPruning(
  records: Records,
  node: string,
  pruning: { readonly from: number; readonly head: JournalHead; readonly actor: string; readonly before: number },
): Promise<void> {
  const { from, head, actor, before } = pruning
  const change = () => {
    if (keptPruning(records, node) !== from) throw new KeywardError('store_conflict')
    return [{ table: 'setting', id: pruningIdOf(node), body: { value: { ...head } } }] as const
  }
  await records.commit(change, { actor, action: 'journal.prune', detail: { first: from + 1, last: head.size, before } })
}
