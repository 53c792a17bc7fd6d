import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { heldOf } from './api/held.ts'
import { createMachines } from './api/machines.ts'
import { createPersons } from './api/persons.ts'
import { ownFolder } from './api/server.ts'
import type { Config } from './config.ts'
import { closing } from './core/closing.ts'
import { VERSION } from './core/version.ts'
import { scrubText } from './core/scrub.ts'
import type { Secret } from './core/secret.ts'
import { socketPath } from './core/socket-path.ts'
import { createApprovals } from './gateway/approval/approvals.ts'
import { createSharedApprovals } from './gateway/approval/shared.ts'
import { createAuthority } from './gateway/certificates.ts'
import { createDialler, type CodecChoice } from './gateway/dialler.ts'
import { endExpired, endWhatChanged } from './gateway/end-what-changed.ts'
import { resolveHost, type Resolve } from './gateway/egress.ts'
import { createGuarded } from './gateway/guarded.ts'
import { createHolds } from './gateway/hold.ts'
import { createInflight } from './gateway/inflight.ts'
import { listenGateway, type Gateway } from './gateway/listener.ts'
import { createWholeBodies } from './gateway/whole-body.ts'
import { createMisplaced } from './gateway/misplaced.ts'
import { createNeedleSource } from './gateway/needle-source.ts'
import { createProofGate } from './gateway/proof-gate.ts'
import { createPeerGate } from './gateway/peer-gate.ts'
import { createRefusalLimits } from './gateway/refusal-limits.ts'
import { createAgents } from './identity/agents.ts'
import { createEnvironments } from './identity/environments.ts'
import { createConditionReader, loadConditionsOf } from './identity/condition-reader.ts'
import { createGrants } from './identity/grants.ts'
import { newId } from './identity/new-id.ts'
import { createPolicyFiles } from './identity/policy-files/policy-files.ts'
import { createServiceFacts } from './identity/service-facts.ts'
import { createSessions } from './identity/sessions.ts'
import { createPeerCheck } from './identity/peer.ts'
import { tellsHolders } from './identity/socket-owners.ts'
import { isElsewhere, isProcessAlive } from './identity/process.ts'
import { SEGMENT_BYTES } from './journal/segments.ts'
import { strictly } from './journal/strictly.ts'
import { startShipping, SHIP_END_MILLISECONDS } from './journal/ship.ts'
import { noBudget } from './ledger/no-budget.ts'
import { loadMonitoring } from './monitor/load-monitoring.ts'
import type { Readiness } from './monitor/monitor-server.ts'
import { createDirectory } from './services/directory.ts'
import { services as builtIn } from './services/index.ts'
import { openStore } from './stores/index.ts'
import { createBackups } from './vault/backup/make.ts'
import { settleRestore } from './vault/backup/staging.ts'
import { createCredentials } from './vault/credentials.ts'
import { followStore } from './vault/follow.ts'
import { joinNodes } from './vault/nodes.ts'
import { openNodeJournal } from './vault/node-journal.ts'
import { openOrCreateVault, settleVault, type RecoveryOptions } from './vault/open-or-create.ts'
import { prepareHome } from './vault/prepare-home.ts'
import { keptRestoration } from './vault/restoration.ts'
import { rootKeySource } from './vault/root-keys/index.ts'

/** Where the kernel shows processes and sockets. */
const PROC = '/proc'
/** How often sessions are looked over for children that are gone. */
const SWEEP_MILLISECONDS = 1_000

export interface AppOptions extends RecoveryOptions {
  readonly config: Config
  /** Ends once no session lives; for servers that a `run` started. */
  readonly ephemeral: boolean
  /** Asks for the passphrase where a slot needs one; null where nobody can be asked. */
  readonly askPassphrase: ((isNew: boolean) => Promise<Secret>) | null
  readonly onError: (error: unknown) => string
  /** How the journal names the owner of the home. */
  readonly ownerName?: string
  readonly resolve?: Resolve
  readonly now?: () => number
  /** Whose HTTP/1.1 codec carries the requests; Keyward's own unless a comparison wants the libraries'. */
  readonly codec?: CodecChoice
  /** How long a service may be silent before and within its answer; the gateway's own bounds where none is given. */
  readonly upstreamTimeouts?: { readonly headersTimeoutMilliseconds: number; readonly bodyTimeoutMilliseconds: number }
  /** How long a request is held while a person is asked; a minute, unless given. */
  readonly approvalWaitMilliseconds?: number
  /** For tests: whether this node may still act on the policy that it knows; as long as it follows its store, unless given. */
  readonly lease?: { held(): boolean }
  /** The operator restored a backup himself: an older store or journal is taken as it is, once. */
  readonly acceptRollback?: boolean
  /** For tests: a module that exports another `files` for the journal (journal/files.ts). */
  readonly journalFiles?: URL
  /** For tests: where the journal's segments are rotated. */
  readonly journalSegmentBytes?: number
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

