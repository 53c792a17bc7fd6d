import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import type { Change, Records } from './records.ts'

/** That this store began from a backup, the last time that it did. */
export interface Restoration {
  readonly id: string
  /** Of the backup: whoever saw a later one saw what is no more. */
  readonly epoch: number
  /** Milliseconds since the Unix epoch. */
  readonly at: number
}

const ROW = 'restoration'
const schema = z.strictObject({ id: z.string(), epoch: z.int(), at: z.int() })

export function keptRestoration(records: Records): Restoration | null {
  const parsed = schema.safeParse(records.get('setting', ROW)?.value)
  return parsed.success ? parsed.data : null
}

export function restorationChange(restoration: Restoration): Change {
  return { table: 'setting', id: ROW, body: { value: { ...restoration } } }
}

/**
 * A restored store soon stands at the epoch that other nodes have seen, so theirs alone does not show it: a node that
 * did not know of the restoration and saw more than the backup held is told by `store_rolled_back`.
 */
export function checkRestoration(
  restoration: Restoration | null,
  node: { readonly known: string | null; readonly lastApplied: number | null },
): void {
  if (restoration === null || node.known === restoration.id || (node.lastApplied ?? 0) <= restoration.epoch) return
  const day = new Date(restoration.at).toISOString().slice(0, 10)
  throw new KeywardError(
    'store_rolled_back',
    `It was restored on ${day} from a backup of epoch ${restoration.epoch}; this node saw epoch ${node.lastApplied ?? 0}.`,
  )
}
