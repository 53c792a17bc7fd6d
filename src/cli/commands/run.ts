import type { ChildProcess } from 'node:child_process'
import { constants, homedir, userInfo } from 'node:os'
import { dirname, resolve } from 'node:path'
import process from 'node:process'
import { agentFor } from '../../agents/index.ts'
import type { IssuedView } from '../../api/answers.ts'
import { defaultRootKeyFile, readConfig } from '../../config.ts'
import { defaultHidden, defaultReadOnly, programFolders } from '../../containment/hidden.ts'
import { planContainment } from '../../containment/plan.ts'
import type { ContainmentMode, ContainmentRequest } from '../../containment/plan.ts'
import { containmentAvailable } from '../../containment/probe.ts'
import { runContained } from '../../containment/run.ts'
import { KeywardError } from '../../core/errors.ts'
import { startTicksOf } from '../../identity/process.ts'
import { adoptKeys } from '../adopt.ts'
import { agentNameOf } from '../child.ts'
import { startFailure } from '../find-program.ts'
import { atHome } from '../io.ts'
import type { Call, EnvironmentOption, Io } from '../io.ts'
import { asksForMachineLogin, logMachineIn, type MachineLogin, type MachineOptions } from '../machine-login.ts'
import { ownCode } from '../own-code.ts'
import { secretFilesOf } from '../../vault/root-keys/choice.ts'
import { prepareChild } from '../prepare-child.ts'
import type { PreparedChild } from '../prepare-child.ts'
import { note, paint, printable } from '../print.ts'
import { renewMachine, renewSession } from '../renewal.ts'
import { sampleName } from '../sample-name.ts'
import { ensureServer } from '../start-server.ts'

interface RunOptions extends EnvironmentOption, Omit<MachineOptions, 'env'> {
  readonly agent?: string
  readonly contain?: ContainmentMode
  readonly egress?: 'open' | 'deny'
  readonly adopt?: boolean
}

/** Runs a program with placeholders instead of keys; gives the program's own exit code. */
export async function run({ io: called, args, options }: Call<RunOptions>): Promise<number> {
  const io = asksForMachineLogin(options) ? called : atHome(called)
  const [command = '', ...rest] = args
  const agent = options.agent ?? agentNameOf(command)
  const failure = startFailure(command, io.workingDirectory, io.environment['PATH'])
  if (failure !== null) return cannotStart(io, command, failure)
  const contain = chooseContainment(io, options.contain)
  const machine = await machineLoginFor(io, options)
  if (machine === null) {
    await ensureServer(io)
    await adoptKeys(io, agent, options.env, options.adopt === true)
  }
  const wish = {
    agent,
    program: agentFor(command).id,
    contain,
    ...(options.egress === undefined ? {} : { egress: options.egress }),
    // This process lives as long as its child, and the session no longer than this process.
    process: { processId: process.pid, startTicks: startTicksOf(process.pid) ?? '0' },
  }
  const session =
    machine?.session ??
    (await io.client().call('POST /environments/:environment/runs', { environment: options.env }, wish))
  const renewal = machine === null ? renewSession(io, session) : renewMachine(machine)
  let prepared: PreparedChild | undefined
  try {
    prepared = await prepareChild(io, session, command)
    const plan = planContainment({
      mode: contain,
      command,
      args: [...prepared.arguments, ...rest],
      uid: userInfo().uid,
      gid: userInfo().gid,
      cwd: io.workingDirectory,
      environment: io.environment,
      hide: hiddenPaths(io, [...prepared.hiddenFiles, ...proofFiles(io, options)]),
      readOnly: readOnlyPaths(io, prepared.readOnly),
      keep: prepared.keep,
      gateway: gatewayPlace(session),
    })
    await announce(io, session, contain, machine === null ? prepared.agent.services : null)
    if (io.stderr.isTTY === true)
      for (const way of plan.openHere) note(io, paint(io, io.stderr, 'dim', printable(`keyward: open here: ${way}`)))
    return await exitCodeOf(io, runContained(plan, { variables: prepared.variables }), command)
  } finally {
    await renewal.end()
    prepared?.remove()
  }
}

/** A workload logs in by itself: nobody is there who could be asked, and no server of its own is started. */
async function machineLoginFor(io: Io, options: RunOptions): Promise<MachineLogin | null> {
  if (!asksForMachineLogin(options)) return null
  return logMachineIn(io, options, options.egress === undefined ? {} : { egress: options.egress })
}

