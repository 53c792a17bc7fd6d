import { Buffer } from 'node:buffer'
import { KeywardError } from '../core/errors.ts'
import { followsOn, MAX_LINE_BYTES } from './entry.ts'
import { digestToBase64, MerkleTree } from './merkle.ts'
import { CHECKPOINTS_FILE, segmentAt } from './segments.ts'
import { journalStart, parseStart, START_FILE } from './tree-file.ts'
import type { CheckpointKey } from './checkpoint.ts'

const NEWLINE = 0x0a
/** A journal's start file is a few lines. */
const START_MAXIMUM_BYTES = 64 * 1024

/**
 * Follows a journal that comes file by file, a piece at a time, without keeping it: each entry must follow on the one
 * before. With a key, where it begins must be signed by it. Throws `journal_damaged`.
 */
export function followChain(key: CheckpointKey | null) {
  let { segment, tree, head: previous } = { ...journalStart, tree: new MerkleTree() }
  let start: Buffer[] = []
  let startBytes = 0
  let rest: Buffer = Buffer.alloc(0)

  function entries(piece: Buffer): void {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    let from = 0
    for (let stop = bytes.indexOf(NEWLINE); stop >= 0; stop = bytes.indexOf(NEWLINE, from)) {
      const own = followsOn(bytes.subarray(from, stop), previous, tree.size + 1)
      if (own === null) throw damaged(`Entry ${tree.size + 1} is not as it was written.`)
      previous = own
      tree.append(own)
      from = stop + 1
    }
    rest = Buffer.from(bytes.subarray(from))
    if (rest.length > MAX_LINE_BYTES) throw damaged(`Entry ${tree.size + 1} is longer than any may be.`)
  }

  /** What a pruning left; once all of it is there. */
  function settleStart(): void {
    if (startBytes === 0) return
    const begun = parseStart(Buffer.concat(start).toString(), key)
    if (begun === undefined) throw damaged('Where it begins after a pruning is not signed.')
    ;({ tree, head: previous, segment } = begun)
    start = []
    startBytes = 0
  }

  return {
    begin(file: string): void {
      if (file === START_FILE && tree.size > 0) throw damaged('Where it begins comes after its entries.')
      if (file === START_FILE || file === CHECKPOINTS_FILE) return
      settleStart()
      if (rest.length > 0) throw damaged('A segment ends inside an entry.')
      if (file !== segmentAt('', segment).file) throw damaged(`Segment ${segment} is missing.`)
      segment += 1
    },
    piece(file: string, bytes: Buffer): void {
      if (file === CHECKPOINTS_FILE) return
      if (file !== START_FILE) return entries(bytes)
      start.push(bytes)
      startBytes += bytes.length
      if (startBytes > START_MAXIMUM_BYTES) throw damaged('Its start is too long.')
    },
    /** The head that all of it comes to; root in base64. */
    end(): { size: number; root: string } {
      settleStart()
      if (rest.length > 0) throw damaged('It ends inside an entry.')
      return { size: tree.size, root: digestToBase64(tree.root()) }
    },
  }
}

function damaged(detail: string): KeywardError {
  return new KeywardError('journal_damaged', detail)
}
