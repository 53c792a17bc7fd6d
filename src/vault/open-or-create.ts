import { existsSync, mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import type { Store } from '../stores/store.ts'
import type { Records } from './records.ts'
import { createRootKeyFile, passphraseRootKey, readRootKeyFile, type RootKey } from './root-key.ts'
import { createVault, openVault, type Vault } from './vault.ts'

/** Where the root key is to be had. */
export interface RootKeySource {
  readonly rootKeyFile: string
  /** Instead of the key file; its first line, without the line break, is the passphrase. */
  readonly passphraseFile: string | null
  /** Asked where there is neither; null where nobody can be. */
  readonly askPassphrase: (() => Promise<Secret>) | null
}

/** Opens the vault of a store, or makes one, and its root key, where the store is empty. Closes the store where that fails. */
export async function openOrCreateVault({
  store,
  source,
  now,
  random,
}: {
  readonly store: Store
  readonly source: RootKeySource
  readonly now: () => number
  readonly random: (bytes: number) => Buffer
}): Promise<{ records: Records; vault: Vault; created: boolean }> {
  try {
    const identity = await store.identity()
    if (identity !== null) {
      const rootKey = await existingRootKey(source)
      return { ...(await openVault({ store, rootKey, now, random })), created: false }
    }
    const rootKey =
      source.passphraseFile === null ? await firstRootKey(source.rootKeyFile, random) : await existingRootKey(source)
    return { ...(await createVault({ store, rootKey, now, random })), created: true }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** A key file that is already there is used: the operator may have put it there first. */
async function firstRootKey(path: string, random: (bytes: number) => Buffer): Promise<RootKey> {
  if (existsSync(path)) return readRootKeyFile(path)
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  return createRootKeyFile(path, random)
}

async function existingRootKey({ passphraseFile, rootKeyFile, askPassphrase }: RootKeySource): Promise<RootKey> {
  if (passphraseFile !== null) {
    const bytes = await readFile(passphraseFile).catch((error: unknown) => {
      throw new KeywardError('root_key_missing', 'The passphrase file cannot be read.', { cause: error })
    })
    const end = bytes.at(-1) === 0x0a ? bytes.byteLength - 1 : bytes.byteLength
    const passphrase = new Secret('passphrase', bytes.subarray(0, end))
    bytes.fill(0)
    return passphraseRootKey(passphrase)
  }
  if (!existsSync(rootKeyFile) && askPassphrase !== null) return passphraseRootKey(await askPassphrase())
  return readRootKeyFile(rootKeyFile)
}
