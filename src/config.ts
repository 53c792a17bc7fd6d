import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { isIP } from 'node:net'
import { join, resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { KeywardError } from './core/errors.ts'
import { isLoopback } from './gateway/egress.ts'

/** Where a setting came from, weakest first: built in, keyward.yaml, KEYWARD_* variable, flag. */
export type Origin = 'default' | 'file' | 'variable' | 'flag'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Config {
  /** Absolute path of the folder that holds database, journal and sockets. */
  readonly home: string
  /** Absolute path of the root key file; never inside the home. */
  readonly rootKeyFile: string
  /** A file with the passphrase of a passphrase slot, for servers without a terminal; null: ask, or use the key file. */
  readonly passphraseFile: string | null
  readonly gateway: Address
  /** Name of this node in the journal. */
  readonly node: string
  /** A file elsewhere to which signed checkpoints are added, and with which the journal is compared at the start; null: none. */
  readonly witnessFile: string | null
  /** Wait for the disk on every intent, so that a power cut loses nothing. */
  readonly strictJournal: boolean
}

export type Settings = { readonly [K in keyof Config]: { readonly value: Config[K]; readonly origin: Origin } }

/** Flags as typed; a missing one is undefined. */
export interface ConfigFlags {
  readonly home?: string | undefined
  readonly gateway?: string | undefined
}

const MAXIMUM_FILE_BYTES = 64 * 1024

const fileSchema = z.strictObject({
  gateway: z.string().optional(),
  rootKeyFile: z.string().optional(),
  passphraseFile: z.string().optional(),
  node: z.string().optional(),
  witnessFile: z.string().optional(),
  strictJournal: z.boolean().optional(),
})

/**
 * Reads the configuration once, from unknown input to a typed value: `keyward.yaml` in the home, then
 * KEYWARD_* variables, then flags. Throws `config_invalid` naming the setting. No other module reads
 * the variables of the process.
 */
export function readConfig(
  flags: ConfigFlags = {},
  variables: Readonly<Record<string, string | undefined>> = process.env,
): { config: Config; settings: Settings } {
  const home = pick<string>([
    ['flag', flags.home],
    ['variable', text(variables, 'KEYWARD_HOME')],
    ['default', join(homedir(), '.keyward')],
  ])
  const homePath = resolve(home.value)
  const file = readSettingsFile(join(homePath, 'keyward.yaml'))
  const gateway = pick<string>([
    ['flag', flags.gateway],
    ['variable', text(variables, 'KEYWARD_GATEWAY')],
    ['file', file.gateway],
    ['default', '127.0.0.1:7071'],
  ])
  const rootKeyFile = pick<string>([
    ['variable', text(variables, 'KEYWARD_ROOT_KEY_FILE')],
    ['file', file.rootKeyFile],
    ['default', defaultRootKeyFile(homePath)],
  ])
  const passphraseFile = pick<string | null>([
    ['variable', text(variables, 'KEYWARD_PASSPHRASE_FILE')],
    ['file', file.passphraseFile],
    ['default', null],
  ])
  const node = pick<string>([
    ['variable', text(variables, 'KEYWARD_NODE')],
    ['file', file.node],
    ['default', 'node-1'],
  ])
  const witnessFile = pick<string | null>([
    ['variable', text(variables, 'KEYWARD_WITNESS_FILE')],
    ['file', file.witnessFile],
    ['default', null],
  ])
  const strict = pick<boolean>([
    ['variable', boolean(variables, 'KEYWARD_STRICT_JOURNAL')],
    ['file', file.strictJournal],
    ['default', false],
  ])
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(node.value))
    throw new KeywardError('config_invalid', 'KEYWARD_NODE must be of a-z, 0-9 and -.')
  const keyPath = resolve(rootKeyFile.value)
  if (`${keyPath}/`.startsWith(`${homePath}/`))
    throw new KeywardError(
      'config_invalid',
      'The root key file must lie outside the home, so that a copy of one does not bring the other.',
    )
  const witnessPath = witnessFile.value === null ? null : resolve(witnessFile.value)
  if (witnessPath !== null && `${witnessPath}/`.startsWith(`${homePath}/`))
    throw new KeywardError(
      'config_invalid',
      'KEYWARD_WITNESS_FILE must lie outside the home, so that whoever puts an old home back does not put it back too.',
    )

  const settings: Settings = {
    home: { ...home, value: homePath },
    rootKeyFile: { ...rootKeyFile, value: keyPath },
    passphraseFile: { ...passphraseFile, value: passphraseFile.value === null ? null : resolve(passphraseFile.value) },
    gateway: { ...gateway, value: gatewayAddress(gateway.value) },
    node,
    witnessFile: { ...witnessFile, value: witnessPath },
    strictJournal: strict,
  }
  return {
    settings,
    config: {
      home: settings.home.value,
      rootKeyFile: settings.rootKeyFile.value,
      passphraseFile: settings.passphraseFile.value,
      gateway: settings.gateway.value,
      node: node.value,
      witnessFile: witnessPath,
      strictJournal: strict.value,
    },
  }
}

