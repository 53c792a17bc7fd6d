import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import type { TermRecord } from '../core/records.ts'
import type { Secret } from '../core/secret.ts'
import { storeSchema } from '../stores/store.ts'
import type { Store, StoredRow, StoreIdentity } from '../stores/store.ts'
import { makeSlot, makeTerm, openKeyring, rowKey } from './keyring.ts'
import type { Keyring } from './keyring.ts'
import { createRecords, openRecords } from './records.ts'
import type { Change, Records } from './records.ts'
import type { RootKey } from './root-keys/root-key.ts'
import { tampered } from './row-mac.ts'
import { KEY_BYTES, takeKey } from './sealing.ts'
import type { RandomBytes } from './sealing.ts'
import { createSlots, findMaster, newId } from './slots.ts'
import type { Slots } from './slots.ts'
import { unprovenHead } from './verify-rows.ts'
import { fingerprintOf, openSecrets, rewrapVersion, sealVersion } from './versions.ts'
import type { SealedVersion, VersionPlace } from './versions.ts'

/** Versions whose data keys are wrapped anew in one commit. */
export const REWRAP_BATCH = 200
const READ_ATTEMPTS_MAXIMUM = 3

export interface VaultOptions {
  readonly store: Store
  readonly rootKey: RootKey
  /** For a new vault: a second way in, for the day on which the root key is lost. */
  readonly recovery?: RootKey | null
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
  /** Whether a rewrap was begun and not ended. */
  isRewrapDue(): boolean
  readonly slots: Slots
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
  if (options.recovery !== undefined && options.recovery !== null) {
    const recoveryId = newId(random)
    const body = await makeSlot(options.recovery, master, { storeId, slotId: recoveryId, now: createdAt, random })
    changes.push({ table: 'slot', id: recoveryId, body })
  }
  for (const purpose of ['seal', 'token', 'fingerprint', 'journal', 'ca'] as const) {
    const termId = newId(random)
    changes.push({
      table: 'term',
      id: termId,
      body: makeTerm(master, purpose, { storeId, termId, now: createdAt, random }),
    })
  }
  const records = await createRecords({ store, identity, key: rowKey(master) }, changes)
  return { records, vault: vaultOf(records, master, slotId, options) }
}

/**
 * Opens the vault of a store and verifies every row. Throws `root_key_wrong`, `store_tampered`
 * (naming table and row), `vault_damaged`, or what the store throws.
 */
export async function openVault(options: VaultOptions): Promise<{ records: Records; vault: Vault }> {
  const { store, rootKey } = options
  const { identity, rows } = await readAll(store)
  const { master, slotId } = await findMaster(rows, identity.storeId, rootKey)
  const records = openRecords({ store, identity, key: rowKey(master) }, rows)
  const epoch = await store.epoch()
  const others = store.node !== null && epoch > records.epoch
  // Another node may have committed since the rows were read.
  if (others) await records.refresh()
  if (others ? records.epoch < epoch : records.epoch !== epoch)
    throw tampered('keyward', 'epoch', `it says ${epoch}, the records say ${records.epoch}`)
  return { records, vault: vaultOf(records, master, slotId, options) }
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

function vaultOf(records: Records, master: KeyObject, openedBy: string, { now, random }: VaultOptions): Vault {
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
    isRewrapDue: () =>
      [...records.all('term').values()].some(({ purpose, state }) => purpose === 'seal' && state === 'retired'),
    slots: createSlots({ records, master, openedBy, now, random }),
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
