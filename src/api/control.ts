import { randomBytes } from 'node:crypto'
import { Hono } from 'hono'
import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { z } from 'zod'
import { KeywardError, problemOf } from '../core/errors.ts'
import type { Asked, ControlParts, Handlers } from './parts.ts'
import { approvalRoutes } from './routes/approvals.ts'
import { agentRoutes, grantRoutes } from './routes/agents.ts'
import { backupRoutes, streamBackup } from './routes/backups.ts'
import { credentialRoutes } from './routes/credentials.ts'
import { journalRoutes, streamJournal } from './routes/journal.ts'
import { policyRoutes } from './routes/policy.ts'
import { serviceRoutes } from './routes/services.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { statusRoutes } from './routes/status.ts'
import { PAGE_MAXIMUM_ITEMS, pageOf } from './paging.ts'
import { inputs, MAX_BODY_BYTES, MAX_POLICY_BODY_BYTES, parameters } from './schema.ts'
import type { RouteName } from './answers.ts'
import type { InputRead } from './schema.ts'
import { createIdempotency, isRepeatable, type Idempotency, type Repeatable } from './idempotency.ts'
import { explainIssues } from './issues.ts'

/** Every route but the streams, which answer in their own way. */
export type PlainRoute = Exclude<RouteName, 'GET /journal' | 'POST /backups'>

export const handlers: Handlers<PlainRoute> = {
  ...statusRoutes,
  ...serviceRoutes,
  ...credentialRoutes,
  ...agentRoutes,
  ...grantRoutes,
  ...approvalRoutes,
  ...policyRoutes,
  ...sessionRoutes,
  ...journalRoutes,
  ...backupRoutes,
}

const readers: { readonly [R in RouteName]: z.ZodType<InputRead<R>> } = inputs

/**
 * The control API as a fetch handler. It trusts its listener: whoever can open the socket is the
 * operator, so it must only ever be served on a socket that its owner alone can reach.
 */
export function createControlApi(
  parts: ControlParts,
  options: { actor: string; onError?: (reference: string, error: unknown) => void },
): Hono {
  const app = new Hono()
  const idempotency = createIdempotency({ now: () => performance.now() })
  const usual = limitTo(MAX_BODY_BYTES)
  const forPolicy = limitTo(MAX_POLICY_BODY_BYTES)
  app.use((context, next) => (/^\/policy(?:\/|$)/.test(context.req.path) ? forPolicy : usual)(context, next))
  app.use(async (context, next) => {
    // Nothing here takes one. Whoever sends one is not the person at the socket but an agent that was led to it.
    if (context.req.header('authorization') !== undefined || context.req.header('proxy-authorization') !== undefined)
      return answerProblem(new KeywardError('token_invalid', 'The control API takes no token.'))
    await next()
  })
  const plainNames: PlainRoute[] = Object.keys(handlers).filter(isPlainRoute)
  for (const route of plainNames) {
    const [method = 'GET', path = '/'] = route.split(' ')
    app.on(method, path, (context) => answer(route, context, parts, options.actor, idempotency))
  }
  // Loaded when somebody asks for it, and not at every start.
  app.get('/openapi.json', async () => {
    const { openApiDocument } = await import('./openapi.ts')
    return Response.json(openApiDocument(parts.version))
  })
  app.get('/journal', async (context) => {
    const input = await readInput('GET /journal', context)
    return streamJournal(parts, input, context.req.raw.signal)
  })
  app.post('/backups', async (context) => {
    const input = await readInput('POST /backups', context)
    return streamBackup(parts, { input, actor: options.actor })
  })
  app.notFound(() => answerProblem(new KeywardError('not_found', 'The control API has no such route.')))
  app.onError((error) => {
    if (error instanceof KeywardError) return answerProblem(error)
    const reference = randomBytes(6).toString('hex')
    options.onError?.(reference, error)
    return answerProblem(new KeywardError('internal', `Reference ${reference}.`))
  })
  return app
}

