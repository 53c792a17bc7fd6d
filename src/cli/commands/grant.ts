import type { GrantView } from '../../api/answers.ts'
import type { Approve } from '../../core/records.ts'
import { parseCount, parseDuration, parseRate } from '../measures.ts'
import type { Call, EnvironmentOption, JsonOption } from '../io.ts'
import { firstOf } from '../io.ts'
import { moment, printJson, printLine, printPairs, printTable } from '../print.ts'

interface AddOptions extends EnvironmentOption, JsonOption {
  readonly agent: string
  readonly credential: string
  readonly allow: readonly string[]
  readonly deny?: readonly string[]
  readonly rate?: string
  readonly concurrent?: string
  readonly when?: string
  readonly approve?: Approve
  readonly expires?: string
}

export async function add({ io, options }: Call<AddOptions>): Promise<void> {
  const made = await io.client().call(
    'POST /environments/:environment/grants',
    { environment: options.env },
    {
      agent: options.agent,
      credential: options.credential,
      allow: [...options.allow],
      ...(options.deny === undefined ? {} : { deny: [...options.deny] }),
      ...(options.rate === undefined ? {} : { rate: parseRate(options.rate) }),
      ...(options.concurrent === undefined ? {} : { concurrent: parseCount(options.concurrent) }),
      ...(options.when === undefined ? {} : { when: options.when }),
      ...(options.approve === undefined ? {} : { approve: options.approve }),
      ...(options.expires === undefined ? {} : { expiresInSeconds: parseDuration(options.expires) }),
    },
  )
  if (options.json === true) return printJson(io, made)
  printLine(io, `Grant ${made.id}: ${options.agent} may use ${options.credential}.`)
}

export async function list({
  io,
  options,
}: Call<{ env?: string; agent?: string; credential?: string } & JsonOption>): Promise<void> {
  const { env, agent, credential } = options
  const grants = await io.client().call(
    'GET /grants',
    {},
    {
      ...(env === undefined ? {} : { environment: env }),
      ...(agent === undefined ? {} : { agent }),
      ...(credential === undefined ? {} : { credential }),
    },
  )
  if (options.json === true) return printJson(io, grants)
  const rows = grants.map((one) => [
    one.id,
    one.environment,
    one.agent,
    one.credential,
    one.allow.join(' '),
    one.deny.join(' ') || '-',
    limits(one),
    one.when === null ? '-' : 'yes',
    one.approve,
    moment(one.expiresAt),
  ])
  printTable(
    io,
    ['id', 'environment', 'agent', 'credential', 'allow', 'deny', 'limits', 'when', 'approve', 'expires'],
    rows,
    'There is no grant yet.',
  )
}

export async function show({ io, args, options }: Call<JsonOption>): Promise<void> {
  const grant = await io.client().call('GET /grants/:id', { id: firstOf(args) }, {})
  if (options.json === true) return printJson(io, grant)
  printPairs(io, [
    ['id', grant.id],
    ['environment', grant.environment],
    ['agent', grant.agent],
    ['credential', grant.credential],
    ['allow', grant.allow.join(', ')],
    ['deny', grant.deny.join(', ') || '-'],
    ['limits', limits(grant)],
    ['when', grant.when ?? '-'],
    ['approve', grant.approve],
    ['since', moment(grant.createdAt)],
    ['expires', moment(grant.expiresAt)],
  ])
}

export async function remove({ io, args }: Call): Promise<void> {
  await io.client().call('DELETE /grants/:id', { id: firstOf(args) }, {})
  printLine(io, `Grant ${firstOf(args)} is gone.`)
}

function limits(grant: GrantView): string {
  const parts = [
    ...(grant.rate === null ? [] : [`${grant.rate.count} in ${grant.rate.perSeconds} s`]),
    ...(grant.concurrent === null ? [] : [`${grant.concurrent} at a time`]),
  ]
  return parts.join(', ') || '-'
}
