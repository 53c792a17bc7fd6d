import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { KeywardError } from '../core/errors.ts'
import { maximumPolicyCharacters, maximumPolicyFiles } from '../identity/policy-files/documents.ts'
import type { PolicyFile } from '../identity/policy-files/read.ts'
import { isCertificate, maximumFileLength } from '../services/definition.ts'
import type { Io } from './io.ts'

const yamlName = /\.ya?ml$/

/**
 * The files that `sources` name: a file, a folder (all `.yaml` and `.yml` files in it and below, in the
 * order of their names, without those that begin with a dot), or `-` for stdin. Throws `file_invalid`
 * and `policy_too_large`.
 */
export async function readPolicySources(io: Io, sources: readonly string[]): Promise<PolicyFile[]> {
  const files: PolicyFile[] = []
  let bytes = 0
  if (sources.filter((source) => source === '-').length > 1)
    throw new KeywardError('usage', 'Only one source can be stdin.')
  for (const source of sources) {
    if (source === '-') files.push(withTrust('-', await readStdin(io), io.workingDirectory))
    else
      for (const path of pathsOf(io, source)) {
        const full = resolve(io.workingDirectory, path)
        bytes += sizeOf(full, path)
        if (bytes > maximumPolicyCharacters || files.length >= maximumPolicyFiles) throw tooLarge()
        files.push(withTrust(path, readText(full, path), dirname(full)))
      }
  }
  if (files.length === 0) throw new KeywardError('file_invalid', 'There is no .yaml file in it.')
  return files
}

function pathsOf(io: Io, source: string): string[] {
  const found = statSync(resolve(io.workingDirectory, source), { throwIfNoEntry: false })
  if (found === undefined) throw new KeywardError('file_invalid', `${source} does not exist.`)
  return found.isDirectory() ? below(io, source) : [source]
}

/** Links to files are followed, links to folders are not: a tree has one way through it. */
function below(io: Io, folder: string): string[] {
  return readdirSync(resolve(io.workingDirectory, folder), { withFileTypes: true })
    .filter(({ name }) => !name.startsWith('.'))
    .toSorted((left, right) => (left.name < right.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return below(io, path)
      if (!yamlName.test(entry.name)) return []
      const isFile = statSync(resolve(io.workingDirectory, path), { throwIfNoEntry: false })?.isFile() === true
      return isFile ? [path] : []
    })
}

/** The server reads no files of the caller's: what `trust` names is sent along. */
function withTrust(path: string, text: string, folder: string): PolicyFile {
  const trust: Record<string, string> = {}
  for (const named of trustNamesIn(text)) {
    const full = resolve(folder, named)
    if (sizeOf(full, named) > maximumFileLength) throw new KeywardError('file_invalid', `${named} is too large.`)
    trust[named] = readText(full, named)
  }
  return Object.keys(trust).length === 0 ? { path, text } : { path, text, trust }
}

function trustNamesIn(text: string): string[] {
  try {
    return [...parseAllDocuments(text)].flatMap((document) => {
      const value: unknown = document.toJS({ maxAliasCount: 0 })
      const trust = typeof value === 'object' && value !== null && 'trust' in value ? value.trust : undefined
      return typeof trust === 'string' && !isCertificate(trust) ? [trust] : []
    })
  } catch {
    // The server says what is wrong with it, and where.
    return []
  }
}

function sizeOf(path: string, shown: string): number {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined || !found.isFile()) throw new KeywardError('file_invalid', `${shown} is not a file.`)
  return found.size
}

function readText(path: string, shown: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new KeywardError('file_invalid', `${shown} cannot be read.`, { cause: error })
  }
}

async function readStdin(io: Io): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of io.stdin) {
    const bytes = Buffer.from(chunk)
    size += bytes.byteLength
    if (size > maximumPolicyCharacters) throw tooLarge()
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function tooLarge(): KeywardError {
  return new KeywardError(
    'policy_too_large',
    `At most ${maximumPolicyFiles} files, and ${maximumPolicyCharacters} bytes of them together.`,
  )
}
