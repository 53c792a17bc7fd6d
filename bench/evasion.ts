import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { needlesOf } from '../src/core/needles.ts'
import type { NeedleSet } from '../src/core/needles.ts'
import { createScrubber } from '../src/core/scrub.ts'

/**
 * Measures scrubbing against a corpus of disguised secrets: `node bench/evasion.ts CORPUS.jsonl.gz`. Each line
 * has `kind`, `chunking`, `text`, `chunks`, and `secret` (null: nothing may be found). Every text is scrubbed
 * as it is chunked, whole, byte by byte, and in two pieces cut at every offset; the outputs must be the same.
 */

interface Sample {
  readonly kind: string
  readonly secret: string | null
  readonly text: string
  readonly chunks: readonly string[]
}

interface Tally {
  samples: number
  found: number
  chunkingMatters: number
  left: number
  longest: number
}

function scrubbed(needles: NeedleSet, pieces: readonly Uint8Array[]): { text: string; hits: number } {
  const scrubber = createScrubber(needles)
  const out = pieces.flatMap((piece) => scrubber.push(piece))
  return { text: Buffer.concat([...out, ...scrubber.end()]).toString('latin1'), hits: scrubber.hits }
}

function letters(text: string): string {
  return text.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
}

/** Length of the longest run of letters that both have. */
function shared(one: string, two: string): number {
  let longest = 0
  let before = new Uint16Array(two.length + 1)
  for (const letter of one) {
    const now = new Uint16Array(two.length + 1)
    for (let i = 0; i < two.length; i++) {
      if (two[i] !== letter) continue
      now[i + 1] = (before[i] ?? 0) + 1
      longest = Math.max(longest, now[i + 1] ?? 0)
    }
    before = now
  }
  return longest
}

/** The readings of an output that somebody would try who looks for the secret, apart from the code under test. */
function readings(text: string): string[] {
  const utf8 = Buffer.from(text, 'latin1').toString()
  // oxlint-disable-next-line no-control-regex -- the sequences of terminals are what is taken out
  const bare = utf8.replaceAll(/\u001b\[[0-9;]*[A-Za-z]/g, '').normalize('NFKC')
  const unescaped = bare
    .replaceAll(/\\u([0-9a-f]{4})|\\x([0-9a-f]{2})|%([0-9a-f]{2})/gi, (_, a, b, c) =>
      String.fromCharCode(parseInt(a ?? b ?? c, 16)),
    )
    .replaceAll(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)))
    .replaceAll(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
  const numbers = [...bare.matchAll(/\d{2,3}/g)].map(([code]) => String.fromCharCode(Number(code))).join('')
  const rot13 = bare.replaceAll(/[a-z]/gi, (c) =>
    String.fromCharCode(c.charCodeAt(0) + (c.toLowerCase() < 'n' ? 13 : -13)),
  )
  const packed = bare.replaceAll(/[^A-Za-z0-9+/_-]/g, '')
  const decoded = [0, 1, 2, 3].flatMap((shift) => {
    const once = Buffer.from(packed.slice(shift), 'base64').toString('latin1')
    return [once, Buffer.from(once.replaceAll(/[^A-Za-z0-9+/_-]/g, ''), 'base64').toString('latin1')]
  })
  const hexadecimal = [0, 1].map((shift) =>
    Buffer.from(
      letters(bare)
        .replaceAll(/[^0-9a-f]/g, '')
        .slice(shift),
      'hex',
    ).toString('latin1'),
  )
  const inflated = [...bare.matchAll(/H4sI[A-Za-z0-9+/=]+/g)].flatMap(([run]) => {
    try {
      return [gunzipSync(Buffer.from(run, 'base64')).toString('latin1')]
    } catch {
      return []
    }
  })
  return [
    bare,
    unescaped,
    numbers,
    rot13,
    [...bare].toReversed().join(''),
    ...decoded,
    ...hexadecimal,
    ...inflated,
  ].map(letters)
}

const samples: Sample[] = gunzipSync(readFileSync(process.argv[2] ?? ''))
  .toString()
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line))
const values = [...new Set(samples.flatMap(({ secret }) => (secret === null ? [] : [secret])))]
const needles = needlesOf(
  values.map((value, i) => ({ name: `k${i}`, value: Buffer.from(value), replacement: `[keyward:k${i}]` })),
)
const tallies = new Map<string, Tally>()
let falsePositives = 0
let benign = 0
for (const { kind, secret, text, chunks } of samples) {
  const bytes = Buffer.from(text)
  const whole = scrubbed(needles, [bytes])
  if (secret === null) {
    benign++
    if (whole.hits > 0) falsePositives++
    continue
  }
  const tally = tallies.get(kind) ?? { samples: 0, found: 0, chunkingMatters: 0, left: 0, longest: 0 }
  tallies.set(kind, tally)
  tally.samples++
  if (whole.hits > 0) tally.found++
  const ways = [chunks.map((chunk) => Buffer.from(chunk)), Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))]
  for (let cut = 1; cut < bytes.length; cut++) ways.push([bytes.subarray(0, cut), bytes.subarray(cut)])
  if (ways.some((way) => scrubbed(needles, way).text !== whole.text)) tally.chunkingMatters++
  const most = Math.max(...readings(whole.text).map((reading) => shared(reading, letters(secret))))
  tally.longest = Math.max(tally.longest, most)
  if (most >= letters(secret).length / 3) tally.left++
}
for (const [kind, tally] of tallies)
  console.log(
    `${kind.padEnd(18)} ${tally.found}/${tally.samples} found, ${tally.chunkingMatters} depend on chunking, ${tally.left} with a third of the secret left, longest rest ${tally.longest}`,
  )
console.log(`nothing to find: ${falsePositives}/${benign} changed`)
