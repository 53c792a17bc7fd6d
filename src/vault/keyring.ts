import { createECDH, createPrivateKey, createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import type { SlotRecord, TermRecord } from '../core/records.ts'
import { deriveKey, KEY_BYTES, open, seal, sealingKey, takeKey } from './sealing.ts'
import type { RandomBytes, SealingKey } from './sealing.ts'
import type { RootKey, SlotHead } from './root-keys/root-key.ts'

type Purpose = TermRecord['purpose']

/** DER of an Ed25519 private key in PKCS #8 (RFC 8410 section 7), up to the 32 bytes of the key. */
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** The same for a P-256 key (RFC 5915, RFC 5958): up to its 32 bytes, and from there to its uncompressed point. */
const P256_PKCS8 = Buffer.from('308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420', 'hex')
const P256_POINT = Buffer.from('a144034200', 'hex')

/** Every key that the master key guards, opened. */
export interface Keyring {
  /** The term that seals new versions. */
  readonly sealTerm: string
  /** Every seal term, retired ones included, by id. */
  readonly seal: ReadonlyMap<string, SealingKey>
  readonly mac: {
    readonly token: KeyObject
    readonly session: KeyObject
    readonly placeholder: KeyObject
    readonly login: KeyObject
    readonly fingerprint: KeyObject
    readonly backup: KeyObject
  }
  readonly journal: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }
  readonly ca: KeyObject
}

/** The master key wrapped for a root key, as a slot row. Proven: what was wrapped was opened again. Throws `root_key_wrong` where the root key does not give back what it gave. */
export async function makeSlot(
  rootKey: RootKey,
  master: KeyObject,
  place: { storeId: string; slotId: string; now: number; random: RandomBytes },
): Promise<SlotRecord> {
  const { storeId, slotId, now, random } = place
  const { head, key } = await rootKey.create({ storeId, slotId })
  const bytes = master.export()
  const wrapped = seal(sealingKey(key, 'slot'), slotContext(storeId, slotId, head), bytes, random)
  bytes.fill(0)
  const slot: SlotRecord = { ...head, wrapped, createdAt: now }
  const opened = await openSlot(rootKey, storeId, slotId, slot)
  if (opened === null || !opened.equals(master))
    throw new KeywardError('root_key_wrong', 'The new root key does not open what it has just sealed.')
  return slot
}

/** The master key, or null where this root key is not the slot's. Throws what the root key throws. */
export async function openSlot(
  rootKey: RootKey,
  storeId: string,
  slotId: string,
  slot: SlotRecord,
): Promise<KeyObject | null> {
  const key = await rootKey.open(slot, { storeId, slotId })
  if (key === null) return null
  const opened = open(sealingKey(key, 'slot'), slotContext(storeId, slotId, slot), slot.wrapped)
  return 'bytes' in opened && opened.bytes.byteLength === KEY_BYTES ? takeKey(opened.bytes) : null
}

function slotContext(storeId: string, slotId: string, { kind, argon2, ciphertext }: SlotHead) {
  if (ciphertext !== undefined) return [storeId, slotId, kind, ciphertext]
  if (argon2 === undefined) return [storeId, slotId, kind]
  return [storeId, slotId, kind, argon2.salt, argon2.memoryKiB, argon2.passes, argon2.parallelism]
}

/** The key under which every row's MAC is made. */
export function rowKey(master: KeyObject): KeyObject {
  return deriveKey(master, 'rows')
}

/** A new key of that purpose, wrapped by the master key. */
export function makeTerm(
  master: KeyObject,
  purpose: Purpose,
  place: { storeId: string; termId: string; now: number; random: RandomBytes },
): TermRecord {
  const { storeId, termId, now, random } = place
  const bytes = newKeyBytes(purpose, random)
  const wrapped = seal(sealingKey(master, 'term'), [storeId, termId, purpose], bytes, random)
  bytes.fill(0)
  return { purpose, wrapped, state: 'current', createdAt: now }
}

/** Opens every term. Throws `vault_damaged` naming the term that does not open or the purpose that has none. */
export function openKeyring(master: KeyObject, storeId: string, terms: ReadonlyMap<string, TermRecord>): Keyring {
  const wrapping = sealingKey(master, 'term')
  const seals = new Map<string, SealingKey>()
  const current = new Map<Purpose, { id: string; key: KeyObject }>()
  for (const [id, term] of terms) {
    const opened = open(wrapping, [storeId, id, term.purpose], term.wrapped)
    if (!('bytes' in opened))
      throw new KeywardError('vault_damaged', `Keyring term ${id} (${term.purpose}): ${opened.failure}.`)
    const key = readKey(term.purpose, opened.bytes)
    if (term.purpose === 'seal') seals.set(id, sealingKey(key, 'data-key'))
    if (term.state === 'current') current.set(term.purpose, { id, key })
  }
  function take(purpose: Purpose) {
    const found = current.get(purpose)
    if (found === undefined) throw new KeywardError('vault_damaged', `The keyring has no current ${purpose} term.`)
    return found
  }
  const journal = take('journal').key
  return {
    sealTerm: take('seal').id,
    seal: seals,
    mac: {
      token: deriveKey(take('token').key, 'mac/token'),
      session: deriveKey(take('token').key, 'mac/session'),
      placeholder: deriveKey(take('token').key, 'mac/placeholder'),
      login: deriveKey(take('token').key, 'mac/login'),
      fingerprint: deriveKey(take('fingerprint').key, 'mac/fingerprint'),
      backup: deriveKey(master, 'mac/backup'),
    },
    journal: { privateKey: journal, publicKey: createPublicKey(journal) },
    ca: take('ca').key,
  }
}

function readKey(purpose: Purpose, bytes: Buffer): KeyObject {
  if (purpose !== 'journal' && purpose !== 'ca') return takeKey(bytes)
  const key = createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' })
  bytes.fill(0)
  return key
}

function newKeyBytes(purpose: Purpose, random: RandomBytes): Buffer {
  const bytes = Buffer.alloc(KEY_BYTES)
  bytes.set(random(KEY_BYTES))
  if (purpose === 'journal') {
    const der = Buffer.alloc(ED25519_PKCS8.byteLength + KEY_BYTES)
    der.set(ED25519_PKCS8)
    der.set(bytes, ED25519_PKCS8.byteLength)
    bytes.fill(0)
    return der
  }
  if (purpose !== 'ca') return bytes
  const pair = createECDH('prime256v1')
  // A random number is outside the group's order once in 2^32 tries, and is refused there.
  pair.setPrivateKey(bytes)
  const point = pair.getPublicKey()
  const der = Buffer.alloc(P256_PKCS8.byteLength + KEY_BYTES + P256_POINT.byteLength + point.byteLength)
  let at = 0
  for (const part of [P256_PKCS8, bytes, P256_POINT, point]) {
    der.set(part, at)
    at += part.byteLength
  }
  bytes.fill(0)
  return der
}
