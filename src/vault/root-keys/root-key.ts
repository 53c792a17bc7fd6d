import type { KeyObject } from 'node:crypto'
import type { SlotRecord } from '../../core/records.ts'
import type { Secret } from '../../core/secret.ts'

export type RootKeyKind = SlotRecord['kind']

/** What a slot says of how it is opened: everything but the wrapped master key. All of it is bound into the wrapping. */
export type SlotHead = Pick<SlotRecord, 'kind' | 'argon2' | 'ciphertext'>

/** Which slot of which store: what a root key binds a slot to. */
export interface SlotPlace {
  readonly storeId: string
  readonly slotId: string
}

/** A way into a vault, of one kind. Never stored in the home. */
export interface RootKey {
  readonly kind: RootKeyKind
  /** The 32 bytes that seal a new slot, and what the slot says of itself so that they are found again. */
  create(place: SlotPlace): Promise<{ readonly head: SlotHead; readonly key: KeyObject }>
  /**
   * The 32 bytes that sealed this slot. Null where the slot is of another kind, asks for what is never tried, or
   * is not this root key's; a key that is not the slot's is as good an answer, for the slot does not open with it.
   * Throws what kept it from finding out: `root_key_unreachable`, `root_key_refused`, `keyring_unavailable`.
   */
  open(head: SlotHead, place: SlotPlace): Promise<KeyObject | null>
}

/** A root key that is to take the place of another one. */
export interface NextRootKey {
  readonly rootKey: RootKey
  /** To be called once its slot is proven: from here on `existing` gives this one. */
  settle(): Promise<void>
  /** To be called once no slot needs the former one: destroys it as far as it lies within reach. */
  destroyFormer(place: SlotPlace): Promise<void>
  /** Takes back what `next` did, where the slot was not made. */
  discard(): Promise<void>
}

/** Where the root keys of one kind come from, as the settings say. */
export interface RootKeySource {
  readonly kind: RootKeyKind
  /** For people: where it lies or who guards it. Holds no secret. */
  readonly where: string
  /** The one that is there. Throws `root_key_missing`, `root_key_unsafe`, `root_key_wrong`, `keyring_unavailable`. */
  existing(): Promise<RootKey>
  /** For a new vault: the one that is there, or a new one. */
  first(): Promise<RootKey>
  /** One beside it, for a second slot. `passphrase`: what a person typed, where the kind is one. */
  next(passphrase: Secret | null): Promise<NextRootKey>
}
