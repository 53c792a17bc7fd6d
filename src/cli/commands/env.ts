import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { IssuedView } from '../../api/answers.ts'
import { registerNarrowed } from '../../client/narrowed-client.ts'
import { readConfig } from '../../config.ts'
import { KeywardError } from '../../core/errors.ts'
import { writeSessionDirectory } from '../../containment/session-directory.ts'
import { heldVariables, proxyUrlOf } from '../child.ts'
import type { Call, EnvironmentOption, Io } from '../io.ts'
import { asksForMachineLogin, logMachineIn, type MachineOptions } from '../machine-login.ts'
import { parseDuration } from '../measures.ts'
import { note, printJson, printLine } from '../print.ts'
import { readToken } from '../token-source.ts'

interface EnvOptions extends EnvironmentOption, Omit<MachineOptions, 'env'> {
  readonly agent?: string
  readonly narrowed?: boolean
  readonly ttl: string
  readonly egress?: 'open' | 'deny'
  readonly format: 'sh' | 'json' | 'dotenv'
}

/** Prints placeholders, base URLs and the proxy of a session that is bound to nothing. */
export async function env({ io, options }: Call<EnvOptions>): Promise<void> {
  const session = await sessionFor(io, options)
  const { placeholders, baseUrls } = heldVariables(session)
  const proxy = proxyUrlOf(session)
  const trust = keepTrust(io, session.caCertificate)
  const variables = {
    ...baseUrls,
    ...placeholders,
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: 'localhost,127.0.0.1,::1',
    no_proxy: 'localhost,127.0.0.1,::1',
    SSL_CERT_FILE: trust.bundle,
    REQUESTS_CA_BUNDLE: trust.bundle,
    CURL_CA_BUNDLE: trust.bundle,
    GIT_SSL_CAINFO: trust.bundle,
    NODE_EXTRA_CA_CERTS: trust.extra,
    NODE_USE_ENV_PROXY: '1',
  }
  if (options.format === 'json') return printJson(io, variables)
  for (const [name, value] of Object.entries(variables)) {
    printLine(io, options.format === 'sh' ? `export ${name}='${value.replaceAll("'", `'\\''`)}'` : `${name}='${value}'`)
  }
  if (options.narrowed === true)
    return note(io, `Narrowing ${session.id} ends at ${new Date(session.expiresAt).toISOString()} at the latest.`)
  note(
    io,
    `Session ${session.id} is unbound and ends at ${new Date(session.expiresAt).toISOString()}; keyward session revoke ${session.id} ends it sooner.`,
  )
}

async function sessionFor(io: Io, options: EnvOptions): Promise<PrintedSession> {
  if (options.narrowed === true) return narrowedSession(io)
  if (!asksForMachineLogin(options)) return issuedSession(io, options)
  const { ttl, egress } = options
  const wish = { ttlSeconds: parseDuration(ttl), ...(egress === undefined ? {} : { egress }) }
  return (await logMachineIn(io, options, wish)).session
}

type PrintedSession = Pick<IssuedView, 'id' | 'token' | 'credentials' | 'gateway' | 'caCertificate' | 'expiresAt'>

async function issuedSession(io: Io, { agent, env: environment, ttl, egress }: EnvOptions): Promise<PrintedSession> {
  if (agent === undefined) throw new KeywardError('usage', 'Name the agent with --agent.')
  const wish = { agent, ttlSeconds: parseDuration(ttl), ...(egress === undefined ? {} : { egress }) }
  return io.client().call('POST /environments/:environment/sessions', { environment }, wish)
}

/** Asked of the gateway, which is all that the holder of a narrowed session may be able to reach. */
async function narrowedSession(io: Io): Promise<PrintedSession> {
  const token = await readToken(io, undefined)
  const { gateway } = readConfig({}, io.environment).config
  return { ...(await registerNarrowed(gateway, token)), token }
}

/** The certificates outlive this command, so they lie in the home; they are the same for every session. */
function keepTrust(io: Io, caPem: string): { bundle: string; extra: string } {
  const folder = join(io.home, 'trust')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const made = writeSessionDirectory({ caPem, preloadSource: '', parentEnvironment: io.environment })
  const keep = (name: string, from: string): string => {
    const path = join(folder, name)
    rmSync(path, { force: true })
    copyFileSync(from, path)
    return path
  }
  const kept = { bundle: keep('bundle.pem', made.bundlePath), extra: keep('extra.pem', made.extraPath) }
  made.remove()
  return kept
}
