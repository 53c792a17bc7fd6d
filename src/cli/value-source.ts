import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import type { FieldKind } from '../services/service.ts'
import type { Io } from './io.ts'

export const MAX_VALUE_BYTES = 65_536

export interface SourceOptions {
  readonly stdin?: boolean
  readonly fromFile?: string
  readonly fromVariable?: string
  readonly field?: readonly string[]
}

const why =
  'A secret on the command line can be read by every process of this machine; give -, @FILE or env:VARIABLE instead.'

/**
 * The fields that the options name. A source is `-` (stdin), `@FILE` or `env:VARIABLE`; a field that
 * the service declares public may also be written out. `kinds` is null where the service is not known.
 */
export async function readFields(
  io: Io,
  options: SourceOptions,
  kinds: Readonly<Record<string, FieldKind>>,
): Promise<Record<string, string>> {
  const wanted: [field: string, source: string][] = []
  for (const entry of options.field ?? []) {
    const equals = entry.indexOf('=')
    if (equals < 1) throw new KeywardError('usage', '--field takes NAME=VALUE-SOURCE.')
    wanted.push([entry.slice(0, equals), entry.slice(equals + 1)])
  }
  const single = singleSource(options)
  if (single !== null)
    wanted.push([
      soleField(
        kinds,
        wanted.map(([field]) => field),
      ),
      single,
    ])
  if (wanted.length === 0) {
    throw new KeywardError(
      'usage',
      'Say where the value comes from: --stdin, --from-file F, --from-variable V or --field NAME=SOURCE.',
    )
  }
  if (wanted.filter(([, source]) => source === '-').length > 1) {
    throw new KeywardError('usage', 'Only one field can come from stdin.')
  }
  const fields: Record<string, string> = {}
  for (const [field, source] of wanted) {
    const kind = kinds[field]
    if (kind === undefined) {
      throw new KeywardError('usage', `The service has no field of that name; it has ${Object.keys(kinds).join(', ')}.`)
    }
    if (Object.hasOwn(fields, field)) throw new KeywardError('usage', `The field ${field} is given twice.`)
    fields[field] = await readSource(io, source, kind)
  }
  return fields
}

function singleSource(options: SourceOptions): string | null {
  const given = [
    ...(options.stdin === true ? ['-'] : []),
    ...(options.fromFile === undefined ? [] : [`@${options.fromFile}`]),
    ...(options.fromVariable === undefined ? [] : [`env:${options.fromVariable}`]),
  ]
  if (given.length > 1) throw new KeywardError('usage', 'Give one of --stdin, --from-file and --from-variable.')
  return given[0] ?? null
}

function soleField(kinds: Readonly<Record<string, FieldKind>>, taken: readonly string[]): string {
  const secret = Object.entries(kinds).filter(([field, kind]) => kind === 'secret' && !taken.includes(field))
  const [only] = secret
  if (only === undefined || secret.length > 1) {
    throw new KeywardError(
      'usage',
      `The service has several fields; give each with --field: ${Object.keys(kinds).join(', ')}.`,
    )
  }
  return only[0]
}

/** The value at `@FILE`, from `folder`, or `env:VARIABLE`. Throws `usage` or `file_invalid` where nothing is there. */
export function readReference(io: Pick<Io, 'environment'>, source: string, folder: string): string {
  return source.startsWith('@')
    ? oneLineEndingLess(readFile(resolve(folder, source.slice(1))))
    : readVariable(io, source.slice('env:'.length))
}

async function readSource(io: Io, source: string, kind: FieldKind): Promise<string> {
  if (source === '-') return oneLineEndingLess(await readStdin(io))
  if (source.startsWith('@') || source.startsWith('env:')) return readReference(io, source, io.workingDirectory)
  if (kind === 'secret') throw new KeywardError('usage', why)
  return source
}

function readVariable(io: Pick<Io, 'environment'>, variable: string): string {
  const value = io.environment[variable]
  // The key itself is easily given in the place of a name, so neither name nor path is repeated.
  if (value === undefined || value === '')
    throw new KeywardError('usage', 'The variable that should hold the value is not set.')
  return value
}

function readFile(path: string): string {
  try {
    if (statSync(path).size > MAX_VALUE_BYTES)
      throw new KeywardError(
        'file_invalid',
        `The file that should hold the value is larger than ${MAX_VALUE_BYTES} bytes.`,
      )
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof KeywardError) throw error
    throw new KeywardError('file_invalid', 'The file that should hold the value cannot be read.', { cause: error })
  }
}

async function readStdin(io: Io): Promise<string> {
  if (io.stdin.isTTY === true) {
    const { password, isCancel } = await import('@clack/prompts')
    const answer = await password({ message: 'The value (it is not shown)', output: io.stderr })
    if (isCancel(answer) || typeof answer !== 'string')
      throw new KeywardError('confirmation_required', 'Nothing was entered.')
    return answer
  }
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of io.stdin) {
    const bytes = Buffer.from(chunk)
    size += bytes.byteLength
    if (size > MAX_VALUE_BYTES) throw new KeywardError('usage', `The value is larger than ${MAX_VALUE_BYTES} bytes.`)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Files and `echo` end in a line feed that is not part of the value; only that one is taken off. */
function oneLineEndingLess(text: string): string {
  return text.replace(/\r?\n$/, '')
}
