import type { Agents } from '../identity/agents.ts'
import type { Approvals } from '../gateway/approval/approvals.ts'
import type { Grants } from '../identity/grants.ts'
import type { Logins } from '../identity/logins.ts'
import type { MachineLogins } from '../identity/machine-logins.ts'
import type { Trusts } from '../identity/trusts.ts'
import type { People } from '../identity/people.ts'
import type { PersonOidc } from '../identity/person-oidc.ts'
import type { PolicyFiles } from '../identity/policy-files/policy-files.ts'
import type { Sessions } from '../identity/sessions.ts'
import type { Journal } from '../journal/journal.ts'
import type { Shipping } from '../journal/ship.ts'
import type { ServiceDirectory } from '../services/directory.ts'
import type { StorePlace } from '../stores/index.ts'
import type { Backups } from '../vault/backup/make.ts'
import type { Credentials } from '../vault/credentials.ts'
import type { Nodes } from '../vault/nodes.ts'
import type { RootKeySource } from '../vault/root-keys/root-key.ts'
import type { RandomBytes } from '../vault/sealing.ts'
import type { Vault } from '../vault/vault.ts'
import type { Records } from '../vault/records.ts'
import type { RouteName, Answers } from './answers.ts'
import type { Caller, Peer } from './caller.ts'
import type { Attempts } from './network-rules.ts'
import type { InputRead } from './schema.ts'

/** What the control API needs of a running Keyward; `App` in app.ts is one. */
export interface ControlParts {
  readonly config: StorePlace & { readonly ephemeral: boolean }
  readonly version: string
  readonly startedAt: number
  readonly records: Records
  readonly vault: Pick<Vault, 'journalKey' | 'slots' | 'rotateTerm' | 'rewrap'>
  /** Where root keys come from, as the settings say. */
  readonly rootKeys: Pick<RootKeySource, 'next'>
  readonly random: RandomBytes
  readonly credentials: Credentials
  readonly agents: Agents
  readonly nodes: Pick<Nodes, 'list' | 'remove'>
  readonly grants: Grants
  readonly policyFiles: PolicyFiles
  readonly sessions: Sessions
  readonly people: People
  readonly logins: Logins
  readonly personOidc: PersonOidc
  readonly machineLogins: MachineLogins
  readonly trusts: Trusts
  /** Failed logins of machines, by where they come from. */
  readonly machineAttempts: Attempts
  /** How the journal names the owner of the home. */
  readonly ownerName: string
  readonly approvals: Pick<Approvals, 'list' | 'get' | 'answer'>
  readonly backups: Backups
  readonly services: ServiceDirectory
  readonly journal: Journal
  /** Holds one folder of segments for each node. */
  readonly journalDirectory: string
  /** Null where the journal is not shipped. */
  readonly shipping: Pick<Shipping, 'state' | 'arrived'> | null
  /** `host:port` */
  readonly gatewayAddress: string
  /** `host:port`, or null. */
  readonly monitorAddress: string | null
  /** Where the control API is served on a port: `https://host:port`, or null. */
  readonly listenUrl: string | null
  /** Path of the Unix socket on which the gateway listens too, or null. */
  readonly gatewaySocket: string | null
  /** PEM text. */
  readonly caCertificate: string
  now(): number
  /** Whether a secret of the vault stands in the text, in any form that answers are searched for. */
  holdsSecret(text: string): boolean
  /** Ends the server once the answer is out. */
  stop(): void
}

export interface Asked<R extends RouteName> {
  /** Parameters of the path; those that the route does not have are empty. */
  readonly path: Readonly<Record<'environment' | 'name' | 'id' | 'service', string>>
  readonly input: InputRead<R>
  readonly caller: Caller
  readonly peer: Peer
  /** Who is asking, as the journal names them. */
  readonly actor: string
}

export type Handler<R extends RouteName> = (parts: ControlParts, asked: Asked<R>) => Answers[R] | Promise<Answers[R]>
export type Handlers<R extends RouteName> = { readonly [K in R]: Handler<K> }
