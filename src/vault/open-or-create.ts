import type { Store } from '../stores/store.ts'
import type { Records } from './records.ts'
import type { RootKeySource } from './root-keys/root-key.ts'
import { createVault, openVault, type Vault } from './vault.ts'

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
    // A first start that was broken off leaves a store with a name and without a commit.
    if ((await store.identity()) !== null && (await store.epoch()) > 0) {
      const rootKey = await source.existing()
      return { ...(await openVault({ store, rootKey, now, random })), created: false }
    }
    const rootKey = await source.first()
    return { ...(await createVault({ store, rootKey, now, random })), created: true }
  } catch (error) {
    await store.close()
    throw error
  }
}
