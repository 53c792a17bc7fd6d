import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import type { SlotRecord, TermRecord } from '../core/records.ts'
import type { Secret } from '../core/secret.ts'
import { storeSchema } from '../stores/store.ts'
import type { Store, StoredRow, StoreIdentity } from '../stores/store.ts'
import { makeSlot, makeTerm, openKeyring, openSlot, rowKey } from './keyring.ts'
import type { Keyring } from './keyring.ts'
import { bodyDigest } from './manifest.ts'
import { recordSchemas } from './record-schemas.ts'
import { createRecords, openRecords } from './records.ts'
import type { Change, Records } from './records.ts'
import type { RootKey } from './root-key.ts'
import { tampered } from './row-mac.ts'
import { KEY_BYTES, takeKey } from './sealing.ts'
import type { RandomBytes } from './sealing.ts'
import { unprovenHead } from './verify-rows.ts'
import { fingerprintOf, openSecrets, rewrapVersion, sealVersion } from './versions.ts'
import type { SealedVersion, VersionPlace } from './versions.ts'

/** Root keys that may open one vault at a time. */
export const MAX_SLOTS = 2
const REWRAP_BATCH = 200
const READ_ATTEMPTS_MAXIMUM = 3
const ID_BYTES = 16

export interface VaultOptions {
  readonly store: Store
  readonly rootKey: RootKey
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number
  readonly random: RandomBytes
}

type Place = Omit<VersionPlace, 'storeId'>

/** The keys, and what is sealed by them. */
export interface Vault {
  /** HMAC-SHA256 keys. */
  macKey(purpose: keyof Keyring['mac']): KeyObject
  /** Ed25519. */
  journalKey(): { privateKey: KeyObject; publicKey: KeyObject }
  /** P-256 private key. */
  caKey(): KeyObject
  sealVersion(place: Place, secrets: Readonly<Record<string, Secret>>): SealedVersion
  /** Throws `vault_damaged` naming credential, version and field. */
  openVersion(place: Place, version: SealedVersion): Record<string, Secret>
  fingerprint(secret: Secret): string
  /** A new seal term for everything sealed from now on; what is sealed already stays as it is until `rewrap`. */
  rotateTerm(actor: string): Promise<{ termId: string }>
  /** Wraps every data key anew under the current term, in batches, and removes the terms that nothing needs any more. Broken off, it goes on when called again. */
  rewrap(actor: string): Promise<{ rewrapped: number; termsRemoved: number }>
  /** A further way in. Throws `slots_full`. */
  addSlot(rootKey: RootKey, actor: string): Promise<{ slotId: string }>
  /** Throws `slot_last`, `not_found`. Backups from before still open with the retired root key. */
  retireSlot(slotId: string, actor: string): Promise<void>
}

/** Whether a vault was begun here. False also after a first start that was broken off before its first commit. */
export async function hasVault(store: Store): Promise<boolean> {
  return (await store.identity()) !== null && (await store.load()).length > 0
}

/**
 * Fills an empty store: master key, one slot, the keyring, and the environments dev (which may reach
 * hosts that no service lists), staging and prod. Throws `store_conflict` where there is a vault.
 */
export async function createVault(options: VaultOptions): Promise<{ records: Records; vault: Vault }> {
  const { store, rootKey, now, random } = options
  const createdAt = now()
  let identity = await store.identity()
  if (identity === null) {
    identity = { storeId: newId(random), schema: storeSchema }
    await store.initialise(identity)
  } else if ((await store.load()).length > 0) {
    throw new KeywardError('store_conflict', 'There is a vault in this store already.')
  }
  const { storeId } = identity
  const master = newKey(random)
  const slotId = newId(random)
  const slot = await makeSlot(rootKey, master, { storeId, slotId, now: createdAt, random })
  const changes: Change[] = [
    { table: 'slot', id: slotId, body: slot },
    { table: 'environment', id: 'dev', body: { name: 'dev', egress: 'open', createdAt } },
    { table: 'environment', id: 'staging', body: { name: 'staging', egress: 'deny', createdAt } },
    { table: 'environment', id: 'prod', body: { name: 'prod', egress: 'deny', createdAt } },
  ]
  for (const purpose of ['seal', 'token', 'fingerprint', 'journal', 'ca'] as const) {
    const termId = newId(random)
    changes.push({
      table: 'term',
      id: termId,
      body: makeTerm(master, purpose, { storeId, termId, now: createdAt, random }),
    })
  }
  const records = await createRecords({ store, identity, key: rowKey(master) }, changes)
  return { records, vault: vaultOf(records, master, options) }
}

/**
 * Opens the vault of a store and verifies every row. Throws `root_key_wrong`, `store_tampered`
 * (naming table and row), `vault_damaged`, or what the store throws.
 */
export async function openVault(options: VaultOptions): Promise<{ records: Records; vault: Vault }> {
  const { store, rootKey } = options
  const { identity, rows } = await readAll(store)
  const master = await findMaster(rows, identity.storeId, rootKey)
  const records = openRecords({ store, identity, key: rowKey(master) }, rows)
  const epoch = await store.epoch()
  const others = store.node !== null && epoch > records.epoch
  // Another node may have committed since the rows were read.
  if (others) await records.refresh()
  if (others ? records.epoch < epoch : records.epoch !== epoch)
    throw tampered('keyward', 'epoch', `it says ${epoch}, the records say ${records.epoch}`)
  return { records, vault: vaultOf(records, master, options) }
}

