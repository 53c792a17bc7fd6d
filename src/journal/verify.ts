import { isUtf8 } from 'node:buffer'
import type { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { checkpointKey, isSignedBy, parseCheckpoint } from './checkpoint.ts'
import type { CheckpointKey, UnprovenCheckpoint } from './checkpoint.ts'
import { claimsOf, FIRST_PREVIOUS, followsOn, isCanonical, parseEntry } from './entry.ts'
import { digestToBase64, MerkleTree } from './merkle.ts'
import { readStartFile } from './tree-file.ts'
import { CHECKPOINTS_FILE, listSegments, readLines, readNotes, segmentAt } from './segments.ts'
import type { Segment } from './segments.ts'

export interface VerifyOptions {
  readonly directory: string
  readonly publicKey: KeyObject
  /** Whose journal it must be: `keyward/NODE`. Without it, the first checkpoint says whose it is. */
  readonly origin?: string
  /** A head that was kept elsewhere (the store, a witness, an export): the journal must still contain it. */
  readonly anchor?: { readonly size: number; readonly root: string }
  /** Up to which entry it was pruned, as the store remembers it: a journal that begins later was cut. Undefined: nobody says. */
  readonly prunedTo?: number
}

export const journalProblemCodes = [
  'anchor_mismatch',
  'chain_broken',
  'checkpoint_foreign',
  'checkpoint_malformed',
  'checkpoint_mismatch',
  'checkpoint_order',
  'entry_altered',
  'entry_malformed',
  'entry_missing',
  'entry_repeated',
  'segment_missing',
  'segment_torn',
  'truncated',
] as const

export type JournalProblemCode = (typeof journalProblemCodes)[number]

export interface JournalProblem {
  readonly code: JournalProblemCode
  /** The first entry that may not be what was written; the good ones are all before it. */
  readonly sequence: number
  /** The file in which it was found. */
  readonly file: string
  readonly detail: string
}

export interface JournalReport {
  readonly ok: boolean
  readonly origin: string | null
  /** Entries from the first on that stand in their chain. */
  readonly entries: number
  /** Entries 1 to this one were pruned: a checkpoint proves what they were, and they are counted in `entries`. */
  readonly prunedTo: number
  /** Entries 1 to this one are exactly those that were signed. What follows is chained only: whoever could write the files could have written it. */
  readonly provenTo: number
  /** Merkle root over `entries`, base64: to be compared with a head kept elsewhere. */
  readonly root: string
  readonly checkpoints: number
  readonly segments: number
  readonly firstAt: number | null
  readonly lastAt: number | null
  /** Bytes of a last line that was never finished: allowed, and cut off when the journal is next opened. */
  readonly tornTail: { readonly file: string; readonly bytes: number } | null
  readonly problem: JournalProblem | null
}

/**
 * Verifies a journal offline, in one pass and bounded memory: the hash chain, every checkpoint's
 * signature and root, the segments' numbers, the spelling of every line. Stops at the first problem.
 * May run beside the writer.
 */
export async function verifyJournal(options: VerifyOptions): Promise<JournalReport> {
  const state = new Verification(options)
  const problem = await state.run().catch((error: unknown) => {
    if (error instanceof Found) return error.problem
    throw error
  })
  return state.report(problem)
}

class Found extends Error {
  readonly problem: JournalProblem
  constructor(problem: JournalProblem) {
    super(problem.detail)
    this.problem = problem
  }
}

class Verification {
  readonly #options: VerifyOptions
  #tree = new MerkleTree()
  #prunedTo = 0
  #lastSize = 0
  readonly #notes: AsyncGenerator<{ note: string; torn: boolean }> | null
  #key: CheckpointKey | null
  #next: UnprovenCheckpoint | null = null
  #head = FIRST_PREVIOUS
  #provenTo = 0
  #checkpoints = 0
  #segments = 0
  #firstAt: number | null = null
  #lastAt: number | null = null
  #tornTail: JournalReport['tornTail'] = null

  constructor(options: VerifyOptions) {
    this.#options = options
    this.#key = options.origin === undefined ? null : checkpointKey(options.origin, options.publicKey)
    const path = join(options.directory, CHECKPOINTS_FILE)
    this.#notes = statSync(path, { throwIfNoEntry: false }) === undefined ? null : readNotes(path)
  }

  async run(): Promise<null> {
    try {
      const { directory } = this.#options
      const first = this.#begin()
      await this.#advance()
      const segments = (await listSegments(directory)).filter(({ number }) => number >= first)
      for (const [index, segment] of segments.entries()) {
        const expected = segmentAt(directory, first + index)
        if (segment.number !== expected.number)
          this.#fail('segment_missing', expected.file, `Segment ${expected.file} is missing.`)
        this.#segments++
        await this.#segment(segment, index === segments.length - 1)
      }
      this.#end(segments.at(-1)?.file ?? segmentAt(directory, first).file)
      return null
    } finally {
      await this.#notes?.return(undefined)
    }
  }

  report(problem: JournalProblem | null): JournalReport {
    return {
      ok: problem === null,
      origin: this.#key?.origin ?? null,
      entries: this.#tree.size,
      prunedTo: this.#prunedTo,
      provenTo: this.#provenTo,
      root: digestToBase64(this.#tree.root()),
      checkpoints: this.#checkpoints,
      segments: this.#segments,
      firstAt: this.#firstAt,
      lastAt: this.#lastAt,
      tornTail: this.#tornTail,
      problem,
    }
  }

  /** Where the journal begins: its first segment, or the first after those that were pruned. Gives its number. */
  #begin(): number {
    const { directory, publicKey, anchor, prunedTo } = this.#options
    const start = readStartFile(directory, this.#key ?? publicKey)
    if (start === undefined) return 1
    this.#tree = new MerkleTree(start.tree.size, start.tree.peaks)
    this.#head = start.head
    this.#prunedTo = start.tree.size
    this.#provenTo = start.tree.size
    if (prunedTo !== undefined && start.tree.size > prunedTo) {
      this.#fail(
        'segment_missing',
        segmentAt(directory, 1).file,
        `It begins after entry ${start.tree.size}, and no pruning beyond entry ${prunedTo} is on record.`,
        prunedTo + 1,
      )
    }
    if (anchor?.size === start.tree.size) this.#compareAnchor(segmentAt(directory, start.segment).file)
    return start.segment
  }

  async #segment({ file, path }: Segment, isLast: boolean): Promise<void> {
    for await (const { lines, torn } of readLines(path)) {
      for (const line of lines) {
        this.#entry(line, file)
        if (this.#next?.checkpoint.size === this.#tree.size) await this.#compare(file)
        if (this.#options.anchor?.size === this.#tree.size) this.#compareAnchor(file)
      }
      if (torn === 0) continue
      if (!isLast) this.#fail('segment_torn', file, 'The segment ends inside an entry, and others follow.')
      this.#tornTail = { file, bytes: torn }
    }
  }

  #entry(line: Buffer, file: string): void {
    const sequence = this.#tree.size + 1
    const own = followsOn(line, this.#head, sequence)
    if (own === null) this.#diagnose(line, file, sequence)
    const entry = isUtf8(line) ? parseEntry(line) : null
    if (own === null || entry === null || !isCanonical(line, entry)) {
      this.#fail('entry_malformed', file, `Entry ${sequence} is not spelled as the journal spells entries.`)
    }
    this.#head = own
    this.#tree.append(own)
    this.#firstAt ??= entry.at
    this.#lastAt = entry.at
  }

  /** Says which kind of damage it is. */
  #diagnose(line: Buffer, file: string, sequence: number): never {
    const claims = claimsOf(line)
    if (claims === null) this.#fail('entry_malformed', file, `Where entry ${sequence} should stand is no entry.`)
    if (!claims.intact) this.#fail('entry_altered', file, `Entry ${sequence} was changed after it was written.`)
    if (claims.sequence > sequence) {
      this.#fail(
        'entry_missing',
        file,
        `Entry ${claims.sequence} stands where entry ${sequence} should: it was removed, or their order was changed.`,
      )
    }
    if (claims.sequence < sequence) {
      this.#fail(
        'entry_repeated',
        file,
        `Entry ${claims.sequence} stands a second time, where entry ${sequence} should: it was inserted, or moved.`,
      )
    }
    // Entries that were made anew hash to whatever their maker likes: only the last checkpoint bounds where he began.
    const first = this.#provenTo + 1
    const among = first < sequence ? `one of the entries ${first} to ${sequence} was replaced` : 'it was replaced'
    this.#fail(
      'chain_broken',
      file,
      `Entry ${sequence} was not written after the entry that stands before it: ${among}.`,
      first,
    )
  }

  async #compare(file: string): Promise<void> {
    while (this.#next?.checkpoint.size === this.#tree.size) {
      if (this.#next.digest !== this.#tree.root()) {
        const from = this.#provenTo + 1
        this.#fail(
          'checkpoint_mismatch',
          file,
          `Among the entries ${from} to ${this.#tree.size} is one that is not what the checkpoint signed.`,
          from,
        )
      }
      this.#provenTo = this.#tree.size
      this.#checkpoints++
      await this.#advance()
    }
  }

  #compareAnchor(file: string): void {
    if (this.#options.anchor?.root === digestToBase64(this.#tree.root())) return
    this.#fail('anchor_mismatch', file, 'The journal is not the one whose head was kept elsewhere.', this.#provenTo + 1)
  }

  /** Takes the next checkpoint whose signature holds, and passes over those that lie before the first entry that is there. */
  async #advance(): Promise<void> {
    for (;;) {
      this.#next = null
      const step = await this.#notes?.next()
      if (step === undefined || step.done === true || step.value.torn) return
      const next = this.#checked(step.value.note)
      if (next.checkpoint.size >= this.#prunedTo) {
        this.#next = next
        if (next.checkpoint.size === 0 || next.checkpoint.size === this.#prunedTo) await this.#compare(CHECKPOINTS_FILE)
        return
      }
      const { anchor } = this.#options
      if (anchor?.size === next.checkpoint.size && anchor.root !== next.checkpoint.root)
        this.#fail('anchor_mismatch', CHECKPOINTS_FILE, 'The journal is not the one whose head was kept elsewhere.', 1)
      this.#checkpoints++
    }
  }

  #checked(note: string): UnprovenCheckpoint {
    const from = this.#provenTo + 1
    const unproven = parseCheckpoint(note)
    if (unproven === undefined) this.#fail('checkpoint_malformed', CHECKPOINTS_FILE, 'A checkpoint is malformed.', from)
    const { origin, size } = unproven.checkpoint
    this.#key ??= checkpointKey(origin, this.#options.publicKey)
    if (origin !== this.#key.origin)
      this.#fail('checkpoint_foreign', CHECKPOINTS_FILE, 'A checkpoint belongs to another journal.', from)
    if (!isSignedBy(unproven, this.#key)) {
      this.#fail(
        'checkpoint_foreign',
        CHECKPOINTS_FILE,
        `The checkpoint of ${size} entries is not signed by the key of this journal.`,
        from,
      )
    }
    if (size < this.#lastSize)
      this.#fail(
        'checkpoint_order',
        CHECKPOINTS_FILE,
        `The checkpoint of ${size} entries stands after a later one.`,
        from,
      )
    this.#lastSize = size
    return unproven
  }

  #end(file: string): void {
    const entries = this.#tree.size
    if (this.#next !== null) {
      this.#fail('truncated', file, `${this.#next.checkpoint.size} entries were signed, and ${entries} are there.`)
    }
    const { anchor } = this.#options
    if (anchor !== undefined && anchor.size > entries) {
      this.#fail('truncated', file, `A head of ${anchor.size} entries was kept elsewhere, and ${entries} are there.`)
    }
  }

  #fail(code: JournalProblemCode, file: string, detail: string, sequence = this.#tree.size + 1): never {
    throw new Found({ code, sequence, file, detail })
  }
}

/** The report in sentences, one a line, with what it does not say. */
export function describeReport(report: JournalReport): string[] {
  const { entries, problem, provenTo, tornTail } = report
  const lines = [`${entries} entries in ${report.segments} segments, ${report.checkpoints} checkpoints.`]
  if (problem !== null)
    lines.push(`First bad entry: ${problem.sequence} (${problem.file}, ${problem.code}). ${problem.detail}`)
  if (report.prunedTo > 0) lines.push(`Entries 1 to ${report.prunedTo} were pruned, proven by checkpoint.`)
  lines.push(`Proven up to ${provenTo}: these entries are exactly those that were signed.`)
  if (entries > provenTo) {
    lines.push(
      `Entries ${provenTo + 1} to ${entries} are chained but not signed: an accident would show, somebody who rewrote the end would not.`,
    )
  }
  if (tornTail !== null) lines.push(`The last line of ${tornTail.file} was never finished (${tornTail.bytes} bytes).`)
  lines.push('A journal cut back together with its checkpoints is found only by a head that was kept elsewhere.')
  return lines
}
