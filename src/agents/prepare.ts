import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { KeywardError } from '../core/errors.ts'
import type { Agent, AgentContext, StoredLogin } from './agent.ts'
import { agentFor, agents } from './index.ts'

/** A settings file larger than this is not read. */
export const maximumSettingsBytes = 4 * 1024 * 1024

export interface PrepareRequest {
  readonly command: string
  readonly placeholder: AgentContext['placeholder']
  readonly userHome: string
  readonly environment: AgentContext['environment']
  /** Where directories of a run are made; the system's by default. */
  readonly root?: string
}

export interface PreparedAgent {
  readonly agent: Agent
  /** Null takes a variable away. */
  readonly variables: Readonly<Record<string, string | null>>
  /** To be put before the user's own arguments. */
  readonly arguments: readonly string[]
  /** Absolute paths of files with stored logins, of this program and of the others, whether or not they exist: to be hidden from a contained agent. */
  readonly hiddenFiles: readonly string[]
  /** The directory of this run: the agent must be able to write to it. */
  readonly directory: string
  /** Removes the directory. May be called twice. */
  remove(): void
}

/** Finds the row of a command and lays down what its set-up asks for, readable by its owner alone. */
export function prepareAgent(request: PrepareRequest): PreparedAgent {
  const agent = agentFor(request.command)
  const directory = mkdtempSync(join(request.root ?? tmpdir(), 'keyward-agent-'))
  const remove = (): void => rmSync(directory, { recursive: true, force: true })
  try {
    const { userHome, environment, placeholder } = request
    const setup = agent.setup({ placeholder, directory, userHome, environment, read: readSettings })
    for (const [path, text] of Object.entries(setup.files))
      writeFileSync(placeIn(directory, path), text, { mode: 0o600, flag: 'wx' })
    for (const [path, target] of Object.entries(setup.links))
      if (existsSync(target)) symlinkSync(target, placeIn(directory, path))
    return {
      agent,
      variables: setup.variables,
      arguments: setup.arguments,
      hiddenFiles: hiddenFiles(request),
      directory,
      remove,
    }
  } catch (error) {
    remove()
    throw error
  }
}

/**
 * Of every program that has a row, for an agent may start any of them. Both the usual place and the
 * one that the caller's variable names, for either may hold a login.
 */
function hiddenFiles({ userHome, environment }: PrepareRequest): string[] {
  const logins: readonly StoredLogin[] = agents.flatMap((agent): readonly StoredLogin[] => agent.storedLogins)
  const paths = logins.flatMap(({ under, movedBy, path }) => {
    const moved = movedBy === undefined ? undefined : environment[movedBy]
    return [join(userHome, under, path), ...(moved === undefined || moved === '' ? [] : [join(moved, path)])]
  })
  return [...new Set(paths)]
}

function placeIn(directory: string, path: string): string {
  const place = join(directory, path)
  if (!place.startsWith(`${directory}/`))
    throw new KeywardError('internal', 'An agent’s row names a path outside its directory.')
  mkdirSync(dirname(place), { recursive: true, mode: 0o700 })
  return place
}

function readSettings(path: string): string | undefined {
  try {
    return statSync(path).size <= maximumSettingsBytes ? readFileSync(path, 'utf8') : undefined
  } catch {
    return undefined
  }
}
