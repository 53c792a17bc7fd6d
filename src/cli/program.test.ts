import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { VERSION } from '../core/version.ts'
import { manualOf } from './manual.ts'
import { createProgram } from './program.ts'

function program() {
  const unopened = (): never => {
    throw new Error('a command was performed')
  }
  return createProgram({ open: unopened, finish: unopened, stdout: process.stdout, stderr: process.stderr }, VERSION)
}

test('docs/guide/commands.md is what the command tree says (`npm run docs` writes it anew)', () => {
  expect(readFileSync('docs/guide/commands.md', 'utf8')).toBe(manualOf(program()))
})

test('the version is that of the package', () => {
  expect(JSON.parse(readFileSync('package.json', 'utf8')).version).toBe(VERSION)
})

test('every list and show can print JSON, and --env means one thing', () => {
  for (const noun of program().commands) {
    for (const command of [noun, ...noun.commands]) {
      const flags = command.options.map((option) => option.long)
      if (['list', 'show', 'status'].includes(command.name())) expect(flags, command.name()).toContain('--json')
      const env = command.options.find((option) => option.long === '--env')
      if (env !== undefined) expect(['dev', undefined]).toContain(env.defaultValue)
    }
  }
})
