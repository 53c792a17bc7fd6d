import type { KeyObject } from 'node:crypto'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { KeywardError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import { openSqliteStore } from '../stores/sqlite.ts'
import { passphraseRootKey, readRootKeyFile } from '../vault/root-key.ts'
import { openVault } from '../vault/vault.ts'

/** The key with which this home's journal is signed, from its vault, without a server. */
export async function journalPublicKey(config: Config): Promise<KeyObject> {
  const path = join(config.home, 'keyward.db')
  if (!existsSync(path)) throw new KeywardError('not_found', `${config.home} holds no vault.`)
  const store = await openSqliteStore(path)
  try {
    const { vault } = await openVault({ store, rootKey: await rootKeyOf(config), now: Date.now, random: randomBytes })
    return vault.journalKey().publicKey
  } finally {
    await store.close()
  }
}

async function rootKeyOf(config: Config): Promise<Parameters<typeof openVault>[0]['rootKey']> {
  if (config.passphraseFile === null) return readRootKeyFile(config.rootKeyFile)
  const bytes = readFileSync(config.passphraseFile)
  const end = bytes.at(-1) === 0x0a ? bytes.byteLength - 1 : bytes.byteLength
  const passphrase = new Secret('passphrase', bytes.subarray(0, end))
  bytes.fill(0)
  return passphraseRootKey(passphrase)
}
