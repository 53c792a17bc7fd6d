import { z } from 'zod'
import { errors } from '../core/errors.ts'
import { answers, namedAnswers, type RouteName } from './answers.ts'
import { operations } from './operations.ts'
import { hasTag } from './entity-tag.ts'
import { IDEMPOTENCY_KEY, isRepeatable } from './idempotency.ts'
import { inputs, parameters } from './schema.ts'

type JsonSchema = z.core.JSONSchema.BaseSchema

/** RFC 9457, with the members that Keyward adds (core/errors.ts). */
const problem = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(errors)).describe('Stable: docs/errors.md.'),
    detail: z.string().optional(),
    next: z.string().describe('What to do about it.'),
    rule: z.string().optional(),
    error: z.strictObject({ message: z.string(), type: z.literal('keyward'), code: z.string() }),
  })
  .describe('Why it was refused, and what to do next.')

/**
 * The control API as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1), made from the schemas that
 * the server itself reads with and the types that its routes are held to.
 */
export function openApiDocument(version: string) {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries({ ...namedAnswers, Problem: problem })) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, { uri: (id) => `#/components/schemas/${id}` })
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routeNames()) {
    const [method = 'GET', path = '/'] = route.split(' ')
    const template = path.replace(/:([a-z]+)/g, '{$1}')
    paths[template] = { ...paths[template], [method.toLowerCase()]: operationOf(route, registry) }
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Keyward control API',
      version,
      description:
        'Spoken over a Unix socket that its owner alone can open, where nothing has to be proven, and, where the operator says so, over a port, where a person’s login has to be. A secret goes in and never comes out, but by `revealCredential`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      { url: 'http://keyward', description: 'Through the control socket of a home; the host is not looked at.' },
    ],
    // Whoever can open the socket is the owner, and proves nothing else.
    security: [{}, { login: [] }],
    paths,
    components: {
      securitySchemes: { login: { type: 'http', scheme: 'bearer', description: 'A person’s login: `kwl_…`.' } },
      schemas: Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, bare(schema)])),
    },
  }
}

function routeNames(): RouteName[] {
  return Object.keys(answers).filter((route) => isRouteName(route))
}

function isRouteName(route: string): route is RouteName {
  return Object.hasOwn(answers, route)
}

function operationOf(route: RouteName, registry: z.core.$ZodRegistry<{ id: string }>) {
  const { id, summary, needs } = operations[route]
  const reads = route.startsWith('GET ')
  const asked = [
    ...pathParameters(route),
    ...(reads
      ? queryParameters(route)
      : [...(isRepeatable(route) ? [idempotencyKey] : []), ...(hasTag(route) ? [ifMatch] : [])]),
  ]
  return {
    operationId: id,
    summary,
    ...(needs === 'anyone' ? { security: [] } : {}),
    'x-keyward-role': needs,
    ...(asked.length === 0 ? {} : { parameters: asked }),
    ...(reads ? {} : { requestBody: { required: true, content: { 'application/json': { schema: inputOf(route) } } } }),
    responses: {
      '200': {
        description: route === 'GET /journal' ? 'One entry a line, for as long as it is followed.' : 'Done.',
        ...(reads && hasTag(route) ? { headers: { ETag: entityTag } } : {}),
        content: { [mediaTypeOf(route)]: { schema: outputOf(answers[route], registry) } },
      },
      default: {
        description: 'Refused.',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  }
}

const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'Sent again with the same key, the change is made once, for as long as the server runs and an hour at most.',
  schema: { type: 'string', pattern: IDEMPOTENCY_KEY.source },
}

const ifMatch = {
  name: 'If-Match',
  in: 'header',
  required: false,
  description: 'The ETag with which it was read: changed since, the change is refused with `precondition_failed`.',
  schema: { type: 'string' },
}

const entityTag = {
  description: 'Changes with every change of it. A service that comes with Keyward has none.',
  schema: { type: 'string' },
}

function mediaTypeOf(route: RouteName): string {
  if (route === 'POST /backups') return 'application/octet-stream'
  return route === 'GET /journal' ? 'application/x-ndjson' : 'application/json'
}

function pathParameters(route: RouteName) {
  return Object.entries(parameters)
    .filter(([name]) => route.split('/').includes(`:${name}`))
    .map(([name, schema]) => ({ name, in: 'path', required: true, schema: bare(z.toJSONSchema(schema)) }))
}

function queryParameters(route: RouteName) {
  const { properties = {}, required = [] } = inputOf(route)
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }))
}

function inputOf(route: RouteName): JsonSchema {
  return bare(z.toJSONSchema(inputs[route], { io: 'input' }))
}

/** A named answer, or a list of them, by its name; any other as it is. */
function outputOf(schema: z.ZodType, registry: z.core.$ZodRegistry<{ id: string }>): JsonSchema {
  const named = registry.get(schema)
  if (named !== undefined) return { $ref: `#/components/schemas/${named.id}` }
  const item = schema instanceof z.ZodArray ? schema.element : null
  if (item instanceof z.ZodType && registry.has(item)) return { type: 'array', items: outputOf(item, registry) }
  return bare(z.toJSONSchema(schema))
}

/** Without what only a document of its own has. */
function bare(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => name !== '$schema' && name !== '$id'))
}
