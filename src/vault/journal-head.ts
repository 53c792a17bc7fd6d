import { z } from 'zod'
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

/** Remembers a head in the store, so that a journal which is cut back together with its checkpoints is found out. */
export async function keepJournalHead(records: Records, node: string, head: JournalHead): Promise<void> {
  const value = { size: head.size, root: head.root }
  await records.commit([{ table: 'setting', id: idOf(node), body: { value } }], {
    actor: 'keyward',
    action: 'journal.head',
    detail: value,
  })
}
