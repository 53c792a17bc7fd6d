import type { Call, EnvironmentOption, JsonOption } from '../io.ts'
import { firstOf } from '../io.ts'
import { moment, printJson, printLine, printPairs, printTable } from '../print.ts'

export async function add({
  io,
  args,
  options,
}: Call<EnvironmentOption & { owner?: string } & JsonOption>): Promise<void> {
  const name = firstOf(args)
  const owner = options.owner === undefined ? {} : { owner: options.owner }
  const made = await io
    .client()
    .call('POST /environments/:environment/agents', { environment: options.env }, { name, ...owner })
  if (options.json === true) return printJson(io, made)
  printLine(io, `Agent ${name} is in ${options.env}.`)
}

export async function list({ io, options }: Call<{ env?: string } & JsonOption>): Promise<void> {
  const filter = options.env === undefined ? {} : { environment: options.env }
  const agents = await io.client().call('GET /agents', {}, filter)
  if (options.json === true) return printJson(io, agents)
  const rows = agents.map((one) => [one.name, one.environment, one.state, one.owner ?? '-', moment(one.createdAt)])
  printTable(io, ['name', 'environment', 'state', 'owner', 'since'], rows, 'There is no agent yet.')
}

export async function show({ io, args, options }: Call<EnvironmentOption & JsonOption>): Promise<void> {
  const path = { environment: options.env, name: firstOf(args) }
  const agent = await io.client().call('GET /environments/:environment/agents/:name', path, {})
  const grants = await io.client().call('GET /grants', {}, { environment: options.env, agent: agent.name })
  if (options.json === true) return printJson(io, { ...agent, grants })
  printPairs(io, [
    ['name', agent.name],
    ['environment', agent.environment],
    ['state', agent.state],
    ['owner', agent.owner ?? '-'],
    ['since', moment(agent.createdAt)],
    ['grants', grants.map((one) => `${one.credential}: ${one.allow.join(' ')}`).join(', ') || 'none'],
  ])
}

export async function suspend({ io, args, options }: Call<EnvironmentOption>): Promise<void> {
  const path = { environment: options.env, name: firstOf(args) }
  await io.client().call('POST /environments/:environment/agents/:name/suspend', path, {})
  printLine(io, `Agent ${path.name} is suspended; its sessions are refused.`)
}

export async function resume({ io, args, options }: Call<EnvironmentOption>): Promise<void> {
  const path = { environment: options.env, name: firstOf(args) }
  await io.client().call('POST /environments/:environment/agents/:name/resume', path, {})
  printLine(io, `Agent ${path.name} may work again.`)
}

export async function remove({ io, args, options }: Call<EnvironmentOption>): Promise<void> {
  const path = { environment: options.env, name: firstOf(args) }
  await io.client().call('DELETE /environments/:environment/agents/:name', path, {})
  printLine(io, `Agent ${path.name} is gone, with its grants and sessions.`)
}
