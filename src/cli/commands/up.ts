import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import process from 'node:process'
import { networkDoor, ownersDoor } from '../../api/caller.ts'
import { createControlApi } from '../../api/control.ts'
import type { NetworkServer } from '../../api/network.ts'
import type { ControlParts } from '../../api/parts.ts'
import { listenControl } from '../../api/server.ts'
import type { ControlServer } from '../../api/server.ts'
import { openApp } from '../../app.ts'
import type { App, AppOptions } from '../../app.ts'
import { readConfig } from '../../config.ts'
import type { Config } from '../../config.ts'
import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import { controlSocketPath } from '../../core/socket-path.ts'
import { readTokenFile } from '../../vault/root-keys/ask.ts'
import { newRecoveryKey, recoveryRootKey } from '../../vault/root-keys/recovery.ts'
import { actorName } from '../actor.ts'
import { refuseForeignHome } from '../home-folder.ts'
import type { Call, Io } from '../io.ts'
import { keepMemoryClosed } from '../keep-closed.ts'
import { openLog } from '../log.ts'
import type { Log } from '../log.ts'
import { startSample } from '../sample.ts'
import { note, printLine } from '../print.ts'

/** A server that a `run` started ends when no session has lived for so long. */
const IDLE_MILLISECONDS = 10_000
const IDLE_CHECK_MILLISECONDS = 1_000
/** What exchanges get to end in when a service manager asks for the end; a second signal ends them at once. */
export const DRAIN_MILLISECONDS = 10_000

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

interface UpOptions {
  readonly home?: string
  readonly config?: string
  readonly gateway?: string
  readonly monitor?: string
  readonly listen?: string
  readonly ephemeral?: boolean
  readonly sample?: boolean
  readonly acceptRollback?: boolean
  readonly recover?: boolean
  readonly recoveryFile?: string
}

/** Serves a home until a signal, `keyward down` or, for an ephemeral server, idleness ends it. */
export async function up({ io, options }: Call<UpOptions>): Promise<void> {
  keepMemoryClosed()
  const { config, settings } = readConfig(
    {
      home: options.home,
      config: options.config,
      gateway: options.gateway,
      monitor: options.monitor,
      listen: options.listen,
    },
    io.environment,
  )
  const ephemeral = options.ephemeral === true
  refuseForeignHome(config.home)
  const log = openLog(config.home)
  const recoveryFile = options.recoveryFile === undefined ? null : resolve(io.workingDirectory, options.recoveryFile)
  // Shown to a person or written where he says; where neither is to be had there is none, rather than one in a log.
  const isSeen = recoveryFile !== null || (io.interactive && !ephemeral)
  const fresh = options.recover !== true && isSeen ? newRecoveryKey(randomBytes) : null
  const appOptions: AppOptions = {
    recovery: fresh?.rootKey ?? null,
    recover: options.recover === true ? recoveryRootKey(await recoveryText(io, recoveryFile)) : null,
    config,
    ephemeral,
    askPassphrase: io.interactive ? (isNew) => askPassphrase(io, isNew) : null,
    onError: log.error,
    ownerName: actorName(),
    acceptRollback: options.acceptRollback === true,
  }
  const app = await open(appOptions, ephemeral && settings.gateway.origin === 'default')
  if (app.created && fresh !== null && recoveryFile !== null)
    await writeRecoveryFile(recoveryFile, fresh.text).catch(async (error: unknown) => {
      await app.close()
      throw error
    })
  const ending = Promise.withResolvers<string>()
  let control: ControlServer
  let network: NetworkServer | null = null
  try {
    const parts: ControlParts = {
      ...app,
      stop: () => ending.resolve('asked'),
      get listenUrl() {
        return network?.url ?? null
      },
    }
    const api = createControlApi(parts, { door: ownersDoor(app.ownerName), onError: log.record })
    control = await listenControl(api, controlSocketPath(config.home, tmpdir(), process.getuid?.() ?? 0))
    network = await serveNetwork(app, parts, log)
  } catch (error) {
    await app.close()
    throw error
  }
  for (const signal of SIGNALS) process.once(signal, () => ending.resolve(signal))
  const sample = options.sample === true ? await startSample(app, actorName()) : null
  if (ephemeral) watchIdleness(app, () => ending.resolve('idle'))
  else
    greet(io, app, network, {
      sample: sample?.command ?? null,
      recovery: recoveryFile === null ? (fresh?.text ?? null) : null,
    })
  const reason = await ending.promise
  if (!ephemeral) note(io, 'Keyward stops.')
  for (const signal of SIGNALS) process.once(signal, () => process.exit(1))
  sample?.close()
  // What is still open can be suspended, revoked and answered until it has ended.
  await app.drain(reason === 'SIGTERM' ? DRAIN_MILLISECONDS : 0)
  await network?.close()
  await control.close()
  await app.close()
  log.close()
}

