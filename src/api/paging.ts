import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'

/** Items of one page, at most. Without a limit a list comes whole. */
export const PAGE_MAXIMUM_ITEMS = 1_000
const CURSOR_MAXIMUM_CHARACTERS = 512

/** What every list takes beside its own filters. */
export const page = {
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,3}$/, `must be a number from 1 to ${PAGE_MAXIMUM_ITEMS}`)
    .refine((text) => Number(text) <= PAGE_MAXIMUM_ITEMS, `must be a number from 1 to ${PAGE_MAXIMUM_ITEMS}`)
    .optional(),
  /** The cursor of the link that came with the page before. */
  after: z.string().min(1).max(CURSOR_MAXIMUM_CHARACTERS).optional(),
}

/** A list's items have one of these names, which stays theirs. */
export interface Listed {
  readonly id?: string
  readonly name?: string
}

/**
 * One page of a list, in the order of the items' own names, and the cursor of the next page or null. A page
 * begins behind a name and not at a number, so that nothing is left out or comes twice when items come and
 * go in between. Throws `usage` for a cursor that no page has given.
 */
export function pageOf<T extends Listed>(
  items: readonly T[],
  limit: number,
  after: string | null,
): { readonly items: readonly T[]; readonly next: string | null } {
  const behind = after === null ? null : nameIn(after)
  const sorted = items
    .filter((item) => behind === null || nameOf(item) > behind)
    .toSorted((left, right) => (nameOf(left) < nameOf(right) ? -1 : 1))
  const wanted = sorted.slice(0, limit)
  const last = wanted.at(-1)
  const isLast = last === undefined || sorted.length <= limit
  return { items: wanted, next: isLast ? null : Buffer.from(nameOf(last)).toString('base64url') }
}

function nameOf({ id, name }: Listed): string {
  return id ?? name ?? ''
}

function nameIn(cursor: string): string {
  const bytes = Buffer.from(cursor, 'base64url')
  if (bytes.toString('base64url') !== cursor) throw new KeywardError('usage', 'after: must be a cursor of this list.')
  return bytes.toString()
}
