import type { AgentRecord, GrantRecord } from '../../core/records.ts'
import { KeywardError } from '../../core/errors.ts'
import type { ControlParts, Handlers } from '../parts.ts'
import type { AgentView, GrantView } from '../answers.ts'
import { credentialOf } from './credentials.ts'

/** The agent of that name, or `not_found` naming what was looked for. */
export function agentOf(parts: ControlParts, environment: string, name: string): { id: string; record: AgentRecord } {
  const found = parts.agents.find(environment, name)
  if (found === undefined) throw new KeywardError('not_found', `Environment ${environment} has no agent ${name}.`)
  return found
}

function agentView(id: string, record: AgentRecord): AgentView {
  const { name, environment, owner, state, createdAt } = record
  return { id, name, environment, owner, state, createdAt }
}

function grantView(parts: ControlParts, id: string, record: GrantRecord): GrantView {
  const agent = parts.records.get('agent', record.agentId)
  const credential = parts.records.get('credential', record.credentialId)
  return {
    id,
    environment: agent?.environment ?? '',
    agent: agent?.name ?? record.agentId,
    credential: credential?.name ?? record.credentialId,
    allow: record.allow,
    deny: record.deny,
    rate: record.limits.rate ?? null,
    concurrent: record.limits.concurrent ?? null,
    when: record.when ?? null,
    approve: record.approve ?? 'never',
    expiresAt: record.expiresAt,
    createdAt: record.createdAt,
  }
}

export const agentRoutes: Handlers<
  | 'GET /agents'
  | 'GET /environments/:environment/agents/:name'
  | 'POST /environments/:environment/agents'
  | 'POST /environments/:environment/agents/:name/suspend'
  | 'POST /environments/:environment/agents/:name/resume'
  | 'DELETE /environments/:environment/agents/:name'
> = {
  'GET /agents': (parts, { input }) =>
    parts.agents.list(input.environment).map(({ id, record }) => agentView(id, record)),

  'GET /environments/:environment/agents/:name': (parts, { path }) => {
    const { id, record } = agentOf(parts, path.environment, path.name)
    return agentView(id, record)
  },

  'POST /environments/:environment/agents': (parts, { path, input, actor }) =>
    parts.agents.add({ name: input.name, environment: path.environment, owner: input.owner ?? null }, actor),

  'POST /environments/:environment/agents/:name/suspend': async (parts, { path, actor }) => {
    await parts.agents.suspend(agentOf(parts, path.environment, path.name).id, actor)
    return { done: true }
  },

  'POST /environments/:environment/agents/:name/resume': async (parts, { path, actor }) => {
    await parts.agents.resume(agentOf(parts, path.environment, path.name).id, actor)
    return { done: true }
  },

  'DELETE /environments/:environment/agents/:name': async (parts, { path, actor }) => {
    await parts.agents.remove(agentOf(parts, path.environment, path.name).id, actor)
    return { done: true }
  },
}

export const grantRoutes: Handlers<
  'GET /grants' | 'GET /grants/:id' | 'POST /environments/:environment/grants' | 'DELETE /grants/:id'
> = {
  'GET /grants': (parts, { input }) =>
    [...parts.records.all('grant')]
      .map(([id, record]) => grantView(parts, id, record))
      .filter(
        (view) =>
          (input.environment === undefined || view.environment === input.environment) &&
          (input.agent === undefined || view.agent === input.agent) &&
          (input.credential === undefined || view.credential === input.credential),
      )
      .toSorted((a, b) => a.createdAt - b.createdAt || a.id.localeCompare(b.id)),

  'GET /grants/:id': (parts, { path }) => {
    const record = parts.records.get('grant', path.id)
    if (record === undefined) throw new KeywardError('not_found', `No grant has the id ${path.id}.`)
    return grantView(parts, path.id, record)
  },

  'POST /environments/:environment/grants': (parts, { path, input, actor }) =>
    parts.grants.add(
      {
        agentId: agentOf(parts, path.environment, input.agent).id,
        credentialId: credentialOf(parts, path.environment, input.credential).id,
        allow: input.allow,
        deny: input.deny ?? [],
        limits: {
          ...(input.rate === undefined ? {} : { rate: input.rate }),
          ...(input.concurrent === undefined ? {} : { concurrent: input.concurrent }),
        },
        ...(input.when === undefined ? {} : { when: input.when }),
        ...(input.approve === undefined || input.approve === 'never' ? {} : { approve: input.approve }),
        expiresAt: input.expiresInSeconds === undefined ? null : parts.now() + input.expiresInSeconds * 1000,
      },
      actor,
    ),

  'DELETE /grants/:id': async (parts, { path, actor }) => {
    if (parts.records.get('grant', path.id) === undefined) {
      throw new KeywardError('not_found', `No grant has the id ${path.id}.`)
    }
    await parts.grants.remove(path.id, actor)
    return { done: true }
  },
}
