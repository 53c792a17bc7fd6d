import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { KeywardError } from '../../core/errors.ts'
import { readAssignment, writeAssignment } from '../assignments.ts'
import { askYes } from '../confirm.ts'
import type { Call, EnvironmentOption, Io } from '../io.ts'
import { note, printLine } from '../print.ts'
import { recogniseKeys } from '../recognise.ts'
import type { FoundKey, FoundVariable } from '../recognise.ts'
import { referenceIn, referenceTo } from '../reference.ts'
import { describeKey } from '../adopt.ts'
import { ensureServer } from '../start-server.ts'

const MAX_FILE_BYTES = 1024 * 1024

/** Start-up files of the shells that read `NAME=value`. */
const shellFiles = ['.profile', '.bash_profile', '.bashrc', '.zshenv', '.zprofile', '.zshrc']

interface ImportOptions extends EnvironmentOption {
  readonly shell?: boolean
  readonly undo?: boolean
  readonly yes?: boolean
}

/**
 * Moves keys out of files into the vault. The vault has the key before the file loses it, and the
 * file is replaced in one step, so a crash leaves the key in both places at worst. No copy of the
 * file is kept: `--undo` writes the values back.
 */
export async function bring({ io, args, options }: Call<ImportOptions>): Promise<void> {
  const paths = options.shell === true ? shellPaths() : [resolve(io.workingDirectory, args[0] ?? '.env')]
  if (options.shell === true && args.length > 0) throw new KeywardError('usage', 'Give a file or --shell, not both.')
  await ensureServer(io)
  for (const path of paths) await (options.undo === true ? undo(io, path, options) : move(io, path, options))
}

async function move(io: Io, path: string, options: ImportOptions): Promise<void> {
  const lines = readLines(path)
  const variables = new Map<string, FoundVariable>()
  for (const line of lines) {
    const at = readAssignment(line)
    if (at !== null) variables.set(at.name, { value: at.value, origin: basename(path) })
  }
  const client = io.client()
  const services = await client.call('GET /services', {}, {})
  const keys = recogniseKeys(variables, services)
  if (keys.length === 0) return note(io, `${path}: no key is recognised.`)
  for (const key of keys) note(io, `${path}: ${describeKey(key)}`)
  if (
    options.yes !== true &&
    !(await askYes(io, `Move ${keys.length === 1 ? 'this key' : 'these keys'} into the vault (${options.env})?`))
  )
    return
  const names = new Map<string, string>()
  const known = await client.call('GET /credentials', {}, { environment: options.env })
  const existing = new Set(known.map((one) => one.name))
  for (const key of keys) {
    const texts = key.variables.map(({ field }) => key.fields[field] ?? '')
    const { holders } = await client.call('POST /occurrences', {}, { texts, environment: options.env })
    const held = known.find((one) => one.service === key.service && holders.every((holder) => holder === one.name))
    const credential = held?.name ?? freeName(key.credential, existing)
    existing.add(credential)
    if (held === undefined)
      await client.call(
        'POST /environments/:environment/credentials',
        { environment: options.env },
        { name: credential, service: key.service, fields: key.fields },
      )
    for (const { name, field } of key.variables)
      names.set(name, referenceTo(credential, secretCount(key, services) > 1 ? field : null))
  }
  replaceFile(
    path,
    rewrite(
      lines,
      (name, value) => (referenceIn(value) === null ? names.get(name) : undefined),
      (name) => variables.get(name)?.value,
    ),
  )
  printLine(
    io,
    `${path}: ${names.size} ${names.size === 1 ? 'value is' : 'values are'} in the vault now; run resolves what stands there instead, for agents that have a grant.`,
  )
}

async function undo(io: Io, path: string, options: ImportOptions): Promise<void> {
  const lines = readLines(path)
  const references = lines.flatMap((line) => {
    const at = readAssignment(line)
    const reference = at === null ? null : referenceIn(at.value)
    return reference === null || at === null ? [] : [{ text: at.value, reference }]
  })
  if (references.length === 0) return note(io, `${path}: it holds no reference.`)
  const question = `Write ${references.length === 1 ? 'a secret' : `${references.length} secrets`} back into ${path} in clear? The journal will say so`
  if (options.yes !== true && !(await askYes(io, question))) return
  const values = new Map<string, string>()
  for (const { text, reference } of references) {
    const { value } = await io
      .client()
      .call(
        'POST /environments/:environment/credentials/:name/reveal',
        { environment: options.env, name: reference.credential },
        { confirmation: reference.credential, ...(reference.field === null ? {} : { field: reference.field }) },
      )
    values.set(text, value)
  }
  replaceFile(
    path,
    rewrite(lines, (_, value) => values.get(value)),
  )
  printLine(io, `${path}: the values stand there again; the vault keeps its copies.`)
}

/** Each line with the value that `replace` gives; a variable assigned twice is replaced only where its value is the one that was taken (`expected`). */
function rewrite(
  lines: readonly string[],
  replace: (name: string, value: string) => string | undefined,
  expected: (name: string) => string | undefined = () => undefined,
): string {
  return lines
    .map((line) => {
      const at = readAssignment(line)
      const wanted = at === null ? undefined : replace(at.name, at.value)
      if (at === null || wanted === undefined) return line
      const known = expected(at.name)
      if (known !== undefined && known !== at.value) return line
      const written = writeAssignment(line, at, wanted)
      if (written === null)
        throw new KeywardError(
          'file_invalid',
          `The value of ${at.name} cannot be written on one line; nothing was changed.`,
        )
      return written
    })
    .join('\n')
}

function secretCount(
  key: FoundKey,
  services: readonly { id: string; fields: Readonly<Record<string, string>> }[],
): number {
  const service = services.find((one) => one.id === key.service)
  return Object.values(service?.fields ?? {}).filter((kind) => kind === 'secret').length
}

function freeName(wanted: string, taken: ReadonlySet<string>): string {
  let name = wanted
  for (let count = 2; taken.has(name); count += 1) name = `${wanted}-${count}`
  return name
}

function shellPaths(): string[] {
  return shellFiles
    .map((name) => join(homedir(), name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
}

function readLines(path: string): string[] {
  try {
    if (statSync(path).size > MAX_FILE_BYTES)
      throw new KeywardError('file_invalid', `${path} is larger than ${MAX_FILE_BYTES} bytes.`)
    return readFileSync(path, 'utf8').split('\n')
  } catch (error) {
    if (error instanceof KeywardError) throw error
    throw new KeywardError('file_invalid', 'It cannot be read.', { cause: error })
  }
}

/** Replaces the file in one step, on disk before it returns; mode, owner and symlinks stay. */
function replaceFile(path: string, text: string): void {
  const real = realpathSync(path)
  const before = statSync(real)
  const temporary = `${real}.keyward-${process.pid}`
  const file = openSync(temporary, 'wx', 0o600)
  try {
    writeSync(file, text)
    fchmodSync(file, before.mode & 0o7777)
    if (before.uid !== process.getuid?.()) fchownSync(file, before.uid, before.gid)
    fsyncSync(file)
    closeSync(file)
    renameSync(temporary, real)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw new KeywardError('file_invalid', `${path} cannot be replaced; it is as it was.`, { cause: error })
  }
}
