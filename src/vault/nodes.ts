import { KeywardError } from '../core/errors.ts'
import { storeSchema } from '../stores/store.ts'
import type { NodeSeen, NodeSelf, Store } from '../stores/store.ts'
import type { Records } from './records.ts'

/** How often a node says that it lives, and looks whether the schema can be raised. */
export const ANNOUNCE_MILLISECONDS = 1_000
/**
 * How long no node must have been seen that does not know the new schema. One whose connection broke, or that is
 * started again, comes back within that time; one that does not is kept out by the new schema, which it refuses.
 */
export const QUIET_MILLISECONDS = 15_000

export interface Nodes {
  /** The nodes of a shared store, those of former releases included; this one alone where nobody else may have it open. */
  list(): Promise<readonly NodeSeen[]>
  /** Takes one that does not live out of the list; its journal and the head of it that the store remembers stay. Throws `not_found`, `node_running`. */
  remove(name: string, actor: string): Promise<void>
  close(): void
}

/**
 * Keeps this node in the list of a shared store, and raises the schema of the store to what this program knows: at
 * once where nobody else may have it open, otherwise when for a while no node was there that does not know it.
 */
export async function joinNodes(parts: {
  readonly store: Store
  readonly records: Records
  /** Of this node. */
  readonly name: string
  readonly self: () => NodeSelf
  readonly onError: (error: unknown) => unknown
  /** Milliseconds since some moment. */
  readonly monotonic: () => number
}): Promise<Nodes> {
  const { store, records, name, self, onError, monotonic } = parts
  const { nodes } = store
  const own = (): NodeSeen => ({ name, isLive: true, schema: storeSchema, said: { ...self(), millisecondsAgo: 0 } })
  if (nodes === null) {
    await raiseSchema(records)
    return {
      list: async () => [own()],
      remove: async (which) => refuseRemoval(which === name ? own() : undefined),
      close: () => undefined,
    }
  }
  let quietSince = monotonic()
  let isBusy = false
  let isFailing = false
  let isClosed = false

  const list = (): Promise<readonly NodeSeen[]> => nodes.list(namesOf(records))

  async function remove(which: string, actor: string): Promise<void> {
    const found = (await list()).find((node) => node.name === which)
    refuseRemoval(found)
    await records.commit([], { actor, action: 'node.remove', detail: { node: which } })
    if (!(await nodes?.forget(which))) throw new KeywardError('node_running')
  }

  async function look(): Promise<void> {
    if (records.schema >= storeSchema) return
    const behind = (await list()).filter(({ isLive, schema }) => isLive && schema < storeSchema)
    if (behind.length > 0) quietSince = monotonic()
    else if (monotonic() - quietSince >= QUIET_MILLISECONDS) await raiseSchema(records)
  }

  async function turn(): Promise<void> {
    isBusy = true
    try {
      await nodes?.announce(self())
      await look()
      isFailing = false
    } catch (error) {
      // One that came between the look and the commit begins the wait anew.
      if (error instanceof KeywardError && error.code === 'schema_held') quietSince = monotonic()
      else if (!isFailing && !isClosed) onError(error)
      isFailing = true
    } finally {
      isBusy = false
    }
  }

  await turn()
  const timer = setInterval(() => void (isBusy || turn()), ANNOUNCE_MILLISECONDS)
  timer.unref()
  return {
    list,
    remove,
    close() {
      isClosed = true
      clearInterval(timer)
    },
  }
}

function refuseRemoval(found: NodeSeen | undefined): void {
  if (found === undefined) throw new KeywardError('not_found', 'There is no such node.')
  if (found.isLive) throw new KeywardError('node_running')
}

async function raiseSchema(records: Records): Promise<void> {
  if (records.schema >= storeSchema) return
  const detail = { from: records.schema, to: storeSchema }
  await records.raise(storeSchema, { actor: 'keyward', action: 'store.raise', detail })
}

/** Nodes that have committed or kept a head of their journal. */
function namesOf(records: Records): string[] {
  const names = new Set<string>()
  for (const id of records.all('setting').keys()) {
    const name = /^(?:last-commit|journal-head)\.(.+)$/.exec(id)?.[1]
    if (name !== undefined) names.add(name)
  }
  return [...names]
}
