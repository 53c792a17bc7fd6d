import { dirname, resolve } from 'node:path'
import type { PlanView } from '../../api/answers.ts'
import { errors, isErrorCode, KeywardError } from '../../core/errors.ts'
import { askYes } from '../confirm.ts'
import type { Call, Io, JsonOption } from '../io.ts'
import { note, paint, printable, printJson, printLine } from '../print.ts'
import { readPolicySources } from '../policy-source.ts'
import { readReference } from '../value-source.ts'

interface ApplyOptions extends JsonOption {
  readonly file: readonly string[]
  readonly dryRun?: boolean
  readonly prune?: boolean
  readonly yes?: boolean
}

type StepView = PlanView['steps'][number]

const signs = { create: ['+', 'green'], change: ['~', 'yellow'], remove: ['-', 'red'] } as const

/** Makes the home what the files say. With `--dry-run` it ends with 1 where something would change. */
export async function apply({ io, options }: Call<ApplyOptions>): Promise<number> {
  const wish = { files: await readPolicySources(io, options.file), prune: options.prune === true }
  const plan = await io.client().call('POST /policy/plan', {}, wish)
  const isDry = options.dryRun === true
  if (plan.problems.length > 0) {
    if (options.json === true) printJson(io, { ...plan, applied: false })
    else tellProblems(io, plan)
    return Math.max(...plan.problems.map(({ code }) => (isErrorCode(code) ? errors[code].exit : 1)))
  }
  if (options.json !== true) tellSteps(io, plan)
  if (isDry) {
    if (options.json === true) printJson(io, { ...plan, applied: false })
    return plan.steps.length > 0 ? 1 : 0
  }
  const question = removalQuestion(plan)
  if (question !== null && options.yes !== true && !(await askYes(io, question)))
    throw new KeywardError('confirmation_required', 'Nothing was done.')
  const done = await io.client().call('POST /policy', {}, { ...wish, digest: plan.digest, values: valuesOf(io, plan) })
  if (options.json === true) printJson(io, { ...done, applied: true })
  else tellDone(io, done)
  return 0
}

export async function exportPolicy({ io }: Call): Promise<void> {
  const { text } = await io.client().call('GET /policy', {}, {})
  io.stdout.write(text)
}

/** Null where nothing is removed. Credentials are named: their secrets cannot be had again. */
function removalQuestion({ steps }: PlanView): string | null {
  const removed = steps.filter(({ action }) => action === 'remove')
  const credentials = removed.filter(({ kind }) => kind === 'credential').map(({ name }) => printable(name))
  if (removed.length === 0) return null
  const secrets = credentials.length === 0 ? '' : `, and destroy the secrets of ${credentials.join(', ')}`
  return `Remove ${removed.length} of these for good${secrets}?`
}

function tellProblems(io: Io, { problems }: PlanView): void {
  for (const { place, code, title, message, next } of problems) {
    const where = place === null ? '' : `${place.file}:${place.line}:${place.column}: `
    note(io, `${paint(io, io.stderr, 'bold', printable(where))}${printable(`${title} ${message}`)} (${code})`)
    note(io, `  ${paint(io, io.stderr, 'dim', 'next:')} ${next}`)
  }
  note(io, `${problems.length === 1 ? 'One problem' : `${problems.length} problems`}; nothing was done.`)
}

function tellSteps(io: Io, plan: PlanView): void {
  for (const step of plan.steps) {
    const [sign, colour] = signs[step.action]
    printLine(io, paint(io, io.stdout, colour, `${sign} ${step.kind} ${printable(step.name)}`))
    for (const line of differenceLines(step)) printLine(io, `    ${printable(line)}`)
  }
  const count = (action: StepView['action']): number => plan.steps.filter((step) => step.action === action).length
  printLine(
    io,
    `${count('create')} to create, ${count('change')} to change, ${count('remove')} to remove, ${plan.unchanged} unchanged.`,
  )
}

function differenceLines({ action, kind, differences }: StepView): string[] {
  if (action === 'remove')
    return kind === 'credential'
      ? differences.map(({ before }) => `destroys ${String(before)} version(s) of its secret`)
      : []
  return differences.flatMap(({ member, before, after }) => {
    if (action === 'create') return named.has(member) ? [] : [`${member}: ${written(after)}`]
    return [`${member}: ${written(before)} -> ${written(after)}`]
  })
}

/** What the line of a step says already. */
const named = new Set(['id', 'name', 'environment', 'agent', 'credential'])

function written(value: unknown): string {
  return value === null ? '(none)' : typeof value === 'string' ? value : JSON.stringify(value)
}

function tellDone(io: Io, done: PlanView): void {
  note(io, done.steps.length === 0 ? 'Nothing to change.' : 'Done.')
  for (const name of done.pending) {
    const [environment = '', credential = ''] = name.split('/')
    note(
      io,
      `The credential ${printable(name)} has no value yet: keyward credential set ${credential} --env ${environment} --stdin`,
    )
  }
}

/** The values that the plan still needs, from where their documents say. */
function valuesOf(io: Io, plan: PlanView): Record<string, Record<string, string>> {
  const values: Record<string, Record<string, string>> = {}
  for (const { kind, name, differences, place } of plan.steps) {
    const from = differences.find(({ member }) => member === 'value')?.after
    if (kind !== 'credential' || typeof from !== 'object' || from === null) continue
    const file = place === null || place.file === '-' ? '' : dirname(place.file)
    const folder = resolve(io.workingDirectory, file)
    values[name] = Object.fromEntries(
      Object.entries(from).map(([field, source]) => [field, valueAt(io, name, field, String(source), folder)]),
    )
  }
  return values
}

function valueAt(io: Io, credential: string, field: string, source: string, folder: string): string {
  try {
    return readReference(io, source, folder)
  } catch (error) {
    if (!(error instanceof KeywardError)) throw error
    throw new KeywardError('value_missing', `Field ${field} of ${credential} comes from ${source}.`, { cause: error })
  }
}
