import { z } from 'zod'
import { eventKinds } from '../journal/event.ts'
import { journalProblemCodes } from '../journal/verify.ts'

/** What the control API says of the journal; the rest of its answers is in `answers.ts`. */

const moment = z.int().nonnegative().describe('Milliseconds since the Unix epoch.')
const count = z.int().nonnegative()

export const entry = z
  .strictObject({
    at: moment,
    event: z.looseObject({ kind: z.enum(eventKinds) }),
    hash: z.string(),
    previous: z.string(),
    sequence: z.int().min(1),
  })
  .describe('One line of the journal: docs/formats/journal.md.')

export const verification = z.strictObject({
  ok: z.boolean(),
  origin: z.string().nullable(),
  prunedTo: count.describe('Entries 1 to this one were pruned, and are proven by the checkpoint that was kept.'),
  entries: count.describe('Entries from the first on that stand in their chain.'),
  provenTo: count.describe('Entries 1 to this one are exactly those that were signed.'),
  root: z.string().describe('Merkle root over `entries`, base64.'),
  checkpoints: count,
  segments: count,
  firstAt: moment.nullable(),
  lastAt: moment.nullable(),
  tornTail: z.strictObject({ file: z.string(), bytes: count }).nullable(),
  problem: z
    .strictObject({ code: z.enum(journalProblemCodes), sequence: z.int(), file: z.string(), detail: z.string() })
    .nullable()
    .describe('The first entry that may not be what was written.'),
})

export const witness = z
  .strictObject({
    key: z.string().describe('The public key as a verifier key of C2SP signed notes.'),
    anchor: z.strictObject({ size: count, root: z.string() }).nullable().describe('The head that the store remembers.'),
    heads: z
      .array(z.strictObject({ node: z.string(), size: count, root: z.string(), prunedTo: count }))
      .describe('What the store remembers of the journal of each node.'),
    prunedTo: count.describe('Up to which entry the journal was pruned.'),
  })
  .describe('What the journal is verified with, by whoever can read its files.')

export const pruning = z.strictObject({
  segments: count.describe('How many went: none where nothing was old enough.'),
  prunedTo: count.describe('Entries 1 to this one are gone, those of earlier prunings among them.'),
})