/** On a port too, where the operator says so; loaded there alone, and not at every start. */
async function serveNetwork(
  app: App,
  parts: ControlParts,
  log: Pick<Log, 'error' | 'record'>,
): Promise<NetworkServer | null> {
  const { listen, listenName, tlsCertificateFile, tlsKeyFile, tlsClientAuthorityFile } = app.config
  if (listen === null) return null
  const [{ listenNetwork, networkPeer }, { createAttempts }] = await Promise.all([
    import('../../api/network.ts'),
    import('../../api/network-rules.ts'),
  ])
  const attempts = createAttempts({ now: app.now })
  const door = networkDoor({
    ownerName: app.ownerName,
    logins: app.logins,
    lease: app.lease,
    peer: networkPeer,
    attempts,
    onAgent: (address) =>
      app.journal.note({
        kind: 'refusal',
        code: 'agent_refused',
        door: 'control',
        ...(address === null ? {} : { address }),
      }),
  })
  return listenNetwork({
    ...listen,
    names: listenName === null ? [] : [listenName],
    tls:
      tlsCertificateFile === null || tlsKeyFile === null
        ? null
        : { certificate: tlsCertificateFile, key: tlsKeyFile, clientAuthority: tlsClientAuthorityFile },
    api: createControlApi(parts, { door, onError: log.record }),
    onError: log.error,
  })
}

/** Where nobody chose the port, a server for one `run` takes any that is free. */
async function open(options: AppOptions, anyPort: boolean): Promise<App> {
  try {
    return await openApp(options)
  } catch (error) {
    if (!anyPort || !(error instanceof KeywardError) || error.code !== 'port_in_use') throw error
    const config: Config = { ...options.config, gateway: { ...options.config.gateway, port: 0 } }
    return openApp({ ...options, config })
  }
}

function greet(
  io: Io,
  app: App,
  network: NetworkServer | null,
  { sample: sampleCommand, recovery }: { sample: string | null; recovery: Secret | null },
): void {
  if (app.created) {
    note(io, `A new home is in ${app.config.home}, its root key in ${app.rootKeys.where}.`)
    if (recovery === null)
      note(io, 'Keep a copy of the root key apart from the home: without it the vault stays closed.')
    else
      note(
        io,
        `If that is ever lost, this opens the vault; it is shown only now, so write it down: ${recovery.revealText()}`,
      )
  }
  if (app.raisedFrom !== null)
    note(
      io,
      `The records were raised from schema ${app.raisedFrom} to ${app.records.schema}: a former release does not open this home any more.`,
    )
  printLine(io, `Keyward ${app.version} serves ${app.config.home}; the gateway is http://${app.gatewayAddress}.`)
  if (app.monitorAddress !== null) printLine(io, `Health and metrics: http://${app.monitorAddress}/metrics.`)
  if (network !== null) printLine(io, `The control API: ${network.url}.`)
  if (sampleCommand === null) printLine(io, 'Next: keyward run -- CMD in another terminal. Ctrl-C ends it.')
  else
    printLine(
      io,
      `See the swap, in another terminal:\n\n  ${sampleCommand}\n\nThen: ./keyward run -- CMD, for an agent of your own. Ctrl-C ends it.`,
    )
}

function watchIdleness(app: App, end: () => void): void {
  let idleSince = app.now()
  const timer = setInterval(() => {
    const now = app.now()
    if (app.sessions.list().some((session) => session.state === 'active' && session.expiresAt > now)) idleSince = now
    if (now - idleSince >= IDLE_MILLISECONDS) {
      clearInterval(timer)
      end()
    }
  }, IDLE_CHECK_MILLISECONDS)
  timer.unref()
}

async function recoveryText(io: Io, file: string | null): Promise<Secret> {
  if (file !== null) return readTokenFile(file)
  if (!io.interactive) throw new KeywardError('confirmation_required', 'Or name a file with --recovery-file.')
  const { isCancel, password } = await import('@clack/prompts')
  const answer = await password({ message: 'The recovery key', output: io.stderr })
  if (isCancel(answer) || typeof answer !== 'string') throw new KeywardError('recovery_key_malformed')
  return Secret.fromText('recovery key', answer)
}

async function writeRecoveryFile(path: string, text: Secret): Promise<void> {
  await writeFile(path, `${text.revealText()}\n`, { flag: 'wx', mode: 0o600, flush: true }).catch((error: unknown) => {
    throw new KeywardError(
      'file_invalid',
      `${path} cannot be written; \`keyward vault add-slot recovery\` makes another.`,
      {
        cause: error,
      },
    )
  })
}

/** A new one is typed twice: nobody sees what he types. */
async function askPassphrase(io: Io, isNew: boolean): Promise<Secret> {
  const { isCancel, password } = await import('@clack/prompts')
  const ask = (message: string) => password({ message, output: io.stderr })
  const answer = await ask(isNew ? 'A new passphrase for this home' : 'The passphrase of this home')
  if (isCancel(answer) || typeof answer !== 'string') throw new KeywardError('root_key_missing')
  if (isNew && (await ask('The same once more')) !== answer)
    throw new KeywardError('root_key_missing', 'The two were not the same.')
  return Secret.fromText('passphrase', answer)
}
