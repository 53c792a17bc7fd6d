import { KeywardError } from '../core/errors.ts'
import type { Store } from '../stores/store.ts'
import type { Records } from './records.ts'
import type { RootKey, RootKeySource } from './root-keys/root-key.ts'
import { createVault, openVault, type Vault } from './vault.ts'

export interface RecoveryOptions {
  /** The recovery key of a vault that is made now. */
  readonly recovery?: RootKey | null
  /** The recovery key that opens the vault; a root key of the configured kind takes the place of all others. */
  readonly recover?: RootKey | null
}

/** Opens the vault of a store, or makes one, and its root key, where the store is empty. Closes the store where that fails. */
export async function openOrCreateVault({
  store,
  source,
  recovery,
  recover,
  now,
  random,
}: {
  readonly store: Store
  readonly source: RootKeySource
  /** For a new vault: a way in for the day on which the root key is lost. */
  readonly recovery: RootKey | null
  /** The recovery key that opens the vault instead of the root key. */
  readonly recover: RootKey | null
  readonly now: () => number
  readonly random: (bytes: number) => Buffer
}): Promise<{ records: Records; vault: Vault; created: boolean }> {
  try {
    // A first start that was broken off leaves a store with a name and without a commit.
    if ((await store.identity()) !== null && (await store.epoch()) > 0) {
      const rootKey = recover ?? (await source.existing())
      return { ...(await openVault({ store, rootKey, now, random })), created: false }
    }
    if (recover !== null) throw new KeywardError('not_found', 'There is no vault here to be recovered.')
    const rootKey = await source.first()
    return { ...(await createVault({ store, rootKey, recovery, now, random })), created: true }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** What is still to be done with a vault once its journal is open: a new root key after a recovery, and a rewrap that was broken off, for which nobody waits. */
export async function settleVault({
  vault,
  rootKeys,
  recover,
  actor,
  onError,
}: {
  readonly vault: Vault
  readonly rootKeys: RootKeySource
  readonly recover: RootKey | null
  readonly actor: string
  readonly onError: (error: unknown) => unknown
}): Promise<void> {
  if (recover !== null) await vault.slots.replaceAll(await rootKeys.first(), actor)
  if (vault.isRewrapDue()) void vault.rewrap('keyward').catch(onError)
}
