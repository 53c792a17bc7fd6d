import { argon2 } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { KeywardError } from '../../core/errors.ts'
import type { SlotRecord } from '../../core/records.ts'
import { Secret } from '../../core/secret.ts'
import { KEY_BYTES, takeKey } from '../sealing.ts'
import type { RandomBytes } from '../sealing.ts'
import type { NextRootKey, RootKey, RootKeySource } from './root-key.ts'

export type Argon2Parameters = NonNullable<SlotRecord['argon2']>

/** RFC 9106 section 4, second recommended option: 64 MiB, three passes, four lanes. */
export const argon2Defaults = { memoryKiB: 65_536, passes: 3, parallelism: 4 } as const
/** Bounds on what a stored slot may ask for: too little was never written here, too much is an attack. */
const ARGON2_BOUNDS = { memoryKiB: [8_192, 1_048_576], passes: [1, 16], parallelism: [1, 16] } as const
const SALT_BYTES = { least: 16, most: 64 } as const

/** A passphrase: the first line of a file, or what a person answers. */
export function passphraseSource(parts: {
  /** Null: a person is asked. */
  readonly file: string | null
  /** Null: nobody can be. */
  readonly ask: ((isNew: boolean) => Promise<Secret>) | null
  readonly random: RandomBytes
}): RootKeySource {
  const { file, ask, random } = parts
  async function get(isNew: boolean): Promise<RootKey> {
    if (file !== null) return passphraseRootKey(await readPassphraseFile(file), random)
    if (ask === null)
      throw new KeywardError('root_key_missing', 'A passphrase is needed, and nobody can be asked for it here.')
    return passphraseRootKey(await ask(isNew), random)
  }
  return {
    kind: 'passphrase',
    where: file ?? 'a passphrase',
    existing: () => get(false),
    first: () => get(true),
    async next(passphrase): Promise<NextRootKey> {
      const rootKey = passphrase === null ? await get(true) : passphraseRootKey(passphrase, random)
      return {
        rootKey,
        settle: async () => undefined,
        destroyFormer: async () => undefined,
        discard: async () => undefined,
      }
    },
  }
}

async function readPassphraseFile(file: string): Promise<Secret> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new KeywardError('root_key_missing', 'The passphrase file cannot be read.', { cause: error })
  })
  const end = bytes.at(-1) === 0x0a ? bytes.byteLength - 1 : bytes.byteLength
  const passphrase = new Secret('passphrase', bytes.subarray(0, end))
  bytes.fill(0)
  return passphrase
}

/** Each slot derives a key of its own from the passphrase (Argon2id, RFC 9106). */
export function passphraseRootKey(passphrase: Secret, random: RandomBytes): RootKey {
  if (passphrase.byteLength === 0) throw new KeywardError('root_key_wrong', 'The passphrase is empty.')
  return {
    kind: 'passphrase',
    async create() {
      const parameters = newArgon2(random)
      return { head: { kind: 'passphrase', argon2: parameters }, key: await derive(passphrase, parameters) }
    },
    async open(head) {
      if (head.kind !== 'passphrase' || head.argon2 === undefined || !isWithinBounds(head.argon2)) return null
      return derive(passphrase, head.argon2)
    },
  }
}

/** A fresh salt with the parameters of today. */
export function newArgon2(random: RandomBytes): Argon2Parameters {
  return { salt: Buffer.from(random(SALT_BYTES.least)).toString('base64'), ...argon2Defaults }
}

function derive(passphrase: Secret, { salt, memoryKiB, passes, parallelism }: Argon2Parameters): Promise<KeyObject> {
  const nonce = Buffer.from(salt, 'base64')
  return passphrase.reveal(
    (message) =>
      new Promise<KeyObject>((resolve, reject) => {
        const parameters = { message, nonce, parallelism, tagLength: KEY_BYTES, memory: memoryKiB, passes }
        argon2('argon2id', parameters, (error, derived) => (error === null ? resolve(takeKey(derived)) : reject(error)))
      }),
  )
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
