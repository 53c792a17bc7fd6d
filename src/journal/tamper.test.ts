import { Buffer } from 'node:buffer'
import { generateKeyPairSync } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openJournal } from './journal.ts'
import { CHECKPOINTS_FILE, listSegments } from './segments.ts'
import { verifyJournal } from './verify.ts'

const ENTRIES = 40
const keys = generateKeyPairSync('ed25519')
let home: string
let directory: string
/** The segments as they were written. */
let good: readonly { readonly path: string; readonly bytes: Buffer }[]

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'keyward-tamper-'))
  directory = join(home, 'n')
  const journal = await openJournal({ directory, node: 'n', ...keys, now: () => 1_790_000_000_000, segmentBytes: 2048 })
  for (let number = 1; number <= ENTRIES; number++) {
    await journal.append({ kind: 'intent', agent: `agent-${number % 7}`, number, path: '/v1/things/ä' })
    if (number % 6 === 0) await journal.checkpoint()
  }
  await journal.close()
  good = (await listSegments(directory)).map(({ path }) => ({ path, bytes: readFileSync(path) }))
  expect(good.length).toBeGreaterThan(3)
})

afterAll(() => rmSync(home, { recursive: true }))

type Change =
  | { readonly kind: 'flip'; readonly segment: number; readonly at: number; readonly bits: number }
  | { readonly kind: 'insert'; readonly segment: number; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'delete'; readonly segment: number; readonly at: number; readonly count: number }
  | { readonly kind: 'truncate'; readonly segment: number; readonly at: number }
  | {
      readonly kind: 'swap lines' | 'repeat line' | 'move line'
      readonly segment: number
      readonly at: number
      readonly other: number
    }
  | { readonly kind: 'swap segments'; readonly segment: number; readonly other: number }

const segment = fc.nat()
const at = fc.nat()
const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), segment, at, bits: fc.integer({ min: 1, max: 255 }) }),
  fc.record({
    kind: fc.constant('insert' as const),
    segment,
    at,
    bytes: fc.uint8Array({ minLength: 1, maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('insert' as const), segment, at, bytes: fc.constant(Buffer.from('\n')) }),
  fc.record({ kind: fc.constant('delete' as const), segment, at, count: fc.integer({ min: 1, max: 600 }) }),
  fc.record({ kind: fc.constant('truncate' as const), segment, at }),
  fc.record({
    kind: fc.constantFrom('swap lines' as const, 'repeat line' as const, 'move line' as const),
    segment,
    at,
    other: fc.nat(),
  }),
  fc.record({ kind: fc.constant('swap segments' as const), segment, other: fc.nat() }),
)

function changed(change: Change): Buffer[] {
  const all = good.map(({ bytes }) => Buffer.from(bytes))
  const index = change.segment % all.length
  const bytes = all[index] ?? Buffer.alloc(0)
  if (change.kind === 'swap segments') {
    const other = change.other % all.length
    all[index] = Buffer.from(all[other] ?? bytes)
    all[other] = bytes
    return all
  }
  const place = change.at % bytes.length
  switch (change.kind) {
    case 'flip':
      bytes[place] = (bytes[place] ?? 0) ^ change.bits
      return all
    case 'insert':
      all[index] = Buffer.concat([bytes.subarray(0, place), change.bytes, bytes.subarray(place)])
      return all
    case 'delete':
      all[index] = Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + change.count)])
      return all
    case 'truncate':
      all[index] = bytes.subarray(0, place)
      return all
  }
  const lines = bytes.toString('latin1').split(/(?<=\n)/)
  const one = change.at % lines.length
  const other = change.other % lines.length
  const line = lines[one] ?? ''
  if (change.kind === 'swap lines') {
    lines[one] = lines[other] ?? ''
    lines[other] = line
  } else {
    if (change.kind === 'move line') lines.splice(one, 1)
    lines.splice(other, 0, line)
  }
  all[index] = Buffer.from(lines.join(''), 'latin1')
  return all
}

/** The entry that holds the first byte that is another, or null where all entries are there and nothing follows but an unfinished line. */
function firstBad(all: readonly Buffer[]): number | null {
  let entry = 1
  for (const [index, { bytes }] of good.entries()) {
    const found = all[index] ?? Buffer.alloc(0)
    for (let place = 0; place < bytes.length; place++) {
      if (found[place] !== bytes[place]) return entry
      if (bytes[place] === 0x0a) entry++
    }
    const rest = found.subarray(bytes.length)
    if (rest.length === 0) continue
    return index === good.length - 1 && !rest.includes(0x0a) ? null : entry
  }
  return null
}

it('whatever is changed in the entries, exactly the first bad one is named', async () => {
  const copy = join(home, 'entries')
  cpSync(directory, copy, { recursive: true })
  await fc.assert(
    fc.asyncProperty(changes, async (change) => {
      const all = changed(change)
      for (const [index, { path }] of good.entries())
        writeFileSync(path.replace(directory, copy), all[index] ?? Buffer.alloc(0))
      const { problem } = await verifyJournal({ directory: copy, publicKey: keys.publicKey })
      expect(problem?.sequence ?? null, JSON.stringify(problem)).toBe(firstBad(all))
    }),
    { numRuns: 1500 },
  )
})

it('any byte of a checkpoint: the entries before it stay proven, and no others', async () => {
  const copy = join(home, 'checkpoints')
  cpSync(directory, copy, { recursive: true })
  const path = join(copy, CHECKPOINTS_FILE)
  const bytes = readFileSync(path)
  const notes = bytes.toString().split(/(?<=\n)(?=keyward)/)
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (place, bits) => {
      const other = Buffer.from(bytes)
      other[place] = (other[place] ?? 0) ^ bits
      writeFileSync(path, other)
      const report = await verifyJournal({ directory: copy, publicKey: keys.publicKey })
      let end = 0
      let proven = 0
      for (const note of notes) {
        end += Buffer.byteLength(note)
        if (end > place) break
        proven = Number(note.split('\n')[1])
      }
      // A last note that is not whole is what a sudden stop leaves; what it would have proven is not proven.
      if (report.ok) expect(place).toBeGreaterThanOrEqual(bytes.length - Buffer.byteLength(notes.at(-1) ?? ''))
      expect(report.provenTo).toBe(proven)
    }),
    { numRuns: 500 },
  )
})

it('a segment that is gone is named by its first entry', async () => {
  for (const [index, { path }] of good.entries()) {
    const copy = join(home, `gone-${index}`)
    cpSync(directory, copy, { recursive: true })
    rmSync(path.replace(directory, copy))
    const before = Buffer.concat(good.slice(0, index).map(({ bytes }) => bytes))
    const { problem } = await verifyJournal({ directory: copy, publicKey: keys.publicKey })
    expect(problem?.sequence).toBe(before.toString('latin1').split('\n').length)
  }
})
