import { KeywardError } from '../core/errors.ts'
import { checkName, checkOwner } from '../core/name.ts'
import type { AgentRecord } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'
import { endedRecord } from './session-state.ts'

export interface FoundAgent {
  readonly id: string
  readonly record: AgentRecord
}

export interface Agents {
  /** Throws `usage` (name), `not_found` (environment), `already_exists`. */
  add(agent: { name: string; environment: string; owner: string | null }, actor: string): Promise<{ id: string }>
  /** Ends the agent's sessions for as long as it stays suspended. Doing it twice is once. */
  suspend(id: string, actor: string): Promise<void>
  resume(id: string, actor: string): Promise<void>
  /** With its grants; its sessions are revoked. */
  remove(id: string, actor: string): Promise<void>
  find(environment: string, name: string): FoundAgent | undefined
  get(id: string): AgentRecord | undefined
  /** By environment and name. */
  list(environment?: string): readonly FoundAgent[]
}

export function createAgents({
  records,
  now,
  newId,
}: {
  records: Records
  now: () => number
  newId: () => string
}): Agents {
  const idByName = new Map<string, string>()
  const names = new Map<string, string>()

  function index(id: string, record: AgentRecord | null): void {
    const known = names.get(id)
    if (known !== undefined && idByName.get(known) === id) idByName.delete(known)
    names.delete(id)
    if (record === null) return
    const key = keyOf(record.environment, record.name)
    idByName.set(key, id)
    names.set(id, key)
  }

  for (const [id, record] of records.all('agent')) index(id, record)
  records.onCommit((changes) => {
    for (const change of changes) if (change.table === 'agent') index(change.id, change.body)
  })

  function need(id: string): AgentRecord {
    const record = records.get('agent', id)
    if (record === undefined) throw new KeywardError('not_found', 'The agent does not exist.')
    return record
  }

  async function setState(id: string, state: AgentRecord['state'], action: string, actor: string): Promise<void> {
    const detail = describe(need(id))
    await records.commit(() => [{ table: 'agent', id, body: { ...need(id), state } }], { actor, action, detail })
  }

  return {
    async add(agent, actor) {
      const name = checkName('an agent', agent.name)
      const owner = checkOwner(agent.owner)
      const { environment } = agent
      const id = newId()
      const body: AgentRecord = { name, environment, owner, state: 'active', createdAt: now() }
      const changes = (): Change[] => {
        if (records.get('environment', environment) === undefined) {
          throw new KeywardError('not_found', `The environment ${JSON.stringify(environment)} does not exist.`)
        }
        if (idByName.has(keyOf(environment, name))) {
          throw new KeywardError('already_exists', `The environment ${environment} has an agent ${name} already.`)
        }
        return [{ table: 'agent', id, body }]
      }
      await records.commit(changes, { actor, action: 'agent.add', detail: describe(body) })
      return { id }
    },

    suspend: (id, actor) => setState(id, 'suspended', 'agent.suspend', actor),

    resume: (id, actor) => setState(id, 'active', 'agent.resume', actor),

    async remove(id, actor) {
      const detail = describe(need(id))
      const changes = (): Change[] => {
        need(id)
        const removed: Change[] = [{ table: 'agent', id, body: null }]
        for (const [grantId, grant] of records.all('grant')) {
          if (grant.agentId === id) removed.push({ table: 'grant', id: grantId, body: null })
        }
        for (const table of ['enrolment', 'trust'] as const)
          for (const [rowId, { agentId }] of records.all(table))
            if (agentId === id) removed.push({ table, id: rowId, body: null })
        for (const [sessionId, session] of records.all('session')) {
          if (session.agentId !== id || session.state === 'revoked') continue
          removed.push({ table: 'session', id: sessionId, body: endedRecord(session, now()) })
        }
        return removed
      }
      await records.commit(changes, { actor, action: 'agent.remove', detail })
    },

    find(environment, name) {
      const id = idByName.get(keyOf(environment, name))
      const record = id === undefined ? undefined : records.get('agent', id)
      return id === undefined || record === undefined ? undefined : { id, record }
    },

    get: (id) => records.get('agent', id),

    list: (environment) =>
      [...records.all('agent')]
        .filter(([, record]) => environment === undefined || record.environment === environment)
        .map(([id, record]) => ({ id, record }))
        .toSorted((left, right) => compare(left.record, right.record)),
  }
}

/** Names hold no slash, so the key has one reading. */
function keyOf(environment: string, name: string): string {
  return `${environment}/${name}`
}

function compare(left: AgentRecord, right: AgentRecord): number {
  const [leftKey, rightKey] = [keyOf(left.environment, left.name), keyOf(right.environment, right.name)]
  return leftKey < rightKey ? -1 : leftKey > rightKey ? 1 : 0
}

function describe(record: AgentRecord): { agent: string; environment: string; owner: string | null } {
  return { agent: record.name, environment: record.environment, owner: record.owner }
}
