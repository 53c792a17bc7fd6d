import type { ContainmentMode, planContainment } from '../../containment/plan.ts'
import { containmentAvailable } from '../../containment/probe.ts'
import { readConfig } from '../../config.ts'
import type { Io } from '../io.ts'
import { ensureServer } from '../start-server.ts'
import { makeCanary } from './canary.ts'
import { checkDebuggerRefused } from './checks/decoy.ts'
import { checkMachine } from './checks/machine.ts'
import { checkServer } from './checks/server.ts'
import { checkBinding } from './checks/session.ts'
import { checkVariables } from './checks/variables.ts'
import type { ModeReport, Report } from './finding.ts'
import { judgeTrial } from './judge.ts'
import { setStage } from './stage.ts'
import type { Trial, TrialRequest } from './trial.ts'
import { runTrial } from './trial.ts'

export interface Examination {
  readonly io: Io
  readonly environment: string
  /** Only this mode; without it the default of the platform, and every other that is available beside it. */
  readonly mode: ContainmentMode | null
  readonly signal: AbortSignal
  /** How the containment is planned; a test puts one without walls in its place. */
  readonly plan: typeof planContainment
}

/** Does everything that doctor proves, and removes everything that it made, whatever happens. */
export async function examine(examination: Examination): Promise<Report> {
  const { io, environment, signal, plan } = examination
  const chosen = chooseModes(examination.mode)
  const { config } = readConfig({}, io.environment)
  const status = await ensureServer(io)
  const refused = checkDebuggerRefused(io, signal)
  const undo: (() => Promise<void> | void)[] = [() => refused.then(undefined, () => undefined).then(() => undefined)]
  try {
    signal.throwIfAborted()
    const stage = await setStage(io, config, status)
    undo.push(stage.remove)
    const canary = await makeCanary(io, environment)
    undo.push(canary.remove)
    const trials: Trial[] = []
    for (const mode of chosen.modes) {
      trials.push(await tryTwice({ io, canary, stage, mode, plan, signal }))
    }
    const modes: ModeReport[] = []
    for (const trial of trials) {
      const findings = await judgeTrial(io, canary, trial)
      modes.push({ mode: trial.mode, inUse: trial.mode === chosen.inUse, findings, open: trial.open })
    }
    const journal = await io.client().call('GET /journal/verification', {}, {})
    const findings = [
      ...(await checkServer(io, status)),
      await refused,
      await checkBinding(io, canary, stage.places.standIn),
      ...(await checkMachine(io, config, journal, trials[0]?.files ?? new Map())),
      ...(await checkVariables(io)),
    ]
    const judged = [...findings, ...modes.filter((one) => one.inUse).flatMap((one) => one.findings)]
    const ok = judged.every((finding) => finding.state !== 'broken')
    return { mode: chosen.inUse, home: io.home, modes, unavailable: chosen.unavailable, findings, ok }
  } finally {
    for (const one of undo.toReversed()) await one()
  }
}

/** Once more where nothing started: a plan names what stood there a moment ago, and others come and go. */
async function tryTwice(request: TrialRequest): Promise<Trial> {
  request.signal.throwIfAborted()
  const trial = await runTrial(request)
  return trial.lines.length > 0 ? trial : runTrial(request)
}

/** As `run` chooses: `files` where it can be had, else none; what was asked for is never weakened. */
function chooseModes(asked: ContainmentMode | null): {
  inUse: ContainmentMode
  modes: ContainmentMode[]
  unavailable: Report['unavailable']
} {
  const tried = (['files', 'full'] as const).map((mode) => ({ mode, ...containmentAvailable(mode) }))
  const available = tried.filter((one) => one.available).map((one) => one.mode)
  const unavailable = tried
    .filter((one) => !one.available)
    .map(({ mode, missing, remedy }) => ({ mode, missing, remedy }))
  if (asked !== null) return { inUse: asked, modes: [asked], unavailable }
  const inUse = available.includes('files') ? 'files' : 'none'
  return { inUse, modes: inUse === 'none' ? ['none'] : available, unavailable }
}
