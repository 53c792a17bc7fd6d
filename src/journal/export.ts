import { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import { checkpointKey, isSignedBy, parseCheckpoint, verifierKeyOf } from './checkpoint.ts'
import type { CheckpointKey, UnprovenCheckpoint } from './checkpoint.ts'
import { followsOn } from './entry.ts'
import type { JournalEntry } from './entry.ts'
import { digestToBase64, MerkleTree } from './merkle.ts'
import { compileFilter } from './search.ts'
import type { SearchFilter } from './search.ts'
import { CHECKPOINTS_FILE, listSegments, readLines, readNotes } from './segments.ts'
import { journalStart, readStartFile } from './tree-file.ts'
import type { JournalReport } from './verify.ts'

export interface ExportOptions {
  readonly directory: string
  readonly publicKey: KeyObject
  /** `keyward/NODE` */
  readonly origin: string
  /** What `verifyJournal` said just before: entries that came later are left out. */
  readonly report: JournalReport
  readonly filter: Pick<SearchFilter, 'since' | 'until' | 'kind'>
  /** Exports what does not verify as well, and says so. */
  readonly unverified: boolean
}

/** Hashes of entries that were left out, on one line of an export. */
export const OMITTED_HASHES_MAXIMUM = 1000

/**
 * The lines of an export (docs/formats/journal.md), each with its newline: the entries byte for byte as they stand
 * in the journal, in ranges that a stranger can verify with the public key alone. Memory does not grow with the
 * journal. Throws `journal_damaged` where the journal does not verify, unless `unverified` is set.
 */
export async function* exportLines(options: ExportOptions): AsyncGenerator<Buffer, void, undefined> {
  const { origin, report } = options
  const key = checkpointKey(origin, options.publicKey)
  requireSound(options)
  yield line({
    export: 1,
    filter: { ...options.filter },
    key: verifierKeyOf(key),
    problem: report.problem === null ? null : { ...report.problem },
    verified: report.ok,
  })
  let entries = 0
  const ranges = report.ok ? proven(options, key) : unproven(options)
  for await (const { bytes, isEntry } of ranges) {
    if (isEntry) entries++
    yield bytes
  }
  yield line({ end: { entries, verified: report.ok } })
}

/** The entries that pass the filter, oldest first, for whoever writes them in another form. The same conditions as `exportLines`. */
export async function* exportEntries(options: ExportOptions): AsyncGenerator<JournalEntry, void, undefined> {
  requireSound(options)
  const accept = compileFilter(options.filter)
  for await (const { text } of options.report.ok ? walk(options) : unchecked(options)) {
    const entry = accept(text)
    if (entry !== null) yield entry
  }
}

function requireSound({ report, unverified }: ExportOptions): void {
  const { problem } = report
  if (problem === null || unverified) return
  throw new KeywardError('journal_damaged', `Entry ${problem.sequence} in ${problem.file}: ${problem.detail}`)
}

interface Piece {
  readonly bytes: Buffer
  readonly isEntry: boolean
}

/** Ranges of entries, each from the state of the tree before it to a checkpoint that covers it. */
async function* proven(options: ExportOptions, key: CheckpointKey): AsyncGenerator<Piece> {
  const accept = compileFilter(options.filter)
  const notes = new Notes(options.directory, key)
  let omitted: string[] = []
  let open = false
  const flush = function* (): Generator<Piece> {
    if (omitted.length > 0) yield structure({ omitted })
    omitted = []
  }
  let bare = false
  try {
    for await (const { text, hash, head, tree } of walk(options)) {
      const wanted = accept(text) !== null
      if (wanted && !open) {
        open = true
        yield structure({ start: { head, peaks: tree.peaks.map(digestToBase64), size: tree.size } })
      }
      tree.append(hash)
      if (wanted) {
        yield* flush()
        yield entryPiece(text)
        bare = false
      } else if (open) {
        omitted.push(hash)
        bare = true
        if (omitted.length >= OMITTED_HASHES_MAXIMUM) yield* flush()
      }
      const note = await notes.at(tree.size)
      if (note === null) continue
      if (note.digest !== tree.root()) throw changed()
      // A range goes on while every entry is wanted; a checkpoint after one that is not, or the last, closes it.
      if (!open || (!bare && tree.size < options.report.provenTo)) continue
      yield* flush()
      yield structure({ checkpoint: note.checkpoint.note })
      open = false
    }
    yield* flush()
  } finally {
    await notes.close()
  }
}

async function* unproven(options: ExportOptions): AsyncGenerator<Piece> {
  const accept = compileFilter(options.filter)
  for await (const { text } of unchecked(options)) if (accept(text) !== null) yield entryPiece(text)
}

interface Step {
  readonly text: Buffer
  readonly hash: string
  /** The hash of the entry before. */
  readonly head: string
  /** The tree before this entry. */
  readonly tree: MerkleTree
}

/** The entries that the report covers. Whoever takes a step appends its hash to the tree, or does not look at the tree. */
async function* walk({ directory, origin, publicKey, report }: ExportOptions): AsyncGenerator<Step> {
  const start = readStartFile(directory, checkpointKey(origin, publicKey)) ?? journalStart
  const tree = new MerkleTree(start.tree.size, start.tree.peaks)
  let { head } = start
  let sequence = start.tree.size
  for (const { number, path } of await listSegments(directory)) {
    if (number < start.segment) continue
    for await (const { lines } of readLines(path)) {
      for (const text of lines) {
        if (sequence >= report.entries) return
        const hash = followsOn(text, head, ++sequence)
        if (hash === null) throw changed()
        yield { text, hash, head, tree }
        head = hash
      }
    }
  }
  if (sequence < report.entries) throw changed()
}

async function* unchecked({ directory }: ExportOptions): AsyncGenerator<{ text: Buffer }> {
  for (const { path } of await listSegments(directory))
    for await (const { lines } of readLines(path)) for (const text of lines) yield { text }
}

/** The checkpoints in order, asked by the size that the tree has come to. */
class Notes {
  readonly #notes: AsyncGenerator<{ note: string; torn: boolean }> | null
  readonly #key: CheckpointKey
  #next: UnprovenCheckpoint | null = null
  #ended = false

  constructor(directory: string, key: CheckpointKey) {
    const path = join(directory, CHECKPOINTS_FILE)
    this.#notes = statSync(path, { throwIfNoEntry: false }) === undefined ? null : readNotes(path)
    this.#key = key
  }

  async at(size: number): Promise<UnprovenCheckpoint | null> {
    while (!this.#ended && (this.#next === null || this.#next.checkpoint.size < size)) {
      const step = await this.#notes?.next()
      const note = step === undefined || step.done === true || step.value.torn ? null : parseCheckpoint(step.value.note)
      if (note === undefined) throw changed()
      this.#ended = note === null
      this.#next = note
    }
    if (this.#next?.checkpoint.size !== size) return null
    if (!isSignedBy(this.#next, this.#key)) throw changed()
    return this.#next
  }

  async close(): Promise<void> {
    await this.#notes?.return(undefined)
  }
}

function changed(): KeywardError {
  return new KeywardError('journal_damaged', 'It was changed while it was exported.')
}

const NEWLINE = Buffer.from('\n')
const line = (value: object): Buffer => Buffer.from(`${JSON.stringify(value)}\n`)
const structure = (value: object): Piece => ({ bytes: line(value), isEntry: false })
const entryPiece = (text: Buffer): Piece => ({ bytes: Buffer.concat([text, NEWLINE]), isEntry: true })
