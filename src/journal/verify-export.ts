import { Buffer } from 'node:buffer'
import { isSignedBy, parseCheckpoint, parseVerifierKey, verifierKeyOf } from './checkpoint.ts'
import type { CheckpointKey } from './checkpoint.ts'
import { followsOn, isCanonical, parseEntry } from './entry.ts'
import { digestFromBase64, MerkleTree } from './merkle.ts'
import { readLines } from './segments.ts'

export interface ExportReport {
  readonly ok: boolean
  /** Whose journal it is: the name in the key. */
  readonly origin: string
  /** Entries that are in the file, and how many of them a checkpoint in it proves. */
  readonly entries: number
  readonly proven: number
  /** Entries that were left out by the filter, between those that are there. */
  readonly omitted: number
  /** The first line of the file, from 1, that is not as it was exported. */
  readonly problem: { readonly line: number; readonly detail: string } | null
}

/**
 * Verifies an export with nothing but the file and the key (a verifier key, `verifierKeyOf`), in one pass and bounded
 * memory. The key must come from elsewhere than from the file: whoever makes a file can make a key.
 */
export async function verifyExport(path: string, key: CheckpointKey): Promise<ExportReport> {
  const check = new ExportCheck(key)
  const problem = await check.run(path).catch((error: unknown) => {
    if (error instanceof BadLine) return { line: check.line, detail: error.message }
    throw error
  })
  const { entries, proven, omitted } = check
  return { ok: problem === null, origin: key.origin, entries, proven, omitted, problem }
}

class BadLine extends Error {}

class ExportCheck {
  readonly #key: CheckpointKey
  line = 0
  entries = 0
  proven = 0
  omitted = 0
  #tree: MerkleTree | null = null
  /** The hash of the entry before. */
  #head = ''
  #ended = false

  constructor(key: CheckpointKey) {
    this.#key = key
  }

  async run(path: string): Promise<null> {
    for await (const { lines, torn } of readLines(path)) {
      for (const bytes of lines) {
        this.line++
        if (this.line === 1) this.#header(bytes)
        else if (this.#ended) throw new BadLine('Something follows the end.')
        else if (bytes.subarray(0, 6).equals(ENTRY_START)) this.#entry(bytes)
        else this.#structure(bytes)
      }
      if (torn > 0) {
        this.line++
        throw new BadLine('The last line is not whole.')
      }
    }
    if (!this.#ended) {
      this.line++
      throw new BadLine('The file ends before the export did.')
    }
    return null
  }

  #header(bytes: Buffer): void {
    const value = objectOf(bytes)
    if (value['export'] !== 1) throw new BadLine('This is not an export of a journal in a form that is known here.')
    if (value['verified'] !== true) throw new BadLine('It was exported without being verified, and proves nothing.')
    const key = typeof value['key'] === 'string' ? parseVerifierKey(value['key']) : undefined
    if (key === undefined || verifierKeyOf(key) !== verifierKeyOf(this.#key))
      throw new BadLine('It was signed by another key than the one given.')
  }

  #entry(bytes: Buffer): void {
    if (this.#tree === null) throw new BadLine('An entry stands outside of every range.')
    const hash = followsOn(bytes, this.#head, this.#tree.size + 1)
    const entry = hash === null ? null : parseEntry(bytes)
    if (hash === null || entry === null || !isCanonical(bytes, entry))
      throw new BadLine(`Entry ${this.#tree.size + 1} is not as it was written, or is missing.`)
    this.#append(hash)
    this.entries++
  }

  #append(hash: string): void {
    this.#tree?.append(hash)
    this.#head = hash
  }

  #structure(bytes: Buffer): void {
    const value = objectOf(bytes)
    if ('start' in value) this.#start(value['start'])
    else if ('omitted' in value) this.#omitted(value['omitted'])
    else if ('checkpoint' in value) this.#checkpoint(value['checkpoint'])
    else if ('end' in value) this.#end(value['end'])
    else throw new BadLine('The line is none of an export.')
  }

  #start(value: unknown): void {
    if (this.#tree !== null) throw new BadLine('A range begins inside another.')
    const { head, peaks, size } = membersOf(value)
    if (typeof head !== 'string' || typeof size !== 'number' || !Array.isArray(peaks)) throw new BadLine(FORM)
    const digests = peaks.map((peak) => (typeof peak === 'string' ? digestFromBase64(peak) : undefined))
    try {
      this.#tree = new MerkleTree(
        size,
        digests.flatMap((digest) => digest ?? []),
      )
    } catch {
      throw new BadLine('The peaks do not fit the size.')
    }
    this.#head = head
  }

  #omitted(value: unknown): void {
    if (this.#tree === null || !Array.isArray(value)) throw new BadLine(FORM)
    for (const hash of value) {
      if (typeof hash !== 'string' || !/^[\w-]{43}$/.test(hash)) throw new BadLine(FORM)
      this.#append(hash)
      this.omitted++
    }
  }

  #checkpoint(value: unknown): void {
    const note = typeof value === 'string' ? parseCheckpoint(value) : undefined
    if (this.#tree === null || note === undefined) throw new BadLine(FORM)
    if (note.checkpoint.origin !== this.#key.origin || !isSignedBy(note, this.#key))
      throw new BadLine('The checkpoint is not signed by the key.')
    if (note.checkpoint.size !== this.#tree.size || note.digest !== this.#tree.root())
      throw new BadLine('The entries above are not those that the checkpoint signed.')
    this.proven = this.entries
    this.#tree = null
  }

  #end(value: unknown): void {
    const { entries } = membersOf(value)
    if (entries !== this.entries) throw new BadLine('The count at the end is another.')
    this.#ended = true
  }
}

const FORM = 'The line has not the form that an export gives it.'
const ENTRY_START = Buffer.from('{"at":')

function objectOf(bytes: Buffer): Record<string, unknown> {
  try {
    return membersOf(JSON.parse(bytes.toString()))
  } catch {
    throw new BadLine(FORM)
  }
}

function membersOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new BadLine(FORM)
  return { ...value }
}
