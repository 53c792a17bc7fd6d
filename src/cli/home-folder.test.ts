import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { refuseForeignHome } from './home-folder.ts'

const folder = mkdtempSync(join(tmpdir(), 'keyward-home-'))
afterAll(() => rmSync(folder, { recursive: true }))

function holding(name: string, ...files: string[]): string {
  const path = join(folder, name)
  mkdirSync(path)
  for (const file of files) writeFileSync(join(path, file), '')
  return path
}

test('a home is what is not there, what is empty, what a start left, and what has a database', () => {
  expect(() => refuseForeignHome(join(folder, 'none'))).not.toThrow()
  expect(() => refuseForeignHome(holding('empty'))).not.toThrow()
  expect(() => refuseForeignHome(holding('begun', 'log', 'keyward.yaml'))).not.toThrow()
  expect(() => refuseForeignHome(holding('full', 'keyward.db', 'notes.txt'))).not.toThrow()
})

test('a folder of somebody’s is refused and left as it was', () => {
  const path = holding('project', 'log', 'main.py')
  expect(() => refuseForeignHome(path)).toThrow(expect.objectContaining({ code: 'config_invalid' }))
  expect(readdirSync(path)).toEqual(['log', 'main.py'])
  expect(() => refuseForeignHome(join(path, 'main.py'))).toThrow(expect.objectContaining({ code: 'config_invalid' }))
})
