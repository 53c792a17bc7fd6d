import { homedir } from 'node:os'
import { join } from 'node:path'
import { prepareAgent } from '../agents/prepare.ts'
import type { PreparedAgent } from '../agents/prepare.ts'
import type { IssuedView } from '../api/answers.ts'
import { readPreload, sessionRoot, writeSessionDirectory } from '../containment/session-directory.ts'
import type { SessionDirectory } from '../containment/session-directory.ts'
import { childVariables } from '../containment/variables.ts'
import { readEnvFile } from './adopt.ts'
import { heldVariables, placeholderOf, proxyUrlOf, resolvedReferences, secretFinder } from './child.ts'
import type { Io } from './io.ts'
import { note } from './print.ts'

export interface PreparedChild {
  /** The child's whole environment. */
  readonly variables: Record<string, string>
  /** To be put before the user's own arguments. */
  readonly arguments: readonly string[]
  /** Absolute paths that hold secrets or logins. */
  readonly hiddenFiles: readonly string[]
  /** Directories of this run that the child must see; it may write to those that are not in `readOnly`. */
  readonly keep: readonly string[]
  readonly readOnly: readonly string[]
  readonly agent: PreparedAgent['agent']
  /** Removes what was laid down. */
  remove(): void
}

/** Lays down everything that one session's program reads, and makes its variables. */
export async function prepareChild(io: Io, session: IssuedView, command: string): Promise<PreparedChild> {
  const laidDown: { remove(): void }[] = []
  const remove = (): void => {
    for (const one of laidDown.splice(0)) one.remove()
  }
  try {
    const directory = writeSessionDirectory({
      caPem: session.caCertificate,
      preloadSource: readPreload(),
      parentEnvironment: io.environment,
    })
    laidDown.push(directory)
    const program = prepareAgent({
      command,
      placeholder: (service, field) => placeholderOf(session, service, field),
      userHome: homedir(),
      environment: io.environment,
      // Where other agents see nothing: who could write here would tell this program what to run.
      root: sessionRoot(),
    })
    laidDown.push(program)
    const { variables, hiddenFiles } = await variablesOf(io, session, directory, program)
    return {
      variables,
      arguments: program.arguments,
      hiddenFiles: [...hiddenFiles, ...program.hiddenFiles],
      keep: [directory.directory, program.directory],
      readOnly: [directory.directory],
      agent: program.agent,
      remove,
    }
  } catch (error) {
    remove()
    throw error
  }
}

async function variablesOf(
  io: Io,
  session: IssuedView,
  directory: SessionDirectory,
  program: PreparedAgent,
): Promise<{ variables: Record<string, string>; hiddenFiles: readonly string[] }> {
  const { placeholders, baseUrls } = heldVariables(session)
  const parent = Object.entries(io.environment).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, value]],
  )
  const envFile = readEnvFile(io)
  const references = resolvedReferences(session, [...envFile, ...parent])
  const holdsSecret = await secretFinder(io, [...parent.map(([, value]) => value), ...envFile.values()])
  const { variables } = childVariables({
    parentEnvironment: io.environment,
    placeholders: { ...placeholders, ...references.resolved },
    baseUrls,
    proxyUrl: proxyUrlOf(session),
    bundlePath: directory.bundlePath,
    extraPath: directory.extraPath,
    preloadPath: directory.preloadPath,
    holdsSecret,
    extraAllow: program.agent.keep,
  })
  for (const [name, value] of Object.entries(program.variables)) {
    if (value === null) delete variables[name]
    else variables[name] = value
  }
  if (references.missing.length > 0) {
    note(
      io,
      `keyward: left out, for agent ${session.agent} may not use what they refer to: ${references.missing.join(', ')}.`,
    )
  }
  const exposed = [...envFile.values()].some(holdsSecret)
  if (exposed) {
    note(
      io,
      'keyward: ./.env holds a key, so it is hidden where containment can hide it; keyward import moves the key out of it.',
    )
  }
  return { variables, hiddenFiles: exposed ? [join(io.workingDirectory, '.env')] : [] }
}
