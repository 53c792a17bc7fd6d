import type { ChildProcess } from 'node:child_process'
import { constants, homedir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import type { IssuedView } from '../../api/schema.ts'
import { defaultHidden } from '../../containment/hidden.ts'
import { planContainment } from '../../containment/plan.ts'
import type { ContainmentMode, ContainmentPlan } from '../../containment/plan.ts'
import { containmentAvailable } from '../../containment/probe.ts'
import { runContained } from '../../containment/run.ts'
import { readPreload, writeSessionDirectory } from '../../containment/session-directory.ts'
import type { SessionDirectory } from '../../containment/session-directory.ts'
import { childVariables } from '../../containment/variables.ts'
import { readConfig } from '../../config.ts'
import { KeywardError } from '../../core/errors.ts'
import { startTicksOf } from '../../identity/process.ts'
import { adoptKeys, readEnvFile } from '../adopt.ts'
import { agentNameOf, heldVariables, proxyUrlOf, resolvedReferences, secretFinder } from '../child.ts'
import type { Call, EnvironmentOption, Io } from '../io.ts'
import { note, paint, printable } from '../print.ts'
import { renewSession } from '../renewal.ts'
import { ensureServer } from '../start-server.ts'

interface RunOptions extends EnvironmentOption {
  readonly agent?: string
  readonly contain?: ContainmentMode
  readonly egress?: 'open' | 'deny'
  readonly adopt?: boolean
}

/** Runs a program with placeholders instead of keys; gives the program's own exit code. */
export async function run({ io, args, options }: Call<RunOptions>): Promise<number> {
  const [command = '', ...rest] = args
  const agent = options.agent ?? agentNameOf(command)
  const contain = chooseContainment(io, options.contain)
  await ensureServer(io)
  await adoptKeys(io, agent, options.env, options.adopt === true)
  const session = await io
    .client()
    .call(
      'POST /environments/:environment/runs',
      { environment: options.env },
      { agent, contain, ...(options.egress === undefined ? {} : { egress: options.egress }), process: ownProcess() },
    )
  const renewal = renewSession(io, session)
  let directory: SessionDirectory | undefined
  try {
    directory = writeSessionDirectory({
      caPem: session.caCertificate,
      preloadSource: readPreload(),
      parentEnvironment: io.environment,
    })
    const prepared = await prepareChild(io, session, directory)
    const plan = planContainment({
      mode: contain,
      command,
      args: rest,
      uid: userInfo().uid,
      gid: userInfo().gid,
      cwd: io.workingDirectory,
      environment: io.environment,
      hide: hiddenPaths(io, prepared.hiddenFiles),
      readOnly: [directory.directory],
      keep: [directory.directory],
      gateway: gatewayPlace(session),
    })
    announce(io, session, plan)
    return await exitCodeOf(io, runContained(plan, { variables: prepared.variables }), command)
  } finally {
    await renewal.end()
    directory?.remove()
  }
}

/** The default gives way where the machine cannot do it, and says so; what was asked for does not. */
function chooseContainment(io: Io, asked: ContainmentMode | undefined): ContainmentMode {
  const mode = asked ?? 'files'
  const found = mode === 'none' ? null : containmentAvailable(mode)
  if (found !== null && !found.available) {
    if (asked !== undefined)
      throw new KeywardError('containment_unavailable', `${found.missing} ${found.remedy}`.trim())
    note(io, `keyward: containment is not available here: ${found.missing}`)
  } else if (mode !== 'none') return mode
  note(
    io,
    'keyward: containment none is cooperative and no boundary: the program runs with your rights and can read what you can read.',
  )
  return 'none'
}

interface PreparedChild {
  readonly variables: Record<string, string>
  readonly hiddenFiles: readonly string[]
}

async function prepareChild(io: Io, session: IssuedView, directory: SessionDirectory): Promise<PreparedChild> {
  const { placeholders, baseUrls } = heldVariables(session)
  const parent = Object.entries(io.environment).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, value]],
  )
  const envFile = readEnvFile(io)
  const references = resolvedReferences(session, [...envFile, ...parent])
  const holdsSecret = await secretFinder(io, [...parent.map(([, value]) => value), ...envFile.values()])
  const { variables, secretsRemoved } = childVariables({
    parentEnvironment: io.environment,
    placeholders: { ...placeholders, ...references.resolved },
    baseUrls,
    proxyUrl: proxyUrlOf(session),
    bundlePath: directory.bundlePath,
    extraPath: directory.extraPath,
    preloadPath: directory.preloadPath,
    holdsSecret,
  })
  for (const name of references.missing)
    note(io, `keyward: ${name} refers to a credential that agent ${session.agent} does not have; it is left out.`)
  const unexpected = secretsRemoved.filter((name) => variables[name] === undefined)
  if (unexpected.length > 0 && io.interactive)
    note(io, `keyward: left out, for they hold a secret: ${unexpected.join(', ')}.`)
  const exposed = [...envFile.values()].some(holdsSecret)
  if (exposed)
    note(
      io,
      'keyward: ./.env holds a key, so it is hidden from the program where it can be; keyward import moves the key out of it.',
    )
  return { variables, hiddenFiles: exposed ? [join(io.workingDirectory, '.env')] : [] }
}

function hiddenPaths(io: Io, files: readonly string[]): { directories: readonly string[]; files: readonly string[] } {
  const { config } = readConfig({}, io.environment)
  const known = defaultHidden(homedir(), io.environment)
  const own = [config.rootKeyFile, ...(config.passphraseFile === null ? [] : [config.passphraseFile])]
  return {
    directories: [...known.directories, ...new Set([io.home, dirname(io.controlSocket)])],
    files: [...known.files, ...own, ...files],
  }
}

function gatewayPlace(session: IssuedView): { port: number; socketPath?: string } {
  const { address, socket } = session.gateway
  const port = Number(address.slice(address.lastIndexOf(':') + 1))
  return socket === null ? { port } : { port, socketPath: socket }
}

/** This process lives as long as its child, and the session no longer than this process. */
function ownProcess(): { processId: number; startTicks: string } {
  return { processId: process.pid, startTicks: startTicksOf(process.pid) ?? '0' }
}

function announce(io: Io, session: IssuedView, plan: ContainmentPlan): void {
  if (session.credentials.length === 0) {
    note(
      io,
      `keyward: agent ${session.agent} has no credential in ${session.environment}; keyward grant add --agent ${session.agent} --credential NAME --allow '*' gives it one.`,
    )
  }
  if (io.stderr.isTTY !== true) return
  const names = session.credentials.map((one) => one.name).join(', ') || 'no credential'
  const line = `keyward: ${session.agent} in ${session.environment}, containment ${plan.mode}, egress ${session.egress}, ${names}`
  note(io, paint(io, io.stderr, 'dim', printable(line)))
}

/** As a shell ends: 127 where the program is not there, 126 where it may not be run, 128 + n after a signal. */
function exitCodeOf(io: Io, child: ChildProcess, command: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT' && error.code !== 'EACCES') return reject(error)
      const missing = error.code === 'ENOENT'
      note(io, `keyward: ${printable(command)}: ${missing ? 'there is no such program.' : 'it may not be run.'}`)
      resolve(missing ? 127 : 126)
    })
    child.once('exit', (code, signal) => resolve(code ?? 128 + signalNumber(signal)))
  })
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : (constants.signals[signal] ?? 0)
}
