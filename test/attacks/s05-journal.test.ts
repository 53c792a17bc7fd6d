import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { verifyJournal } from '../../src/journal/verify.ts'
import { attack, inside } from './attack.ts'
import { makeHome } from './home.ts'

const home = makeHome()
const kept = `${home.home}.journal`
let publicKey: KeyObject
let anchor: { size: number; root: string }
const ENTRIES = 40

beforeAll(async () => {
  const app = await home.open()
  publicKey = app.vault.journalKey().publicKey
  for (let count = 0; count < ENTRIES; count += 1) await app.journal.append({ kind: 'intent', count })
  await app.close()
  cpSync(home.journal, kept, { recursive: true })
  const whole = await verify()
  expect(whole).toMatchObject({ ok: true })
  anchor = { size: whole.entries, root: whole.root }
})
afterAll(() => home.remove())

const verify = (more: object = {}) => verifyJournal({ directory: home.journal, publicKey, ...more })
const segment = join(home.journal, '00000001.jsonl')

/** Puts the journal back, lets the intruder work on its lines, and verifies. */
async function after(work: (lines: string[]) => string[], more: object = {}) {
  rmSync(home.journal, { recursive: true, force: true })
  cpSync(kept, home.journal, { recursive: true })
  const lines = readFileSync(segment, 'utf8').split('\n').slice(0, -1)
  writeFileSync(
    segment,
    work(lines)
      .map((line) => `${line}\n`)
      .join(''),
  )
  return verify(more)
}

const places = [0, 1, Math.floor(ENTRIES / 2), ENTRIES - 1]

attack('S5', 'an entry edited is found where it stands', inside, async () => {
  for (const at of places) {
    const report = await after((lines) =>
      lines.with(at, (lines[at] ?? '').replace(/"count":\d+|"kind":"\w+"/, '"kind":"outcome"')),
    )
    expect(report.ok, String(at)).toBe(false)
    expect(report.problem?.sequence, String(at)).toBe(at + 1)
  }
})

attack('S5', 'an entry deleted, repeated or exchanged with the next', inside, async () => {
  for (const at of places) {
    const deleted = await after((lines) => lines.toSpliced(at, 1))
    expect([deleted.ok, deleted.problem?.sequence], `deleted ${at}`).toEqual([false, at + 1])
    const repeated = await after((lines) => lines.toSpliced(at, 0, lines[at] ?? ''))
    expect([repeated.ok, repeated.problem?.sequence], `repeated ${at}`).toEqual([false, at + 2])
    const exchanged = await after((lines) => lines.toSpliced(at, 2, lines[at + 1] ?? '', lines[at] ?? ''))
    expect([exchanged.ok, exchanged.problem?.sequence], `exchanged ${at}`).toEqual([false, at + 1])
  }
})

attack('S5', 'the end cut off, by entries, within one, or together with what was signed about it', inside, async () => {
  const cut = await after((lines) => lines.slice(0, -5))
  expect(cut).toMatchObject({ ok: false, problem: { code: 'truncated' } })
  // Whoever takes the checkpoints as well is found by the head that the store has kept.
  const both = await after(
    (lines) => {
      const path = join(home.journal, 'checkpoints')
      const notes = readFileSync(path, 'utf8')
      writeFileSync(path, notes.slice(0, notes.indexOf('\n\n', notes.indexOf('\n\n') + 2) + 2))
      return lines.slice(0, 5)
    },
    { anchor },
  )
  expect(both.ok).toBe(false)
})

attack('S5', 'a home whose journal was cut is not served', inside, async () => {
  await after((lines) => lines.slice(0, -5))
  expect(await home.refusal()).toBe('journal_damaged')
  rmSync(home.journal, { recursive: true, force: true })
  expect(['journal_rolled_back', 'store_rolled_back']).toContain(await home.refusal())
})
