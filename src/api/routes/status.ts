import process from 'node:process'
import type { ControlParts, Handlers } from '../parts.ts'
import { databaseFile } from '../../stores/index.ts'
import type { NodeSeen } from '../../stores/store.ts'
import { keptJournalHead } from '../../vault/journal-head.ts'
import type { EnvironmentView, NodeView } from '../answers.ts'

function environmentViews(parts: ControlParts): EnvironmentView[] {
  const now = parts.now()
  const credentials = [...parts.records.all('credential').values()]
  const agents = [...parts.records.all('agent').values()]
  const live = [...parts.records.all('session').values()].filter((one) => one.state === 'active' && one.expiresAt > now)
  return [...parts.records.all('environment').values()].map(({ name, egress }) => {
    const here = (one: { environment: string }): boolean => one.environment === name
    return {
      name,
      egress,
      credentials: credentials.filter(here).length,
      agents: agents.filter(here).length,
      sessions: live.filter(here).length,
    }
  })
}

function nodeView(parts: ControlParts, { name, isLive, schema, said }: NodeSeen): NodeView {
  const head = name === null ? null : keptJournalHead(parts.records, name)
  return {
    name,
    live: isLive,
    self: name === parts.config.node,
    version: said?.version ?? null,
    schema,
    startedAt: said?.startedAt ?? null,
    seenAt: said === null ? null : Math.max(0, parts.now() - said.millisecondsAgo),
    epoch: said?.epoch ?? null,
    leaseHeld: said?.leaseHeld ?? null,
    journal: head,
  }
}

export const statusRoutes: Handlers<
  'GET /status' | 'GET /nodes' | 'DELETE /nodes/:name' | 'GET /environments' | 'POST /shutdown'
> = {
  'GET /status': async (parts) => ({
    version: parts.version,
    processId: process.pid,
    home: parts.config.home,
    store: parts.config.database?.shown ?? databaseFile(parts.config.home),
    gateway: parts.gatewayAddress,
    monitor: parts.monitorAddress,
    startedAt: parts.startedAt,
    ephemeral: parts.config.ephemeral,
    journalEntries: parts.journal.size,
    node: parts.config.node,
    storeSchema: parts.records.schema,
    liveNodes: await parts.nodes.list().then(
      (nodes) => nodes.filter(({ isLive }) => isLive).length,
      () => null,
    ),
    journalShipping: parts.shipping === null ? null : parts.shipping.state,
    environments: environmentViews(parts),
  }),

  'GET /nodes': async (parts) => (await parts.nodes.list()).map((seen) => nodeView(parts, seen)),

  'DELETE /nodes/:name': async (parts, { path, actor }) => {
    await parts.nodes.remove(path.name, actor)
    return { done: true }
  },

  'GET /environments': (parts) => environmentViews(parts),

  'POST /shutdown': (parts) => {
    parts.stop()
    return { done: true }
  },
}
