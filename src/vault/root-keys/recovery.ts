import { createHash } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import { deriveKey, takeKey } from '../sealing.ts'
import type { RandomBytes } from '../sealing.ts'
import { heldRootKey } from './file.ts'
import type { RootKey } from './root-key.ts'

/** 160 random bits: eight groups of four characters, and a ninth that finds typing errors. */
const KEY_BYTES_TYPED = 20
const KEY_CHARACTERS = 32
const CHECK_CHARACTERS = 4
const CHARACTERS = KEY_CHARACTERS + CHECK_CHARACTERS
const PREFIX = 'kwr'
/** Crockford's base 32: no I, L, O and U, so that what is read aloud or by hand has one reading. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** Of what somebody types or a file holds. */
export const RECOVERY_TEXT_MAXIMUM_CHARACTERS = 256

/** A new recovery key: the text, to be shown once and kept nowhere, and the root key that it stands for. */
export function newRecoveryKey(random: RandomBytes): { text: Secret; rootKey: RootKey } {
  const bytes = Buffer.alloc(KEY_BYTES_TYPED)
  bytes.set(random(KEY_BYTES_TYPED))
  const characters = base32(bytes) + checkOf(bytes)
  const text = [PREFIX, ...(characters.match(/.{4}/g) ?? [])].join('-')
  return { text: Secret.fromText('recovery key', text), rootKey: heldRootKey('recovery', keyOf(bytes)) }
}

/** Reads a recovery key as it is typed: in any case, with or without dashes and spaces, O for 0, I and L for 1. Throws `recovery_key_malformed`. */
export function recoveryRootKey(typed: Secret): RootKey {
  if (typed.byteLength > RECOVERY_TEXT_MAXIMUM_CHARACTERS) throw malformed()
  const letters = typed.revealText().toUpperCase().replaceAll(/[\s-]/g, '')
  // The prefix may be left out: the length says whether it was.
  const isPrefixed = letters.length === PREFIX.length + CHARACTERS && letters.startsWith(PREFIX.toUpperCase())
  const plain = letters
    .slice(isPrefixed ? PREFIX.length : 0)
    .replaceAll('O', '0')
    .replaceAll(/[IL]/g, '1')
  const bytes = plain.length === CHARACTERS ? fromBase32(plain.slice(0, KEY_CHARACTERS)) : null
  if (bytes === null || checkOf(bytes) !== plain.slice(KEY_CHARACTERS)) throw malformed()
  return heldRootKey('recovery', keyOf(bytes))
}

function malformed(): KeywardError {
  return new KeywardError('recovery_key_malformed')
}

function keyOf(bytes: Buffer): KeyObject {
  const stretched = Buffer.from(createHash('sha256').update('keyward/recovery-key/v1').update(bytes).digest())
  bytes.fill(0)
  return deriveKey(takeKey(stretched), 'recovery')
}

function checkOf(bytes: Uint8Array): string {
  const digest = createHash('sha256').update('keyward/recovery-key-checksum/v1').update(bytes).digest()
  return base32(digest.subarray(0, 5)).slice(0, CHECK_CHARACTERS)
}

/** Five bytes are eight characters. */
function base32(bytes: Uint8Array): string {
  let text = ''
  let held = 0
  let bits = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += ALPHABET[(held >>> bits) & 31] ?? ''
      held &= (1 << bits) - 1
    }
  }
  return text
}

function fromBase32(text: string): Buffer | null {
  const bytes = Buffer.alloc((text.length * 5) / 8)
  let held = 0
  let bits = 0
  let at = 0
  for (const character of text) {
    const value = ALPHABET.indexOf(character)
    if (value < 0) return null
    held = (held << 5) | value
    bits += 5
    if (bits < 8) continue
    bits -= 8
    bytes[at] = held >>> bits
    at += 1
    held &= (1 << bits) - 1
  }
  return bytes
}
