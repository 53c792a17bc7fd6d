import { CommanderError } from 'commander'
import { KeywardError } from '../core/errors.ts'
import { VERSION } from '../core/version.ts'
import type { Surroundings } from './io.ts'
import { printError } from './print.ts'
import { createProgram } from './program.ts'

/** What `run` ends with when the fault is Keyward's and not its program's. */
export const RUN_FAILURE = 125

/** Performs one command line, tells of errors in one way, and gives the exit code. Never throws. */
export async function runCommandLine(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  let exitCode = 0
  const stage = {
    open: async (server?: string) => (await import('./io.ts')).openIo(surroundings, server),
    finish: (code: number) => (exitCode = code),
    stdout: surroundings.stdout,
    stderr: surroundings.stderr,
  }
  try {
    await createProgram(stage, VERSION).parseAsync([...argv], { from: 'user' })
    return exitCode
  } catch (error) {
    // Help and version were asked for, and are printed.
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    const shown = await asKeywardError(error, surroundings)
    printError(surroundings, shown, ownArguments(argv).includes('--json'))
    return argv[0] === 'run' ? RUN_FAILURE : shown.exit
  }
}

/** What was typed for Keyward itself, not for the program that `run` starts. */
function ownArguments(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--')
  return end < 0 ? argv : argv.slice(0, end)
}

async function asKeywardError(error: unknown, surroundings: Surroundings): Promise<KeywardError> {
  if (error instanceof KeywardError) return error
  if (error instanceof CommanderError) return new KeywardError('usage', usageSentence(error))
  const name = error instanceof Error ? error.name : typeof error
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? ` ${error.code}` : ''
  const reference = await logged(error, surroundings)
  return new KeywardError('internal', `${name}${code}${reference === null ? '' : `; reference ${reference}`}.`, {
    cause: error,
  })
}

/** The reference under which the home's log keeps the error; null where there is no home to keep it in. */
async function logged(cause: unknown, surroundings: Surroundings): Promise<string | null> {
  try {
    const [{ openIo }, { openLog }] = await Promise.all([import('./io.ts'), import('./log.ts')])
    const log = openLog(openIo(surroundings).home)
    const reference = log.error(cause)
    log.close()
    return reference
  } catch {
    return null
  }
}

function usageSentence(error: CommanderError): string | undefined {
  // These would repeat what was typed, which may be a secret in the wrong place.
  if (error.code === 'commander.excessArguments') return 'There are more arguments than it takes.'
  if (error.code === 'commander.help') return undefined
  const text = error.message
    .replace(/^error: /, '')
    .replace(/'(?!--[a-z-]+ <)[^']{16,}'/g, '…')
    .replace(/\s*\n\s*/g, ' ')
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.?$/, '.')}`
}
