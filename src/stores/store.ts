import { KeywardError } from '../core/errors.ts'

/** The newest layout of the records that this program reads and writes; every driver refuses a later one. */
export const storeSchema = 2
/** The oldest that it still reads, and writes for as long as the store has it. */
export const oldestStoreSchema = 1

/**
 * Where Keyward keeps its own records. The store is untrusted: it sees sealed bytes and MACs, and may
 * lose, change or replay anything; `vault/records.ts` finds that out. A driver therefore only has to
 * be atomic and durable.
 */
export interface Store {
  readonly kind: string
  /** The name of this node, where others may write to the store while it is open here; null where nobody may. */
  readonly node: string | null
  /** Who has the store open; null where nobody else may. */
  readonly nodes: NodeRegister | null
  /** Schema version and store id, or null where the place is empty. Throws `store_foreign` when the place holds something that is not Keyward's, `store_newer` for a schema from the future, `store_older` for one that is not read any more. */
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
   * the store's epoch is not `expectedEpoch`; afterwards the epoch is `expectedEpoch + 1`. Throws `schema_held`,
   * changing nothing, when it would raise the schema above what a node knows that has the store open.
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

/** Gives the marker of a store, where this program can work with it; otherwise throws `store_newer` or `store_older`. */
export function knownIdentity(identity: StoreIdentity): StoreIdentity {
  const { schema } = identity
  if (schema > storeSchema)
    throw new KeywardError('store_newer', `It has schema ${schema}; this program knows ${storeSchema}.`)
  if (schema < oldestStoreSchema)
    throw new KeywardError('store_older', `It has schema ${schema}; this program reads ${oldestStoreSchema} and later.`)
  return identity
}

/**
 * The nodes of a shared store. Like the rest of the store it is not trusted: it is for people, and for the order of an
 * upgrade, and nothing is allowed because of it.
 */
export interface NodeRegister {
  /** Says that this node lives. */
  announce(self: NodeSelf): Promise<void>
  /** Those that have the store open, and those that had. `known`: names by which a node of a release is recognised that does not announce itself. */
  list(known: readonly string[]): Promise<readonly NodeSeen[]>
  /** `listener` is called when another node may have committed: a hint, which may be missing, late or false. */
  onHint(listener: () => void): void
  /** Forgets a node that does not live: false where there is none of that name, or where it lives. */
  forget(name: string): Promise<boolean>
}

export interface NodeSelf {
  readonly version: string
  /** Milliseconds since the Unix epoch, by the node's own clock. */
  readonly startedAt: number
  /** The epoch that it has taken in. */
  readonly epoch: number
  /** Whether it may act on what it knows. */
  readonly leaseHeld: boolean
}

export interface NodeSeen {
  /** Null where it is only known that there is one. */
  readonly name: string | null
  /** Whether it has the store open at this moment. */
  readonly isLive: boolean
  /** The newest schema that it knows. */
  readonly schema: number
  /** What it last said of itself, so many milliseconds ago; null where it announces nothing. */
  readonly said: (NodeSelf & { readonly millisecondsAgo: number }) | null
}

/** Names each row at most once. */
export interface StoreBatch {
  readonly expectedEpoch: number
  readonly put: readonly StoredRow[]
  readonly remove: readonly { readonly table: string; readonly id: string }[]
  /** The schema that the store has from this commit on, where it is another. */
  readonly schema?: number
}
