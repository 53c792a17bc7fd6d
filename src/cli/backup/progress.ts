import type { Io } from '../io.ts'

const EVERY_MILLISECONDS = 200
const MEBIBYTE = 1024 * 1024

/** Says on a terminal how far it has come, over and over on one line; elsewhere nothing. */
export function showProgress(io: Io, verb: string) {
  const isShown = io.stderr.isTTY === true
  let bytes = 0
  let saidAt = 0
  return {
    add(more: number): void {
      bytes += more
      const now = performance.now()
      if (!isShown || now - saidAt < EVERY_MILLISECONDS) return
      saidAt = now
      io.stderr.write(`\r${verb} ${(bytes / MEBIBYTE).toFixed(1)} MiB `)
    },
    end(): void {
      if (isShown && saidAt > 0) io.stderr.write('\r\u001b[K')
    },
  }
}
