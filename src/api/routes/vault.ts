import { Secret } from '../../core/secret.ts'
import { passphraseRootKey } from '../../vault/root-keys/passphrase.ts'
import { newRecoveryKey } from '../../vault/root-keys/recovery.ts'
import type { Handlers } from '../parts.ts'

export const vaultRoutes: Handlers<
  | 'GET /vault'
  | 'POST /vault/slots'
  | 'DELETE /vault/slots/:id'
  | 'POST /vault/root-rotations'
  | 'POST /vault/term-rotations'
> = {
  'GET /vault': ({ records, vault }) => {
    const wrapped = new Map<string, number>()
    for (const { term } of records.all('version').values()) wrapped.set(term, (wrapped.get(term) ?? 0) + 1)
    return {
      slots: [...records.all('slot')].map(([id, { kind, replaces = null, createdAt }]) => ({
        id,
        kind,
        opened: id === vault.slots.openedBy,
        replaces,
        createdAt,
      })),
      terms: [...records.all('term')].map(([id, { purpose, state, createdAt }]) => ({
        id,
        purpose,
        state,
        versions: wrapped.get(id) ?? 0,
        createdAt,
      })),
    }
  },

  'POST /vault/slots': async ({ vault, random }, { input, actor }) => {
    if (input.kind === 'passphrase') {
      const passphrase = Secret.fromText('passphrase', input.passphrase)
      const { slotId } = await vault.slots.addSlot(passphraseRootKey(passphrase, random), actor)
      return { id: slotId, recoveryKey: null }
    }
    const { text, rootKey } = newRecoveryKey(random)
    const { slotId } = await vault.slots.addSlot(rootKey, actor)
    return { id: slotId, recoveryKey: text.revealText() }
  },

  'DELETE /vault/slots/:id': async ({ vault }, { path, actor }) => {
    await vault.slots.retireSlot(path.id, actor)
    return { done: true }
  },

  'POST /vault/root-rotations': async ({ vault, rootKeys }, { input, actor }) => {
    const typed = input.passphrase === undefined ? null : Secret.fromText('passphrase', input.passphrase)
    const { slotId, retired } = await vault.slots.rotateRoot(() => rootKeys.next(typed), actor)
    return { id: slotId, retired }
  },

  'POST /vault/term-rotations': async ({ vault }, { actor }) => {
    const { termId } = await vault.rotateTerm(actor)
    return { term: termId, ...(await vault.rewrap(actor)) }
  },
}
