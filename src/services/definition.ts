import { X509Certificate } from 'node:crypto'
import { isAlias, isMap, isSeq, LineCounter, parseDocument, visit } from 'yaml'
import type { Document } from 'yaml'
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

/** Longest service file and longest trust file, in characters. */
export const maximumFileLength = 64 * 1024

const oneOrMore = z.union([z.string().transform((name) => [name]), z.array(z.string()).max(16)])

const definition = z.strictObject({
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

type Definition = z.infer<typeof definition>
type Path = readonly PropertyKey[]

/**
 * Reads a service file (docs/formats/service.md). A file whose id is that of one of `builtIn`
 * overrides only what it names. `readTrust` gives the text of the file that `trust` names.
 * Throws KeywardError `file_invalid` with line and column, and whatever `readTrust` throws.
 */
export function parseService(text: string, readTrust: (path: string) => string, builtIn: readonly Service[]): Service {
  if (text.length > maximumFileLength)
    throw new KeywardError('file_invalid', `It is longer than ${maximumFileLength} characters.`)
  const lines = new LineCounter()
  const document = readYaml(text, lines)
  const result = definition.safeParse(document.toJS({ maxAliasCount: 0 }))
  if (!result.success) throw atPlace(document, lines, firstIssue(result.error))
  const service = merge(
    result.data,
    builtIn.find((row) => row.id === result.data.id),
    readTrust,
  )
  if (service === null) throw atPlace(document, lines, { path: [], message: 'hosts and inject are needed' })
  const [problem] = serviceProblems(service)
  if (problem !== undefined) throw atPlace(document, lines, problem)
  return service
}

function readYaml(text: string, lines: LineCounter): Document {
  let document: Document
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      strict: true,
      uniqueKeys: true,
      stringKeys: true,
    })
  } catch {
    throw new KeywardError('file_invalid', 'It is nested too deeply.')
  }
  const [problem] = [...document.errors, ...document.warnings]
  if (problem !== undefined) {
    const [first] = problem.message.split('\n')
    throw new KeywardError(
      'file_invalid',
      `${position(lines, problem.pos[0])}${(first ?? '').replace(/ at line \d+, column \d+:?$/, '')}.`,
    )
  }
  visit(document, (_key, node) => {
    if (isAlias(node))
      throw new KeywardError('file_invalid', `${position(lines, node.range?.[0])}aliases are not allowed.`)
  })
  if (!isMap(document.contents))
    throw new KeywardError('file_invalid', 'Line 1: a service file is a list of names and values.')
  return document
}

/** The file's service, or null where neither the file nor a built-in row says where the credential goes. */
function merge(given: Definition, base: Service | undefined, readTrust: (path: string) => string): Service | null {
  const hosts = given.hosts ?? base?.hosts
  const inject = given.inject ?? base?.inject
  if (hosts === undefined || inject === undefined) return null
  const { variables: _, trust, ...named } = given
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
    ...(trust === undefined ? {} : { trust: checkTrust(readTrust(trust)) }),
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

function firstIssue(error: z.ZodError): { path: Path; message: string } {
  const [issue] = error.issues
  if (issue === undefined) return { path: [], message: 'it is not valid' }
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys
    return { path: [...issue.path, key], message: `there is no setting ${JSON.stringify(key)} here` }
  }
  return { path: issue.path, message: issue.message }
}

/** Names the line of the innermost part of `path` that the file has. */
function atPlace(document: Document, lines: LineCounter, problem: { path: Path; message: string }): KeywardError {
  const name = problem.path.map(String).join('.')
  const said = `${name === '' ? '' : `${name}: `}${problem.message}`
  return new KeywardError(
    'file_invalid',
    `${position(lines, offsetOf(document, problem.path))}${said.replace(/\.$/, '')}.`,
  )
}

function offsetOf(document: Document, path: Path): number {
  let offset = 0
  let node: unknown = document.contents
  for (const step of path) {
    if (!isMap(node)) {
      // `inject` may be one rule instead of a list of them.
      const inner: unknown = isSeq(node) ? node.get(Number(step), true) : undefined
      if (inner === undefined) break
      node = inner
    } else {
      const pair = node.items.find((item) => scalarText(item.key) === String(step))
      if (pair === undefined) {
        if (typeof step === 'number') continue
        break
      }
      offset = rangeStart(pair.key) ?? offset
      node = pair.value
      continue
    }
    offset = rangeStart(node) ?? offset
  }
  return offset
}

function scalarText(key: unknown): string | null {
  return typeof key === 'object' && key !== null && 'value' in key ? String(key.value) : null
}

function rangeStart(node: unknown): number | null {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range)) return null
  const start: unknown = node.range[0]
  return typeof start === 'number' ? start : null
}

function position(lines: LineCounter, offset: number | undefined): string {
  if (offset === undefined) return ''
  const { line, col } = lines.linePos(offset)
  return `Line ${line}, column ${col}: `
}
