import { Buffer } from 'node:buffer'
import { createPublicKey, hash, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { digestFromBase64, digestToBase64 } from './merkle.ts'
import type { Digest } from './merkle.ts'

/** A signed statement that the journal `origin` had `size` entries with this Merkle root (base64). `note` is the whole signed note: C2SP signed-note and tlog-checkpoint, version 1. */
export interface Checkpoint {
  readonly origin: string
  readonly size: number
  readonly root: string
  readonly note: string
}

/** Signature lines that are looked at in one note: ours, and those that witnesses may add. */
const MAX_SIGNATURES = 16
const ED25519_TYPE = 0x01

/** The origin, which is also the key name. Throws a RangeError when `node` cannot stand in one. */
export function originOf(node: string): string {
  if (!/^[\w.-]{1,128}$/.test(node))
    throw new RangeError('a node is named by letters, digits, dot, dash and underscore')
  return `keyward/${node}`
}

export function signCheckpoint(key: CheckpointKey, privateKey: KeyObject, size: number, root: Digest): Checkpoint {
  const rootText = digestToBase64(root)
  const text = `${key.origin}\n${size}\n${rootText}\n`
  const signature = Buffer.concat([key.id, sign(null, Buffer.from(text), privateKey)])
  const note = `${text}\n— ${key.origin} ${signature.toString('base64')}\n`
  return { origin: key.origin, size, root: rootText, note }
}

/** A public key together with the name under which it signs. */
export interface CheckpointKey {
  readonly origin: string
  readonly publicKey: KeyObject
  /** The first four bytes of SHA-256(name || 0x0A || 0x01 || 32-byte public key). */
  readonly id: Buffer
}

export function checkpointKey(origin: string, publicKey: KeyObject): CheckpointKey {
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  if (publicKey.asymmetricKeyType !== 'ed25519' || raw.length !== 32)
    throw new RangeError('checkpoints are signed by Ed25519')
  const name = Buffer.from(`${origin}\n`)
  const digest = hash('sha256', Buffer.concat([name, Buffer.from([ED25519_TYPE]), raw]), 'buffer')
  return { origin, publicKey, id: digest.subarray(0, 4) }
}

/** The public key as the verifier key of a C2SP signed note: `NAME+HEX+BASE64`, the hexadecimal key id and the type with the 32 bytes. */
export function verifierKeyOf({ origin, publicKey, id }: CheckpointKey): string {
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  return `${origin}+${id.toString('hex')}+${Buffer.concat([Buffer.from([ED25519_TYPE]), raw]).toString('base64')}`
}

/** Reads a verifier key. Undefined: it is none, or its id is not that of its key. */
export function parseVerifierKey(text: string): CheckpointKey | undefined {
  const match = /^(keyward\/[\w.-]{1,128})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/.exec(text)
  const [, origin, id, encoded] = match ?? []
  if (origin === undefined || encoded === undefined) return undefined
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes[0] !== ED25519_TYPE) return undefined
  const x = bytes.subarray(1).toString('base64url')
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  const key = checkpointKey(origin, publicKey)
  return key.id.toString('hex') === id ? key : undefined
}

/** The parts of a note before its signature was checked: nothing in it may be believed yet. */
export interface UnprovenCheckpoint {
  readonly checkpoint: Checkpoint
  readonly digest: Digest
  readonly signed: string
  readonly signatures: readonly { readonly name: string; readonly bytes: Buffer }[]
}

/** Reads one note. Undefined: it has not the form of a checkpoint. */
export function parseCheckpoint(note: string): UnprovenCheckpoint | undefined {
  const [origin, sizeText, root, blank, ...signatureLines] = note.split('\n')
  if (origin === undefined || origin === '' || blank !== '' || signatureLines.pop() !== '') return undefined
  if (sizeText === undefined || !/^(0|[1-9]\d{0,14})$/.test(sizeText) || root === undefined) return undefined
  const digest = digestFromBase64(root)
  if (digest === undefined || signatureLines.length === 0 || signatureLines.length > MAX_SIGNATURES) return undefined
  const signatures = []
  for (const line of signatureLines) {
    const match = /^— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/.exec(line)
    if (match?.[1] === undefined || match[2] === undefined) return undefined
    const bytes = Buffer.from(match[2], 'base64')
    // One spelling only: otherwise a changed character of a signature could go unnoticed.
    if (bytes.toString('base64') !== match[2]) return undefined
    signatures.push({ name: match[1], bytes })
  }
  const checkpoint = { origin, size: Number(sizeText), root, note }
  return { checkpoint, digest, signed: `${origin}\n${sizeText}\n${root}\n`, signatures }
}

/** Whether the key signed this note. Signatures of unknown keys are passed over; one of ours that is false spoils the note. */
export function isSignedBy(unproven: UnprovenCheckpoint, key: CheckpointKey): boolean {
  let proven = false
  for (const { name, bytes } of unproven.signatures) {
    if (name !== key.origin || !bytes.subarray(0, 4).equals(key.id)) continue
    if (!verify(null, Buffer.from(unproven.signed), key.publicKey, bytes.subarray(4))) return false
    proven = true
  }
  return proven
}