  const store = await openStore(config)
  const rootKeys = rootKeySource(config.rootKey, { ...options, random: randomBytes, now, platform: process.platform })
  const { records, vault, created } = await openOrCreateVault({
    store,
    source: rootKeys,
    recovery: options.recovery ?? null,
    recover: options.recover ?? null,
    now,
    random: randomBytes,
  })
  settleRestore(config.home, keptRestoration(records)?.id ?? null)
  const journalDirectory = join(config.home, 'journal')
  const { journal, keepLastHead } = await openNodeJournal({
    records,
    directory: join(journalDirectory, config.node),
    node: config.node,
    ...vault.journalKey(),
    now,
    witnessFile: config.witnessFile,
    witnessUrl: config.witnessUrl,
    witnessKey: config.witnessKey,
    accepts: options.acceptRollback === true,
    isShared: store.node !== null,
    onError,
    ...(options.journalFiles === undefined ? {} : { filesModule: options.journalFiles }),
    segmentBytes: options.journalSegmentBytes ?? SEGMENT_BYTES,
  }).catch(closing(records))
  const shipping = startShipping(config, journalDirectory, onError)
  const following = await followStore({
    store,
    records,
    onError,
    // So that this node, too, finds out when the store is put back.
    onFollowed: (epoch) => journal.note({ kind: 'followed', epoch }),
  }).catch(closing(journal, records))

  const schemaBefore = records.schema
  const nodes = await joinNodes({
    store,
    records,
    name: config.node,
    self: () => ({ version: VERSION, startedAt, epoch: records.epoch, leaseHeld: following.held() }),
    onError,
    monotonic: () => performance.now(),
  }).catch(closing(following, journal, records))

  const actor = options.ownerName ?? 'operator'
  await settleVault({ vault, rootKeys, recover: options.recover ?? null, actor, onError }).catch(
    closing(following, journal, records),
  )

  const directory = createDirectory({ builtIn, own: () => records.all('service') })
  const facts = createServiceFacts({ records, services: directory })
  const credentials = createCredentials({ records, vault, service: directory.get, now, newId })
  const environments = createEnvironments({ records, now })
  const agents = createAgents({ records, now, newId })
  await loadConditionsOf(records.all('grant').values())
  const grants = createGrants({
    records,
    now,
    newId,
    operationsOf: facts.operationsOf,
    languagesOf: (credentialId) => facts.serviceOf(credentialId)?.speaks?.map(({ language }) => language) ?? [],
    conditionOf: createConditionReader(config.timeZone),
  })
  const resolve = options.resolve ?? resolveHost
  const persons = createPersons({
    records,
    key: vault.macKey('login'),
    settings: config,
    resolve,
    randomBytes,
    now,
    newId,
    ownerName: actor,
  })
  const policyFiles = createPolicyFiles({ records, credentials, service: directory.get, builtIn, now, newId })
  const sessions = createSessions({
    records,
    tokenKey: vault.macKey('token'),
    sessionKey: vault.macKey('session'),
    signing: { key: vault.macKey('placeholder'), signsWith: facts.signsWith },
    randomBytes,
    now,
    newId,
    node: store.node,
    isAlive: (binding) => isElsewhere(binding, store.node) || isProcessAlive(binding),
    credentialsOf: grants.credentialsOf,
    secretFieldsOf: facts.secretFieldsOf,
    shapeOf: facts.shapeOf,
  })

  const machines = createMachines({
    records,
    sessions,
    resolve,
    tokenKey: vault.macKey('token'),
    randomBytes,
    now,
    newId,
  })

  const backups = createBackups({
    records,
    key: () => vault.macKey('backup'),
    publicKey: () => vault.journalKey().publicKey,
    journal,
    journalDirectory,
    node: config.node,
    version: VERSION,
    now,
    newId,
  })
  /** By which this node's journal shows that it knew of the last restore of the store. */
  const restorationId = (): string | undefined => keptRestoration(records)?.id

