/** At most so often a head goes to the store. */
export const HEAD_MILLISECONDS = 30_000

export interface HeadKeeper<Head extends { readonly size: number }> {
  /** A checkpoint was signed. Never waits, never throws. */
  offer(head: Head): void
  /** Forgets what was offered, and waits for what is being kept. */
  close(): Promise<void>
}

/**
 * Keeps the newest head that was offered, one at a time and at most every `everyMilliseconds`, away from the requests.
 * Keeping one writes into the journal itself: entries up to `sizeNow()` after it are no reason to keep another.
 */
export function createHeadKeeper<Head extends { readonly size: number }>(parts: {
  readonly keep: (head: Head) => Promise<void>
  /** Entries of the journal. */
  readonly sizeNow: () => number
  readonly onError: (error: unknown) => unknown
  readonly everyMilliseconds?: number
}): HeadKeeper<Head> {
  const { keep, sizeNow, onError, everyMilliseconds = HEAD_MILLISECONDS } = parts
  let newest: Head | null = null
  let quietTo = 0
  let timer: NodeJS.Timeout | null = null
  let keeping: Promise<void> | null = null
  let closed = false

  function schedule(): void {
    if (closed || timer !== null || keeping !== null || newest === null || newest.size <= quietTo) return
    timer = setTimeout(() => {
      timer = null
      keeping = keepNewest().finally(() => {
        keeping = null
        schedule()
      })
    }, everyMilliseconds)
    timer.unref()
  }

  async function keepNewest(): Promise<void> {
    const head = newest
    newest = null
    if (head === null) return
    try {
      await keep(head)
    } catch (error) {
      onError(error)
    }
    quietTo = sizeNow()
  }

  return {
    offer(head) {
      newest = head
      schedule()
    },
    async close() {
      closed = true
      if (timer !== null) clearTimeout(timer)
      await keeping
    },
  }
}
