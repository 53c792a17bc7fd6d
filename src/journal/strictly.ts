import type { Journal } from './journal.ts'

/** The journal where nothing counts as written before it is on the disk. */
export function strictly(journal: Journal): Pick<Journal, 'append' | 'note'> {
  return {
    append: (event) => journal.append(event, { sync: true }),
    note: (event) => void journal.append(event, { sync: true }).catch(() => undefined),
  }
}
