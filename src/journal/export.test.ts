import { Buffer } from 'node:buffer'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkpointKey, parseVerifierKey, verifierKeyOf } from './checkpoint.ts'
import { exportLines, OMITTED_HASHES_MAXIMUM } from './export.ts'
import type { ExportOptions } from './export.ts'
import { openJournal } from './journal.ts'
import { listSegments } from './segments.ts'
import { verifyExport } from './verify-export.ts'
import { verifyJournal } from './verify.ts'

const keys = generateKeyPairSync('ed25519')
const key = checkpointKey('keyward/n', keys.publicKey)
let home: string
let directory: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'keyward-export-'))
  directory = join(home, 'n')
})

afterEach(() => rmSync(home, { recursive: true }))

/** `count` entries at the times 1, 2, 3 …, every fifth a refusal, with a checkpoint after each `every`. */
async function write(count: number, every = 7): Promise<void> {
  let at = 0
  const journal = await openJournal({ directory, node: 'n', ...keys, now: () => at, segmentBytes: 4096 })
  for (at = 1; at <= count; at++) {
    await journal.append({ kind: at % 5 === 0 ? 'refusal' : 'intent', number: at })
    if (at % every === 0) await journal.checkpoint()
  }
  await journal.close()
}

async function exported(filter: ExportOptions['filter'] = {}, unverified = false): Promise<string> {
  const report = await verifyJournal({ directory, publicKey: keys.publicKey, origin: 'keyward/n' })
  const pieces: Buffer[] = []
  const options = { directory, publicKey: keys.publicKey, origin: 'keyward/n', report, filter, unverified }
  for await (const piece of exportLines(options)) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

async function check(text: string, by = key) {
  const path = join(home, 'export.jsonl')
  writeFileSync(path, text)
  return verifyExport(path, by)
}

const entriesOf = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('{"at":'))

it('the whole journal: its bytes, and a stranger with the key alone can prove all of them', async () => {
  await write(60)
  const text = await exported()
  const journal = (await listSegments(directory)).map(({ path }) => readFileSync(path, 'utf8')).join('')
  expect(`${entriesOf(text).join('\n')}\n`).toBe(journal)
  const stranger = parseVerifierKey(verifierKeyOf(key))
  if (stranger === undefined) throw new Error('the key does not read back')
  expect(await check(text, stranger)).toEqual({
    ok: true,
    origin: 'keyward/n',
    entries: 60,
    proven: 60,
    omitted: 0,
    problem: null,
  })
})

it('any span and kind: exactly the entries asked for, all of them proven', async () => {
  await write(60)
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 61 }),
      fc.integer({ min: 0, max: 61 }),
      fc.constantFrom(undefined, 'intent' as const, 'refusal' as const),
      async (since, until, kind) => {
        const text = await exported({ since, until, ...(kind === undefined ? {} : { kind }) })
        const numbers = entriesOf(text).map((line) => Number(JSON.parse(line).at))
        const wanted = Array.from({ length: 60 }, (_, index) => index + 1).filter(
          (at) => at >= since && at < until && (kind === undefined || (at % 5 === 0 ? 'refusal' : 'intent') === kind),
        )
        expect(numbers).toEqual(wanted)
        expect(await check(text)).toMatchObject({ ok: true, entries: wanted.length, proven: wanted.length })
      },
    ),
    { numRuns: 60 },
  )
})

it('sparse entries cost a range each and not the hashes of all that lies between', async () => {
  await write(60)
  const text = await exported({ since: 2, until: 3 })
  expect(text.split('\n').filter((line) => line.startsWith('{"omitted"'))).toHaveLength(1)
  expect(text).not.toContain('"sequence":50')
  expect(await check(text)).toMatchObject({ ok: true, entries: 1, proven: 1, omitted: 5 })
})

it('hashes that are left out never make a line longer than its bound', async () => {
  const journal = await openJournal({ directory, node: 'n', ...keys, now: () => 1 })
  const appended = [journal.append({ kind: 'refusal' })]
  for (let number = 2; number < 2 * OMITTED_HASHES_MAXIMUM; number++) appended.push(journal.append({ kind: 'intent' }))
  await Promise.all(appended)
  await journal.close()
  const text = await exported({ kind: 'refusal' })
  const omitted = text.split('\n').flatMap((line) => (line.startsWith('{"omitted"') ? [JSON.parse(line).omitted] : []))
  expect(omitted.map((hashes) => hashes.length)).toEqual([OMITTED_HASHES_MAXIMUM, OMITTED_HASHES_MAXIMUM - 2])
  expect(await check(text)).toMatchObject({ ok: true, entries: 1, proven: 1 })
})

it('another byte anywhere in an export is found', async () => {
  await write(20)
  const text = await exported({ since: 3, kind: 'refusal' })
  const bytes = Buffer.from(text)
  // The first line says what was asked for, which nothing can prove; all after it is bound.
  const from = bytes.indexOf(0x0a) + 1
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: from, max: bytes.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      async (place, change) => {
        const other = Buffer.from(bytes)
        other[place] = (other[place] ?? 0) ^ change
        const path = join(home, 'changed.jsonl')
        writeFileSync(path, other)
        const report = await verifyExport(path, key)
        const before = entriesOf(bytes.subarray(0, place).toString()).length
        if (report.ok) expect(sameMeaning(bytes, other, place), `byte ${place}`).toBe(true)
        else expect(report.proven).toBeLessThanOrEqual(before)
      },
    ),
    { numRuns: 300 },
  )
})

/** `end.verified` repeats the first line, and a member that no reader knows says nothing. */
function sameMeaning(bytes: Buffer, other: Buffer, place: number): boolean {
  const start = bytes.lastIndexOf(0x0a, place - 1) + 1
  return other.subarray(start).toString().includes('"entries"') && bytes.subarray(start).includes('{"end"')
}

it('cut off, of another key, or with an entry less: not sound', async () => {
  await write(20)
  const text = await exported()
  const lines = text.trimEnd().split('\n')
  const joined = (some: readonly string[]): string => `${some.join('\n')}\n`
  expect(await check(joined(lines.slice(0, -1)))).toMatchObject({ ok: false })
  expect(await check(joined(lines.toSpliced(4, 1)))).toMatchObject({ ok: false, problem: { line: 5 } })
  const other = checkpointKey('keyward/n', generateKeyPairSync('ed25519').publicKey)
  expect(await check(text, other)).toMatchObject({ ok: false, problem: { line: 1 } })
})

it('a journal that does not verify is not exported, unless asked, and then the output says so', async () => {
  await write(20)
  const [first] = await listSegments(directory)
  const path = first?.path ?? ''
  writeFileSync(path, readFileSync(path, 'utf8').replace('"number":4', '"number":9'))
  await expect(exported()).rejects.toMatchObject({
    code: 'journal_damaged',
    detail: expect.stringContaining('Entry 4'),
  })
  const text = await exported({}, true)
  expect(entriesOf(text)).toHaveLength(20)
  expect(JSON.parse(text.split('\n')[0] ?? '')).toMatchObject({ verified: false, problem: { sequence: 4 } })
  expect(await check(text)).toMatchObject({ ok: false, problem: { line: 1 } })
})

it('a verifier key whose id is not that of its key is none', () => {
  const text = verifierKeyOf(key)
  expect(parseVerifierKey(text.replace(/\+[0-9a-f]{8}\+/, '+00000000+'))).toBeUndefined()
  expect(parseVerifierKey(`${text}x`)).toBeUndefined()
})
