import { argon2, createHash, timingSafeEqual } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { open } from 'node:fs/promises'
import { KeywardError } from '../core/errors.ts'
import type { SlotRecord } from '../core/records.ts'
import type { Secret } from '../core/secret.ts'
import { KEY_BYTES, takeKey } from './sealing.ts'
import type { RandomBytes } from './sealing.ts'

/** The way into a vault: a key, or a passphrase from which each slot derives its own. Never stored in the home. */
export type RootKey =
  | { readonly kind: 'file'; readonly key: KeyObject }
  | { readonly kind: 'passphrase'; readonly passphrase: Secret }

export type Argon2Parameters = NonNullable<SlotRecord['argon2']>

/** RFC 9106 section 4, second recommended option: 64 MiB, three passes, four lanes. */
export const argon2Defaults = { memoryKiB: 65_536, passes: 3, parallelism: 4 } as const
/** Bounds on what a stored slot may ask for: too little was never written here, too much is an attack. */
const ARGON2_BOUNDS = { memoryKiB: [8_192, 1_048_576], passes: [1, 16], parallelism: [1, 16] } as const
const SALT_BYTES = { least: 16, most: 64 } as const

const MARK = 'keyward-root-key'
const FORMAT = 'v1'
const CHECKSUM_CHARACTERS = 8
const MAX_FILE_BYTES = 4096
const OTHERS = 0o077

/** Makes a new root key and its file, 0600, only where no file is yet. Throws `already_exists`. */
export async function createRootKeyFile(path: string, random: RandomBytes): Promise<RootKey> {
  const bytes = Buffer.alloc(KEY_BYTES)
  bytes.set(random(KEY_BYTES))
  const text = rootKeyText(bytes)
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new KeywardError('already_exists', `A root key file is already there: ${path}`)
    }
    throw error
  }
  return { kind: 'file', key: takeKey(bytes) }
}

/** Throws `root_key_missing`, `root_key_unsafe` (group or others may read it) or `root_key_wrong` (not a root key). */
export async function readRootKeyFile(path: string): Promise<RootKey> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new KeywardError('root_key_missing', `Cannot open ${path}.`, { cause: error })
  })
  try {
    const about = await file.stat()
    if (!about.isFile()) throw new KeywardError('root_key_wrong', `${path} is not a file.`)
    if ((about.mode & OTHERS) !== 0) throw new KeywardError('root_key_unsafe', path)
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1)
    const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, 0)
    const key = parseRootKey(bytes.toString('latin1', 0, bytesRead))
    bytes.fill(0)
    if (key === null) throw new KeywardError('root_key_wrong', `${path} does not hold a root key of a known format.`)
    return { kind: 'file', key }
  } finally {
    await file.close()
  }
}

export function passphraseRootKey(passphrase: Secret): RootKey {
  if (passphrase.byteLength === 0) throw new KeywardError('root_key_wrong', 'The passphrase is empty.')
  return { kind: 'passphrase', passphrase }
}

/** The one line of a root key file. */
export function rootKeyText(bytes: Uint8Array): string {
  return `${MARK}:${FORMAT}:${Buffer.from(bytes).toString('base64url')}:${checksumOf(bytes)}\n`
}

/** The key of a root key file, or null where the text is not exactly one. One newline at the end may be missing. */
export function parseRootKey(text: string): KeyObject | null {
  const [mark, format, encoded = '', checksum, ...rest] = text.replace(/\n$/, '').split(':')
  if (mark !== MARK || format !== FORMAT || checksum?.length !== CHECKSUM_CHARACTERS || rest.length > 0) return null
  const bytes = Buffer.alloc(KEY_BYTES)
  if (encoded.length !== 43 || bytes.write(encoded, 'base64url') !== KEY_BYTES) return null
  if (bytes.toString('base64url') !== encoded) return null
  const expected = Buffer.from(checksumOf(bytes))
  const given = Buffer.from(checksum, 'latin1')
  if (given.byteLength !== expected.byteLength || !timingSafeEqual(expected, given)) return null
  return takeKey(bytes)
}

/** The 32 bytes that open a slot: the key itself, or Argon2id of the passphrase (RFC 9106). Null where the kinds differ. */
export async function slotKey(rootKey: RootKey, slot: Pick<SlotRecord, 'kind' | 'argon2'>): Promise<KeyObject | null> {
  if (rootKey.kind === 'file') return slot.kind === 'file' ? rootKey.key : null
  if (slot.kind !== 'passphrase' || slot.argon2 === undefined || !isWithinBounds(slot.argon2)) return null
  const { salt, memoryKiB, passes, parallelism } = slot.argon2
  const nonce = Buffer.from(salt, 'base64')
  return rootKey.passphrase.reveal(
    (message) =>
      new Promise<KeyObject>((resolve, reject) => {
        const parameters = { message, nonce, parallelism, tagLength: KEY_BYTES, memory: memoryKiB, passes }
        argon2('argon2id', parameters, (error, derived) => (error === null ? resolve(takeKey(derived)) : reject(error)))
      }),
  )
}

/** A fresh salt with the parameters of today. */
export function newArgon2(random: RandomBytes): Argon2Parameters {
  return { salt: Buffer.from(random(SALT_BYTES.least)).toString('base64'), ...argon2Defaults }
}

function isWithinBounds(parameters: Argon2Parameters): boolean {
  const saltBytes = Buffer.from(parameters.salt, 'base64').byteLength
  if (saltBytes < SALT_BYTES.least || saltBytes > SALT_BYTES.most) return false
  const { memoryKiB, passes, parallelism } = ARGON2_BOUNDS
  return (
    within(parameters.memoryKiB, memoryKiB) &&
    within(parameters.passes, passes) &&
    within(parameters.parallelism, parallelism)
  )
}

function within(value: number, [least, most]: readonly [number, number]): boolean {
  return value >= least && value <= most
}

function checksumOf(bytes: Uint8Array): string {
  return createHash('sha256')
    .update('keyward/root-key-checksum/v1')
    .update(bytes)
    .digest('hex')
    .slice(0, CHECKSUM_CHARACTERS)
}
