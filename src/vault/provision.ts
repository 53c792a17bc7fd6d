import { AsyncLocalStorage } from 'node:async_hooks'

interface Provision {
  readonly condition: () => void
  isMet: boolean
}

/** Ties a condition to the commit that some work is going to make, whoever makes it in the end. */
export function createProvision() {
  const storage = new AsyncLocalStorage<Provision>()
  return {
    /** Runs `work`, whose first commit is made only if `condition` does not throw. */
    run<T>(condition: () => void, work: () => Promise<T>): Promise<T> {
      return storage.run({ condition, isMet: false }, work)
    },
    /** For a commit whose turn has come: throws what the condition throws. */
    check(): void {
      const provision = storage.getStore()
      if (provision?.isMet === false) provision.condition()
    },
    /** The commit was made; what the same work does afterwards is its own affair. */
    met(): void {
      const provision = storage.getStore()
      if (provision !== undefined) provision.isMet = true
    },
  }
}
