import { generateKeyPairSync } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openJournal } from './journal.ts'
import { applyPruning, finishPruning, planPruning } from './prune.ts'
import type { PrunePlan } from './prune.ts'
import { listSegments } from './segments.ts'
import { verifyJournal } from './verify.ts'

const keys = generateKeyPairSync('ed25519')
const origin = 'keyward/n'
let home: string
let directory: string

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'keyward-prune-'))
  directory = join(home, 'n')
  await write(1, 100)
})

afterEach(() => rmSync(home, { recursive: true }))

/** Entries at the times `from` to `to`, a few in each segment. */
async function write(from: number, to: number): Promise<void> {
  let at = from
  const journal = await openJournal({ directory, node: 'n', ...keys, now: () => at, segmentBytes: 2048 })
  for (; at <= to; at++) await journal.append({ kind: 'intent', number: at })
  await journal.close()
}

const verify = (more: { prunedTo?: number; anchor?: { size: number; root: string } } = {}) =>
  verifyJournal({ directory, publicKey: keys.publicKey, origin, ...more })
const plan = (before: number, known: { size: number } | null = { size: 1_000_000 }) =>
  planPruning({ directory, publicKey: keys.publicKey, origin, before, known })

async function planned(before: number): Promise<PrunePlan> {
  const found = await plan(before)
  if (found === null) throw new Error('nothing to prune')
  return found
}

const numbersLeft = async (): Promise<number[]> => (await listSegments(directory)).map(({ number }) => number)

it('removes whole old segments; what is left verifies, and says what was removed', async () => {
  const before = await verify()
  const pruning = await planned(60)
  await applyPruning(directory, pruning)
  expect(pruning.last).toBeLessThan(60)
  expect(pruning.last).toBeGreaterThan(30)
  expect((await numbersLeft())[0]).toBe(pruning.segments + 1)
  const after = await verify({ prunedTo: pruning.last })
  expect(after).toMatchObject({ ok: true, entries: 100, provenTo: 100, prunedTo: pruning.last, root: before.root })
  expect(after.firstAt).toBe(pruning.last + 1)
})

it('what is left goes on: it is opened, grows, is pruned again, and keeps its heads', async () => {
  const head = await verify()
  await applyPruning(directory, await planned(40))
  await write(101, 200)
  const again = await planned(150)
  expect(again.first).toBeLessThanOrEqual(40)
  await applyPruning(directory, again)
  await write(201, 210)
  const anchor = { size: 100, root: head.root }
  expect(await verify({ anchor, prunedTo: again.last })).toMatchObject({ ok: true, entries: 210, prunedTo: again.last })
  const other = { size: 100, root: `${'A'.repeat(43)}=` }
  expect(await verify({ anchor: other })).toMatchObject({ ok: false, problem: { code: 'anchor_mismatch' } })
  rmSync(join(directory, 'tree'))
  await write(211, 212)
  expect(await verify()).toMatchObject({ ok: true, entries: 212 })
})

it('stopped after any step, the journal verifies, opens and goes on, and the next pruning ends the work', async () => {
  const pruning = await planned(60)
  const steps: string[] = []
  const copy = join(home, 'copy')
  cpSync(directory, copy, { recursive: true })
  await applyPruning(directory, pruning, (name) => steps.push(name))
  expect(steps).toEqual([
    'start',
    ...readdirSync(copy)
      .filter((name) => name.endsWith('.jsonl'))
      .slice(0, pruning.segments),
    'synced',
  ])
  for (let stop = 0; stop < steps.length; stop++) {
    rmSync(directory, { recursive: true })
    cpSync(copy, directory, { recursive: true })
    let done = 0
    const crash = applyPruning(directory, pruning, () => {
      if (done++ === stop) throw new Error('crash')
    })
    await expect(crash, steps[stop]).rejects.toThrow('crash')
    expect(await verify({ prunedTo: pruning.last }), steps[stop]).toMatchObject({ ok: true, entries: 100 })
    await write(101, 103)
    expect(await verify({ prunedTo: pruning.last }), steps[stop]).toMatchObject({
      ok: true,
      entries: 103,
      provenTo: 103,
    })
    await finishPruning({ directory, publicKey: keys.publicKey, origin })
    expect((await numbersLeft())[0], steps[stop]).toBe(pruning.segments + 1)
    expect(await verify({ prunedTo: pruning.last }), steps[stop]).toMatchObject({ ok: true, entries: 103 })
  }
})

it('a new beginning that was never finished is not there', async () => {
  writeFileSync(join(directory, 'start.new'), '{"head":')
  expect(await verify()).toMatchObject({ ok: true, prunedTo: 0 })
  await write(101, 101)
})

it('never the newest segment, and none of which an entry is not old enough, even where the clock stepped back', async () => {
  expect((await planned(1_000_000)).start.segment).toBe((await numbersLeft()).at(-1))
  expect(await plan(1)).toBeNull()
  await write(5, 60)
  expect((await planned(90)).last).toBeLessThan(90)
})

it('refuses what no checkpoint covers, and what the head that is kept elsewhere does not know', async () => {
  const { last } = await planned(60)
  await expect(plan(60, null)).rejects.toMatchObject({ code: 'prune_refused' })
  await expect(plan(60, { size: last - 1 })).rejects.toMatchObject({ code: 'prune_refused' })
  expect(await plan(60, { size: last })).not.toBeNull()
  const path = join(directory, 'checkpoints')
  const notes = readFileSync(path, 'utf8').split(/(?<=\n)(?=keyward)/)
  writeFileSync(path, notes.filter((note) => note.split('\n')[1] !== String(last)).join(''))
  await expect(plan(60)).rejects.toMatchObject({ code: 'prune_refused' })
})

it('refuses to prune what is damaged', async () => {
  const path = join(directory, '00000001.jsonl')
  writeFileSync(path, readFileSync(path, 'utf8').replace('"number":2', '"number":3'))
  await expect(plan(60)).rejects.toMatchObject({ code: 'journal_damaged' })
})

it('segments that somebody else took away are missing, whatever he writes as a beginning', async () => {
  const pruning = await planned(60)
  await applyPruning(directory, pruning)
  // Whoever can read the journal can make a true beginning; the store knows that nobody pruned so far.
  expect(await verify({ prunedTo: 0 })).toMatchObject({ ok: false, problem: { code: 'segment_missing', sequence: 1 } })
  const start = join(directory, 'start')
  const text = readFileSync(start, 'utf8')
  writeFileSync(
    start,
    text.replace(/"peaks":\["./, (found) => `${found.slice(0, -1)}${found.endsWith('A') ? 'B' : 'A'}`),
  )
  expect(await verify()).toMatchObject({ ok: false, problem: { code: 'segment_missing', sequence: 1 } })
  await expect(write(101, 101)).rejects.toMatchObject({ code: 'journal_damaged' })
  writeFileSync(start, text)
  unlinkSync(join(directory, `0000000${pruning.segments + 1}.jsonl`))
  expect(existsSync(start)).toBe(true)
  expect(await verify()).toMatchObject({ ok: false, problem: { code: 'segment_missing' } })
})
