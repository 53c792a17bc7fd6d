import type { ContainmentMode } from '../../containment/plan.ts'

/** What was looked at, in the order in which it is shown. */
export const groups = {
  echo: 'The secret through the gateway',
  files: 'Keyward’s files',
  control: 'The control socket',
  processes: 'Processes, memory and debuggers',
  outside: 'Ways out: sockets and stored logins',
  network: 'The network past the gateway',
  agent: 'What the agent is given',
  server: 'The server',
  machine: 'This machine',
  variables: 'Your shell and this folder',
} as const

export type Group = keyof typeof groups

/**
 * One thing that was tried. `closed`: it holds. `broken`: a promise of the mode does not hold.
 * `open`: nobody promised it in this mode, and it stands open. `unproven`: it could not be tried.
 */
export type State = 'closed' | 'broken' | 'open' | 'unproven'

export interface Finding {
  /** Stable, for programs. */
  readonly id: string
  readonly group: Group
  readonly state: State
  /** What was tried or looked at, fit to be shown. */
  readonly title: string
  /** What came of it, where that is more than the state says. */
  readonly detail?: string
  /** One line: what a person does about it. Present unless `closed`. */
  readonly remedy?: string
}

/** What one mode of containment came to. */
export interface ModeReport {
  readonly mode: ContainmentMode
  /** Whether agents run in this mode unless somebody says otherwise. */
  readonly inUse: boolean
  readonly findings: readonly Finding[]
  /** What stays open by the plan's own account, one sentence each. */
  readonly open: readonly string[]
}

export interface Report {
  readonly mode: ContainmentMode
  readonly home: string
  readonly modes: readonly ModeReport[]
  readonly unavailable: readonly { readonly mode: ContainmentMode; readonly missing: string; readonly remedy: string }[]
  /** What does not depend on the mode. */
  readonly findings: readonly Finding[]
  /** Whether every promise of the mode in use holds here. */
  readonly ok: boolean
}

export function closed(id: string, group: Group, title: string, detail?: string): Finding {
  return { id, group, state: 'closed', title, ...(detail === undefined ? {} : { detail }) }
}

export function notClosed(
  state: Exclude<State, 'closed'>,
  id: string,
  group: Group,
  title: string,
  remedy: string,
  detail?: string,
): Finding {
  return { id, group, state, title, remedy, ...(detail === undefined ? {} : { detail }) }
}
