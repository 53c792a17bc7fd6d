import type { Store } from './store.ts'
import { openSqliteStore } from './sqlite.ts'

/** One way of opening a store: `location` is whatever the driver needs to find the place. */
export interface StoreDriver {
  readonly kind: string
  open(location: string): Promise<Store>
}

/** Every store driver, by its kind. */
export const stores = [{ kind: 'sqlite', open: openSqliteStore }] as const satisfies readonly StoreDriver[]
