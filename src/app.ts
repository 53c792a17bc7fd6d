import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { ownFolder } from './api/server.ts'
import type { Config } from './config.ts'
import { KeywardError } from './core/errors.ts'
import { VERSION } from './core/version.ts'
import type { TableName } from './core/records.ts'
import { scrubText } from './core/scrub.ts'
import { Secret } from './core/secret.ts'
import { socketPath } from './core/socket-path.ts'
import { detectors } from './detectors/index.ts'
import { createAuthority } from './gateway/certificates.ts'
import { createDialler, type CodecChoice } from './gateway/dialler.ts'
import { resolveHost, type Resolve } from './gateway/egress.ts'
import { createGuarded } from './gateway/guarded.ts'
import { createHolds } from './gateway/hold.ts'
import { createInflight } from './gateway/inflight.ts'
import { listenGateway } from './gateway/listener.ts'
import { createWholeBodies } from './gateway/whole-body.ts'
import { createMisplaced } from './gateway/misplaced.ts'
import { createNeedleSource } from './gateway/needle-source.ts'
import { createPeerGate } from './gateway/peer-gate.ts'
import { createRefusalLimits } from './gateway/refusal-limits.ts'
import { createAgents } from './identity/agents.ts'
import { createEnvironments } from './identity/environments.ts'
import { createGrants } from './identity/grants.ts'
import { createSessions } from './identity/sessions.ts'
import { createPeerCheck } from './identity/peer.ts'
import { tellsHolders } from './identity/socket-owners.ts'
import { isProcessAlive } from './identity/process.ts'
import { signingFields } from './injectors/placement.ts'
import type { Journal } from './journal/journal.ts'
import { noBudget } from './ledger/no-budget.ts'
import { createDirectory } from './services/directory.ts'
import { services as builtIn } from './services/index.ts'
import { openSqliteStore } from './stores/sqlite.ts'
import { createCredentials } from './vault/credentials.ts'
import { openNodeJournal } from './vault/node-journal.ts'
import type { Change, Records } from './vault/records.ts'
import { createRootKeyFile, passphraseRootKey, readRootKeyFile, type RootKey } from './vault/root-key.ts'
import { createVault, openVault, type Vault } from './vault/vault.ts'

/** Where the kernel shows processes and sockets. */
const PROC = '/proc'
/** How often sessions are looked over for children that are gone. */
const SWEEP_MILLISECONDS = 1_000

export interface AppOptions {
  readonly config: Config
  /** Ends once no session lives; for servers that a `run` started. */
  readonly ephemeral: boolean
  /** Asks for the passphrase where a slot needs one; null where nobody can be asked. */
  readonly askPassphrase: (() => Promise<Secret>) | null
  readonly onError: (error: unknown) => string
  readonly resolve?: Resolve
  readonly now?: () => number
  /** Whose HTTP/1.1 codec carries the requests; Keyward's own unless a comparison wants the libraries'. */
  readonly codec?: CodecChoice
  /** How long a service may be silent before and within its answer; the gateway's own bounds where none is given. */
  readonly upstreamTimeouts?: { readonly headersMilliseconds: number; readonly bodyMilliseconds: number }
  /** For tests: whether this node may still act on the policy that it knows; always, unless given. */
  readonly lease?: { held(): boolean }
  /** The operator restored a backup himself: an older store or journal is taken as it is, once. */
  readonly acceptRollback?: boolean
  /** For tests: a module that exports another `files` for the journal (journal/files.ts). */
  readonly journalFiles?: URL
}

export type App = Awaited<ReturnType<typeof openApp>>

