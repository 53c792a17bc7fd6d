import { writeFileSync } from 'node:fs'
import { url } from 'node:inspector'
import process from 'node:process'
import { KeywardError } from '../core/errors.ts'

/**
 * What a process does before it opens a vault: refuses to work under a debugger, and keeps its memory
 * out of core dumps, also of those that go to a pipe and ask for no limit (Linux, core(5)).
 */
export function keepMemoryClosed(): void {
  if (url() !== undefined) {
    throw new KeywardError(
      'config_invalid',
      'A server never runs under a debugger: leave out --inspect, also in NODE_OPTIONS.',
    )
  }
  if (process.platform !== 'linux') return
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    // Some kernels and containers have no such file; `keyward doctor` says what that means.
  }
}
