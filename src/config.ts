import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { isIP } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { KeywardError } from './core/errors.ts'
import { booleanOf, hostNameOf, nodeNameOf, wordOf } from './core/setting-text.ts'
import { isTimeZone } from './core/wall-clock.ts'
import { APPROVAL_LIFE_MILLISECONDS, APPROVAL_WAIT_MILLISECONDS } from './gateway/approval/approvals.ts'
import { isLoopback } from './gateway/egress.ts'
import { checkTargets, readTargetUrl, readWitnessKey } from './journal/targets.ts'
import { readYamlDocuments } from './services/yaml-documents.ts'
import { readRootKeyChoice, type RootKeyChoice } from './vault/root-keys/choice.ts'
import { readPostgresUrl, type PostgresAddress } from './stores/postgres-address.ts'

/** Where a setting came from, weakest first: built in, the settings file, KEYWARD_* variable, flag. */
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
  /** Where the root key comes from. */
  readonly rootKey: RootKeyChoice
  readonly gateway: Address
  /** Where health, readiness and metrics are told; null: nowhere. */
  readonly monitor: Address | null
  /** Where the control API is served on a port too; null: on its Unix socket alone. */
  readonly listen: Address | null
  /** The name by which people and machines ask it there; null: the address. */
  readonly listenName: string | null
  /** PEM files; both or neither. */
  readonly tlsCertificateFile: string | null
  readonly tlsKeyFile: string | null
  /** Whose certificates machines may log in with; null: nobody's. */
  readonly tlsClientAuthorityFile: string | null
  /** The OpenID provider that knows the people of this server; null: none. */
  readonly oidcIssuer: string | null
  readonly oidcClientId: string | null
  /** The claim of its tokens that is a person's name here. */
  readonly oidcClaim: string
  /** PEM file with the authorities of its certificate; null: the usual ones. */
  readonly oidcAuthorityFile: string | null
  /** The PostgreSQL database that holds the records; null: SQLite in the home. */
  readonly database: PostgresAddress | null
  /** Name of this node in the journal. */
  readonly node: string
  /** A file elsewhere to which signed checkpoints are added, and with which the journal is compared at the start; null: none. */
  readonly witnessFile: string | null
  /** A witness that signs checkpoints (C2SP tlog-witness), by its submission prefix; null: none. */
  readonly witnessUrl: string | null
  /** Its verifier key, `NAME+HEX+BASE64`; there where the URL is. */
  readonly witnessKey: string | null
  /** A folder or an URL to which segments of the journal are copied; null: nowhere. */
  readonly journalShip: string | null
  /** A file with the token for that URL; null: none is sent. */
  readonly journalShipTokenFile: string | null
  /** Wait for the disk on every intent, so that a power cut loses nothing. */
  readonly strictJournal: boolean
  /** Where the clock hangs on which conditions of grants look (IANA); the same on all nodes. */
  readonly timeZone: string
  /** How long a request is held while a person is asked, in milliseconds. */
  readonly approvalWaitMilliseconds: number
}

export interface Setting<T> {
  readonly value: T
  readonly origin: Origin
  /** The flag, the name of the variable, or FILE:LINE; null where it is built in. */
  readonly from: string | null
}

export type Settings = { readonly [K in keyof Config]: Setting<Config[K]> } & {
  /** Absolute path of keyward.yaml, which need not be there unless somebody named it. */
  readonly settingsFile: Setting<string>
  /** What `rootKey` needs where a service guards it. */
  readonly rootKeyCredentials: Setting<string | null>
  readonly rootKeyNamespace: Setting<string | null>
  readonly rootKeyCaFile: Setting<string | null>
  readonly rootKeyEndpoint: Setting<string | null>
}

/** Flags as typed; a missing one is undefined. */
export interface ConfigFlags {
  readonly home?: string | undefined
  readonly config?: string | undefined
  readonly gateway?: string | undefined
  readonly monitor?: string | undefined
  readonly listen?: string | undefined
}

type Variables = Readonly<Record<string, string | undefined>>

/** What somebody wrote for a setting, and where. `folder` is what a relative path counts from. */
interface Written {
  /** As whoever wrote it calls it. */
  readonly name: string
  readonly text: string
  readonly origin: Origin
  readonly from: string
  readonly folder: string
}

export const maximumSettingsFileCharacters = 64 * 1024

/**
 * Reads the configuration once, from unknown input to a typed value: the settings file, then KEYWARD_*
 * variables, then flags. Throws `config_invalid` naming the setting. No other module reads the
 * variables of the process. A further setting is a line in `settings`, and one in `Config`.
 */
