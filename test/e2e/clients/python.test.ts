import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectRecorded, expectSwap, mark } from './expect-swap.ts'
import { clients, openStage, ordinary, reply, type Stage, type VendorName } from './stage.ts'

const python: readonly (readonly [client: string, vendor: VendorName])[] = [
  ['openai', 'openai'],
  ['anthropic', 'anthropic'],
  ['requests', 'openai'],
  ['httpx', 'openai'],
]

/** Needs the package index, so it runs in CI alone, or where KEYWARD_TEST_PYTHON names an interpreter that has the packages. */
describe.runIf(process.env['CI'] !== undefined || process.env['KEYWARD_TEST_PYTHON'] !== undefined)('Python', () => {
  let stage: Stage
  let interpreter = process.env['KEYWARD_TEST_PYTHON'] ?? ''
  let environment: string | undefined
  beforeAll(async () => {
    if (interpreter === '' || !runs(interpreter)) {
      environment = mkdtempSync('/tmp/keyward-python-')
      chmodSync(environment, 0o755)
      interpreter = makeEnvironment(environment)
    }
    stage = await openStage()
  }, 300_000)
  afterAll(async () => {
    await stage?.close()
    if (environment !== undefined) rmSync(environment, { recursive: true, force: true })
  })

  describe.each(['direct', 'recorded'] as const)('%s', (way) => {
    it.each(python)('%s works and meets no key', async (client, vendor) => {
      const before = await mark(stage, vendor)
      const run = await stage.client({
        command: `${client}-python`,
        program: [interpreter],
        args: [join(clients, 'programs', `${client}_client.py`)],
        way,
      })
      await expectSwap(stage, vendor, run, before)
      expect(run.stdout).toContain(reply)
      if (way === 'recorded') expectRecorded(run)
    })
  })
})

/** An environment that an ordinary user can run: the system's Python, filled by whichever pip there is. */
function makeEnvironment(place: string): string {
  const base = ['/usr/bin/python3', '/usr/local/bin/python3', 'python3'].find(runs)
  if (base === undefined) throw new Error('There is no Python that an ordinary user can run.')
  const made = join(place, 'bin/python')
  command(base, ['-m', 'venv', '--without-pip', place])
  command('python3', [
    '-m',
    'pip',
    '--python',
    made,
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--only-binary',
    ':all:',
    '-r',
    join(clients, 'requirements.txt'),
  ])
  return made
}

function runs(interpreter: string): boolean {
  return spawnSync(interpreter, ['-c', ''], ordinary).status === 0
}

function command(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ended with ${String(status)}: ${stderr}`)
}
