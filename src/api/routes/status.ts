import process from 'node:process'
import type { ControlParts, Handlers } from '../parts.ts'
import { databaseFile } from '../../stores/index.ts'
import type { EnvironmentView } from '../answers.ts'

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

export const statusRoutes: Handlers<'GET /status' | 'GET /environments' | 'POST /shutdown'> = {
  'GET /status': (parts) => ({
    version: parts.version,
    processId: process.pid,
    home: parts.config.home,
    store: parts.config.database?.shown ?? databaseFile(parts.config.home),
    gateway: parts.gatewayAddress,
    monitor: parts.monitorAddress,
    startedAt: parts.startedAt,
    ephemeral: parts.config.ephemeral,
    journalEntries: parts.journal.size,
    environments: environmentViews(parts),
  }),

  'GET /environments': (parts) => environmentViews(parts),

  'POST /shutdown': (parts) => {
    parts.stop()
    return { done: true }
  },
}