export function readConfig(
  flags: ConfigFlags = {},
  variables: Variables = process.env,
): { config: Config; settings: Settings } {
  const flag = (name: keyof ConfigFlags): Written | null => written(flags[name], 'flag', `--${name}`)
  const variable = (name: string): Written | null => written(variables[name], 'variable', name)

  const home = pick([flag('home'), variable('KEYWARD_HOME')], pathOf, join(homedir(), '.keyward'))
  const settingsFile = pick([flag('config'), variable('KEYWARD_CONFIG')], pathOf, join(home.value, 'keyward.yaml'))
  const file = readSettingsFile(settingsFile.value, settingsFile.origin !== 'default')
  const rootKeyFile = pick(
    [variable('KEYWARD_ROOT_KEY_FILE'), file.take('rootKeyFile')],
    pathOf,
    defaultRootKeyFile(home.value),
  )
  const passphraseFile = pick([variable('KEYWARD_PASSPHRASE_FILE'), file.take('passphraseFile')], pathOf, null)
  const beside = {
    rootKeyCredentials: pick(
      [variable('KEYWARD_ROOT_KEY_CREDENTIALS'), file.take('rootKeyCredentials')],
      credentialsOf,
      null,
    ),
    rootKeyNamespace: pick([variable('KEYWARD_ROOT_KEY_NAMESPACE'), file.take('rootKeyNamespace')], textOf, null),
    rootKeyCaFile: pick([variable('KEYWARD_ROOT_KEY_CA_FILE'), file.take('rootKeyCaFile')], pathOf, null),
    rootKeyEndpoint: pick([variable('KEYWARD_ROOT_KEY_ENDPOINT'), file.take('rootKeyEndpoint')], textOf, null),
  }
  const relative = variables['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']
  const needs = {
    rootKeyFile: rootKeyFile.value,
    passphraseFile: passphraseFile.value,
    credentials: beside.rootKeyCredentials.value,
    namespace: beside.rootKeyNamespace.value,
    caFile: beside.rootKeyCaFile.value,
    endpoint: beside.rootKeyEndpoint.value,
    containerUrl:
      relative === undefined
        ? (variables['AWS_CONTAINER_CREDENTIALS_FULL_URI'] ?? null)
        : `http://169.254.170.2${relative}`,
    containerTokenFile: variables['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'] ?? null,
  }
  const settings: Settings = {
    home,
    settingsFile,
    rootKey: pick(
      [variable('KEYWARD_ROOT_KEY'), file.take('rootKey')],
      ({ text }) => readRootKeyChoice(text, needs),
      readRootKeyChoice(null, needs),
    ),
    rootKeyFile,
    passphraseFile,
    ...beside,
    gateway: pick([flag('gateway'), variable('KEYWARD_GATEWAY'), file.take('gateway')], gatewayAddress, {
      host: '127.0.0.1',
      port: 7071,
    }),
    monitor: pick([flag('monitor'), variable('KEYWARD_MONITOR'), file.take('monitor')], addressOf, null),
    listen: pick([flag('listen'), variable('KEYWARD_LISTEN'), file.take('listen')], addressOf, null),
    listenName: pick([variable('KEYWARD_LISTEN_NAME'), file.take('listenName')], hostNameOf, null),
    tlsCertificateFile: pick([variable('KEYWARD_TLS_CERTIFICATE_FILE'), file.take('tlsCertificateFile')], pathOf, null),
    tlsKeyFile: pick([variable('KEYWARD_TLS_KEY_FILE'), file.take('tlsKeyFile')], pathOf, null),
    tlsClientAuthorityFile: pick(
      [variable('KEYWARD_TLS_CLIENT_CA_FILE'), file.take('tlsClientAuthorityFile')],
      pathOf,
      null,
    ),
    oidcIssuer: pick([variable('KEYWARD_OIDC_ISSUER'), file.take('oidcIssuer')], wordOf, null),
    oidcClientId: pick([variable('KEYWARD_OIDC_CLIENT_ID'), file.take('oidcClientId')], wordOf, null),
    oidcClaim: pick([variable('KEYWARD_OIDC_CLAIM'), file.take('oidcClaim')], wordOf, 'email'),
    oidcAuthorityFile: pick([variable('KEYWARD_OIDC_CA_FILE'), file.take('oidcAuthorityFile')], pathOf, null),
    database: pick(
      [onlyOne(variable('KEYWARD_DATABASE_URL'), contentOf(variable('KEYWARD_DATABASE_URL_FILE')))],
      ({ text }) => readPostgresUrl(text),
      null,
    ),
    node: pick([variable('KEYWARD_NODE'), file.take('node')], nodeNameOf, 'node-1'),
    witnessFile: pick([variable('KEYWARD_WITNESS_FILE'), file.take('witnessFile')], pathOf, null),
    witnessUrl: pick([variable('KEYWARD_WITNESS_URL'), file.take('witnessUrl')], readTargetUrl, null),
    witnessKey: pick([variable('KEYWARD_WITNESS_KEY'), file.take('witnessKey')], readWitnessKey, null),
    journalShip: pick([variable('KEYWARD_JOURNAL_SHIP'), file.take('journalShip')], targetOf, null),
    journalShipTokenFile: pick([variable('KEYWARD_JOURNAL_SHIP_TOKEN_FILE')], pathOf, null),
    strictJournal: pick([variable('KEYWARD_STRICT_JOURNAL'), file.take('strictJournal')], booleanOf, false),
    timeZone: pick([variable('KEYWARD_TIME_ZONE'), file.take('timeZone')], timeZone, 'UTC'),
    approvalWaitMilliseconds: pick(
      [variable('KEYWARD_APPROVAL_WAIT'), file.take('approvalWait')],
      approvalWait,
      APPROVAL_WAIT_MILLISECONDS,
    ),
  }
  file.refuseRest()
  checkListen(settings)
  if (`${settings.rootKeyFile.value}/`.startsWith(`${home.value}/`))
    throw new KeywardError(
      'config_invalid',
      'The root key file must lie outside the home, so that a copy of one does not bring the other.',
    )
  if (settings.witnessFile.value !== null && `${settings.witnessFile.value}/`.startsWith(`${home.value}/`))
    throw new KeywardError(
      'config_invalid',
      'KEYWARD_WITNESS_FILE must lie outside the home, so that whoever puts an old home back does not put it back too.',
    )
  checkTargets(home.value, settings)
  return {
    settings,
    config: {
      home: settings.home.value,
      rootKeyFile: settings.rootKeyFile.value,
      passphraseFile: settings.passphraseFile.value,
      rootKey: settings.rootKey.value,
      gateway: settings.gateway.value,
      monitor: settings.monitor.value,
      listen: settings.listen.value,
      listenName: settings.listenName.value,
      tlsCertificateFile: settings.tlsCertificateFile.value,
      tlsKeyFile: settings.tlsKeyFile.value,
      tlsClientAuthorityFile: settings.tlsClientAuthorityFile.value,
      oidcIssuer: settings.oidcIssuer.value,
      oidcClientId: settings.oidcClientId.value,
      oidcClaim: settings.oidcClaim.value,
      oidcAuthorityFile: settings.oidcAuthorityFile.value,
      database: settings.database.value,
      node: settings.node.value,
      witnessFile: settings.witnessFile.value,
      witnessUrl: settings.witnessUrl.value,
      witnessKey: settings.witnessKey.value,
      journalShip: settings.journalShip.value,
      journalShipTokenFile: settings.journalShipTokenFile.value,
      strictJournal: settings.strictJournal.value,
      timeZone: settings.timeZone.value,
      approvalWaitMilliseconds: settings.approvalWaitMilliseconds.value,
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
function gatewayAddress(written: Written): Address {
  const address = addressOf(written)
  if (!isLoopback(address.host))
    throw new KeywardError('config_invalid', 'The gateway listens on a loopback address only.')
  return address
}

/** A login must not cross a network in clear. */
function checkListen({ listen, tlsCertificateFile, tlsKeyFile, tlsClientAuthorityFile, ...oidc }: Settings): void {
  if ((oidc.oidcIssuer.value === null) !== (oidc.oidcClientId.value === null))
    throw new KeywardError('config_invalid', 'oidcIssuer and oidcClientId belong together.')
  if ((tlsCertificateFile.value === null) !== (tlsKeyFile.value === null))
    throw new KeywardError('config_invalid', 'tlsCertificateFile and tlsKeyFile belong together.')
  if (tlsCertificateFile.value === null && tlsClientAuthorityFile.value !== null)
    throw new KeywardError('config_invalid', 'tlsClientAuthorityFile needs tlsCertificateFile and tlsKeyFile.')
  if (listen.value !== null && tlsCertificateFile.value === null && !isLoopback(listen.value.host))
    throw new KeywardError(
      'config_invalid',
      'Without TLS the control API listens on a loopback address only: set tlsCertificateFile and tlsKeyFile.',
    )
}

function textOf({ text }: Written): string {
  return text
}

function addressOf({ text, name }: Written): Address {
  const match = /^(?:\[([0-9a-f:]+)\]|([^:\s]+)):(\d{1,5})$/i.exec(text)
  const host = match?.[1] ?? match?.[2] ?? ''
  const port = Number(match?.[3] ?? Number.NaN)
  const address = host === 'localhost' ? '127.0.0.1' : host
  if (isIP(address) === 0 || !(port <= 65_535))
    throw new KeywardError('config_invalid', `${name} must be written ADDRESS:PORT.`)
  return { host: address, port }
}

function timeZone({ text, name }: Written): string {
  if (isTimeZone(text)) return text
  throw new KeywardError('config_invalid', `${name} must name a time zone, as in Europe/Berlin or UTC.`)
}

/** A path, or one of the words that stand for credentials which are in no file of ours. */
function credentialsOf(written: Written): string {
  const { text } = written
  return text === 'container' || text.startsWith('kubernetes:') ? text : pathOf(written)
}

const targetOf = (given: Written): string => (/^https?:/.test(given.text) ? readTargetUrl(given) : pathOf(given))

function pathOf({ text, folder }: Written): string {
  return resolve(folder, text)
}

/** No longer than an approval can be given: who waits on would wait for nothing. */
function approvalWait({ text, name }: Written): number {
  const match = /^([1-9]\d{0,3})(s|m)$/.exec(text)
  const milliseconds = Number(match?.[1] ?? Number.NaN) * (match?.[2] === 'm' ? 60_000 : 1_000)
  if (milliseconds <= APPROVAL_LIFE_MILLISECONDS) return milliseconds
  throw new KeywardError('config_invalid', `${name} must be written as 90s or 5m, and be 10m at most.`)
}

/** What stands in the settings file; each setting is taken once, and what nobody takes is refused. */
function readSettingsFile(path: string, isNamed: boolean) {
  const document = settingsDocument(path, isNamed)
  const values = new Map(document === null ? [] : Object.entries(document.values))
  const lineOf = (name: string): string => `${path}:${document?.lineOf(name) ?? 1}`
  return {
    take(name: string): Written | null {
      const value = values.get(name)
      values.delete(name)
      if (value === undefined || value === null) return null
      if (typeof value !== 'string' && typeof value !== 'boolean')
        throw new KeywardError('config_invalid', `${lineOf(name)}: ${name} must be a text, or true or false.`)
      return { name, text: String(value), origin: 'file', from: lineOf(name), folder: dirname(path) }
    },
    refuseRest(): void {
      const [name] = values.keys()
      if (name !== undefined)
        throw new KeywardError(
          'config_invalid',
          `${lineOf(name)}: there is no setting ${/^[A-Za-z]{1,24}$/.test(name) ? name : 'of that name'}.`,
        )
    },
  }
}

function settingsDocument(
  path: string,
  isNamed: boolean,
): { values: Readonly<Record<string, unknown>>; lineOf(name: string): number } | null {
  let source: string
  try {
    source = readFileSync(path, 'utf8')
  } catch (error) {
    if (!isNamed && error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw new KeywardError('config_invalid', `${path} cannot be read.`, { cause: error })
  }
  if (source.length > maximumSettingsFileCharacters)
    throw new KeywardError('config_invalid', `${path} is larger than ${maximumSettingsFileCharacters} characters.`)
  const { documents, problems } = readYamlDocuments(source)
  const [problem] = problems
  if (problem !== undefined)
    throw new KeywardError(
      'config_invalid',
      `${path}, line ${problem.line}, column ${problem.column}: ${problem.message}.`,
    )
  const [document, second] = documents
  if (document === undefined) return null
  const parsed = z.record(z.string(), z.unknown()).safeParse(document.value)
  if (second !== undefined || !parsed.success)
    throw new KeywardError('config_invalid', `${path} is one list of names and values.`)
  return { values: parsed.data, lineOf: (name) => document.placeOf([name]).line }
}

/** A secret in a file instead of a variable, which every process of the user can read. Its last line break does not count. */
function contentOf(written: Written | null): Written | null {
  if (written === null) return null
  try {
    return { ...written, text: readFileSync(pathOf(written), 'utf8').replace(/\n$/, '') }
  } catch (error) {
    throw new KeywardError('config_invalid', `${written.name}: the file cannot be read.`, { cause: error })
  }
}

function onlyOne(left: Written | null, right: Written | null): Written | null {
  if (left !== null && right !== null)
    throw new KeywardError('config_invalid', `${left.name} and ${right.name} are both set: keep one.`)
  return left ?? right
}

/** An empty text counts as not written: that is how a variable is taken back. */
function written(text: string | undefined, origin: Origin, from: string): Written | null {
  return text === undefined || text === '' ? null : { name: from, text, origin, from, folder: '' }
}

/** The strongest that is written, or what is built in. */
function pick<T>(candidates: readonly (Written | null)[], read: (written: Written) => T, fallback: T): Setting<T> {
  for (const one of candidates) if (one !== null) return { value: read(one), origin: one.origin, from: one.from }
  return { value: fallback, origin: 'default', from: null }
}
