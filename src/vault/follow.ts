import { performance } from 'node:perf_hooks'
import { KeywardError } from '../core/errors.ts'
import type { Store } from '../stores/store.ts'
import type { Records } from './records.ts'

/** How often a shared store is asked for its epoch. */
export const FOLLOW_MILLISECONDS = 250
/** At most so often a hint makes it look: whoever reaches the server can give any number of them. */
export const HASTENED_MILLISECONDS = 20
/** How long what memory holds may be acted on after it was known to be all of the store (promise 8). */
export const LEASE_MILLISECONDS = 1_000

export interface Following {
  /** The policy lease: whether memory held all that was in the store, not more than a second ago. */
  held(): boolean
  close(): void
}

/** Milliseconds since some moment, and since the Unix epoch. */
export interface Clocks {
  readonly monotonic: number
  readonly wall: number
}

/**
 * Follows what other nodes commit. Every round asks the store for its epoch, takes in what is newer, and
 * renews the lease as of the moment of asking. A round that fails renews nothing: the store is out of
 * reach, was put back, or holds what does not verify. A hint of the store's only brings the next round forward. `onError` gets the first failure of a row of them.
 */
export async function followStore(parts: {
  readonly store: Store
  readonly records: Records
  readonly onError: (error: unknown) => void
  /** The epoch of a commit of another node that memory has now. */
  readonly onFollowed: (epoch: number) => void
  readonly clocks?: () => Clocks
}): Promise<Following> {
  const { store, records, onError, onFollowed, clocks = readClocks } = parts
  if (store.node === null) return { held: () => true, close: () => undefined }
  let confirmedAt = clocks()
  let isBusy = false
  let isFailing = false
  let isClosed = false
  let isHinted = false
  let soon: NodeJS.Timeout | null = null

  let awaited: { readonly epoch: number; readonly done: () => void } | null = null
  records.onCommit((_, epoch) => {
    if (awaited !== null && epoch >= awaited.epoch) awaited.done()
  })
  function reached(epoch: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    awaited = { epoch, done: resolve }
    return promise
  }

  async function round(): Promise<void> {
    const asked = clocks()
    const known = records.epoch
    const epoch = await store.epoch()
    if (epoch < known) throw new KeywardError('store_rolled_back', `It is at epoch ${epoch}; this node saw ${known}.`)
    if (epoch > records.epoch) {
      // Commits of this node that wait take in what is newer when their turn comes: the lease need not wait for all of them.
      await Promise.race([records.refresh(), reached(epoch)])
      onFollowed(records.epoch)
    }
    if (records.epoch < epoch) throw new KeywardError('store_tampered', 'Its epoch has no records.')
    confirmedAt = asked
  }

  async function followOn(): Promise<void> {
    isBusy = true
    isHinted = false
    try {
      await round()
      isFailing = false
    } catch (error) {
      if (!isFailing && !isClosed) onError(error)
      isFailing = true
    } finally {
      isBusy = false
      if (isHinted) hasten()
    }
  }

  function hasten(): void {
    isHinted = true
    if (isBusy || isClosed) return
    soon ??= setTimeout(() => {
      soon = null
      if (!isBusy && !isClosed) void followOn()
    }, HASTENED_MILLISECONDS).unref()
  }

  await round()
  store.nodes?.onHint(hasten)
  const timer = setInterval(() => void (isBusy || followOn()), FOLLOW_MILLISECONDS)
  timer.unref()

  return {
    held() {
      const now = clocks()
      // A machine that slept shows it on one clock, a clock that was set on the other.
      return (
        !isClosed &&
        now.monotonic - confirmedAt.monotonic < LEASE_MILLISECONDS &&
        now.wall - confirmedAt.wall < LEASE_MILLISECONDS
      )
    },
    close() {
      isClosed = true
      clearInterval(timer)
      if (soon !== null) clearTimeout(soon)
    },
  }
}

function readClocks(): Clocks {
  return { monotonic: performance.now(), wall: Date.now() }
}
