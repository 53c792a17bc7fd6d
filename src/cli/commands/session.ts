import type { IssuedView, SessionShown, SessionView } from '../../api/answers.ts'
import { parseDuration } from '../measures.ts'
import type { Call, EnvironmentOption, Io, JsonOption } from '../io.ts'
import { firstOf } from '../io.ts'
import { logMachineIn, type MachineOptions } from '../machine-login.ts'
import { moment, printJson, printLine, printPairs, printTable } from '../print.ts'

interface LoginOptions extends MachineOptions, JsonOption {
  readonly ttl?: string
  readonly egress?: 'open' | 'deny'
}

interface IssueOptions extends EnvironmentOption, JsonOption {
  readonly agent: string
  readonly ttl?: string
  readonly egress?: 'open' | 'deny'
  readonly bind?: string
}

export async function issue({ io, options }: Call<IssueOptions>): Promise<void> {
  const session = await io.client().call(
    'POST /environments/:environment/sessions',
    { environment: options.env },
    {
      agent: options.agent,
      ...(options.ttl === undefined ? {} : { ttlSeconds: parseDuration(options.ttl) }),
      ...(options.egress === undefined ? {} : { egress: options.egress }),
      ...(options.bind === undefined ? {} : { address: options.bind }),
    },
  )
  if (options.json === true) return printJson(io, session)
  const bound = options.bind === undefined ? 'unbound: whoever holds the token is the agent' : `address ${options.bind}`
  printIssued(io, session, bound)
}

/** Logs this machine in by itself. */
export async function login({ io, options }: Call<LoginOptions>): Promise<void> {
  const { ttl, egress } = options
  const wish = {
    ...(ttl === undefined ? {} : { ttlSeconds: parseDuration(ttl) }),
    ...(egress === undefined ? {} : { egress }),
  }
  const { session } = await logMachineIn(io, options, wish)
  if (options.json === true) return printJson(io, session)
  printIssued(io, session, 'unbound: whoever holds the token is the agent')
}

function printIssued(io: Io, session: IssuedView, bound: string): void {
  printPairs(io, [
    ['session', session.id],
    ['agent', `${session.agent} in ${session.environment}`],
    ['token', session.token],
    ['expires', moment(session.expiresAt)],
    ['bound', bound],
    ['gateway', session.gateway.address],
    ...session.credentials.flatMap((one) =>
      one.fields.map((field): [string, string] => [`${one.name} ${field.field}`, field.text]),
    ),
  ])
}

export async function list({
  io,
  options,
}: Call<{ env?: string; agent?: string; all?: boolean } & JsonOption>): Promise<void> {
  const { env, agent } = options
  const filter = { ...(env === undefined ? {} : { environment: env }), ...(agent === undefined ? {} : { agent }) }
  const sessions = (await io.client().call('GET /sessions', {}, filter)).filter(
    (one) => options.all === true || one.state === 'active' || one.state === 'suspended',
  )
  if (options.json === true) return printJson(io, sessions)
  const rows = sessions.map((one) => [
    one.id,
    one.environment,
    one.agent,
    one.state,
    one.egress,
    boundTo(one.binding),
    one.login.kind,
    moment(one.createdAt),
    moment(one.expiresAt),
  ])
  printTable(
    io,
    ['id', 'environment', 'agent', 'state', 'egress', 'bound', 'login', 'since', 'expires'],
    rows,
    'There is no live session.',
  )
}

export async function show({ io, args, options }: Call<JsonOption>): Promise<void> {
  const session = await io.client().call('GET /sessions/:id', { id: firstOf(args) }, {})
  if (options.json === true) return printJson(io, session)
  printPairs(io, [
    ['session', session.id],
    ['agent', `${session.agent} in ${session.environment}`],
    ['state', session.state],
    ['bound', boundTo(session.binding)],
    ['key', session.key ?? 'none'],
    ['login', loginOf(session)],
    ['egress', session.egress],
    ['placeholders', String(session.placeholders)],
    ['since', moment(session.createdAt)],
    ['expires', moment(session.expiresAt)],
  ])
  printTable(
    io,
    ['narrowing', 'from', 'state', 'what it took away', 'placeholders', 'used', 'since'],
    session.narrowings.map((one) => [
      one.id,
      one.parent ?? 'the session',
      one.state,
      one.caveats.map(described).join('; '),
      String(one.placeholders),
      String(one.used),
      moment(one.createdAt),
    ]),
    'No narrowing of it is known; those that count nothing and ask for no placeholders are never heard of.',
  )
}

function loginOf({ login: { kind, by, subject } }: Pick<SessionView, 'login'>): string {
  if (by === null) return 'issued'
  return subject === null ? `${kind} ${by}` : `${kind} ${by}: ${subject}`
}

function described(caveat: SessionShown['narrowings'][number]['caveats'][number]): string {
  switch (caveat.kind) {
    case 'allow':
      return `only ${caveat.patterns.join(', ')}`
    case 'deny':
      return `not ${caveat.patterns.join(', ')}`
    case 'credentials':
      return `only with ${caveat.names.join(', ')}`
    case 'expires':
      return `until ${moment(caveat.at)}`
    case 'uses':
      return `${caveat.count} uses`
    case 'address':
      return `from ${caveat.address}`
  }
}

function boundTo(binding: SessionView['binding']): string {
  if (binding.kind === 'process') return `process ${binding.processId}`
  return binding.kind === 'address' ? `address ${binding.address}` : 'unbound'
}

export async function suspend({ io, args }: Call): Promise<void> {
  await io.client().call('POST /sessions/:id/suspend', { id: firstOf(args) }, {})
  printLine(io, `Session ${firstOf(args)} is suspended.`)
}

export async function resume({ io, args }: Call): Promise<void> {
  await io.client().call('POST /sessions/:id/resume', { id: firstOf(args) }, {})
  printLine(io, `Session ${firstOf(args)} may work again.`)
}

export async function revoke({ io, args }: Call): Promise<void> {
  await io.client().call('DELETE /sessions/:id', { id: firstOf(args) }, {})
  printLine(io, `${firstOf(args)} is revoked; its tunnels are closed.`)
}
