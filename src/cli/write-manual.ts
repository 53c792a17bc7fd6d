import { writeFileSync } from 'node:fs'
import process from 'node:process'
import { VERSION } from '../core/version.ts'
import { manualOf } from './manual.ts'
import { createProgram } from './program.ts'

// Writes docs/guide/commands.md anew; to be run from the root of the clone after a change of the command tree.
const open = (): never => {
  throw new Error('the manual performs no command')
}
const program = createProgram({ open, finish: () => {}, stdout: process.stdout, stderr: process.stderr }, VERSION)
writeFileSync('docs/guide/commands.md', manualOf(program))
