import type { z } from 'zod'
import type { ErrorCode } from '../../core/errors.ts'
import { KeywardError } from '../../core/errors.ts'
import { detectors } from '../../detectors/index.ts'
import { keysIn } from '../../detectors/recognise.ts'
import { readDefinition } from '../../services/definition.ts'
import type { Service } from '../../services/service.ts'
import { readYamlDocuments, splitYamlDocuments } from '../../services/yaml-documents.ts'
import type { YamlDocument } from '../../services/yaml-documents.ts'
import { checkGrant } from '../grants.ts'
import {
  expiryOf,
  maximumDocumentCharacters,
  maximumPolicyCharacters,
  maximumPolicyDocuments,
  maximumPolicyFiles,
  policyKinds,
  policySchemas,
  termsOf,
} from './documents.ts'
import type { GrantTerms, PolicyKind } from './documents.ts'

export interface PolicyFile {
  /** As the caller named it; only told, never opened. */
  readonly path: string
  readonly text: string
  /** Text of each file that a service in it names as `trust`. */
  readonly trust?: Readonly<Record<string, string>>
}

export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

export interface PolicyProblem {
  readonly code: ErrorCode
  /** One sentence; never holds a value that looks like a secret. */
  readonly message: string
  /** Null where it is about the files as a whole or about the home. */
  readonly place: Place | null
}

type Read<K extends PolicyKind> = z.output<(typeof policySchemas)[K]>

interface Wished {
  readonly key: string
  readonly place: Place
}

/** What a document asks for. */
export type Wanted =
  | (Wished & { readonly kind: 'environment'; readonly document: Read<'environment'> })
  | (Wished & { readonly kind: 'service'; readonly service: Service })
  | (Wished & { readonly kind: 'credential'; readonly document: Read<'credential'> })
  | (Wished & { readonly kind: 'agent'; readonly document: Read<'agent'> })
  | (Wished & { readonly kind: 'grant'; readonly document: Read<'grant'>; readonly terms: GrantTerms })

/** What is read between two pauses: some hundredths of a second. */
const CHARACTERS_AT_ONCE = 8 * 1024

/** Members are named only if they look like names: a value that slipped into the place of a name is not repeated. */
const memberName = /^[A-Za-z<][A-Za-z0-9<]{0,19}$/

export interface ReadFiles {
  readonly wanted: readonly Wanted[]
  readonly problems: readonly PolicyProblem[]
}

/**
 * Reads all files, strictly, and tells of everything that is wrong with any of them. It lets others
 * work in between (`pause`): YAML is slow to read, and the gateway runs in the same process.
 */
export async function readPolicyFiles(
  files: readonly PolicyFile[],
  builtIn: readonly Service[],
  pause: () => Promise<unknown>,
): Promise<ReadFiles> {
  const length = files.reduce((sum, { text }) => sum + text.length, 0)
  if (files.length > maximumPolicyFiles) return tooLarge(`There are ${files.length}, at most ${maximumPolicyFiles}.`)
  if (length > maximumPolicyCharacters)
    return tooLarge(`Together they have ${length} characters, at most ${maximumPolicyCharacters}.`)
  const wanted: Wanted[] = []
  const problems: PolicyProblem[] = []
  const seen = new Map<string, Place>()
  let count = 0
  let sincePause = 0
  for (const file of files) {
    for (const piece of splitYamlDocuments(file.text)) {
      sincePause += piece.text.length
      if (sincePause > CHARACTERS_AT_ONCE) {
        await pause()
        sincePause = 0
      }
      if (piece.text.length > maximumDocumentCharacters) {
        const message = `A document has at most ${maximumDocumentCharacters} characters.`
        problems.push({ code: 'policy_too_large', message, place: { file: file.path, line: piece.line, column: 1 } })
        continue
      }
      const read = readYamlDocuments(piece.text, piece.line)
      for (const { message, line, column } of read.problems)
        problems.push({ code: 'file_invalid', message: `${message}.`, place: { file: file.path, line, column } })
      count += read.documents.length
      if (count > maximumPolicyDocuments) return tooLarge(`At most ${maximumPolicyDocuments} documents.`)
      for (const document of read.documents) {
        if (document.value === undefined) continue
        const found = readDocument(document, file, builtIn)
        if (!('key' in found)) {
          problems.push(...found)
          continue
        }
        const identity = identityOf(found)
        const before = seen.get(identity)
        if (before === undefined) {
          seen.set(identity, found.place)
          wanted.push(found)
        } else {
          const message = `The ${found.kind} ${found.key} is described at ${before.file}:${before.line}:${before.column} already.`
          problems.push({ code: 'policy_repeated', message, place: found.place })
        }
      }
    }
  }
  return { wanted, problems }
}

