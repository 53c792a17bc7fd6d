import type { KeyObject } from 'node:crypto'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import type { Config } from '../config.ts'
import { KeywardError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import { databaseFile, openStore } from '../stores/index.ts'
import { keptJournalHead, keptPruning } from '../vault/journal-head.ts'
import type { JournalHead } from '../vault/journal-head.ts'
import { passphraseRootKey, readRootKeyFile } from '../vault/root-key.ts'
import { openVault } from '../vault/vault.ts'

/** What this home's journal is verified with, from its vault, without a server: the key that signed it, and the head that the store remembers. */
export async function journalWitness(
  config: Config,
): Promise<{ publicKey: KeyObject; anchor?: JournalHead; prunedTo: number }> {
  if (!existsSync(config.database === null ? databaseFile(config.home) : config.home))
    throw new KeywardError('not_found', `${config.home} holds no vault.`)
  const store = await openStore(config)
  try {
    const rootKey = await rootKeyOf(config)
    const { records, vault } = await openVault({ store, rootKey, now: Date.now, random: randomBytes })
    const anchor = keptJournalHead(records, config.node)
    const prunedTo = keptPruning(records, config.node)
    return { publicKey: vault.journalKey().publicKey, prunedTo, ...(anchor === null ? {} : { anchor }) }
  } finally {
    await store.close()
  }
}

/** The root key of a home as its settings name it. */
export async function rootKeyOf(config: Config): Promise<Parameters<typeof openVault>[0]['rootKey']> {
  if (config.passphraseFile === null) return readRootKeyFile(config.rootKeyFile)
  const bytes = readFileSync(config.passphraseFile)
  const end = bytes.at(-1) === 0x0a ? bytes.byteLength - 1 : bytes.byteLength
  const passphrase = new Secret('passphrase', bytes.subarray(0, end))
  bytes.fill(0)
  return passphraseRootKey(passphrase)
}
