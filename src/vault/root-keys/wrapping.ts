import { KEY_BYTES, takeKey } from '../sealing.ts'
import type { RandomBytes } from '../sealing.ts'
import type { NextRootKey, RootKey, RootKeySource, SlotPlace } from './root-key.ts'

/** Characters of what a service may give for 32 bytes; also what a slot may hold of it. */
export const CIPHERTEXT_MAXIMUM_CHARACTERS = 8_192

/** A service that encrypts and decrypts with a key which it never gives away. */
export interface WrappingService {
  readonly kind: 'transit' | 'aws-kms'
  readonly where: string
  wrap(key: Uint8Array, place: SlotPlace): Promise<string>
  /** Null where the service says that it did not make this, or not for this place. */
  unwrap(ciphertext: string, place: SlotPlace): Promise<Buffer | null>
}

/**
 * A root key that a service guards. What goes through the service is a key of the slot's own and never the
 * master key: whoever runs the service can open a vault only together with its store, and a service that answers
 * with something else gives a key that does not open the slot.
 */
export function wrappingSource(service: WrappingService, random: RandomBytes): RootKeySource {
  const { kind, where } = service
  const rootKey: RootKey = {
    kind,
    async create(place) {
      const bytes = Buffer.alloc(KEY_BYTES)
      bytes.set(random(KEY_BYTES))
      const ciphertext = await service.wrap(bytes, place)
      return { head: { kind, ciphertext }, key: takeKey(bytes) }
    },
    async open(head, place) {
      if (head.kind !== kind || head.ciphertext === undefined) return null
      const bytes = await service.unwrap(head.ciphertext, place)
      if (bytes === null) return null
      if (bytes.byteLength === KEY_BYTES) return takeKey(bytes)
      bytes.fill(0)
      return null
    },
  }
  const next: NextRootKey = {
    rootKey,
    settle: async () => undefined,
    // What the service made for the former slot stood in that slot alone.
    destroyFormer: async () => undefined,
    discard: async () => undefined,
  }
  return { kind, where, existing: async () => rootKey, first: async () => rootKey, next: async () => next }
}
