/**
 * For tests: `files` over a disk that can be made to fail. What it does is read, before every
 * operation, from the file named by `?control=` in this module's URL: `ok`, `hang`, `write EIO`,
 * `write ENOSPC`, `half ENOSPC` (takes half of the bytes, then fails), `sync EIO`, `sync hang`.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { files as real } from './files.ts'
import type { Files } from './files.ts'

const control = new URL(import.meta.url).searchParams.get('control') ?? ''
const POLL_MILLISECONDS = 5
const never = new Int32Array(new SharedArrayBuffer(4))
let half = false

function mood(): string {
  return readFileSync(control, 'utf8')
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code })
}

export const files: Files = {
  ...real,
  write(descriptor, bytes) {
    while (mood() === 'hang') Atomics.wait(never, 0, 0, POLL_MILLISECONDS)
    if (mood() === 'write EIO') throw failure('EIO')
    if (mood() === 'write ENOSPC') throw failure('ENOSPC')
    if (mood() === 'half ENOSPC') {
      half = !half
      if (!half) throw failure('ENOSPC')
      return real.write(descriptor, bytes.subarray(0, Math.ceil(bytes.length / 2)))
    }
    return real.write(descriptor, bytes)
  },
  async sync(descriptor) {
    while (mood() === 'sync hang') await pause(POLL_MILLISECONDS)
    if (mood() === 'sync EIO') throw failure('EIO')
    return real.sync(descriptor)
  },
}
