import { createHmac } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import type { VersionRecord } from '../core/records.ts'
import { Secret } from '../core/secret.ts'
import type { Keyring } from './keyring.ts'
import { KEY_BYTES, open, seal, sealingKey, takeKey } from './sealing.ts'
import type { Opened, RandomBytes, SealingKey } from './sealing.ts'

/** Where a version stands; every envelope of it is bound to this, and opens nowhere else. */
export interface VersionPlace {
  readonly storeId: string
  readonly environment: string
  readonly credentialId: string
  readonly number: number
}

export type SealedVersion = Pick<VersionRecord, 'sealedFields' | 'wrappedKey' | 'term'>

/** Seals fields under a data key of their own, and the data key under the current seal term. */
export function sealVersion(
  keyring: Keyring,
  place: VersionPlace,
  secrets: Readonly<Record<string, Secret>>,
  random: RandomBytes,
): SealedVersion {
  const bytes = Buffer.alloc(KEY_BYTES)
  bytes.set(random(KEY_BYTES))
  const wrappedKey = wrapDataKey(keyring, place, bytes, random)
  const key = sealingKey(takeKey(bytes), 'field')
  const sealedFields = Object.fromEntries(
    Object.entries(secrets).map(([field, secret]) => [
      field,
      secret.reveal((plain) => seal(key, fieldContext(place, field), plain, random)),
    ]),
  )
  return { sealedFields, wrappedKey, term: keyring.sealTerm }
}

/** Opens every secret field. Throws `vault_damaged` naming the field that does not open. */
export function openSecrets(keyring: Keyring, place: VersionPlace, version: SealedVersion): Record<string, Secret> {
  const key = openDataKey(keyring, place, version)
  return Object.fromEntries(
    Object.entries(version.sealedFields).map(([field, envelope]) => {
      const bytes = expect(open(key, fieldContext(place, field), envelope), place, `field ${field}`)
      const secret = new Secret(`${place.credentialId}.${field}`, bytes)
      bytes.fill(0)
      return [field, secret]
    }),
  )
}

/** The same version with its data key wrapped by the current seal term; no field is opened. */
export function rewrapVersion(
  keyring: Keyring,
  place: VersionPlace,
  version: SealedVersion,
  random: RandomBytes,
): Pick<VersionRecord, 'wrappedKey' | 'term'> {
  const bytes = dataKeyBytes(keyring, place, version)
  const wrappedKey = wrapDataKey(keyring, place, bytes, random)
  bytes.fill(0)
  return { wrappedKey, term: keyring.sealTerm }
}

/** A keyed hash by which the same secret is found again in another credential. Base64url of 32 bytes. */
export function fingerprintOf(key: KeyObject, secret: Secret): string {
  return secret.reveal((bytes) => createHmac('sha256', key).update(bytes).digest('base64url'))
}

function wrapDataKey(keyring: Keyring, place: VersionPlace, bytes: Buffer, random: RandomBytes): string {
  return seal(termKey(keyring, place, keyring.sealTerm), keyContext(place, keyring.sealTerm), bytes, random)
}

function openDataKey(keyring: Keyring, place: VersionPlace, version: SealedVersion): SealingKey {
  return sealingKey(takeKey(dataKeyBytes(keyring, place, version)), 'field')
}

function dataKeyBytes(keyring: Keyring, place: VersionPlace, { wrappedKey, term }: SealedVersion): Buffer {
  const bytes = expect(open(termKey(keyring, place, term), keyContext(place, term), wrappedKey), place, 'data key')
  if (bytes.byteLength !== KEY_BYTES) throw damaged(place, 'data key: wrong length')
  return bytes
}

function termKey(keyring: Keyring, place: VersionPlace, term: string): SealingKey {
  const key = keyring.seal.get(term)
  if (key === undefined) throw damaged(place, `data key: keyring term ${term} is not there`)
  return key
}

function keyContext({ storeId, environment, credentialId, number }: VersionPlace, term: string) {
  return [storeId, environment, credentialId, number, term]
}

function fieldContext({ storeId, environment, credentialId, number }: VersionPlace, field: string) {
  return [storeId, environment, credentialId, number, field]
}

function expect(opened: Opened, place: VersionPlace, what: string): Buffer {
  if ('bytes' in opened) return opened.bytes
  throw damaged(place, `${what}: ${opened.failure}`)
}

function damaged({ credentialId, number }: VersionPlace, what: string): KeywardError {
  return new KeywardError('vault_damaged', `Credential ${credentialId}, version ${number}, ${what}.`)
}
