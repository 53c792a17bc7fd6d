import type { ApprovalSummary } from '../../api/answers.ts'
import type { Call, JsonOption } from '../io.ts'
import { firstOf } from '../io.ts'
import { moment, note, printJson, printLine, printPairs, printTable } from '../print.ts'

/** Characters of a request in a line of the list. */
const REQUEST_CHARACTERS = 80

interface ListOptions extends JsonOption {
  readonly env?: string
  readonly watch?: boolean
  readonly bell?: boolean
}

export async function list({ io, options }: Call<ListOptions>): Promise<void> {
  const { env } = options
  if (options.watch === true) return (await import('../watch-approvals.ts')).watchApprovals(io, options)
  const approvals = await io.client().call('GET /approvals', {}, env === undefined ? {} : { environment: env })
  if (options.json === true) return printJson(io, approvals)
  const rows = approvals.map((one) => [
    one.id,
    stateOf(one),
    one.environment,
    one.agent,
    one.credential,
    one.destructive ? 'yes' : 'no',
    requestOf(one),
    moment(one.expiresAt),
  ])
  printTable(
    io,
    ['id', 'state', 'environment', 'agent', 'credential', 'destructive', 'request', 'expires'],
    rows,
    'No request waits for a person.',
  )
}

export function requestOf({ operation, method, origin, target }: ApprovalSummary): string {
  const text = `${operation === null ? '' : `${operation}: `}${method} ${origin}${target}`
  return text.length <= REQUEST_CHARACTERS ? text : `${text.slice(0, REQUEST_CHARACTERS)}…`
}

export function stateOf({ state, held }: Pick<ApprovalSummary, 'state' | 'held'>): string {
  return state === 'pending' && held ? 'waits' : state
}

/** What Keyward knows comes before what the agent wrote. */
export async function show({ io, args, options }: Call<JsonOption>): Promise<void> {
  const asked = await io.client().call('GET /approvals/:id', { id: firstOf(args) }, {})
  if (options.json === true) return printJson(io, asked)
  const { body, target } = asked
  printPairs(io, [
    ['id', asked.id],
    ['state', stateOf(asked)],
    ['agent', `${asked.agent} in ${asked.environment}`],
    ['session', asked.session],
    ['credential', `${asked.credential} of ${asked.service}`],
    ['asked by', `grant ${asked.grant}, rule ${asked.rule}`],
    ['destructive', asked.destructive ? 'yes' : 'no'],
    ['operation', asked.operation ?? '- (the service does not name it)'],
    ['request', `${asked.method} ${asked.origin}${asked.opensWebSocket ? ', which opens a WebSocket' : ''}`],
    ['body', `${body.bytes} bytes, SHA-256 ${body.sha256}`],
    ['hash', asked.hash],
    ['since', moment(asked.askedAt)],
    ['expires', moment(asked.expiresAt)],
    ...(asked.answeredBy === null ? [] : [['answered by', asked.answeredBy] as const]),
  ])
  printLine(io)
  printLine(io, 'What the agent wrote:')
  printPairs(io, [
    ['target', target.text],
    ['headers', asked.headers.join(', ')],
    ['body type', body.type ?? '-'],
    ['body', body.bytes === 0 ? '- (none)' : body.text],
  ])
  if (target.cut || body.cut) note(io, 'Not all of it is shown: accept only what you know from elsewhere.')
}

export async function accept({ io, args }: Call): Promise<void> {
  const id = firstOf(args)
  const { held } = await io.client().call('GET /approvals/:id', { id }, {})
  await io.client().call('POST /approvals/:id/accept', { id }, {})
  printLine(
    io,
    held
      ? `Approval ${id} is accepted: the request goes out, once.`
      : `Approval ${id} is accepted: the request may go out once, when the agent sends it again.`,
  )
}

export async function refuse({ io, args }: Call): Promise<void> {
  await io.client().call('POST /approvals/:id/refuse', { id: firstOf(args) }, {})
  printLine(io, `Approval ${firstOf(args)} is refused.`)
}
