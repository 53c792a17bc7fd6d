import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import type { SlotRecord } from '../core/records.ts'
import type { StoredRow } from '../stores/store.ts'
import { makeSlot, openSlot } from './keyring.ts'
import { bodyDigest } from './manifest.ts'
import { recordSchemas } from './record-schemas.ts'
import type { Change, Records } from './records.ts'
import type { NextRootKey, RootKey } from './root-keys/root-key.ts'
import { tampered } from './row-mac.ts'
import type { RandomBytes } from './sealing.ts'
import { unprovenHead } from './verify-rows.ts'

/** Root keys that may open one vault at a time, beside a recovery key. */
export const MAX_SLOTS = 2
/** Slots that are tried, the recovery key's among them. */
export const SLOTS_TRIED_MAXIMUM = MAX_SLOTS + 1
const ID_BYTES = 16

/** The ways in. */
export interface Slots {
  /** Id of the slot that this process came in by; it may be gone since. */
  readonly openedBy: string
  /** A further way in, proven before it is written; a recovery key takes the place of the one before. Throws `slots_full`. */
  addSlot(rootKey: RootKey, actor: string): Promise<{ slotId: string }>
  /** Throws `slot_last`, `not_found`. Backups from before still open with the retired root key. */
  retireSlot(slotId: string, actor: string): Promise<void>
  /**
   * A new root key in a slot of its own, proven, then the one that this process came in by is removed and destroyed
   * as far as it lies within reach. Broken off at any step, the vault opens with what `existing` gives, and the next
   * call takes away what is left. Throws `slots_full`, `root_key_unchanged`, or what the root key throws.
   */
  rotateRoot(begin: () => Promise<NextRootKey>, actor: string): Promise<{ slotId: string; retired: string }>
  /** For who came in by the recovery key: a new root key in the place of all others, which are lost. */
  replaceAll(rootKey: RootKey, actor: string): Promise<{ slotId: string; retired: readonly string[] }>
}

export function createSlots(parts: {
  readonly records: Records
  readonly master: KeyObject
  readonly openedBy: string
  readonly now: () => number
  readonly random: RandomBytes
}): Slots {
  const { records, master, now, random } = parts
  const { storeId } = records
  let openedBy = parts.openedBy
  /** One rotation after the other: both would write the next root key to one place. */
  let rotating: Promise<unknown> = Promise.resolve()

  function make(rootKey: RootKey, slotId: string): Promise<SlotRecord> {
    return makeSlot(rootKey, master, { storeId, slotId, now: now(), random })
  }
  function ofRootKeys(): [string, SlotRecord][] {
    return [...records.all('slot')].filter(([, { kind }]) => kind !== 'recovery')
  }
  const gone = (id: string): Change => ({ table: 'slot', id, body: null })

  /** What a rotation that was broken off left: the new slot that did not come to count, or the old one that did not go. */
  function leftOver(): string[] {
    const former = records.get('slot', openedBy)?.replaces
    return ofRootKeys()
      .filter(([id, { replaces }]) => replaces === openedBy || id === former)
      .map(([id]) => id)
  }

  async function rotate(begin: () => Promise<NextRootKey>, actor: string) {
    const former = openedBy
    const slot = records.get('slot', former)
    if (slot === undefined) throw new KeywardError('not_found', 'The slot that this server came in by is gone.')
    const slotId = newId(random)
    const next = await begin()
    const stale = leftOver()
    try {
      if (slot.argon2 !== undefined && (await openSlot(next.rootKey, storeId, former, slot)) !== null)
        throw new KeywardError('root_key_unchanged')
      const body: SlotRecord = { ...(await make(next.rootKey, slotId)), replaces: former }
      await records.commit(
        () => {
          const others = ofRootKeys().filter(([id]) => !stale.includes(id))
          if (others.length >= MAX_SLOTS) throw new KeywardError('slots_full')
          return [{ table: 'slot', id: slotId, body }, ...stale.filter((id) => records.get('slot', id)).map(gone)]
        },
        { actor, action: 'vault.add-slot', detail: { slot: slotId, kind: body.kind, replaces: former } },
      )
    } catch (error) {
      if (records.get('slot', slotId) === undefined) await next.discard()
      throw error
    }
    await next.settle()
    openedBy = slotId
    await records.commit(
      () => {
        const made = records.get('slot', slotId)
        if (made === undefined) throw new KeywardError('store_conflict')
        const { replaces: _, ...body } = made
        const put: Change = { table: 'slot', id: slotId, body }
        return records.get('slot', former) === undefined ? [put] : [put, gone(former)]
      },
      { actor, action: 'vault.rotate-root', detail: { slot: slotId, retired: former } },
    )
    for (const id of [former, ...stale]) await next.destroyFormer({ storeId, slotId: id })
    return { slotId, retired: former }
  }

  return {
    get openedBy() {
      return openedBy
    },
    async addSlot(rootKey, actor) {
      const slotId = newId(random)
      const body = await make(rootKey, slotId)
      await records.commit(
        () => {
          const put: Change = { table: 'slot', id: slotId, body }
          if (body.kind === 'recovery') {
            const before = [...records.all('slot')].filter(([, { kind }]) => kind === 'recovery')
            return [put, ...before.map(([id]) => gone(id))]
          }
          if (ofRootKeys().length >= MAX_SLOTS) throw new KeywardError('slots_full')
          return [put]
        },
        { actor, action: 'vault.add-slot', detail: { slot: slotId, kind: body.kind } },
      )
      return { slotId }
    },
    async retireSlot(slotId, actor) {
      await records.commit(
        () => {
          const slot = records.get('slot', slotId)
          if (slot === undefined) throw new KeywardError('not_found', 'There is no such slot.')
          if (slot.kind !== 'recovery' && ofRootKeys().length === 1) throw new KeywardError('slot_last')
          return [gone(slotId)]
        },
        { actor, action: 'vault.retire-slot', detail: { slot: slotId } },
      )
    },
    rotateRoot(begin, actor) {
      const turn = rotating.then(() => rotate(begin, actor))
      rotating = turn.catch(() => undefined)
      return turn
    },
    async replaceAll(rootKey, actor) {
      const slotId = newId(random)
      const body = await make(rootKey, slotId)
      const retired: string[] = []
      await records.commit(
        () => {
          retired.splice(0, retired.length, ...ofRootKeys().map(([id]) => id))
          return [{ table: 'slot', id: slotId, body }, ...retired.map(gone)]
        },
        { actor, action: 'vault.recover', detail: { slot: slotId, kind: body.kind } },
      )
      openedBy = slotId
      return { slotId, retired }
    },
  }
}

