import { z } from 'zod'

const count = z.int().nonnegative()
const moment = count.describe('Milliseconds since the Unix epoch.')

/** The ways into the vault and the keys in it, as the control API tells of them. No key is in it. */
export const vault = z.strictObject({
  slots: z.array(
    z.strictObject({
      id: z.string(),
      kind: z.enum(['file', 'passphrase', 'keyring', 'transit', 'aws-kms', 'recovery']),
      opened: z.boolean().describe('Whether the server that answers came in by it.'),
      replaces: z.string().nullable().describe('The slot in whose place it comes, where a rotation was broken off.'),
      createdAt: moment,
    }),
  ),
  terms: z.array(
    z.strictObject({
      id: z.string(),
      purpose: z.enum(['seal', 'token', 'fingerprint', 'journal', 'ca']),
      state: z.enum(['current', 'retired']),
      versions: count.describe('Versions of credentials whose data keys it wraps.'),
      createdAt: moment,
    }),
  ),
})

export const newSlot = z.strictObject({
  id: z.string(),
  recoveryKey: z.string().nullable().describe('Of a slot of that kind: told once, and kept nowhere.'),
})
export const rotatedRoot = z.strictObject({ id: z.string(), retired: z.string().describe('The slot that is gone.') })
export const rotatedTerms = z.strictObject({ term: z.string(), rewrapped: count, termsRemoved: count })
