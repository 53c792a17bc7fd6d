import type { KeyObject } from 'node:crypto'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import process from 'node:process'
import type { Config } from '../config.ts'
import { KeywardError } from '../core/errors.ts'
import { databaseFile, openStore } from '../stores/index.ts'
import { rootKeySource } from '../vault/root-keys/index.ts'
import type { RootKey } from '../vault/root-keys/root-key.ts'
import { keptJournalHead, keptNodeHeads, keptPruning } from '../vault/journal-head.ts'
import type { JournalHead, NodeHead } from '../vault/journal-head.ts'
import { openVault } from '../vault/vault.ts'

/** What this home's journal is verified with, from its vault, without a server: the key that signed it, and the head that the store remembers. */
export async function journalWitness(
  config: Config,
): Promise<{ publicKey: KeyObject; anchor?: JournalHead; prunedTo: number; heads: readonly NodeHead[] }> {
  if (!existsSync(config.database === null ? databaseFile(config.home) : config.home))
    throw new KeywardError('not_found', `${config.home} holds no vault.`)
  const store = await openStore(config)
  try {
    const rootKey = await rootKeyOf(config)
    const { records, vault } = await openVault({ store, rootKey, now: Date.now, random: randomBytes })
    const anchor = keptJournalHead(records, config.node)
    const prunedTo = keptPruning(records, config.node)
    const heads = keptNodeHeads(records)
    return { publicKey: vault.journalKey().publicKey, prunedTo, heads, ...(anchor === null ? {} : { anchor }) }
  } finally {
    await store.close()
  }
}

/** The root key of a home as its settings name it. Nobody is asked. */
export async function rootKeyOf(config: Config): Promise<RootKey> {
  const { platform } = process
  return rootKeySource(config.rootKey, { askPassphrase: null, random: randomBytes, now: Date.now, platform }).existing()
}
