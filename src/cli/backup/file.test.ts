import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { KeywardError } from '../../core/errors.ts'
import { targetOf, writeBeside } from './file.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-backup-file-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const never = new AbortController().signal

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof KeywardError ? error.code : String(error)),
  )
const target = (to?: string): Promise<string> => codeOf((async () => targetOf(folder, to))())

async function* pieces(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text)
}

test('a target is a new file or a folder, and nothing else', async () => {
  writeFileSync(join(folder, 'there'), 'x')
  mkdirSync(join(folder, 'sub'))
  symlinkSync(join(folder, 'sub'), join(folder, 'link'))
  symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'))
  expect(targetOf(folder, 'sub')).toEqual({ folder: join(folder, 'sub'), file: null })
  expect(targetOf(folder, undefined)).toEqual({ folder, file: null })
  expect(targetOf(folder, 'new.age')).toEqual({ folder, file: join(folder, 'new.age') })
  for (const to of [
    'there',
    'link',
    'dangling',
    'link/new.age',
    '/dev/null',
    '/dev/full',
    'missing/new.age',
    'missing/',
  ])
    expect(await target(to), to).toBe('backup_target')
})

test('what is written is private, whole and under its name at once; nothing takes the place of another file', async () => {
  const place = join(folder, 'written')
  mkdirSync(place)
  const written = await writeBeside(place, pieces('one', 'two'), never)
  expect(readdirSync(place)).toEqual([expect.stringMatching(/^\.keyward-backup-.*\.partial$/)])
  await written.publish(join(place, 'a.age'))
  expect(readdirSync(place)).toEqual(['a.age'])
  expect(readFileSync(join(place, 'a.age'), 'utf8')).toBe('onetwo')
  expect(statSync(join(place, 'a.age')).mode & 0o777).toBe(0o600)
  const again = await writeBeside(place, pieces('three'), never)
  expect(await codeOf(again.publish(join(place, 'a.age')))).toBe('backup_target')
  await again.discard()
  expect(readdirSync(place)).toEqual(['a.age'])
  expect(readFileSync(join(place, 'a.age'), 'utf8')).toBe('onetwo')
})

test('what breaks off leaves nothing', async () => {
  const place = join(folder, 'broken')
  mkdirSync(place)
  async function* breaking(): AsyncGenerator<Buffer> {
    yield Buffer.from('one')
    throw new KeywardError('server_unreachable')
  }
  async function* full(): AsyncGenerator<Buffer> {
    yield Buffer.from('one')
    throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
  }
  expect(await codeOf(writeBeside(place, breaking(), never))).toBe('server_unreachable')
  expect(await codeOf(writeBeside(place, full(), never))).toBe('backup_unwritten')
  expect(
    await codeOf(writeBeside(place, pieces('one', 'two'), AbortSignal.abort(new KeywardError('backup_unwritten')))),
  ).toBe('backup_unwritten')
  expect(readdirSync(place)).toEqual([])
  expect(await codeOf(writeBeside(join(folder, 'missing'), pieces('x'), never))).toBe('backup_target')
})
