import { KeywardError } from '../../core/errors.ts'
import type { Store, StoreContent, StoredRow, StoreIdentity } from '../../stores/store.ts'

/** A store that holds what a backup held, in memory: it can be opened, verified and changed before anything is written anywhere. */
export function heldStore(identity: StoreIdentity, first: StoreContent): Store & { content(): StoreContent } {
  const keyOf = ({ table, id }: { table: string; id: string }): string => JSON.stringify([table, id])
  const rows = new Map<string, StoredRow>()
  for (const row of first.rows) rows.set(keyOf(row), row)
  // A row that comes twice is for the verification to refuse.
  const given = first.rows.length === rows.size ? null : first.rows
  let { epoch } = first
  return {
    kind: 'held',
    node: null,
    nodes: null,
    identity: async () => identity,
    async initialise() {
      throw new KeywardError('store_conflict', 'The store is not empty.')
    },
    epoch: async () => epoch,
    load: async () => given ?? [...rows.values()],
    changesSince: async (since) => [...rows.values()].filter(({ seq }) => seq > since),
    async commit({ expectedEpoch, put, remove, schema }) {
      if (schema !== undefined) throw new KeywardError('schema_held', 'The store that is begun with this raises it.')
      if (expectedEpoch !== epoch) throw new KeywardError('store_conflict', 'The store is at another epoch.')
      for (const row of remove) rows.delete(keyOf(row))
      for (const row of put) rows.set(keyOf(row), row)
      epoch += 1
    },
    async close() {},
    content: () => ({ epoch, rows: [...rows.values()] }),
  }
}
