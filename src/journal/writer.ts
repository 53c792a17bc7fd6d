import { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import { closeSync, constants, fchmodSync, fsyncSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { signCheckpoint } from './checkpoint.ts'
import type { Checkpoint, CheckpointKey } from './checkpoint.ts'
import { entryHash, sealTail } from './entry.ts'
import type { Files } from './files.ts'
import type { Digest, MerkleTree } from './merkle.ts'
import type { JournalEnd } from './recover.ts'
import { rewriteUnsynced } from './rewrite.ts'
import { CHECKPOINTS_FILE, segmentAt } from './segments.ts'
import type { Segment } from './segments.ts'
import { writeTreeFile } from './tree-file.ts'

const APPEND = constants.O_APPEND | constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW
const NEWLINE = 0x0a
/** What an entry adds to its body, newline included, with room to spare. */
const TAIL_BYTES = 160

/** A place up to which everything is known to be on the disk. */
interface SyncMark {
  readonly size: number
  readonly offset: number
  readonly head: string
}

export interface WriterOptions {
  readonly directory: string
  readonly key: CheckpointKey
  readonly privateKey: KeyObject
  readonly files: Files
  /** A segment is rotated before it would grow beyond this. */
  readonly segmentBytes: number
}

/** Owns the files of one journal. Everything but `sync` blocks, which is why it lives in a worker. */
export class JournalWriter {
  readonly #directory: string
  readonly #key: CheckpointKey
  readonly #privateKey: KeyObject
  readonly #files: Files
  readonly #segmentBytes: number
  readonly #tree: MerkleTree
  #segment: Segment
  #descriptor: number
  readonly #checkpoints: number
  #checkpointBytes: number
  #head: string
  #offset: number
  #synced: SyncMark
  #checkpoint: Checkpoint | null
  #out: Buffer = Buffer.allocUnsafe(256 * 1024)
  /** After a failure: the files must be looked at, cut back and made durable again before the next write. */
  #suspect = false
  #syncFailed = false
  /** Bytes of a refused batch that could not be cut off yet. */
  #excess = 0
  /** Descriptors of earlier segments, closed when no sync can be using them any more. */
  #retired: number[] = []

  constructor({ directory, key, privateKey, files, segmentBytes }: WriterOptions, end: JournalEnd) {
    this.#directory = directory
    this.#key = key
    this.#privateKey = privateKey
    this.#files = files
    this.#segmentBytes = segmentBytes
    this.#tree = end.tree
    this.#head = end.head
    this.#offset = end.offset
    this.#checkpoint = end.checkpoint
    this.#checkpointBytes = end.checkpointBytes
    this.#segment = segmentAt(directory, end.segment)
    this.#descriptor = openOwn(this.#segment.path)
    this.#checkpoints = openOwn(join(directory, CHECKPOINTS_FILE))
    syncDirectory(directory)
    this.#synced = { size: end.tree.size, offset: end.offset, head: end.head }
  }

  get size(): number {
    return this.#tree.size
  }

  get syncedSize(): number {
    return this.#synced.size
  }

  get checkpoint(): Checkpoint | null {
    return this.#checkpoint
  }

  /** Appends the entries with one write, or none of them. Calls `written` with the new size once the operating system has them. Throws when it could not. */
  append(bodies: readonly string[], written: (size: number) => void): void {
    if (this.#suspect) this.#repair()
    const { bytes, hashes, head } = this.#seal(bodies)
    if (this.#offset > 0 && this.#offset + bytes.length > this.#segmentBytes) this.#rotate()
    this.#suspect = true
    this.#writeAll(this.#descriptor, bytes, this.#offset)
    this.#requirePlace(this.#offset + bytes.length)
    this.#suspect = false
    this.#offset += bytes.length
    this.#head = head
    written(this.#tree.size + bodies.length)
    for (const leaf of hashes) this.#tree.append(leaf)
  }

  /** Makes all that was appended before the call durable, and signs a checkpoint over it if `sign` is set. */
  async sync(sign: boolean): Promise<Checkpoint | null> {
    const mark = { size: this.#tree.size, offset: this.#offset, head: this.#head }
    const root = sign ? this.#tree.root() : null
    const segment = this.#segment
    try {
      await this.#files.sync(this.#descriptor)
      if (segment === this.#segment) {
        this.#requirePath()
        if (mark.size > this.#synced.size) this.#synced = mark
      }
      for (const descriptor of this.#retired.splice(0)) closeSync(descriptor)
      if (root === null) return null
      const checkpoint = this.#sign(mark.size, root)
      await this.#files.sync(this.#checkpoints)
      return checkpoint
    } catch (error) {
      this.#suspect = true
      this.#syncFailed = true
      throw error
    }
  }

  close(): void {
    for (const descriptor of [...this.#retired, this.#descriptor, this.#checkpoints]) closeSync(descriptor)
  }

  #seal(bodies: readonly string[]): { bytes: Buffer; hashes: Digest[]; head: string } {
    let room = 0
    for (const body of bodies) room += body.length * 3 + TAIL_BYTES
    if (this.#out.length < room) this.#out = Buffer.allocUnsafe(room)
    const out = this.#out
    const hashes: Digest[] = []
    let head = this.#head
    let sequence = this.#tree.size
    let end = 0
    for (const body of bodies) {
      const start = end
      sequence++
      end += out.write(body, end)
      const own = entryHash(out.subarray(start, end), head, sequence)
      end += out.write(sealTail(own, head, sequence), end, 'latin1')
      out[end++] = NEWLINE
      hashes.push(own)
      head = own
    }
    return { bytes: out.subarray(0, end), hashes, head }
  }

  /** On a failure the file is cut back to `offset`, so that what was refused is not in it. */
  #writeAll(descriptor: number, bytes: Uint8Array, offset: number): void {
    let done = 0
    try {
      while (done < bytes.length) {
        const taken = this.#files.write(descriptor, done === 0 ? bytes : bytes.subarray(done))
        if (taken <= 0) throw new Error('the file takes no more bytes')
        done += taken
      }
    } catch (error) {
      if (descriptor === this.#descriptor) this.#excess = done
      if (done > 0) this.#cutBack(descriptor, offset, done)
      throw error
    }
  }

  #cutBack(descriptor: number, offset: number, excess: number): void {
    if (this.#files.state(descriptor).bytes !== offset + excess) return
    this.#files.truncate(descriptor, offset)
    if (descriptor === this.#descriptor) this.#excess = 0
  }

  #requirePlace(bytes: number): void {
    const state = this.#files.state(this.#descriptor)
    if (state.links === 0) throw new Error(`${this.#segment.file} was unlinked`)
    if (state.bytes !== bytes) throw new Error(`${this.#segment.file} was changed by somebody else`)
  }

  #requirePath(): void {
    const own = this.#files.state(this.#descriptor)
    const found = this.#files.stateAt(this.#segment.path)
    if (found === null) throw new Error(`${this.#segment.file} was unlinked`)
    if (found.inode !== own.inode || found.device !== own.device) throw new Error(`${this.#segment.file} was replaced`)
    if (own.bytes !== this.#offset) throw new Error(`${this.#segment.file} was changed by somebody else`)
  }

  #repair(): void {
    if (this.#excess > 0) this.#cutBack(this.#descriptor, this.#offset, this.#excess)
    this.#requirePath()
    if (this.#syncFailed) {
      rewriteUnsynced(this.#segment.path, this.#synced, { offset: this.#offset, head: this.#head }, this.#files)
      this.#synced = { size: this.#tree.size, offset: this.#offset, head: this.#head }
      this.#syncFailed = false
    }
    this.#suspect = false
  }

  #rotate(): void {
    this.#files.syncAndWait(this.#descriptor)
    const checkpoint = this.#sign(this.#tree.size, this.#tree.root())
    this.#files.syncAndWait(this.#checkpoints)
    const next = segmentAt(this.#directory, this.#segment.number + 1)
    const descriptor = openOwn(next.path)
    try {
      syncDirectory(this.#directory)
      // Last, since from here on the old segment must not grow any more.
      writeTreeFile(this.#directory, { segment: next.number, head: this.#head, tree: this.#tree }, checkpoint)
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
    this.#retired.push(this.#descriptor)
    this.#descriptor = descriptor
    this.#segment = next
    this.#offset = 0
    this.#synced = { size: this.#tree.size, offset: 0, head: this.#head }
  }

  #sign(size: number, root: string): Checkpoint {
    if (this.#checkpoint !== null && this.#checkpoint.size >= size) return this.#checkpoint
    const checkpoint = signCheckpoint(this.#key, this.#privateKey, size, root)
    const state = this.#files.state(this.#checkpoints)
    if (state.links === 0 || state.bytes !== this.#checkpointBytes)
      throw new Error('the checkpoints were changed by somebody else')
    const bytes = Buffer.from(checkpoint.note)
    this.#writeAll(this.#checkpoints, bytes, this.#checkpointBytes)
    this.#checkpointBytes += bytes.length
    this.#checkpoint = checkpoint
    return checkpoint
  }
}

function openOwn(path: string): number {
  const descriptor = openSync(path, APPEND, 0o600)
  fchmodSync(descriptor, 0o600)
  return descriptor
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
