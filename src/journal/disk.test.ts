import { execFile } from 'node:child_process'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import type { JsonWebKey } from 'node:crypto'
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JournalEvent } from './event.ts'
import { openJournal } from './journal.ts'
import type { Journal } from './journal.ts'
import { searchJournal } from './search.ts'
import { verifyJournal } from './verify.ts'

const keys = generateKeyPairSync('ed25519')
const DEADLINE = 300
let home: string
let directory: string
let segment: string
let control: string
let journal: Journal

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'keyward-journal-'))
  directory = join(home, 'journal')
  segment = join(directory, '00000001.jsonl')
  control = join(home, 'control')
  disk('ok')
  const filesModule = new URL(`./faulty-files.ts?control=${encodeURIComponent(control)}`, import.meta.url)
  journal = await openJournal({
    directory,
    node: 'n',
    ...keys,
    now: Date.now,
    deadlineMilliseconds: DEADLINE,
    filesModule,
  })
  await journal.append(intent(0), { sync: true })
})

afterEach(async () => {
  disk('ok')
  await journal.close()
  rmSync(home, { recursive: true })
})

/** Replaced in one step, since the worker reads it all the time. */
function disk(mood: string): void {
  writeFileSync(`${control}.new`, mood)
  renameSync(`${control}.new`, control)
}

const intent = (number: number): JournalEvent => ({ kind: 'intent', number })
const unwritable = { code: 'journal_unwritable' }

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const before = performance.now()
  await work()
  return performance.now() - before
}

async function recovered(): Promise<void> {
  await expect
    .poll(
      () =>
        journal.append(intent(99)).then(
          () => 'written',
          () => 'refused',
        ),
      { timeout: 5000 },
    )
    .toBe('written')
}

async function numbers(): Promise<unknown[]> {
  const found = []
  for await (const { event } of searchJournal({ directory, order: 'oldest', kind: 'intent' }))
    found.push(event['number'])
  return found
}

async function expectSound(): Promise<void> {
  await journal.checkpoint()
  expect(await verifyJournal({ directory, publicKey: keys.publicKey })).toMatchObject({
    ok: true,
    entries: journal.size,
    tornTail: null,
  })
}

describe('a disk that hangs', () => {
  it('refuses within the deadline, then at once, and never holds up the event loop', async () => {
    disk('hang')
    let longest = 0
    let last = performance.now()
    const heart = setInterval(() => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
    }, 5)
    const waited = await milliseconds(() => expect(journal.append(intent(1))).rejects.toMatchObject(unwritable))
    expect(waited).toBeGreaterThan(DEADLINE * 0.9)
    expect(waited).toBeLessThan(DEADLINE + 500)
    const refused = await milliseconds(async () => {
      for (let number = 2; number < 50; number++)
        await expect(journal.append(intent(number))).rejects.toMatchObject(unwritable)
    })
    expect(refused).toBeLessThan(DEADLINE)
    clearInterval(heart)
    expect(longest).toBeLessThan(DEADLINE)
  })

  it('recovers when the disk does, and says which entries came late', async () => {
    disk('hang')
    await expect(journal.append(intent(1))).rejects.toMatchObject(unwritable)
    await expect(journal.append(intent(2))).rejects.toMatchObject(unwritable)
    disk('ok')
    await recovered()
    expect((await numbers()).slice(0, 3)).toEqual([0, 1, 99])
    await journal.checkpoint()
    const late = []
    for await (const { event } of searchJournal({ directory, kind: 'finding' })) late.push(event)
    expect(late).toEqual([{ kind: 'finding', finding: 'journal_late', first: 2, last: 2 }])
    await expectSound()
  })

  it('that takes bytes but never syncs them is refused as well', async () => {
    disk('sync hang')
    await journal.append(intent(1))
    await expect(journal.append(intent(2), { sync: true })).rejects.toMatchObject(unwritable)
    await expect(journal.append(intent(3))).rejects.toMatchObject(unwritable)
    disk('ok')
    await recovered()
    await expectSound()
  })

  it('does not hold up the closing', async () => {
    disk('hang')
    const pending = expect(journal.append(intent(1))).rejects.toMatchObject(unwritable)
    expect(await milliseconds(() => journal.close())).toBeLessThan(DEADLINE * 2 + 500)
    await pending
  })
})

