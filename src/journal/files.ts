import { fdatasync, fdatasyncSync, fstatSync, ftruncateSync, statSync, writeSync } from 'node:fs'

/** Where a file is, as far as noticing goes that it was unlinked, truncated or replaced. */
export interface FileState {
  readonly bytes: number
  readonly links: number
  readonly inode: number
  readonly device: number
}

/** The file operations of the journal's worker that a disk can fail or never answer. Tests put another one in its place. */
export interface Files {
  /** One write(2) at the end of the file; returns how many bytes it took. */
  write(descriptor: number, bytes: Uint8Array): number
  truncate(descriptor: number, bytes: number): void
  sync(descriptor: number): Promise<void>
  syncAndWait(descriptor: number): void
  state(descriptor: number): FileState
  /** Null when nothing stands at the path. */
  stateAt(path: string): FileState | null
}

export const files: Files = {
  write: (descriptor, bytes) => writeSync(descriptor, bytes),
  truncate: (descriptor, bytes) => ftruncateSync(descriptor, bytes),
  sync: (descriptor) =>
    new Promise((resolve, reject) => fdatasync(descriptor, (error) => (error === null ? resolve() : reject(error)))),
  syncAndWait: (descriptor) => fdatasyncSync(descriptor),
  state: (descriptor) => {
    const { size, nlink, ino, dev } = fstatSync(descriptor)
    return { bytes: size, links: nlink, inode: ino, device: dev }
  },
  stateAt: (path) => {
    const found = statSync(path, { throwIfNoEntry: false })
    return found === undefined ? null : { bytes: found.size, links: found.nlink, inode: found.ino, device: found.dev }
  },
}
