import { readdirSync, readFileSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import type { ContainmentMode, planContainment } from '../../containment/plan.ts'
import { runContained } from '../../containment/run.ts'
import { KeywardError } from '../../core/errors.ts'
import { startTicksOf } from '../../identity/process.ts'
import { gatewayPlace, hiddenPaths, readOnlyPaths } from '../commands/run.ts'
import type { Io } from '../io.ts'
import { prepareChild } from '../prepare-child.ts'
import { renewSession } from '../renewal.ts'
import type { Canary } from './canary.ts'
import { echoForms } from './echo-upstream.ts'
import type { Line, Places } from './inside/places.ts'
import type { Stage } from './stage.ts'

export interface Trial {
  readonly mode: ContainmentMode
  readonly lines: readonly Line[]
  /** Texts of the files that were laid down for the agent, by path. */
  readonly files: ReadonlyMap<string, string>
  /** What stays open by the plan's own account. */
  readonly open: readonly string[]
  /** Why the attempts did not come to their end; null where they did. */
  readonly problem: string | null
}

export interface TrialRequest {
  readonly io: Io
  readonly canary: Canary
  readonly stage: Stage
  readonly mode: ContainmentMode
  readonly plan: typeof planContainment
  readonly signal: AbortSignal
}

const TRIAL_MILLISECONDS = 9_000
/** For what the attempts printed just before they ended. */
const DRAIN_MILLISECONDS = 1_000
const OUTPUT_MAXIMUM_BYTES = 4 * 1024 * 1024
const ERROR_MAXIMUM_CHARACTERS = 400

/** Starts the attempts exactly as `run` starts an agent, and gathers what came of them. */
export async function runTrial(request: TrialRequest): Promise<Trial> {
  const { io, canary, stage, mode, signal } = request
  const { environment } = canary
  const session = await io.client().call(
    'POST /environments/:environment/runs',
    { environment },
    {
      agent: canary.name,
      contain: mode,
      process: { processId: process.pid, startTicks: startTicksOf(process.pid) ?? '0' },
    },
  )
  const renewal = renewSession(io, session)
  // The first name is not on the allow-list, the second one is: its value must give it away.
  const held = { ...io.environment, KEYWARD_DOCTOR_API_KEY: canary.secret, LC_KEYWARD_DOCTOR: canary.secret }
  const around: Io = { ...io, environment: held, workingDirectory: stage.work }
  let remove = (): void => undefined
  try {
    const prepared = await prepareChild(around, session, process.execPath)
    remove = prepared.remove
    const hide = hiddenPaths(io, prepared.hiddenFiles)
    const plan = request.plan({
      mode,
      command: process.execPath,
      args: [...prepared.arguments, '--no-warnings', insidePath()],
      uid: userInfo().uid,
      gid: userInfo().gid,
      cwd: stage.work,
      environment: io.environment,
      hide: {
        directories: [...hide.directories, ...stage.hide.directories],
        files: [...hide.files, ...stage.hide.files],
      },
      readOnly: [...readOnlyPaths(around, prepared.readOnly), ...stage.readOnly],
      keep: prepared.keep,
      gateway: gatewayPlace(session),
    })
    const places: Places = {
      ...stage.places,
      gateway: addressOf(session.gateway.address),
      service: { id: canary.name, host: canary.host, credential: canary.name, environment },
      placeholder: session.credentials[0]?.fields[0]?.text ?? '',
      token: session.token,
      forms: echoForms,
    }
    const files = filesIn(prepared.keep)
    const { lines, problem } = await attend(plan, prepared.variables, JSON.stringify(places), signal)
    return { mode, lines, files, open: [...plan.open, ...plan.openHere], problem }
  } finally {
    await renewal.end()
    remove()
  }
}

/** Beside this module in the sources; in a build the bundler puts it there under this name, as an entry of its own. */
function insidePath(): string {
  const source = import.meta.url.endsWith('.ts')
  return new URL(source ? './inside/main.ts' : './doctor-inside.js', import.meta.url).pathname
}

function addressOf(address: string): { host: string; port: number } {
  const end = address.lastIndexOf(':')
  return { host: address.slice(0, end), port: Number(address.slice(end + 1)) }
}

async function attend(
  plan: ReturnType<typeof planContainment>,
  variables: Readonly<Record<string, string>>,
  input: string,
  signal: AbortSignal,
): Promise<{ lines: Line[]; problem: string | null }> {
  const child = runContained(plan, { variables, stdio: ['pipe', 'pipe', 'pipe'], passSignals: false })
  const { stdin, stdout, stderr } = child
  if (stdin === null || stdout === null || stderr === null)
    throw new KeywardError('internal', 'The trial has no streams.')
  const stop = (): void => void child.kill('SIGKILL')
  const timer = setTimeout(stop, TRIAL_MILLISECONDS)
  signal.addEventListener('abort', stop)
  let said = ''
  stderr.setEncoding('utf8')
  stderr.on('data', (text: string) => (said = (said + text).slice(0, ERROR_MAXIMUM_CHARACTERS)))
  stdin.on('error', () => undefined)
  stdin.end(input)
  const lines: Line[] = []
  let size = 0
  const reading = (async () => {
    for await (const text of createInterface({ input: stdout })) {
      size += text.length
      if (size > OUTPUT_MAXIMUM_BYTES) return stop()
      const line: Line = JSON.parse(text)
      lines.push(line)
    }
  })()
  const ended = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    // Not `close`: it also waits for the channel to the launcher, which may stay.
    child.once('exit', (code, signalled) => resolve(`it ended with ${signalled ?? code ?? 'nothing'}`))
  })
  clearTimeout(timer)
  signal.removeEventListener('abort', stop)
  signal.throwIfAborted()
  await Promise.race([reading, wait(DRAIN_MILLISECONDS, undefined, { ref: false })])
  const whole = lines.at(-1)?.kind === 'end'
  return { lines, problem: whole ? null : [ended, said.trim().split('\n').at(-1) ?? ''].filter(Boolean).join(': ') }
}

function filesIn(directories: readonly string[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const directory of directories) {
    if (directory === homedir()) continue
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      if (entry.isFile())
        found.set(join(entry.parentPath, entry.name), readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    }
  }
  return found
}
