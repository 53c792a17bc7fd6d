import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findRow } from '../test/attacks/rows.ts'
import { colourful, pageText, plain, standings, tableText, total, type Standing } from '../test/attacks/table.ts'
import { readReport, type Report } from './attack-report.ts'

/** Runs the attacks and says how each row stands: on the terminal, as JSON, or into the guide. */

const root = join(import.meta.dirname, '..')
const page = join(root, 'docs/guide/attacks.md')

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    color: { type: 'boolean', default: process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '' },
  },
  allowNegative: true,
})
const only = options.only?.split(',').map((id) => findRow(id.trim().toUpperCase()).id) ?? null

function runAttacks(): Report {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-attacks-'))
  const file = join(folder, 'report.json')
  // Of the whole name: the row's id stands first in the group's and in the test's own.
  const filter = only === null ? [] : ['--testNamePattern', `^(?:${only.join('|')}) `]
  try {
    const { status } = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--project',
        'attacks',
        '--reporter=json',
        `--outputFile=${file}`,
        ...filter,
      ],
      { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
    )
    return readReport(readFileSync(file, 'utf8'), status ?? 1)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Whether the guide claims what this run shows. Where tests were skipped, nothing can be said. */
function pageIsStale(all: readonly Standing[]): boolean {
  return (
    only === null &&
    all.every(({ state }) => state !== 'skipped') &&
    readFileSync(page, 'utf8') !== pageText(all, report.corpus)
  )
}

const report = runAttacks()
const all = standings(report.tried)
const shown = only === null ? all : all.filter(({ row }) => only.includes(row.id))
for (const failure of report.failures) process.stderr.write(`${failure}\n\n`)
if (options.write) {
  if (only !== null) throw new Error('Only a run of all rows can be written into the guide.')
  writeFileSync(page, pageText(all, report.corpus))
}
if (options.json) process.stdout.write(`${JSON.stringify({ ...total(shown), rows: shown })}\n`)
else process.stdout.write(tableText(shown, report.corpus, options.color ? colourful : plain))
const stale = !options.write && !report.failed && pageIsStale(all)
if (stale) process.stderr.write('docs/guide/attacks.md says something else: `npm run attacks -- --write` writes it.\n')
process.exitCode = report.failed || stale ? 1 : 0