/**
 * Opens a slot before any row can be verified: the key of the MACs lies behind it. What is tried is
 * therefore bounded, and a slot that differs from the one that was written is named rather than
 * blamed on the root key; the rows are all verified afterwards, slots included.
 */
export async function findMaster(
  rows: readonly StoredRow[],
  storeId: string,
  rootKey: RootKey,
): Promise<{ master: KeyObject; slotId: string }> {
  const head = unprovenHead(rows)
  if (head !== null && head.storeId !== storeId) throw tampered('keyward', 'store', 'it names another store')
  const hints = head === null ? null : new Map(head.slots)
  const slots = rows.filter(({ table }) => table === 'slot').toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const likely = slots
    .filter(({ id, body }) => hints === null || hints.get(id) === bodyDigest(body))
    .slice(0, SLOTS_TRIED_MAXIMUM)
  const kinds: string[] = []
  for (const { id, body } of likely) {
    const slot = parseSlot(body)
    if (slot === null) continue
    kinds.push(slot.kind)
    const master = await openSlot(rootKey, storeId, id, slot)
    if (master !== null) return { master, slotId: id }
  }
  if (hints !== null) {
    for (const { id, body } of slots) {
      const digest = hints.get(id)
      if (digest === undefined) throw tampered('slot', id, 'it was added')
      if (digest !== bodyDigest(body)) throw tampered('slot', id, 'its content was changed')
    }
    for (const id of hints.keys())
      if (!slots.some((slot) => slot.id === id)) throw tampered('slot', id, 'it was removed')
  }
  if (slots.length === 0) throw new KeywardError('store_unreadable', 'There is no vault in it.')
  throw new KeywardError('root_key_wrong', `It was opened by: ${kinds.join(', ')}; this one is: ${rootKey.kind}.`)
}

function parseSlot(body: string): SlotRecord | null {
  try {
    const parsed = recordSchemas.slot.safeParse(JSON.parse(body))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}

export function newId(random: RandomBytes): string {
  return Buffer.from(random(ID_BYTES)).toString('hex')
}