describe('a disk that fails', () => {
  it('refuses with the reason, keeps nothing of what it refused, and recovers', async () => {
    disk('write EIO')
    await expect(journal.append(intent(1))).rejects.toMatchObject({ ...unwritable, detail: 'The disk answers EIO.' })
    expect(await milliseconds(() => expect(journal.append(intent(2))).rejects.toMatchObject(unwritable))).toBeLessThan(
      100,
    )
    disk('ok')
    await recovered()
    expect(await numbers()).toEqual([0, 99])
    await expectSound()
  })

  it('cuts a short write back to whole lines', async () => {
    disk('half ENOSPC')
    await expect(journal.append(intent(1))).rejects.toMatchObject({ ...unwritable, detail: 'The disk answers ENOSPC.' })
    expect(readFileSync(segment, 'utf8')).toMatch(/"sequence":1\}\n$/)
    disk('ok')
    await recovered()
    expect(await numbers()).toEqual([0, 99])
    await expectSound()
  })

  it('that cannot sync refuses, then writes again what it may have lost', async () => {
    disk('sync EIO')
    await expect(journal.append(intent(1), { sync: true })).rejects.toMatchObject(unwritable)
    disk('ok')
    await recovered()
    expect(await numbers()).toEqual([0, 1, 99])
    await expectSound()
  })
})

describe('a segment that somebody touches', () => {
  const touches: Record<string, () => void> = {
    unlinked: () => unlinkSync(segment),
    truncated: () => truncateSync(segment, 10),
    'appended to': () => appendFileSync(segment, 'x'),
    replaced: () => {
      copyFileSync(segment, `${segment}.copy`)
      renameSync(`${segment}.copy`, segment)
    },
  }
  for (const [name, touch] of Object.entries(touches)) {
    it(`is noticed when ${name}, and nothing is acknowledged any more`, async () => {
      touch()
      await expect(journal.append(intent(1), { sync: true })).rejects.toMatchObject(unwritable)
      await expect
        .poll(
          () =>
            journal.append(intent(2)).then(
              () => 'written',
              (error: unknown) => String(error),
            ),
          { timeout: 2000, interval: 100 },
        )
        .toMatch(/unlinked|changed|replaced/)
    })
  }
})

describe('a full disk', () => {
  it('refuses, and every acknowledged entry is there', async () => {
    const place = join(home, 'full')
    const program = `
      import { generateKeyPairSync } from 'node:crypto'
      import { openJournal } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'journal.ts')).href)}
      const keys = generateKeyPairSync('ed25519')
      const journal = await openJournal({ directory: process.argv[1], node: 'n', ...keys, now: Date.now })
      const ends = await Promise.allSettled(Array.from({ length: 40 }, async (_, client) => {
        for (let number = 0; number < 50; number++) await journal.append({ kind: 'intent', client, number })
      }))
      const codes = ends.map((end) => end.reason?.code)
      await journal.close()
      console.log(JSON.stringify({ size: journal.size, codes, publicKey: keys.publicKey.export({ format: 'jwk' }) }))`
    const command = 'ulimit -f 100 && exec "$0" --input-type=module -e "$1" "$2"'
    const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, program, place])
    const { size, codes, publicKey }: { size: number; codes: string[]; publicKey: JsonWebKey } = JSON.parse(stdout)
    expect(size).toBeGreaterThan(0)
    expect(size).toBeLessThan(2000)
    expect(new Set(codes)).toEqual(new Set(['journal_unwritable']))
    const report = await verifyJournal({
      directory: place,
      publicKey: createPublicKey({ key: publicKey, format: 'jwk' }),
    })
    expect(report).toMatchObject({ ok: true, entries: size, tornTail: null })
  })
})
