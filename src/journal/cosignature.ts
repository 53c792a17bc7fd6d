import { Buffer } from 'node:buffer'
import { createPublicKey, hash, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { UnprovenCheckpoint } from './checkpoint.ts'

/** A witness whose word counts: its name and Ed25519 key (C2SP tlog-cosignature, cosignature/v1). */
export interface WitnessKey {
  readonly name: string
  readonly publicKey: KeyObject
  readonly id: Buffer
}

/** The signature type of a timestamped Ed25519 cosignature (https://c2sp.org/tlog-cosignature). */
const COSIGNATURE_TYPE = 0x04
const TIMESTAMP_BYTES = 8
const ED25519_BYTES = 64

export function witnessKey(name: string, publicKey: KeyObject): WitnessKey {
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  if (publicKey.asymmetricKeyType !== 'ed25519' || raw.length !== 32) throw new RangeError('a witness signs by Ed25519')
  const named = Buffer.concat([Buffer.from(`${name}\n`), Buffer.from([COSIGNATURE_TYPE]), raw])
  return { name, publicKey, id: hash('sha256', named, 'buffer').subarray(0, 4) }
}

/** Reads `NAME+HEX+BASE64` (a verifier key of C2SP signed notes with signature type 4). Undefined: it is none, or its id is not that of its key. */
export function parseWitnessKey(text: string): WitnessKey | undefined {
  const match = /^([^\s+]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/.exec(text)
  const [, name, id, encoded] = match ?? []
  if (name === undefined || encoded === undefined) return undefined
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes[0] !== COSIGNATURE_TYPE || bytes.toString('base64') !== encoded) return undefined
  const x = bytes.subarray(1).toString('base64url')
  const key = witnessKey(name, createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }))
  return key.id.toString('hex') === id ? key : undefined
}

/**
 * When the witness said that this is the largest tree of the journal that it has seen, in seconds since the Unix epoch;
 * null where no signature on the note is a true one of this witness.
 */
export function cosignedAt(unproven: UnprovenCheckpoint, witness: WitnessKey): number | null {
  for (const { name, bytes } of unproven.signatures) {
    if (name !== witness.name || !bytes.subarray(0, 4).equals(witness.id)) continue
    if (bytes.length !== 4 + TIMESTAMP_BYTES + ED25519_BYTES) continue
    const time = bytes.readBigUInt64BE(4)
    if (time > BigInt(Number.MAX_SAFE_INTEGER)) continue
    const message = Buffer.from(`cosignature/v1\ntime ${time}\n${unproven.signed}`)
    if (verify(null, message, witness.publicKey, bytes.subarray(4 + TIMESTAMP_BYTES))) return Number(time)
  }
  return null
}
