import { z } from 'zod'

const count = z.int().nonnegative()
const moment = count.describe('Milliseconds since the Unix epoch.')

/** A server of the store, as the control API tells of it. */
export const node = z
  .strictObject({
    name: z.string().nullable().describe('Null for a node of release 0.1.0 that has never committed.'),
    live: z.boolean().describe('Whether it has the store open at this moment.'),
    self: z.boolean().describe('Whether it is the node that answers.'),
    version: z.string().nullable().describe('Null for release 0.1.0, which does not tell.'),
    schema: count.describe('The newest schema of the store that it knows.'),
    startedAt: moment.nullable().describe('By its own clock.'),
    seenAt: moment.nullable(),
    epoch: count.nullable().describe('The epoch of the store that it had taken in when it was last seen.'),
    leaseHeld: z.boolean().nullable().describe('Whether it might use credentials when it was last seen.'),
    journal: z
      .strictObject({ size: count, root: z.string() })
      .nullable()
      .describe('The head of its journal that the store remembers.'),
  })
  .describe('A node of the store. All but the head of its journal is what the database says, which is not trusted.')