/** Opens a home, or makes one where there is none, and serves its gateway. Reads top to bottom as the inventory of a running Keyward. */
export async function openApp(options: AppOptions) {
  const { config, onError } = options
  const now = options.now ?? Date.now
  const startedAt = now()
  prepareHome(config.home)
  const gatewaySocket = socketPath(config.home, 'gateway/gateway.sock', tmpdir(), process.getuid?.() ?? 0)
  // With a long home the sockets lie in the temporary directory, in folders that nobody else may have made.
  ownFolder(dirname(dirname(gatewaySocket)))
  ownFolder(dirname(gatewaySocket))

  const store = await openSqliteStore(join(config.home, 'keyward.db'))
  const { records, vault, created } = await openOrCreate(store, options, now)
  const journalDirectory = join(config.home, 'journal')
  const { journal, keepLastHead } = await openNodeJournal({
    records,
    directory: join(journalDirectory, config.node),
    node: config.node,
    ...vault.journalKey(),
    now,
    witnessFile: config.witnessFile,
    accepts: options.acceptRollback === true,
    onError,
    ...(options.journalFiles === undefined ? {} : { filesModule: options.journalFiles }),
  }).catch(async (error: unknown) => {
    await records.close()
    throw error
  })

  const directory = createDirectory({ builtIn, own: () => records.all('service') })
  const credentials = createCredentials({ records, vault, service: directory.get, now, newId })
  const environments = createEnvironments({ records, now })
  const agents = createAgents({ records, now, newId })
  const grants = createGrants({
    records,
    now,
    newId,
    operationsOf: (credentialId) => operationsOf(credentialId),
    languagesOf: (credentialId) => serviceOf(credentialId)?.speaks?.map(({ language }) => language) ?? [],
  })
  const sessions = createSessions({
    records,
    tokenKey: vault.macKey('token'),
    signing: { key: vault.macKey('placeholder'), signsWith: (credentialId, field) => signsWith(credentialId, field) },
    randomBytes,
    now,
    newId,
    isAlive: isProcessAlive,
    credentialsOf: grants.credentialsOf,
    secretFieldsOf: (credentialId) => secretFields(credentialId),
    shapeOf: (credentialId) => shapeOf(credentialId),
  })

  function serviceOf(credentialId: string) {
    const record = records.get('credential', credentialId)
    return record === undefined ? undefined : directory.get(record.service)
  }
  function operationsOf(credentialId: string) {
    return serviceOf(credentialId)?.operations ?? []
  }
  function secretFields(credentialId: string) {
    return Object.entries(serviceOf(credentialId)?.fields ?? {}).flatMap(([name, kind]) =>
      kind === 'secret' ? [name] : [],
    )
  }
  function signsWith(credentialId: string, field: string) {
    return signingFields(serviceOf(credentialId)?.inject ?? []).includes(field)
  }
  function shapeOf(credentialId: string) {
    const id = serviceOf(credentialId)?.detector ?? 'generic'
    const detector =
      detectors.find((candidate) => candidate.id === id) ?? detectors.find((candidate) => candidate.id === 'generic')
    if (detector === undefined) throw new KeywardError('internal', 'The generic detector is missing.')
    return detector.placeholder
  }

  const inflight = createInflight()
  const needles = createNeedleSource({ credentials, services: directory, records })
  const authority = createAuthority({
    privateKey: vault.caKey(),
    leafKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
    now,
    randomBytes,
  })
  const resolve = options.resolve ?? resolveHost
  const codec = options.codec ?? 'own'
  const dialler = createDialler({
    resolve,
    codec,
    ...(options.upstreamTimeouts === undefined
      ? {}
      : {
          headersTimeoutMilliseconds: options.upstreamTimeouts.headersMilliseconds,
          bodyTimeoutMilliseconds: options.upstreamTimeouts.bodyMilliseconds,
        }),
  })
  const gateway = await listenGateway({
    ...config.gateway,
    socketPath: gatewaySocket,
    authority,
    resolve,
    codec,
    onError,
    ports: {
      sessions,
      services: directory,
      credentials,
      records,
      guarded: createGuarded({ credentials, services: directory, records }),
      grants,
      dialler,
      inflight,
      misplaced: createMisplaced({ sessions, journal, now }),
      holds: createHolds({ ledger: noBudget, now }),
      wholeBodies: createWholeBodies(),
      refusalLimits: createRefusalLimits({ now }),
      needles,
      peers: createPeerGate({
        check: createPeerCheck({ platform: process.platform, proc: PROC, tells: () => tellsHolders(PROC) }),
        needles,
      }),
      journal: config.strictJournal ? strictly(journal) : journal,
      // One process, one store on this very disk: what memory holds is the policy.
      lease: options.lease ?? { held: () => true },
      egressOpen: (environment) => records.get('environment', environment)?.egress === 'open',
      now,
      newId,
    },
  }).catch(async (error: unknown) => {
    await journal.close()
    await records.close()
    throw error
  })

  records.onCommit((changes) => endWhatChanged(changes, records, inflight))
  sessions.onEnd((sessionId) => inflight.endWhere((entry) => entry.sessionId === sessionId, 'session_revoked'))
  const sweeper = setInterval(() => void sessions.sweep().catch(onError), SWEEP_MILLISECONDS)
  sweeper.unref()
  await journal.append(
    { kind: 'start', version: VERSION, gateway: gateway.address, epoch: records.epoch },
    { sync: true },
  )

  return {
    version: VERSION,
    startedAt,
    created,
    config: { ...config, ephemeral: options.ephemeral },
    records,
    vault,
    credentials,
    environments,
    agents,
    grants,
    sessions,
    services: directory,
    journal,
    journalDirectory,
    inflight,
    gatewayAddress: gateway.address,
    gatewaySocket,
    caCertificate: authority.certificate,
    now,
    holdsSecret: (text: string) => scrubText(needles.of('', null), text).hits > 0,
    async close() {
      clearInterval(sweeper)
      sessions.close()
      await gateway.close()
      await dialler.close()
      await keepLastHead()
      await journal.append({ kind: 'stop', epoch: records.epoch }, { sync: true }).catch(() => undefined)
      await records.close()
      await journal.close()
    },
  }
}

