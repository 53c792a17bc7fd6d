import type { CallLanguage } from '../core/call-pattern.ts'
import { KeywardError } from '../core/errors.ts'
import { pointerParts } from '../core/json-place.ts'
import { parseOperationPattern } from '../core/operation-pattern.ts'
import { detectors } from '../detectors/index.ts'
import { preparedRule } from '../injectors/placement.ts'
import { hostField, hostProblem } from './hosts.ts'
import type { Service } from './service.ts'

export interface ServiceProblem {
  /** Where in the service: `['inject', 0]`. */
  readonly path: readonly (string | number)[]
  readonly message: string
}

const variableName = /^[A-Z][A-Z0-9_]{0,127}$/
const detectorIds: ReadonlySet<string> = new Set(detectors.map((detector) => detector.id))
const loopback = /^(?:127(?:\.\d{1,3}){3}|\[::1\]|localhost)$/

/** What a service must fulfil beyond its types, whether it came with Keyward or from a file. Empty when all is well. */
export function serviceProblems(service: Service): ServiceProblem[] {
  return [
    ...hostProblems(service),
    ...injectProblems(service),
    ...variableProblems(service),
    ...operationProblems(service),
    ...speechProblems(service),
    ...frameProblems(service),
  ]
}

function hostProblems({ hosts, endpoint, fields }: Service): ServiceProblem[] {
  const problems: ServiceProblem[] = []
  for (const [index, pattern] of hosts.entries()) {
    const problem = hostProblem(pattern)
    if (problem !== null)
      problems.push({ path: ['hosts', index], message: `the host ${JSON.stringify(pattern)} ${problem}` })
    const field = hostField(pattern)
    if (field !== null && kindOf(fields, field) !== 'public') {
      problems.push({
        path: ['hosts', index],
        message: `the host ${JSON.stringify(pattern)} needs a public field ${field}`,
      })
    }
  }
  if (new Set(hosts).size < hosts.length) problems.push({ path: ['hosts'], message: 'a host is listed twice' })
  const wrong = endpoint === undefined ? null : endpointProblem(endpoint)
  if (wrong !== null) problems.push({ path: ['endpoint'], message: wrong })
  return problems
}

function endpointProblem(endpoint: string): string | null {
  const url = URL.parse(endpoint)
  if (url === null || !['https:', 'http:'].includes(url.protocol) || url.origin !== endpoint) {
    return 'the endpoint is an origin: https://HOST or https://HOST:PORT, and nothing after it'
  }
  return url.protocol === 'http:' && !loopback.test(url.hostname)
    ? 'plain http is possible only to a loopback address'
    : null
}

function injectProblems({ inject, fields }: Service): ServiceProblem[] {
  const problems: ServiceProblem[] = []
  for (const [index, rule] of inject.entries()) {
    const path = ['inject', index]
    try {
      const used = preparedRule(rule).fields
      for (const field of used) {
        if (kindOf(fields, field) === null) problems.push({ path, message: `there is no field ${field}` })
      }
      if (!used.some((field) => kindOf(fields, field) === 'secret'))
        problems.push({ path, message: 'it puts no secret field in' })
    } catch (error) {
      problems.push({
        path,
        message: error instanceof KeywardError ? (error.detail ?? error.message) : 'it is not valid',
      })
    }
  }
  return problems
}

function variableProblems({ variables, fields, detector }: Service): ServiceProblem[] {
  const problems: ServiceProblem[] = []
  for (const [field, names] of Object.entries(variables.fields)) {
    if (kindOf(fields, field) === null)
      problems.push({ path: ['variables', field], message: `there is no field ${field}` })
    for (const name of names) problems.push(...variableProblem(['variables', field], name))
  }
  for (const name of [...(variables.baseUrl ?? []), ...(variables.shadowedBy ?? [])])
    problems.push(...variableProblem(['variables', 'baseUrl'], name))
  if (!/^(?:\/[A-Za-z0-9._~-]+)*$/.test(variables.basePath ?? '')) {
    problems.push({
      path: ['variables', 'basePath'],
      message: 'basePath is a path without a slash at the end, or empty',
    })
  }
  if (detector !== undefined && !detectorIds.has(detector)) {
    problems.push({ path: ['detector'], message: `there is no detector ${JSON.stringify(detector)}` })
  }
  return problems
}

