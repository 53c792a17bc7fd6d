import { Buffer } from 'node:buffer'
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { followsOn } from './entry.ts'
import type { Files } from './files.ts'

/**
 * After a failed fdatasync the kernel may have dropped the pages and will not say so again. So what was
 * written since the last good one is read back, checked to be the same chain, written over itself (which
 * makes the pages dirty again) and synced. Throws when the disk no longer gives back what it took.
 */
export function rewriteUnsynced(
  path: string,
  from: { readonly offset: number; readonly head: string; readonly size: number },
  to: { readonly offset: number; readonly head: string },
  files: Files,
): void {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW)
  try {
    const bytes = Buffer.alloc(to.offset - from.offset)
    if (readSync(descriptor, bytes, 0, bytes.length, from.offset) !== bytes.length) throw lost()
    let { head, size } = from
    for (let start = 0; start < bytes.length;) {
      const stop = bytes.indexOf(0x0a, start)
      const next = stop < 0 ? null : followsOn(bytes.subarray(start, stop), head, ++size)
      if (next === null) throw lost()
      head = next
      start = stop + 1
    }
    if (head !== to.head) throw lost()
    for (let done = 0; done < bytes.length;)
      done += writeSync(descriptor, bytes, done, bytes.length - done, from.offset + done)
    files.syncAndWait(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function lost(): Error {
  return new Error('entries that were written are no longer on the disk')
}
