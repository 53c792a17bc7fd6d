/**
 * One agent program, as a row: how it is told where its key is, and what it stored earlier that must
 * not be used instead. A new program is one file and one line in `index.ts`. Pure: what has to be
 * read or written is asked for and answered as data; `prepare.ts` does it.
 */
export interface Agent {
  readonly id: string
  readonly name: string
  /** Base names of the program's commands, without `.exe`, `.js` and the like. */
  readonly commands: readonly string[]
  /** Ids of the services that it uses of itself, most usual first. */
  readonly services: readonly string[]
  /** Files in which the program keeps logins. Hidden from a contained agent. */
  readonly storedLogins: readonly StoredLogin[]
  /** Variables of the caller that are settings of the program, not secrets, and pass to it. */
  readonly keep: readonly string[]
  /** What stays possible although `setup` was applied; one sentence each, fit to be shown. */
  readonly open: readonly string[]
  /** How the program is started so that it uses the placeholder and no stored login. */
  setup(context: AgentContext): AgentSetup
  /** Whether the row was tried with the real program on the wire, or rests on its documentation; with versions and places. */
  readonly checked: 'wire' | 'documented'
  readonly source: string
}

/** `path` lies below `under`, which is relative to the user's home, or below the directory that the variable `movedBy` names. */
export interface StoredLogin {
  readonly under: string
  readonly movedBy?: string
  readonly path: string
}

export interface AgentContext {
  /** The text that stands for a field of this service's credential, or undefined when the session has none. */
  placeholder(service: string, field: string): string | undefined
  /** A directory of this run alone, which the program may write to and which is removed afterwards. Absolute. */
  readonly directory: string
  /** Absolute. */
  readonly userHome: string
  /** The caller's variables. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The text of a file of the user's, by its absolute path; undefined when it cannot be read or is larger than a setting would be. */
  read(path: string): string | undefined
}

export interface AgentSetup {
  /** Variables to set; null takes one away. They win over what the services' rows give. */
  readonly variables: Readonly<Record<string, string | null>>
  /** Arguments to put before the user's own. */
  readonly arguments: readonly string[]
  /** Files to write, by their path below the directory of this run. */
  readonly files: Readonly<Record<string, string>>
  /** Links to lay, by their path below the directory of this run, to what exists of these absolute paths. */
  readonly links: Readonly<Record<string, string>>
}

/** Nothing beyond what the services' rows give. */
export const plainSetup: AgentSetup = { variables: {}, arguments: [], files: {}, links: {} }
