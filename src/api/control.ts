import { randomBytes } from 'node:crypto'
import { Hono } from 'hono'
import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { z } from 'zod'
import { KeywardError, problemOf } from '../core/errors.ts'
import { checkAccess, visibleTo } from './access.ts'
import type { Door } from './caller.ts'
import type { Asked, ControlParts, Handlers } from './parts.ts'
import { approvalRoutes } from './routes/approvals.ts'
import { agentRoutes, grantRoutes } from './routes/agents.ts'
import { backupRoutes, streamBackup } from './routes/backups.ts'
import { operations } from './operations.ts'
import { credentialRoutes } from './routes/credentials.ts'
import { machineRoutes } from './routes/machines.ts'
import { journalRoutes, streamJournal } from './routes/journal.ts'
import { peopleRoutes } from './routes/people.ts'
import { policyRoutes } from './routes/policy.ts'
import { serviceRoutes } from './routes/services.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { vaultRoutes } from './routes/vault.ts'
import { statusRoutes } from './routes/status.ts'
import { PAGE_MAXIMUM_ITEMS, pageOf } from './paging.ts'
import { inputs, MAX_BODY_BYTES, MAX_POLICY_BODY_BYTES, parameters } from './schema.ts'
import type { RouteName } from './answers.ts'
import type { InputRead } from './schema.ts'
import { conditionOf, tagOf } from './entity-tag.ts'
import { createIdempotency, isRepeatable, type Idempotency, type Repeatable } from './idempotency.ts'
import { explainIssues } from './issues.ts'

/** Every route but the streams, which answer in their own way. */
export type PlainRoute = Exclude<RouteName, 'GET /journal' | 'POST /backups'>

export const handlers: Handlers<PlainRoute> = {
  ...statusRoutes,
  ...vaultRoutes,
  ...serviceRoutes,
  ...credentialRoutes,
  ...agentRoutes,
  ...grantRoutes,
  ...approvalRoutes,
  ...policyRoutes,
  ...peopleRoutes,
  ...machineRoutes,
  ...sessionRoutes,
  ...journalRoutes,
  ...backupRoutes,
}

const readers: { readonly [R in RouteName]: z.ZodType<InputRead<R>> } = inputs

/** The control API as a fetch handler, behind one door: the door says who asks, `operations.ts` who may. */
export function createControlApi(
  parts: ControlParts,
  options: { door: Door; onError?: (reference: string, error: unknown) => void },
): Hono {
  const app = new Hono()
  const idempotency = createIdempotency({ now: () => performance.now() })
  const usual = limitTo(MAX_BODY_BYTES)
  const forPolicy = limitTo(MAX_POLICY_BODY_BYTES)
  app.use((context, next) => (/^\/policy(?:\/|$)/.test(context.req.path) ? forPolicy : usual)(context, next))
  const plainNames: PlainRoute[] = Object.keys(handlers).filter(isPlainRoute)
  for (const route of plainNames) {
    const [method = 'GET', path = '/'] = route.split(' ')
    app.on(method, path, (context) => answer(route, context, parts, options.door, idempotency))
  }
  // Loaded when somebody asks for it, and not at every start.
  app.get('/openapi.json', async (context) => {
    checkAccess(
      options.door.identify(context),
      { needs: 'viewer', on: 'anything' },
      { path: readPath(context), input: {} },
      parts,
    )
    const { openApiDocument } = await import('./openapi.ts')
    return Response.json(openApiDocument(parts.version))
  })
  app.get('/journal', async (context) => {
    const { input } = await admit('GET /journal', context, parts, options.door)
    return streamJournal(parts, input, context.req.raw.signal)
  })
  app.post('/backups', async (context) => {
    return streamBackup(parts, await admit('POST /backups', context, parts, options.door))
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

/** Who asks, and for what: read strictly, and refused where he may not. */
async function admit<R extends RouteName>(route: R, context: Context, parts: ControlParts, door: Door) {
  const caller = door.identify(context)
  const access = operations[route]
  if (caller.kind === 'nobody' && access.needs !== 'anyone') throw new KeywardError('login_required')
  const path = readPath(context)
  const input = await readInput(route, context)
  checkAccess(caller, access, { path, input }, parts)
  return { caller, path, input, actor: caller.kind === 'nobody' ? 'nobody' : caller.actor }
}

async function answer<R extends PlainRoute>(
  route: R,
  context: Context,
  parts: ControlParts,
  door: Door,
  idempotency: Idempotency,
): Promise<Response> {
  const { caller, path, input, actor } = await admit(route, context, parts, door)
  const access = operations[route]
  const environment = path.environment !== '' ? path.environment : environmentOf(input)
  if (environment !== null && parts.records.get('environment', environment) === undefined) {
    throw new KeywardError('not_found', 'There is no such environment.')
  }
  const asked = { path, input, caller, peer: door.peer(context), actor }
  const handle = async () => handlers[route](parts, asked)
  const match = route.startsWith('GET ') ? undefined : context.req.header('if-match')
  const condition = match === undefined ? null : conditionOf(match, route, path, parts)
  const perform = condition === null ? handle : () => onlyIf(condition, handle, parts)
  const work = access.needs === 'anyone' ? () => counted(door, asked.peer.address, perform) : perform
  const key = route.startsWith('GET ') ? undefined : context.req.header('idempotency-key')
  if (key !== undefined) return answerOnce(key, { route, path: context.req.path, input, actor }, idempotency, work)
  const answered = await work()
  const result =
    access.lists === true && Array.isArray(answered) ? visibleTo(caller, access, answered, parts) : answered
  const tag = route.startsWith('GET ') ? tagOf(route, path, parts) : null
  const headers = { 'cache-control': 'no-store', ...(tag === null ? {} : { etag: tag }) }
  if (!Array.isArray(result) || !isPaged(input)) return Response.json(result, { headers })
  const { items, next } = pageOf(result, Number(input.limit ?? PAGE_MAXIMUM_ITEMS), input.after ?? null)
  return Response.json(items, { headers: next === null ? headers : { ...headers, link: nextLink(context, next) } })
}

/** Asked first, for work that finds nothing to change, and again in the turn of the commit. */
async function onlyIf<T>(condition: () => void, work: () => Promise<T>, { records }: ControlParts): Promise<T> {
  condition()
  return records.provided(condition, work)
}

/** Whoever brings the wrong proof too often has to wait. */
async function counted<T>({ attempts }: Door, address: string | null, work: () => Promise<T>): Promise<T> {
  attempts?.check(address)
  try {
    return await work()
  } catch (error) {
    if (error instanceof KeywardError && error.status < 500) attempts?.fail(address)
    throw error
  }
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

export function answerProblem(error: KeywardError): Response {
  return Response.json(problemOf(error.code, error.detail), {
    status: error.status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
  })
}