function tooLarge(message: string): ReadFiles {
  return { wanted: [], problems: [{ code: 'policy_too_large', message, place: null }] }
}

/** An agent may have several grants for one credential, as long as they differ. */
function identityOf(found: Wanted): string {
  const name = `${found.kind} ${found.key}`
  return found.kind === 'grant' ? `${name} ${JSON.stringify([found.terms, found.document.expires])}` : name
}

function readDocument(
  document: YamlDocument,
  file: PolicyFile,
  builtIn: readonly Service[],
): Wanted | readonly PolicyProblem[] {
  const placeAt = (path: readonly PropertyKey[]): Place => ({ file: file.path, ...document.placeOf(path) })
  const secrets = document.texts.filter(({ text }) => looksSecret(text))
  if (secrets.length > 0)
    return secrets.map(({ line, column }) => {
      const place = { file: file.path, line, column }
      return { code: 'policy_secret', message: 'It has the shape of a key.', place }
    })
  const { value } = document
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined
  const known = policyKinds.find((one) => one === kind)
  if (known === undefined || typeof value !== 'object' || value === null) {
    const message = `A document begins with its kind: ${policyKinds.join(', ')}.`
    return [{ code: 'file_invalid', message, place: placeAt(['kind']) }]
  }
  const place = placeAt([])
  const invalid = (path: readonly PropertyKey[], message: string): PolicyProblem => ({
    code: path[0] === 'from' && known === 'credential' ? 'policy_secret' : 'file_invalid',
    message: `${path.length === 0 ? '' : `${path.map(shown).join('.')}: `}${message.replace(/\.$/, '')}.`,
    place: placeAt(path),
  })
  if (known === 'service') {
    const read = readService(value, file, builtIn)
    return 'service' in read
      ? { kind: known, key: read.service.id, service: read.service, place }
      : read.problems.map(({ path, message }) => invalid(path, message))
  }
  const read = readPlain(known, value)
  if (!('success' in read)) return { ...read, place }
  return read.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => invalid([...issue.path, key], `a document of kind ${known} has no such member`))
      : [invalid(issue.path, issue.message)],
  )
}

type PlainWanted = Exclude<Wanted, { kind: 'service' }>
type Unplaced<T> = T extends unknown ? Omit<T, 'place'> : never

function readPlain(
  kind: Exclude<PolicyKind, 'service'>,
  value: object,
): Unplaced<PlainWanted> | z.ZodSafeParseError<unknown> {
  if (kind === 'environment') {
    const read = policySchemas.environment.safeParse(value)
    return read.success ? { kind, key: read.data.name, document: read.data } : read
  }
  if (kind === 'credential') {
    const read = policySchemas.credential.safeParse(value)
    return read.success ? { kind, key: `${read.data.environment}/${read.data.name}`, document: read.data } : read
  }
  if (kind === 'agent') {
    const read = policySchemas.agent.safeParse(value)
    return read.success ? { kind, key: `${read.data.environment}/${read.data.name}`, document: read.data } : read
  }
  const read = policySchemas.grant.safeParse(value)
  if (!read.success) return read
  const { environment, agent, credential, expires } = read.data
  const record = { agentId: '', credentialId: '', ...termsOf(read.data), expiresAt: expiryOf(expires, 1) }
  const { agentId: _, credentialId: __, expiresAt: ___, createdAt: ____, ...terms } = checkGrant(record, 0)
  return { kind, key: `${environment}/${agent}/${credential}`, document: read.data, terms }
}

function readService(value: object, file: PolicyFile, builtIn: readonly Service[]): ReturnType<typeof readDefinition> {
  try {
    return readDefinition(
      value,
      (path) => {
        const text = file.trust !== undefined && Object.hasOwn(file.trust, path) ? file.trust[path] : undefined
        if (text === undefined) throw new KeywardError('file_invalid', 'The file that it names was not sent along.')
        return text
      },
      builtIn,
    )
  } catch (error) {
    if (!(error instanceof KeywardError)) throw error
    return { problems: [{ path: ['trust'], message: error.detail ?? error.message }] }
  }
}

function looksSecret(text: string): boolean {
  return detectors.some(
    (detector) => detector.id !== 'generic' && keysIn(text, detector).some(({ isPlaceholder }) => !isPlaceholder),
  )
}

function shown(part: PropertyKey): string {
  return typeof part === 'number' || (typeof part === 'string' && memberName.test(part)) ? String(part) : '…'
}
