import { KeywardError } from '../../core/errors.ts'
import type { SessionBinding, SessionRecord } from '../../core/records.ts'
import { defaultTtlSeconds } from '../../identity/session-state.ts'
import type { IssuedSession } from '../../identity/sessions.ts'
import type { ControlParts, Handlers } from '../parts.ts'
import type { IssuedView, SessionView } from '../answers.ts'
import { heldOf } from '../held.ts'
import { agentOf } from './agents.ts'

interface Wanted {
  readonly agentId: string
  readonly agent: string
  readonly environment: string
  readonly ttlSeconds: number | undefined
  readonly egress: 'open' | 'deny' | undefined
  readonly process: { readonly processId: number; readonly startTicks: string } | undefined
  readonly address?: string | undefined
}

async function issue(parts: ControlParts, wanted: Wanted, actor: string): Promise<IssuedView> {
  const allowed = environmentEgress(parts, wanted.environment)
  if (wanted.egress === 'open' && allowed === 'deny') {
    throw new KeywardError('usage', `Environment ${wanted.environment} does not allow open egress.`)
  }
  const binding = bindingOf(wanted)
  const egress = wanted.egress ?? allowed
  const ttlSeconds = wanted.ttlSeconds ?? defaultTtlSeconds
  const issued = await parts.sessions.issue({ agentId: wanted.agentId, ttlSeconds, egress, binding }, actor)
  return issuedView(parts, issued, { ...wanted, egress, ttlSeconds })
}

export function issuedView(
  parts: ControlParts,
  issued: IssuedSession,
  of: Pick<IssuedView, 'agent' | 'environment' | 'egress' | 'ttlSeconds'>,
): IssuedView {
  const { agent, environment, egress, ttlSeconds } = of
  return {
    id: issued.id,
    agent,
    environment,
    egress,
    token: issued.token,
    expiresAt: issued.expiresAt,
    ttlSeconds,
    credentials: heldOf(parts, environment, issued.placeholders),
    gateway: { address: parts.gatewayAddress, socket: parts.gatewaySocket },
    caCertificate: parts.caCertificate,
  }
}

function bindingOf({ process, address }: Pick<Wanted, 'process' | 'address'>): SessionBinding {
  if (process !== undefined && address !== undefined)
    throw new KeywardError('usage', 'A session is bound to a process or to an address, not to both.')
  if (process !== undefined) return { kind: 'process', ...process }
  return address === undefined ? { kind: 'unbound' } : { kind: 'address', address }
}

function environmentEgress(parts: ControlParts, environment: string): 'open' | 'deny' {
  const record = parts.records.get('environment', environment)
  if (record === undefined) throw new KeywardError('not_found', `There is no environment ${environment}.`)
  return record.egress
}

function sessionView(parts: ControlParts, id: string, record: SessionRecord): SessionView {
  return {
    id,
    agent: parts.records.get('agent', record.agentId)?.name ?? record.agentId,
    environment: record.environment,
    state: record.state !== 'revoked' && record.expiresAt <= parts.now() ? 'expired' : record.state,
    egress: record.egress,
    binding: record.binding,
    login: loginView(record),
    key: record.jkt ?? null,
    placeholders: record.placeholders.length,
    createdAt: record.createdAt,
    expiresAt: record.expiresAt,
  }
}

function loginView({ login }: SessionRecord): SessionView['login'] {
  if (login === undefined) return { kind: 'issued', by: null, subject: null }
  return login.kind === 'enrolment'
    ? { kind: login.kind, by: login.enrolment, subject: null }
    : { kind: login.kind, by: login.trust, subject: login.subject }
}

function sessionOf(parts: ControlParts, id: string): string {
  if (parts.records.get('session', id) === undefined) {
    throw new KeywardError('not_found', `No session has the id ${id}.`)
  }
  return id
}

export const sessionRoutes: Handlers<
  | 'GET /sessions'
  | 'GET /sessions/:id'
  | 'POST /environments/:environment/sessions'
  | 'POST /sessions/:id/extend'
  | 'POST /sessions/:id/suspend'
  | 'POST /sessions/:id/resume'
  | 'DELETE /sessions/:id'
  | 'POST /environments/:environment/runs'
> = {
  'GET /sessions': (parts, { input }) =>
    [...parts.records.all('session')]
      .map(([id, record]) => sessionView(parts, id, record))
      .filter(
        (view) =>
          (input.environment === undefined || view.environment === input.environment) &&
          (input.agent === undefined || view.agent === input.agent),
      )
      .toSorted((a, b) => a.createdAt - b.createdAt || a.id.localeCompare(b.id)),

  'GET /sessions/:id': (parts, { path }) => {
    const record = parts.records.get('session', path.id)
    if (record === undefined) throw new KeywardError('not_found', `No session has the id ${path.id}.`)
    const narrowings = parts.sessions.narrowings.ofSession(path.id).map(({ caveats, ...rest }) => ({
      ...rest,
      caveats: caveats.flatMap((caveat) => (caveat.kind === 'narrowing' ? [] : [caveat])),
    }))
    return { ...sessionView(parts, path.id, record), narrowings }
  },

  'POST /environments/:environment/sessions': (parts, { path, input, actor }) => {
    const agent = agentOf(parts, path.environment, input.agent)
    return issue(parts, { agentId: agent.id, environment: path.environment, ...wishes(input) }, actor)
  },

  'POST /sessions/:id/extend': async (parts, { path, input, actor }) => {
    await parts.sessions.extend(sessionOf(parts, path.id), input.ttlSeconds, actor)
    return { done: true }
  },

  'POST /sessions/:id/suspend': async (parts, { path, actor }) => {
    await parts.sessions.suspend(sessionOf(parts, path.id), actor)
    return { done: true }
  },

  'POST /sessions/:id/resume': async (parts, { path, actor }) => {
    await parts.sessions.resume(sessionOf(parts, path.id), actor)
    return { done: true }
  },

  'DELETE /sessions/:id': async (parts, { path, actor }) => {
    await parts.sessions.revoke(path.id, actor)
    return { done: true }
  },

  'POST /environments/:environment/runs': async (parts, { path, input, actor }) => {
    environmentEgress(parts, path.environment)
    const known = parts.agents.find(path.environment, input.agent)
    const made =
      known ?? (await parts.agents.add({ name: input.agent, environment: path.environment, owner: null }, actor))
    const view = await issue(parts, { agentId: made.id, environment: path.environment, ...wishes(input) }, actor)
    await parts.journal.append({
      kind: 'control',
      action: 'run.start',
      actor,
      session: view.id,
      agent: input.agent,
      environment: path.environment,
      program: input.program ?? null,
      contain: input.contain,
      egress: view.egress,
    })
    return view
  },
}

function wishes(input: {
  agent: string
  ttlSeconds?: number | undefined
  egress?: 'open' | 'deny' | undefined
  process?: Wanted['process']
  address?: string | undefined
}): Pick<Wanted, 'agent' | 'ttlSeconds' | 'egress' | 'process' | 'address'> {
  const { agent, ttlSeconds, egress, process, address } = input
  return { agent, ttlSeconds, egress, process, address }
}