/**
 * Beside the home and in a folder of its own: a folder can be hidden from an agent for good, while a
 * single file that is replaced by renaming shows through what was laid over it.
 */
export function defaultRootKeyFile(home: string): string {
  return join(`${home}.root`, 'key')
}

/** Without TLS of its own the gateway listens on loopback only: a placeholder must not cross a network in clear. */
function gatewayAddress(raw: string): Address {
  const match = /^(?:\[([0-9a-f:]+)\]|([^:\s]+)):(\d{1,5})$/i.exec(raw)
  const host = match?.[1] ?? match?.[2] ?? ''
  const port = Number(match?.[3] ?? Number.NaN)
  if (match === null || !(port <= 65_535))
    throw new KeywardError('config_invalid', 'The gateway address must be written HOST:PORT.')
  const address = host === 'localhost' ? '127.0.0.1' : host
  if (isIP(address) === 0 || !isLoopback(address))
    throw new KeywardError('config_invalid', 'The gateway listens on a loopback address only.')
  return { host: address, port }
}

function readSettingsFile(path: string): z.infer<typeof fileSchema> {
  let source: string
  try {
    source = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {}
    throw new KeywardError('config_invalid', 'keyward.yaml cannot be read.', { cause: error })
  }
  if (source.length > MAXIMUM_FILE_BYTES)
    throw new KeywardError('config_invalid', 'keyward.yaml is larger than 64 KiB.')
  const document = parseDocument(source, { uniqueKeys: true })
  const problem = document.errors[0]
  if (problem !== undefined) {
    const at = problem.linePos?.[0]
    throw new KeywardError(
      'config_invalid',
      `keyward.yaml, line ${at?.line ?? 1}, column ${at?.col ?? 1}: not valid YAML.`,
    )
  }
  const parsed = fileSchema.safeParse(document.toJS({ maxAliasCount: 0 }) ?? {})
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new KeywardError(
    'config_invalid',
    `keyward.yaml: ${issue?.path.join('.') || 'top level'}: ${issue?.message ?? 'not valid'}.`,
  )
}

function text(variables: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const value = variables[name]
  return value === undefined || value === '' ? undefined : value
}

function boolean(variables: Readonly<Record<string, string | undefined>>, name: string): boolean | undefined {
  const value = text(variables, name)
  if (value === undefined) return undefined
  if (value === 'true' || value === '1') return true
  if (value === 'false' || value === '0') return false
  throw new KeywardError('config_invalid', `${name} must be true or false.`)
}

function pick<T>(candidates: readonly (readonly [Origin, T | undefined])[]): { value: T; origin: Origin } {
  for (const [origin, value] of candidates) if (value !== undefined) return { value, origin }
  throw new KeywardError('config_invalid', 'A setting has no default.')
}
