import { join, normalize } from 'node:path'
import { expect } from 'vitest'
import type { Agent, AgentContext } from './agent.ts'

const loginNames = /(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$/

/** What every agent's row must keep, whatever the program. `secret` stands in every file of the user's that a row may read. */
export function expectConforms(agent: Agent, context: AgentContext, secret: string): void {
  expect(agent.id).toMatch(/^[a-z][a-z0-9-]*$/)
  expect(agent.source).not.toBe('')
  for (const login of agent.storedLogins) {
    const path = normalize(join(login.under, login.path))
    expect(path.startsWith('/') || path.startsWith('..')).toBe(false)
  }
  for (const name of agent.keep) expect(loginNames.test(name)).toBe(false)
  const setup = agent.setup(context)
  for (const path of [...Object.keys(setup.files), ...Object.keys(setup.links)]) {
    expect(normalize(path)).toBe(path)
    expect(path.startsWith('/') || path.startsWith('..')).toBe(false)
  }
  const linked = Object.values(setup.links)
  for (const { under, path } of agent.storedLogins) expect(linked).not.toContain(join(context.userHome, under, path))
  const given = JSON.stringify(setup)
  expect(given).not.toContain(secret)
  for (const placeholder of [context.placeholder('anthropic', 'key'), context.placeholder('openai', 'key')]) {
    if (placeholder !== undefined) expect(setup.arguments.join(' ')).not.toContain(placeholder)
  }
}
