import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { frame } from './framing.ts'
import type { FramePart } from './framing.ts'

/** What a key seals; a key of one purpose never opens what one of another purpose sealed. */
export type SealPurpose = 'slot' | 'term' | 'data-key' | 'field'

/** A key in its two halves, both derived from the same 32 bytes for one purpose. */
export interface SealingKey {
  readonly purpose: SealPurpose
  readonly encrypt: KeyObject
  readonly commit: KeyObject
}

/** Gives that many bytes that nobody can foresee. */
export type RandomBytes = (count: number) => Uint8Array

/**
 * What opening gives: the bytes, or why not. `malformed`: not an envelope of a known format.
 * `wrong_key`: the envelope was made with another key, or its commitment or nonce was changed.
 * `altered`: made with this key, but the content, or what it is bound to, is another.
 */
export type Opened = { readonly bytes: Buffer } | { readonly failure: 'malformed' | 'wrong_key' | 'altered' }

export const KEY_BYTES = 32
const FORMAT = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16
const COMMITMENT_BYTES = 32
const HEADER_BYTES = 1 + NONCE_BYTES + COMMITMENT_BYTES

export function sealingKey(raw: KeyObject | Uint8Array, purpose: SealPurpose): SealingKey {
  return {
    purpose,
    encrypt: deriveKey(raw, `${purpose}/encrypt`),
    commit: deriveKey(raw, `${purpose}/commit`),
  }
}

/** HKDF-SHA256 (RFC 5869) of 32 bytes for one use: no salt, the use as info. */
export function deriveKey(raw: KeyObject | Uint8Array, use: string): KeyObject {
  const size = raw instanceof Uint8Array ? raw.byteLength : raw.symmetricKeySize
  if (size !== KEY_BYTES) throw new TypeError(`a key has ${KEY_BYTES} bytes`)
  const derived = Buffer.from(hkdfSync('sha256', raw, new Uint8Array(0), `keyward/v1/${use}`, KEY_BYTES))
  return takeKey(derived)
}

/** Makes a key of the bytes and zeroes them. */
export function takeKey(bytes: Buffer): KeyObject {
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}

/** An envelope (base64) of `plain`, bound to `context`: format, nonce, key commitment, ciphertext, tag. */
export function seal(key: SealingKey, context: readonly FramePart[], plain: Uint8Array, random: RandomBytes): string {
  const nonce = random(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key.encrypt, nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(frame(`keyward/${key.purpose}/v1`, context))
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
  const envelope = [Uint8Array.of(FORMAT), nonce, commitment(key, nonce), sealed, cipher.getAuthTag()]
  return Buffer.concat(envelope).toString('base64')
}

export function open(key: SealingKey, context: readonly FramePart[], envelope: string): Opened {
  const bytes = Buffer.from(envelope, 'base64')
  // Decoding is lenient; one spelling only, so that no two texts stand for the same envelope.
  if (bytes.toString('base64') !== envelope) return { failure: 'malformed' }
  if (bytes.byteLength < HEADER_BYTES + TAG_BYTES || bytes[0] !== FORMAT) return { failure: 'malformed' }
  const nonce = bytes.subarray(1, 1 + NONCE_BYTES)
  // GCM alone lets one envelope open under two keys; the commitment ties it to this one.
  if (!timingSafeEqual(commitment(key, nonce), bytes.subarray(1 + NONCE_BYTES, HEADER_BYTES)))
    return { failure: 'wrong_key' }
  const end = bytes.byteLength - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key.encrypt, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(frame(`keyward/${key.purpose}/v1`, context))
  decipher.setAuthTag(bytes.subarray(end))
  const plain = decipher.update(bytes.subarray(HEADER_BYTES, end))
  try {
    decipher.final()
    return { bytes: plain }
  } catch {
    plain.fill(0)
    return { failure: 'altered' }
  }
}

function commitment(key: SealingKey, nonce: Uint8Array): Buffer {
  return createHmac('sha256', key.commit)
    .update(frame('keyward/commitment/v1', [key.purpose, nonce]))
    .digest()
}