function limitTo(maxSize: number): MiddlewareHandler {
  return bodyLimit({
    maxSize,
    onError: () => answerProblem(new KeywardError('request_too_large', `At most ${maxSize} bytes.`)),
  })
}

function isPlainRoute(name: string): name is PlainRoute {
  return Object.hasOwn(handlers, name)
}

async function answer<R extends PlainRoute>(
  route: R,
  context: Context,
  parts: ControlParts,
  actor: string,
  idempotency: Idempotency,
): Promise<Response> {
  const path = readPath(context)
  const input = await readInput(route, context)
  const environment = path.environment !== '' ? path.environment : environmentOf(input)
  if (environment !== null && parts.records.get('environment', environment) === undefined) {
    throw new KeywardError('not_found', 'There is no such environment.')
  }
  const work = async () => handlers[route](parts, { path, input, actor })
  const key = route.startsWith('GET ') ? undefined : context.req.header('idempotency-key')
  if (key !== undefined) return answerOnce(key, { route, path: context.req.path, input }, idempotency, work)
  const result = await work()
  const headers = { 'cache-control': 'no-store' }
  if (!Array.isArray(result) || !isPaged(input)) return Response.json(result, { headers })
  const { items, next } = pageOf(result, Number(input.limit ?? PAGE_MAXIMUM_ITEMS), input.after ?? null)
  return Response.json(items, { headers: next === null ? headers : { ...headers, link: nextLink(context, next) } })
}

async function answerOnce(
  key: string,
  asked: Repeatable,
  idempotency: Idempotency,
  work: () => Promise<unknown>,
): Promise<Response> {
  if (!isRepeatable(asked.route))
    throw new KeywardError('usage', 'Idempotency-Key: not here, for the answer is given once.')
  const text = await idempotency.once(key, asked, async () => JSON.stringify(await work()))
  return new Response(text, { headers: { 'content-type': 'application/json', 'cache-control': 'no-store' } })
}

function isPaged(input: object): input is { readonly limit?: string; readonly after?: string } {
  return 'limit' in input || 'after' in input
}

/** The same list behind the page that was given (RFC 8288). */
function nextLink(context: Context, cursor: string): string {
  const query = new URLSearchParams({ ...context.req.query(), after: cursor })
  return `<${context.req.path}?${query.toString()}>; rel="next"`
}

/** The environment that a list is asked for. */
function environmentOf(input: object): string | null {
  return 'environment' in input && typeof input.environment === 'string' ? input.environment : null
}

function readPath(context: Context): Asked<RouteName>['path'] {
  const read = (part: keyof typeof parameters): string => {
    const raw = context.req.param(part)
    if (raw === undefined) return ''
    const parsed = parameters[part].safeParse(raw)
    if (!parsed.success) throw new KeywardError('usage', explainIssues(parsed.error, part))
    return parsed.data
  }
  return { environment: read('environment'), name: read('name'), id: read('id'), service: read('service') }
}

async function readInput<R extends RouteName>(route: R, context: Context): Promise<InputRead<R>> {
  const raw: unknown = context.req.method === 'GET' ? readQuery(context) : await readBody(context)
  const parsed = readers[route].safeParse(raw)
  if (!parsed.success) throw new KeywardError('usage', explainIssues(parsed.error))
  return parsed.data
}

/** A name that comes twice could be read as either. */
function readQuery(context: Context): Record<string, string> {
  if (Object.values(context.req.queries()).some((values) => values.length > 1))
    throw new KeywardError('usage', 'A parameter of the query comes twice.')
  return context.req.query()
}

async function readBody(context: Context): Promise<unknown> {
  const type = context.req.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw new KeywardError('request_malformed', 'Send Content-Type: application/json.')
  const text = await context.req.text()
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own words would quote the body, which may hold a secret.
    throw new KeywardError('request_malformed', 'The body is not JSON.')
  }
}

function answerProblem(error: KeywardError): Response {
  return Response.json(problemOf(error.code, error.detail), {
    status: error.status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
  })
}
