import { createHash, createSecretKey, randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { backupName, parseBackupName } from '../../vault/backup/backup-name.ts'
import type { NamedBackup } from '../../vault/backup/backup-name.ts'
import { candidatesIn, retain } from './retention.ts'

const root = mkdtempSync(join(tmpdir(), 'keyward-backup-retention-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const key = createSecretKey(randomBytes(32))
const DAY = 86_400_000
const now = Date.UTC(2026, 10, 27)
let made = 0

/** A folder with one backup for each age in days; those in `damaged` are not what their name says. */
function folderWith(ages: readonly number[], damaged: readonly number[] = []) {
  const folder = join(root, String((made += 1)))
  mkdirSync(folder)
  const names = ages.map((age, index) => {
    const content = `backup ${made} ${index}`
    const sha256 = createHash('sha256').update(content).digest('hex')
    const name = backupName(key, 'store', { madeAt: now - age * DAY, epoch: 1 + index, sha256 })
    writeFileSync(join(folder, name), damaged.includes(age) ? 'something else' : content)
    return name
  })
  const known = (): NamedBackup[] => candidatesIn(folder).flatMap((name) => parseBackupName(key, 'store', name) ?? [])
  return { folder, names, known }
}

test('the newest whole ones stay, and what is older goes', async () => {
  const { folder, names, known } = folderWith([0, 1, 2, 3, 4])
  const { removed, kept } = await retain(folder, known(), { keep: 2, keepMilliseconds: null }, now)
  expect(kept.map(({ name }) => name)).toEqual(names.slice(0, 2))
  expect(removed.toSorted()).toEqual(names.slice(2).toSorted())
  expect(readdirSync(folder).toSorted()).toEqual(names.slice(0, 2).toSorted())
})

test('a damaged one does not count, and is told and left', async () => {
  const { folder, names, known } = folderWith([0, 1, 2, 3], [0, 1])
  const { removed, damaged, kept } = await retain(folder, known(), { keep: 1, keepMilliseconds: null }, now)
  expect(kept.map(({ name }) => name)).toEqual([names[2]])
  expect(damaged).toEqual(names.slice(0, 2))
  expect(removed).toEqual([names[3]])
})

test('by age, and the newest whole one stays however old it is', async () => {
  const { folder, names, known } = folderWith([100, 200])
  const { removed } = await retain(folder, known(), { keep: null, keepMilliseconds: 90 * DAY }, now)
  expect(removed).toEqual([names[1]])
  const mixed = folderWith([1, 50, 100])
  const both = await retain(mixed.folder, mixed.known(), { keep: 1, keepMilliseconds: 90 * DAY }, now)
  expect(both.removed).toEqual([mixed.names[2]])
})

test('whatever is asked for, a whole one stays where there was one', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat({ max: 400 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.nat({ max: 400 }), { maxLength: 3 }),
      fc.option(fc.integer({ min: 0, max: 4 })),
      fc.option(fc.nat({ max: 400 })),
      async (ages, damagedAges, keep, days) => {
        const { folder, known } = folderWith(ages, damagedAges)
        const whole = ages.filter((age) => !damagedAges.includes(age)).toSorted((a, b) => a - b)
        await retain(folder, known(), { keep, keepMilliseconds: days === null ? null : days * DAY }, now)
        const left = known().filter(
          ({ name, sha256 }) =>
            createHash('sha256')
              .update(readFileSync(join(folder, name)))
              .digest('hex') === sha256,
        )
        const agesLeft = left.map(({ madeAt }) => (now - madeAt) / DAY)
        if (whole[0] !== undefined) expect(agesLeft).toContain(whole[0])
        for (const age of whole.slice(0, keep ?? 0)) expect(agesLeft).toContain(age)
        for (const age of whole) if (days !== null && age < days) expect(agesLeft).toContain(age)
      },
    ),
    { numRuns: 60 },
  )
})

test('files that are not ours, links, and folders are not touched', async () => {
  const { folder, names, known } = folderWith([0, 1])
  const outside = join(root, 'outside')
  writeFileSync(outside, 'precious')
  const [, old = ''] = names
  const stranger = old.replace(/-[0-9a-f]{32}\.age$/, `-${'a'.repeat(32)}.age`)
  writeFileSync(join(folder, stranger), 'a stranger')
  const otherStore = backupName(key, 'another store', { madeAt: now - 9 * DAY, epoch: 1, sha256: 'b'.repeat(64) })
  writeFileSync(join(folder, otherStore), 'of another store')
  const link = backupName(key, 'store', { madeAt: now - 9 * DAY, epoch: 1, sha256: 'c'.repeat(64) })
  symlinkSync(outside, join(folder, link))
  const directory = backupName(key, 'store', { madeAt: now - 9 * DAY, epoch: 2, sha256: 'd'.repeat(64) })
  mkdirSync(join(folder, directory))
  writeFileSync(join(folder, 'notes.txt'), 'notes')
  const { removed } = await retain(folder, known(), { keep: 1, keepMilliseconds: null }, now)
  expect(removed).toEqual([old])
  for (const name of [stranger, otherStore, link, directory, 'notes.txt'])
    expect(existsSync(join(folder, name)), name).toBe(true)
  expect(readFileSync(outside, 'utf8')).toBe('precious')
})

test('a name says what it was given, and no other is taken', () => {
  const name = backupName(key, 'store', { madeAt: now, epoch: 7, sha256: 'e'.repeat(64) })
  expect(parseBackupName(key, 'store', name)).toEqual({ name, madeAt: now, epoch: 7, sha256: 'e'.repeat(64) })
  for (const other of [
    `x${name}`,
    `../${name}`,
    name.replace('-7-', '-8-'),
    name.replace('ee', 'ef'),
    name.replace('.age', '.age.age'),
    name.toUpperCase(),
  ])
    expect(parseBackupName(key, 'store', other), other).toBeUndefined()
})