/** The default gives way where the machine cannot do it, and says so; what was asked for does not. */
function chooseContainment(io: Io, asked: ContainmentMode | undefined): ContainmentMode {
  const mode = asked ?? 'files'
  const found = mode === 'none' ? null : containmentAvailable(mode)
  if (found?.available === true) return mode
  const reason = found === null ? '' : ` (files is not available here: ${found.missing})`
  if (found !== null && asked !== undefined) {
    throw new KeywardError('containment_unavailable', `${found.missing} ${found.remedy}`.trim())
  }
  note(io, `keyward: containment none is cooperative and no boundary: the program can read what you can read${reason}.`)
  return 'none'
}

export function hiddenPaths(io: Io, files: readonly string[]): ContainmentRequest['hide'] {
  const { config } = readConfig({}, io.environment)
  const known = defaultHidden(homedir(), io.environment)
  const own = [config.rootKeyFile, ...secretFilesOf(config.rootKey)]
  return {
    directories: [
      ...known.directories,
      ...new Set([io.home, dirname(io.controlSocket)]),
      ...(config.rootKeyFile === defaultRootKeyFile(config.home) ? [dirname(config.rootKeyFile)] : []),
    ],
    files: [...known.files, ...own, ...files],
  }
}

/** What runs later outside must not be the agent's to change. Root's own programs are: root may change anything. */
export function readOnlyPaths(io: Io, prepared: readonly string[]): string[] {
  return [
    ...prepared,
    ...defaultReadOnly(homedir()),
    ...(userInfo().uid === 0 ? [] : programFolders(io.environment, io.workingDirectory)),
    ...ownCode(io.workingDirectory),
  ]
}

/** What the machine logs in with is not the program's to read. */
function proofFiles(io: Io, { tokenFile, certificateFile, keyFile }: RunOptions): string[] {
  return [tokenFile, certificateFile, keyFile].flatMap((file) =>
    file === undefined ? [] : [resolve(io.workingDirectory, file)],
  )
}

/** The port and not the socket: of a port the gateway can tell that it is this run which calls. */
export function gatewayPlace(session: IssuedView): { port: number } {
  const { address } = session.gateway
  return { port: Number(address.slice(address.lastIndexOf(':') + 1)) }
}

/** The terminal belongs to the program; this is all that Keyward says before it. `services` are those that the program uses of itself; null: nobody is there who could give it more. */
async function announce(
  io: Io,
  session: IssuedView,
  contain: ContainmentMode,
  services: readonly string[] | null,
): Promise<void> {
  const { agent, environment, credentials } = session
  if (services !== null) await tellWhatLacks(io, session, services)
  if (io.stderr.isTTY !== true) return
  const names = credentials.map((one) => one.name).join(', ') || 'no credential'
  const line = `keyward: ${agent} in ${environment}, containment ${contain}, egress ${session.egress}, ${names}`
  note(io, paint(io, io.stderr, 'dim', printable(line)))
}

async function tellWhatLacks(io: Io, session: IssuedView, services: readonly string[]): Promise<void> {
  const { agent, environment, credentials } = session
  const lacks =
    services.length > 0 ? !credentials.some((one) => services.includes(one.service)) : credentials.length === 0
  if (!lacks) return
  const [service] = services
  const held = (await io.client().call('GET /credentials', {}, { environment })).filter(
    (one) => one.service !== sampleName && (service === undefined || services.includes(one.service)),
  )
  const name = held.length === 1 ? held[0]?.name : 'NAME'
  const next =
    held.length > 0
      ? `keyward grant add --agent ${agent} --credential ${name} --env ${environment} --allow '*' gives it ${held.length === 1 ? 'the one in the vault' : `one of ${held.map((one) => one.name).join(', ')}`}.`
      : `the vault holds none: run again with --adopt where the key is in the environment, or keyward credential add ${service ?? 'NAME'} --service ${service ?? 'ID'} --env ${environment} --stdin.`
  note(
    io,
    `keyward: agent ${agent} has no credential${service === undefined ? '' : ` for ${service}`} in ${environment}; ${printable(next)}`,
  )
}

function cannotStart(io: Io, command: string, code: 126 | 127): number {
  note(io, `keyward: ${printable(command)}: ${code === 127 ? 'there is no such program.' : 'it may not be run.'}`)
  return code
}

/** As a shell ends: 127 where the program is not there, 126 where it may not be run, 128 + n after a signal. */
function exitCodeOf(io: Io, child: ChildProcess, command: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT' && error.code !== 'EACCES') return reject(error)
      resolve(cannotStart(io, command, error.code === 'ENOENT' ? 127 : 126))
    })
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })
}