/** Marker and rows. Between the two reads another node may raise the schema; where they differ for longer, the rows are refused. */
async function readAll(store: Store): Promise<{ identity: StoreIdentity; rows: readonly StoredRow[] }> {
  for (let attempt = 1; ; attempt += 1) {
    const identity = await store.identity()
    if (identity === null) throw new KeywardError('store_unreadable', 'There is no vault in it.')
    const rows = await store.load()
    if (store.node === null || unprovenHead(rows)?.schema === identity.schema || attempt === READ_ATTEMPTS_MAXIMUM)
      return { identity, rows }
  }
}

/**
 * Opens a slot before any row can be verified: the key of the MACs lies behind it. What is tried is
 * therefore bounded, and a slot that differs from the one that was written is named rather than
 * blamed on the root key; the rows are all verified afterwards, slots included.
 */
async function findMaster(rows: readonly StoredRow[], storeId: string, rootKey: RootKey): Promise<KeyObject> {
  const head = unprovenHead(rows)
  if (head !== null && head.storeId !== storeId) throw tampered('keyward', 'store', 'it names another store')
  const hints = head === null ? null : new Map(head.slots)
  const slots = rows.filter(({ table }) => table === 'slot').toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const likely = slots
    .filter(({ id, body }) => hints === null || hints.get(id) === bodyDigest(body))
    .slice(0, MAX_SLOTS)
  for (const { id, body } of likely) {
    const slot = parseSlot(body)
    const master = slot === null ? null : await openSlot(rootKey, storeId, id, slot)
    if (master !== null) return master
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
  throw new KeywardError('root_key_wrong')
}

function parseSlot(body: string): SlotRecord | null {
  try {
    const parsed = recordSchemas.slot.safeParse(JSON.parse(body))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}

function vaultOf(records: Records, master: KeyObject, { now, random }: VaultOptions): Vault {
  const { storeId } = records
  let keyring: Keyring = openKeyring(master, storeId, records.all('term'))
  records.onCommit((changes) => {
    if (changes.some(({ table }) => table === 'term')) keyring = openKeyring(master, storeId, records.all('term'))
  })

  function outdated(): Change[] {
    const changes: Change[] = []
    for (const [id, version] of records.all('version')) {
      if (version.term === keyring.sealTerm) continue
      const { credentialId, number } = version
      const credential = records.get('credential', credentialId)
      if (credential === undefined) throw new KeywardError('vault_damaged', `Version ${id} belongs to no credential.`)
      const place = { storeId, environment: credential.environment, credentialId, number }
      changes.push({ table: 'version', id, body: { ...version, ...rewrapVersion(keyring, place, version, random) } })
      if (changes.length === REWRAP_BATCH) break
    }
    return changes
  }

  function unneededTerms(): Change[] {
    const needed = new Set([...records.all('version').values()].map(({ term }) => term))
    const changes: Change[] = []
    for (const [id, { purpose, state }] of records.all('term')) {
      if (purpose === 'seal' && state === 'retired' && !needed.has(id)) changes.push({ table: 'term', id, body: null })
    }
    return changes
  }

  return {
    macKey: (purpose) => keyring.mac[purpose],
    journalKey: () => keyring.journal,
    caKey: () => keyring.ca,
    sealVersion: (place, secrets) => sealVersion(keyring, { storeId, ...place }, secrets, random),
    openVersion: (place, version) => openSecrets(keyring, { storeId, ...place }, version),
    fingerprint: (secret) => fingerprintOf(keyring.mac.fingerprint, secret),
    async rotateTerm(actor) {
      const termId = newId(random)
      const term = makeTerm(master, 'seal', { storeId, termId, now: now(), random })
      await records.commit(() => [...retireSealTerms(records), { table: 'term', id: termId, body: term }], {
        actor,
        action: 'vault.rotate-term',
        detail: { term: termId },
      })
      return { termId }
    },
    async rewrap(actor) {
      let rewrapped = 0
      for (let left = outdated().length; left > 0; left = outdated().length) {
        await records.commit(
          () => {
            const changes = outdated()
            rewrapped += changes.length
            return changes
          },
          { actor, action: 'vault.rewrap' },
        )
      }
      let termsRemoved = 0
      if (unneededTerms().length > 0) {
        await records.commit(
          () => {
            const changes = unneededTerms()
            termsRemoved = changes.length
            return changes
          },
          { actor, action: 'vault.remove-terms' },
        )
      }
      return { rewrapped, termsRemoved }
    },
    async addSlot(rootKey, actor) {
      const slotId = newId(random)
      const body = await makeSlot(rootKey, master, { storeId, slotId, now: now(), random })
      await records.commit(
        () => {
          if (records.all('slot').size >= MAX_SLOTS) throw new KeywardError('slots_full')
          return [{ table: 'slot', id: slotId, body }]
        },
        { actor, action: 'vault.add-slot', detail: { slot: slotId, kind: body.kind } },
      )
      return { slotId }
    },
    async retireSlot(slotId, actor) {
      await records.commit(
        () => {
          if (!records.all('slot').has(slotId)) throw new KeywardError('not_found', 'There is no such slot.')
          if (records.all('slot').size === 1) throw new KeywardError('slot_last')
          return [{ table: 'slot', id: slotId, body: null }]
        },
        { actor, action: 'vault.retire-slot', detail: { slot: slotId } },
      )
    },
  }
}

function retireSealTerms(records: Records): Change[] {
  const changes: Change[] = []
  for (const [id, term] of records.all('term')) {
    if (term.purpose !== 'seal' || term.state !== 'current') continue
    const body: TermRecord = { ...term, state: 'retired' }
    changes.push({ table: 'term', id, body })
  }
  return changes
}

function newKey(random: RandomBytes): KeyObject {
  const bytes = Buffer.alloc(KEY_BYTES)
  bytes.set(random(KEY_BYTES))
  return takeKey(bytes)
}

function newId(random: RandomBytes): string {
  return Buffer.from(random(ID_BYTES)).toString('hex')
}