const ID_CHARACTERS = 26
const ID_ALPHABET = Buffer.from('0123456789abcdefghjkmnpqrstvwxyz', 'latin1')
let idBytes = Buffer.alloc(0)
let idsDrawn = 0

/** 130 random bits in lower-case Crockford base 32. Draws randomness for many at a time: each request needs one. */
function newId(): string {
  if (idsDrawn === idBytes.byteLength) {
    idBytes = randomBytes(ID_CHARACTERS * 256)
    for (let at = 0; at < idBytes.length; at++) idBytes[at] = ID_ALPHABET[(idBytes[at] ?? 0) & 31] ?? 0
    idsDrawn = 0
  }
  idsDrawn += ID_CHARACTERS
  return idBytes.toString('latin1', idsDrawn - ID_CHARACTERS, idsDrawn)
}

function prepareHome(home: string): void {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const found = statSync(home)
  if (found.uid === process.getuid?.() && (found.mode & 0o077) !== 0) {
    throw new KeywardError('home_unsafe', `${home} has mode ${(found.mode & 0o777).toString(8)}.`)
  }
}

async function openOrCreate(
  store: Awaited<ReturnType<typeof openSqliteStore>>,
  options: AppOptions,
  now: () => number,
): Promise<{ records: Records; vault: Vault; created: boolean }> {
  try {
    const identity = await store.identity()
    if (identity !== null) {
      const rootKey = await existingRootKey(options)
      return { ...(await openVault({ store, rootKey, now, random: randomBytes })), created: false }
    }
    const rootKey =
      options.config.passphraseFile === null
        ? await firstRootKey(options.config.rootKeyFile)
        : await existingRootKey(options)
    return { ...(await createVault({ store, rootKey, now, random: randomBytes })), created: true }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** A key file that is already there is used: the operator may have put it there first. */
async function firstRootKey(path: string): Promise<RootKey> {
  if (existsSync(path)) return readRootKeyFile(path)
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  return createRootKeyFile(path, randomBytes)
}

async function existingRootKey(options: AppOptions): Promise<RootKey> {
  const { passphraseFile, rootKeyFile } = options.config
  if (passphraseFile !== null) {
    const bytes = await readFile(passphraseFile).catch((error: unknown) => {
      throw new KeywardError('root_key_missing', 'The passphrase file cannot be read.', { cause: error })
    })
    const end = bytes.at(-1) === 0x0a ? bytes.byteLength - 1 : bytes.byteLength
    const passphrase = new Secret('passphrase', bytes.subarray(0, end))
    bytes.fill(0)
    return passphraseRootKey(passphrase)
  }
  if (!existsSync(rootKeyFile) && options.askPassphrase !== null)
    return passphraseRootKey(await options.askPassphrase())
  return readRootKeyFile(rootKeyFile)
}

/** The journal where nothing counts as written before it is on the disk. */
function strictly(journal: Journal): Pick<Journal, 'append' | 'note'> {
  return {
    append: (event) => journal.append(event, { sync: true }),
    note: (event) => void journal.append(event, { sync: true }).catch(() => undefined),
  }
}

/**
 * What a commit takes away ends at once: open exchanges and tunnels of a suspended or removed agent,
 * credential, version or grant, exchanges of a service that is another now, and all that reaches hosts
 * without a service from an environment that is closed now.
 */
function endWhatChanged(
  changes: readonly Change<TableName>[],
  records: Records,
  inflight: ReturnType<typeof createInflight>,
): void {
  for (const change of changes) {
    if (change.table === 'agent' && change.body?.state !== 'active')
      inflight.endWhere((entry) => entry.agentId === change.id, 'agent_suspended')
    if (change.table === 'credential' && change.body?.state !== 'active')
      inflight.endWhere((entry) => entry.credentialId === change.id, 'credential_suspended')
    if (change.table === 'service') {
      const { id } = change
      inflight.endWhere(
        ({ credentialId }) => credentialId !== null && records.get('credential', credentialId)?.service === id,
        'service_changed',
      )
    }
    if (change.table === 'environment' && change.body?.egress !== 'open') {
      const { id } = change
      // A tunnel of listed hosts goes too: its next one is judged anew like every other.
      inflight.endWhere(
        ({ credentialId, agentId }) => credentialId === null && records.get('agent', agentId)?.environment === id,
        'host_not_listed',
      )
    }
    if (change.table === 'version' && change.body?.state === 'revoked') {
      const { credentialId, number } = change.body
      inflight.endWhere(
        (entry) => entry.credentialId === credentialId && entry.version === number,
        'credential_replaced',
      )
    }
    if (change.table === 'grant' && change.body === null) {
      inflight.endWhere(
        (entry) => entry.credentialId !== null && !isGranted(entry.agentId, entry.credentialId, records),
        'grant_missing',
      )
    }
  }
}

function isGranted(agentId: string, credentialId: string, records: Records): boolean {
  for (const grant of records.all('grant').values())
    if (grant.agentId === agentId && grant.credentialId === credentialId) return true
  return false
}
