import { followsOn } from './entry.ts'
import { nodeDigest } from './merkle.ts'
import type { Digest } from './merkle.ts'
import { listSegments, readLines } from './segments.ts'
import { journalStart, readStartFile, readTreeFile } from './tree-file.ts'
import type { CheckpointKey } from './checkpoint.ts'

/**
 * The Merkle consistency proof of RFC 6962, section 2.1.2, between the trees of `from` and of `to` entries, read from
 * the segments in one pass. Undefined where it cannot be made: what was pruned is needed for it, or the journal
 * has not so many entries. Empty where `from` is 0 or `to`.
 */
export async function consistencyProof(
  directory: string,
  key: CheckpointKey,
  from: number,
  to: number,
): Promise<Digest[] | undefined> {
  if (from === 0 || from === to) return []
  if (from > to) return undefined
  const wanted = rangesOf(from, to).map((range) => ({ ...range, peaks: new Map<number, Digest>() }))
  // The newest start that lies before both trees: its peaks are parts of what the proof asks for.
  const newest = readTreeFile(directory, key)
  const base =
    newest !== undefined && newest.tree.size <= from ? newest : (readStartFile(directory, key) ?? journalStart)
  if (base.tree.size > 0) fill(wanted, base.tree.size, base.tree.peaks)
  let { head } = base
  let size = base.tree.size
  for (const { number, path } of await listSegments(directory)) {
    if (number < base.segment || size >= to) continue
    for await (const { lines } of readLines(path)) {
      for (const line of lines) {
        if (size >= to) break
        const leaf = followsOn(line, head, size + 1)
        if (leaf === null) return undefined
        head = leaf
        for (const range of wanted) if (size >= range.begin && size < range.end) add(range.peaks, 1, leaf)
        size += 1
      }
    }
  }
  if (size < to) return undefined
  const proof: Digest[] = []
  for (const range of wanted) {
    const root = rootOf(range)
    if (root === undefined) return undefined
    proof.push(root)
  }
  return proof
}

interface Range {
  readonly begin: number
  readonly end: number
}

/** The subtrees of which the proof consists, in its order: PROOF(m, D[n]) of the RFC with the ranges instead of the roots. */
function rangesOf(from: number, to: number): Range[] {
  const ranges: Range[] = []
  let [begin, end] = [0, to]
  let whole = true
  const upper: Range[] = []
  while (from !== end) {
    const split = begin + largestPowerBelow(end - begin)
    if (from <= split) {
      upper.push({ begin: split, end })
      end = split
    } else {
      upper.push({ begin, end: split })
      begin = split
      whole = false
    }
  }
  if (!whole) ranges.push({ begin, end })
  return [...ranges, ...upper.toReversed()]
}

function largestPowerBelow(size: number): number {
  let power = 1
  while (power * 2 < size) power *= 2
  return power
}

/** Adds the root of a complete subtree of `size` leaves behind the others, and joins what has become complete. */
function add(peaks: Map<number, Digest>, size: number, digest: Digest): void {
  let [width, root] = [size, digest]
  for (let left = peaks.get(width); left !== undefined; left = peaks.get(width)) {
    peaks.delete(width)
    root = nodeDigest(left, root)
    width *= 2
  }
  peaks.set(width, root)
}

/** Of what was pruned the roots of the complete subtrees are known: they serve where a range consists of them. */
function fill(
  wanted: readonly (Range & { peaks: Map<number, Digest> })[],
  size: number,
  peaks: readonly Digest[],
): void {
  let begin = 0
  let rest = size
  for (const peak of peaks) {
    const width = 2 ** Math.floor(Math.log2(rest))
    for (const range of wanted) if (begin >= range.begin && begin + width <= range.end) add(range.peaks, width, peak)
    begin += width
    rest -= width
  }
}

function rootOf({ begin, end, peaks }: Range & { peaks: Map<number, Digest> }): Digest | undefined {
  let known = 0
  for (const width of peaks.keys()) known += width
  if (known !== end - begin) return undefined
  let root: Digest | undefined
  for (const [, digest] of [...peaks].toSorted(([a], [b]) => a - b))
    root = root === undefined ? digest : nodeDigest(digest, root)
  return root
}
