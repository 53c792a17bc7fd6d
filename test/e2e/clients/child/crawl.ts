import { appendFileSync, lstatSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'

const largestFileBytes = 16 * 1024 * 1024
const mostBytes = 512 * 1024 * 1024

/** Writes everything that this process can read below `roots`, and of other processes, into one file, each part with its path. */
export function crawl(roots: readonly string[], leaveOut: string, into: string): void {
  let bytes = 0
  const take = (path: string): void => {
    try {
      const content = readFileSync(path)
      bytes += content.byteLength
      if (bytes <= mostBytes) appendFileSync(into, Buffer.concat([Buffer.from(`\n== ${path}\n`), content]))
    } catch {
      // What cannot be read is no leak.
    }
  }
  const walk = (path: string): void => {
    if (path === leaveOut) return
    try {
      const found = lstatSync(path)
      if (found.isDirectory()) for (const name of readdirSync(path)) walk(join(path, name))
      else if (found.isFile() && found.size <= largestFileBytes) take(path)
    } catch {
      // Nor is what cannot be listed.
    }
  }
  writeFileSync(into, '')
  for (const root of new Set(roots.filter((each) => isAbsolute(each)))) walk(root)
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    for (const file of ['environ', 'cmdline']) take(join('/proc', name, file))
  }
}