  const inflight = createInflight()
  const needles = createNeedleSource({ credentials, services: directory, records })
  const authority = createAuthority({
    privateKey: vault.caKey(),
    leafKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
    now,
    randomBytes,
  })
  const codec = options.codec ?? 'own'
  const dialler = createDialler({
    resolve,
    codec,
    ...options.upstreamTimeouts,
  })
  const lease = options.lease ?? following
  let stopping = false
  const readiness = (): Readiness => [
    ...(stopping ? (['server_stopping'] as const) : []),
    ...(lease.held() ? [] : (['lease_lost'] as const)),
    ...(journal.refusal === null ? [] : (['journal_unwritable'] as const)),
  ]
  const monitoring = await loadMonitoring(config.monitor !== null, {
    version: VERSION,
    startedAt,
    openExchanges: () => inflight.size,
    activeSessions: () =>
      sessions.list().filter((session) => session.state === 'active' && session.expiresAt > now()).length,
    journalEntries: () => journal.size,
    journalBehind: () => shipping?.state.behind ?? 0,
    isReady: () => readiness().length === 0,
  })
  const kept = config.strictJournal ? strictly(journal) : journal
  const recorded = monitoring === null ? kept : monitoring.metrics.counted(kept)
  const shared = store.node === null ? null : createSharedApprovals({ records, vault, node: store.node, now, onError })
  const approvals = createApprovals({
    shared,
    now,
    newId,
    inflight,
    journal: recorded,
    waitMilliseconds: options.approvalWaitMilliseconds ?? config.approvalWaitMilliseconds,
  })
  const gateway: Gateway = await listenGateway({
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
      misplaced: createMisplaced({ sessions, journal: recorded, now }),
      approvals,
      holds: createHolds({ ledger: noBudget, now }),
      wholeBodies: createWholeBodies(),
      refusalLimits: createRefusalLimits({ now }),
      proofs: createProofGate(machines),
      needles,
      peers: createPeerGate({
        check: createPeerCheck({
          platform: process.platform,
          proc: PROC,
          node: store.node,
          tells: () => tellsHolders(PROC),
        }),
        needles,
      }),
      journal: recorded,
      lease,
      egressOpen: (environment) => records.get('environment', environment)?.egress === 'open',
      now,
      newId,
      async registerNarrowed(token) {
        const { placeholders, ...registered } = await sessions.narrowings.register(token)
        const place = { credentials, services: directory, gatewayAddress: gateway.address }
        return {
          ...registered,
          credentials: heldOf(place, registered.environment, placeholders),
          gateway: { address: gateway.address, socket: gatewaySocket },
          caCertificate: authority.certificate,
        }
      },
    },
  }).catch(closing(journal, records))

  const monitor =
    config.monitor === null || monitoring === null
      ? null
      : await monitoring
          .listenMonitor({ ...config.monitor, ...monitoring, readiness })
          .catch(closing({ close: () => gateway.close(0) }, dialler, journal, records))

  records.onCommit((changes) => endWhatChanged(changes, records, inflight))
  sessions.onEnd((sessionId) => inflight.endWhere((entry) => entry.sessionId === sessionId, 'session_revoked'))
  sessions.onNarrowingEnd((id) =>
    inflight.endWhere((entry) => entry.narrowed?.ids.includes(id) === true, 'narrowed_revoked'),
  )
  const sweeper = setInterval(() => {
    endExpired(inflight, now())
    void sessions.sweep().catch(onError)
    void machines.shown.machineLogins.sweep().catch(onError)
  }, SWEEP_MILLISECONDS)
  sweeper.unref()
  await journal.append(
    { kind: 'start', version: VERSION, gateway: gateway.address, epoch: records.epoch, restoration: restorationId() },
    { sync: true },
  )

  let drained: Promise<void> | null = null
  /** Takes nothing new and gives the exchanges that are open the grace to end; everything else goes on. Once. */
  function drain(graceMilliseconds: number): Promise<void> {
    stopping = true
    return (drained ??= gateway.close(graceMilliseconds))
  }

  return {
    version: VERSION,
    startedAt,
    created,
    /** The schema that the store had before this start raised it, or null. */
    raisedFrom: records.schema > schemaBefore ? schemaBefore : null,
    nodes,
    config: { ...config, ephemeral: options.ephemeral },
    records,
    vault,
    rootKeys,
    random: randomBytes,
    credentials,
    environments,
    agents,
    grants,
    policyFiles,
    backups,
    ...persons,
    ...machines.shown,
    lease,
    sessions,
    services: directory,
    journal,
    journalDirectory,
    shipping,
    inflight,
    approvals,
    gatewayAddress: gateway.address,
    gatewaySocket,
    /** Whoever serves the control API on a port tells where. */
    listenUrl: null,
    monitorAddress: monitor?.address ?? null,
    caCertificate: authority.certificate,
    now,
    holdsSecret: (text: string) => scrubText(needles.of('', null), text).hits > 0,
    drain,
    async close() {
      clearInterval(sweeper)
      await drain(0)
      nodes.close()
      following.close()
      sessions.close()
      await monitor?.close()
      await dialler.close()
      await keepLastHead()
      await journal
        .append({ kind: 'stop', epoch: records.epoch, restoration: restorationId() }, { sync: true })
        .catch(() => undefined)
      await records.close()
      await journal.close()
      await shipping?.finish(SHIP_END_MILLISECONDS)
    },
  }
}
