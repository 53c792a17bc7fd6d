/** The newest layout of the records that this program reads and writes; every driver refuses a later one. */
export const storeSchema = 1

/**
 * Where Keyward keeps its own records. The store is untrusted: it sees sealed bytes and MACs, and may
 * lose, change or replay anything; `vault/records.ts` finds that out. A driver therefore only has to
 * be atomic and durable.
 */
export interface Store {
  readonly kind: string
  /** The name of this node, where others may write to the store while it is open here; null where nobody may. */
  readonly node: string | null
  /** Schema version and store id, or null where the place is empty. Throws `store_foreign` when the place holds something that is not Keyward's, `store_newer` for a schema from the future. */
  identity(): Promise<StoreIdentity | null>
  /**
   * Marks an empty place as Keyward's; with `content`, as the store that held it, at its epoch. All of it or
   * nothing, on disk before it resolves. Throws `store_conflict`, changing nothing, if the place is not empty.
   */
  initialise(identity: StoreIdentity, content?: StoreContent): Promise<void>
  /** The epoch that `commit` compares; 0 after `initialise` without content. Of a shared store it is also the proof that this node still has its name there. */
  epoch(): Promise<number>
  /** Every row of every table, in no order. */
  load(): Promise<readonly StoredRow[]>
  /** The rows that were last written after `epoch`, all as of one moment, in no order. What was removed shows in the listings among them. */
  changesSince(epoch: number): Promise<readonly StoredRow[]>
  /**
   * All of it or nothing, on disk before it resolves. Throws `store_conflict`, changing nothing, when
   * the store's epoch is not `expectedEpoch`; afterwards the epoch is `expectedEpoch + 1`.
   */
  commit(batch: StoreBatch): Promise<void>
  close(): Promise<void>
}

export interface StoreIdentity {
  readonly storeId: string
  readonly schema: number
}

/** What a store held at some moment. Names each row at most once. */
export interface StoreContent {
  readonly epoch: number
  readonly rows: readonly StoredRow[]
}

export interface StoredRow {
  readonly table: string
  readonly id: string
  /** The epoch in which the row was last written. */
  readonly seq: number
  /** Canonical JSON. */
  readonly body: string
  /** 32 bytes. */
  readonly mac: Uint8Array
}

/** Names each row at most once. */
export interface StoreBatch {
  readonly expectedEpoch: number
  readonly put: readonly StoredRow[]
  readonly remove: readonly { readonly table: string; readonly id: string }[]
}
