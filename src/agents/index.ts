import type { Agent } from './agent.ts'
import { aider } from './aider.ts'
import { claude } from './claude.ts'
import { codex } from './codex.ts'
import { gemini } from './gemini.ts'
import { generic } from './generic.ts'
import { goose } from './goose.ts'
import { opencode } from './opencode.ts'

/** The agent programs that Keyward knows. */
export const agents = [aider, claude, codex, gemini, generic, goose, opencode] as const satisfies readonly Agent[]

/** The row of the program that a command starts, by the base name alone; `generic` for any other. */
export function agentFor(command: string): Agent {
  const base = command.split('/').at(-1) ?? ''
  const name = base.replace(/\.(?:exe|cmd|[cm]?js)$/, '')
  const known: readonly Agent[] = agents
  return known.find((agent) => agent.commands.includes(name)) ?? generic
}
