import { X509Certificate } from 'node:crypto'
import { z } from 'zod'
import { KeywardError } from '../core/errors.ts'
import { serviceProblems } from './check.ts'
import {
  displayName,
  fieldKinds,
  framePlaces,
  hostList,
  injectionRules,
  operations,
  patterns,
  serviceId,
  speeches,
} from './schema.ts'
import type { Service, ServiceVariables } from './service.ts'
import { readYamlDocuments } from './yaml-documents.ts'
import type { YamlDocument } from './yaml-documents.ts'

/** Longest service file and longest trust file, in characters. */
export const maximumFileLength = 64 * 1024

const oneOrMore = z.union([z.string().transform((name) => [name]), z.array(z.string()).max(16)])

/** What a service file may say; `kind` only marks it among the documents of policy files. */
export const definition = z.strictObject({
  kind: z.literal('service').exactOptional(),
  id: serviceId,
  name: displayName.exactOptional(),
  hosts: hostList.exactOptional(),
  endpoint: z.string().exactOptional(),
  trust: z.string().exactOptional(),
  http2: z.boolean().exactOptional(),
  fields: fieldKinds.exactOptional(),
  inject: z
    .preprocess((rule) => (Array.isArray(rule) || rule === undefined ? rule : [rule]), injectionRules)
    .exactOptional(),
  variables: z.record(z.string(), oneOrMore).exactOptional(),
  operations: operations.exactOptional(),
  speaks: speeches.exactOptional(),
  sealed: patterns.exactOptional(),
  handsOut: patterns.exactOptional(),
  frames: framePlaces.exactOptional(),
  detector: z.string().exactOptional(),
  encodedSlash: z.boolean().exactOptional(),
})

const json = z.json()

type Definition = z.infer<typeof definition>
type Path = readonly PropertyKey[]

export interface DefinitionProblem {
  readonly path: Path
  readonly message: string
}

/**
 * Reads a service file (docs/formats/service.md). A file whose id is that of one of `builtIn`
 * overrides only what it names. `readTrust` gives the text of the file that `trust` names.
 * Throws KeywardError `file_invalid` with line and column, and whatever `readTrust` throws.
 */
export function parseService(text: string, readTrust: (path: string) => string, builtIn: readonly Service[]): Service {
  if (text.length > maximumFileLength)
    throw new KeywardError('file_invalid', `It is longer than ${maximumFileLength} characters.`)
  const { documents, problems } = readYamlDocuments(text)
  const [fault] = problems
  if (fault !== undefined)
    throw new KeywardError('file_invalid', `Line ${fault.line}, column ${fault.column}: ${fault.message}.`)
  const [document, second] = documents
  if (document === undefined || typeof document.value !== 'object' || Array.isArray(document.value))
    throw new KeywardError('file_invalid', 'Line 1: a service file is a list of names and values.')
  if (second !== undefined) throw atPlace(second, { path: [], message: 'a service file is one document' })
  const read = readDefinition(document.value, readTrust, builtIn)
  if ('service' in read) return read.service
  throw atPlace(document, read.problems[0] ?? { path: [], message: 'it is not valid' })
}

/** The service that `value` describes, or everything that is wrong with it. Throws what `readTrust` throws, and `file_invalid` for a trust file. */
export function readDefinition(
  value: unknown,
  readTrust: (path: string) => string,
  builtIn: readonly Service[],
): { readonly service: Service } | { readonly problems: readonly DefinitionProblem[] } {
  const result = definition.safeParse(value)
  if (!result.success) return { problems: result.error.issues.flatMap(problemsOf) }
  const base = builtIn.find((row) => row.id === result.data.id)
  const service = merge(result.data, base, readTrust)
  if (service === null) return { problems: [{ path: [], message: 'hosts and inject are needed' }] }
  const problems = serviceProblems(service)
  return problems.length > 0 ? { problems } : { service }
}

/** The service as a file would say it: read again beside the same built-in services, it is the same service. */
export function definitionOf(service: Service): Readonly<Record<string, z.infer<typeof json>>> {
  const { checked: _, source: __, variables, id, name, hosts, ...rest } = service
  const { fields, baseUrl, basePath } = variables
  const named = {
    ...fields,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(basePath === undefined ? {} : { basePath }),
  }
  const said = { id, name, hosts, ...rest, ...(Object.keys(named).length === 0 ? {} : { variables: named }) }
  return z.record(z.string(), json).parse(said)
}

/** The file's service, or null where neither the file nor a built-in row says where the credential goes. */
function merge(given: Definition, base: Service | undefined, readTrust: (path: string) => string): Service | null {
  const hosts = given.hosts ?? base?.hosts
  const inject = given.inject ?? base?.inject
  if (hosts === undefined || inject === undefined) return null
  const { kind: _, variables: __, trust, ...named } = given
  return {
    name: given.id,
    fields: { key: 'secret' },
    operations: [],
    checked: 'documented',
    source: 'a service file of the operator',
    ...base,
    ...named,
    hosts,
    inject,
    variables: mergeVariables(given.variables, base?.variables),
    ...(trust === undefined ? {} : { trust: checkTrust(isCertificate(trust) ? trust : readTrust(trust)) }),
  }
}

function mergeVariables(given: Definition['variables'], base: ServiceVariables = { fields: {} }): ServiceVariables {
  if (given === undefined) return base
  const { baseUrl, basePath, ...fields } = given
  return {
    ...base,
    fields: { ...base.fields, ...fields },
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(basePath === undefined ? {} : { basePath: basePath.join('') }),
  }
}

/** `trust` may be the certificates themselves instead of the path of their file. */
export function isCertificate(trust: string): boolean {
  return trust.startsWith('-----BEGIN CERTIFICATE-----')
}

/** The certificates of a PEM text, and nothing else that may stand in it (a private key, for example). */
function checkTrust(text: string): string {
  if (text.length > maximumFileLength)
    throw new KeywardError('file_invalid', `The trust file is longer than ${maximumFileLength} characters.`)
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw new KeywardError('file_invalid', 'The trust file holds no certificate in PEM form.')
  for (const block of blocks) {
    try {
      void new X509Certificate(block)
    } catch {
      throw new KeywardError('file_invalid', 'The trust file holds a certificate that cannot be read.')
    }
  }
  return `${blocks.join('\n')}\n`
}

function problemsOf(issue: z.core.$ZodIssue): DefinitionProblem[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: issue.message }]
  return issue.keys.map((key) => ({
    path: [...issue.path, key],
    message: `there is no setting ${JSON.stringify(key)} here`,
  }))
}

/** Names the line of the innermost part of `path` that the file has. */
function atPlace(document: YamlDocument, problem: DefinitionProblem): KeywardError {
  const { line, column } = document.placeOf(problem.path)
  const name = problem.path.map(String).join('.')
  const said = `${name === '' ? '' : `${name}: `}${problem.message}`
  return new KeywardError('file_invalid', `Line ${line}, column ${column}: ${said.replace(/\.$/, '')}.`)
}
