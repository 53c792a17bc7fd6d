import { once } from 'node:events'
import { PassThrough } from 'node:stream'

/** Lets `look` see all that passes, no faster than it looks. What it throws ends the passing. */
export function watched<T>(
  bytes: AsyncGenerator<Buffer>,
  look: (copy: AsyncIterable<Buffer>) => Promise<T>,
): { readonly bytes: AsyncGenerator<Buffer>; readonly seen: Promise<T> } {
  const copy = new PassThrough()
  const seen = look(copy)
  let hasFailed = false
  // Told to whoever reads the bytes, and nowhere else.
  seen.catch(() => (hasFailed = true))
  copy.on('error', () => undefined)
  async function* pass(): AsyncGenerator<Buffer> {
    try {
      for await (const piece of bytes) {
        if (hasFailed) await seen
        if (!copy.write(piece)) await Promise.race([once(copy, 'drain'), seen])
        yield piece
      }
      copy.end()
      await seen
    } finally {
      copy.destroy()
    }
  }
  return { bytes: pass(), seen }
}