function variableProblem(path: readonly string[], name: string): ServiceProblem[] {
  return variableName.test(name)
    ? []
    : [{ path, message: `the variable ${JSON.stringify(name)} is not upper-case letters, digits and _` }]
}

function operationProblems({ operations, sealed, handsOut, speaks = [] }: Service): ServiceProblem[] {
  const problems: ServiceProblem[] = []
  const spoken = new Set(speaks.map(({ language }) => language))
  for (const [index, operation] of operations.entries()) {
    problems.push(...patternProblems(['operations', index, 'match'], operation.match, 'operation', spoken))
    problems.push(...patternProblems(['operations', index, 'name'], operation.name, 'name'))
  }
  for (const [index, pattern] of (sealed ?? []).entries())
    problems.push(...patternProblems(['sealed', index], pattern, 'sealed', spoken))
  for (const [index, pattern] of (handsOut ?? []).entries())
    problems.push(...patternProblems(['handsOut', index], pattern, 'path'))
  return problems
}

function frameProblems({ frames = [], fields }: Service): ServiceProblem[] {
  const problems: ServiceProblem[] = []
  for (const [index, { pointer, field }] of frames.entries()) {
    if (pointerParts(pointer) === null)
      problems.push({ path: ['frames', index, 'pointer'], message: 'it is not a JSON Pointer (RFC 6901): /NAME/NAME' })
    if (kindOf(fields, field) !== 'secret')
      problems.push({ path: ['frames', index, 'field'], message: `there is no secret field ${field}` })
  }
  if (new Set(frames.map(({ pointer }) => pointer)).size < frames.length)
    problems.push({ path: ['frames'], message: 'a pointer is listed twice' })
  return problems
}

function speechProblems({ speaks = [] }: Service): ServiceProblem[] {
  const problems = speaks.flatMap(({ path }, index) =>
    path.startsWith('/')
      ? patternProblems(['speaks', index, 'path'], `* ${path}`, 'path')
      : [{ path: ['speaks', index, 'path'], message: `${JSON.stringify(path)} is not a path` }],
  )
  if (new Set(speaks.map(({ path }) => path.toLowerCase())).size < speaks.length)
    problems.push({ path: ['speaks'], message: 'a path is listed twice' })
  return problems
}

/** What a pattern may be in each place, for messages. */
const expected = {
  path: 'METHOD /path',
  name: 'the name of one operation',
  operation: 'METHOD /path, GRAPHQL, RPC or AWS',
  sealed: 'METHOD /path, GRAPHQL, RPC or AWS',
}

function patternProblems(
  path: readonly (string | number)[],
  text: string,
  place: keyof typeof expected,
  spoken: ReadonlySet<CallLanguage> = new Set(),
): ServiceProblem[] {
  try {
    const parsed = parseOperationPattern(text)
    if (parsed.kind === 'call') {
      if (place === 'path' || place === 'name' || (place === 'operation' && parsed.denyOnly))
        return [{ path, message: `${JSON.stringify(text)} is not ${expected[place]}` }]
      // It would name or seal nothing, and look as if it did.
      return spoken.has(parsed.language)
        ? []
        : [
            {
              path,
              message: `${JSON.stringify(text)} fits nothing: no path in speaks has the language ${parsed.language}`,
            },
          ]
    }
    const isFit = place === 'name' ? parsed.kind === 'name' && !parsed.open : parsed.kind === 'path'
    return isFit ? [] : [{ path, message: `${JSON.stringify(text)} is not ${expected[place]}` }]
  } catch (error) {
    return [{ path, message: error instanceof KeywardError ? (error.detail ?? error.message) : 'it is not a pattern' }]
  }
}

function kindOf(fields: Service['fields'], name: string): 'secret' | 'public' | null {
  return Object.hasOwn(fields, name) ? (fields[name] ?? null) : null
}
