import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { openApp, type App, type AppOptions } from '../../../src/app.ts'
import type { GrantRecord, SessionBinding } from '../../../src/core/records.ts'
import { Secret } from '../../../src/core/secret.ts'
import type { JournalEntry } from '../../../src/journal/entry.ts'
import { searchJournal, type SearchFilter } from '../../../src/journal/search.ts'
import type { InjectionRule, Operation, Service } from '../../../src/services/service.ts'
import { h2WireOf, type H2Wire } from './h2-wire.ts'
import {
  connectHead,
  requestBytes,
  requestFields,
  type Ask,
  type Door,
  type Held,
  type Login,
  type Protocol,
} from './requests.ts'
import { wireOf, type Answer, type Wire } from './wire.ts'

export interface HeldOptions {
  readonly id: string
  /** Origin of the upstream. */
  readonly endpoint?: string
  readonly hosts?: readonly string[]
  readonly trust?: string
  readonly http2?: boolean
  readonly inject?: readonly InjectionRule[]
  readonly fields?: Service['fields']
  readonly values?: Readonly<Record<string, string>>
  readonly operations?: readonly Operation[]
  readonly sealed?: readonly string[]
  readonly handsOut?: readonly string[]
  readonly frames?: Service['frames']
  readonly speaks?: Service['speaks']
  readonly encodedSlash?: boolean
  readonly environment?: string
  readonly agent?: string
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
  readonly limits?: GrantRecord['limits']
  readonly when?: string
  readonly approve?: 'destructive' | 'always'
  readonly expiresAt?: number
}

export interface LoginOptions {
  readonly environment?: string
  readonly egress?: 'open' | 'deny'
  /** Nothing, unless it is given. */
  readonly binding?: SessionBinding
  readonly ttlSeconds?: number
}

export interface Stage {
  readonly app: App
  readonly port: number
  /** Names that resolve, and to what. A list of lists gives one answer after the other. */
  readonly names: Map<string, string[] | string[][]>
  readonly errors: unknown[]
  /** Moves Keyward's clock. */
  advance(milliseconds: number): void
  hold(options: HeldOptions): Promise<Held>
  agent(name: string, environment?: string): Promise<string>
  login(agent: string, options?: LoginOptions): Promise<Login>
  /** The port to which connections go from now on: that of a relay in another process, or null for the gateway's own. */
  enterBy(port: number | null): void
  /** A connection on which requests of this door may be written. */
  open(door: Door, host: string, login: Login, port?: number): Promise<Wire>
  /** The same for HTTP/2: without TLS by prior knowledge, in a tunnel by ALPN. */
  openH2(door: Door, host: string, login: Login, port?: number): Promise<H2Wire>
  /** A bare connection to the gateway port. */
  dial(): Promise<Wire>
  /** One request and its answer on a connection of its own. */
  request(ask: Ask): Promise<Answer>
  /** Waits until an entry passes the filter; entries are found in the order in which they were written. */
  journaled(filter: SearchFilter): Promise<JournalEntry>
  entries(filter: SearchFilter): Promise<JournalEntry[]>
  close(): Promise<void>
}

/** A home in this folder, with its root key beside it, and any free port. */
export function configIn(folder: string): AppOptions['config'] {
  return {
    home: join(folder, 'home'),
    database: null,
    rootKeyFile: join(folder, 'root', 'key'),
    rootKey: { kind: 'file', shown: 'file', path: join(folder, 'root', 'key'), orPassphrase: false },
    passphraseFile: null,
    gateway: { host: '127.0.0.1', port: 0 },
    monitor: null,
    oidcIssuer: null,
    oidcClientId: null,
    oidcClaim: 'email',
    oidcAuthorityFile: null,
    listen: null,
    listenName: null,
    tlsCertificateFile: null,
    tlsKeyFile: null,
    tlsClientAuthorityFile: null,
    node: 'test',
    witnessFile: null,
    witnessUrl: null,
    witnessKey: null,
    journalShip: null,
    journalShipTokenFile: null,
    strictJournal: false,
    timeZone: 'UTC',
    approvalWaitMilliseconds: 60_000,
  }
}

const actor = 'test'
const unbound: SessionBinding = { kind: 'unbound' }
const JOURNAL_WAIT_MILLISECONDS = 10_000
const OUTCOME_WAIT_MILLISECONDS = 3_000
/** In memory where the machine has such a place: a disk that is busy with other tests would break the journal’s deadline of one second. */
const FOLDER = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** The whole product in this process, on a new home, without any name service. */
export async function openStage(options: Partial<AppOptions> = {}): Promise<Stage> {
  const folder = mkdtempSync(join(FOLDER, 'keyward-gateway-'))
  const names = new Map<string, string[] | string[][]>()
  const errors: unknown[] = []
  let offset = 0
  const app = await openApp({
    config: configIn(folder),
    ephemeral: false,
    askPassphrase: null,
    onError(error) {
      errors.push(error)
      return 'reference'
    },
    now: () => Date.now() + offset,
    async resolve(host) {
      const known = names.get(host)
      const next = Array.isArray(known?.[0]) ? (known.length > 1 ? known.shift() : known[0]) : known
      if (next === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
      return [next]
        .flat()
        .map((address) => ({ address: String(address), family: String(address).includes(':') ? 6 : 4 }))
    },
    ...options,
  })
  const port = Number(app.gatewayAddress.split(':').at(-1))
  const directory = join(app.journalDirectory, 'test')
  const wires = new Set<{ close(): void }>()
  let entrance: number | null = null

  async function agent(name: string, environment = 'dev'): Promise<string> {
    const found = app.agents.find(environment, name)
    if (found !== undefined) return found.id
    return (await app.agents.add({ name, environment, owner: null }, actor)).id
  }

  async function dial(): Promise<Wire> {
    const socket = connectTcp({ port: entrance ?? port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    const wire = wireOf(socket)
    wires.add(wire)
    return wire
  }

  /** TLS through a CONNECT. */
  async function secured(wire: Wire, host: string, login: Login, port: number, protocol: Protocol): Promise<Socket> {
    wire.write(connectHead(`${host}:${port}`, login.token))
    const answer = await wire.head()
    if (answer.status !== 200) throw new Error(`CONNECT was answered ${answer.status}`)
    const raw = wire.socket
    raw.removeAllListeners('data')
    const secure = connectTls({
      socket: raw as Socket,
      servername: host,
      ca: app.caCertificate,
      ALPNProtocols: [protocol],
    })
    await once(secure, 'secureConnect')
    return secure
  }

  const stage: Stage = {
    app,
    port,
    names,
    errors,
    agent,
    dial,
    advance(milliseconds) {
      offset += milliseconds
    },
    async hold(wanted) {
      const environment = wanted.environment ?? 'dev'
      const hosts = wanted.hosts ?? [`${wanted.id}.example.test`]
      const fields = wanted.fields ?? { key: 'secret' }
      const definition: Service = {
        id: wanted.id,
        name: wanted.id,
        hosts,
        fields,
        inject: wanted.inject ?? [{ kind: 'bearer' }],
        variables: { fields: {} },
        operations: wanted.operations ?? [],
        checked: 'documented',
        source: 'test',
        ...(wanted.endpoint === undefined ? {} : { endpoint: wanted.endpoint }),
        ...(wanted.trust === undefined ? {} : { trust: wanted.trust }),
        ...(wanted.http2 === undefined ? {} : { http2: wanted.http2 }),
        ...(wanted.sealed === undefined ? {} : { sealed: wanted.sealed }),
        ...(wanted.handsOut === undefined ? {} : { handsOut: wanted.handsOut }),
        ...(wanted.frames === undefined ? {} : { frames: wanted.frames }),
        ...(wanted.speaks === undefined ? {} : { speaks: wanted.speaks }),
        ...(wanted.encodedSlash === undefined ? {} : { encodedSlash: wanted.encodedSlash }),
      }
      await app.records.commit([{ table: 'service', id: wanted.id, body: { definition, createdAt: Date.now() } }], {
        actor,
        action: 'service.add',
      })
      const values = Object.fromEntries(Object.keys(fields).map((name) => [name, wanted.values?.[name] ?? madeUp()]))
      const credential = await app.credentials.add(
        {
          name: wanted.id,
          environment,
          service: wanted.id,
          fields: Object.fromEntries(
            Object.entries(values).map(([name, value]) => [name, new Secret(name, Buffer.from(value))]),
          ),
          owner: null,
          sensitivity: 'low',
        },
        actor,
      )
      const agentId = await agent(wanted.agent ?? 'triage', environment)
      const grant = await app.grants.add(
        {
          agentId,
          credentialId: credential.id,
          allow: wanted.allow ?? ['*'],
          deny: wanted.deny ?? [],
          limits: wanted.limits ?? {},
          ...(wanted.when === undefined ? {} : { when: wanted.when }),
          ...(wanted.approve === undefined ? {} : { approve: wanted.approve }),
          expiresAt: wanted.expiresAt ?? null,
        },
        actor,
      )
      return {
        id: wanted.id,
        host: hosts[0] ?? '',
        credentialId: credential.id,
        agentId,
        grantId: grant.id,
        secret: (field = 'key') => values[field] ?? '',
      }
    },
    enterBy(port) {
      entrance = port
    },
    async login(name, { environment = 'dev', egress, binding = unbound, ttlSeconds = 3_600 } = {}) {
      const agentId = await agent(name, environment)
      const issued = await app.sessions.issue({ agentId, ttlSeconds, egress: egress ?? null, binding }, actor)
      return {
        id: issued.id,
        token: issued.token,
        placeholder(held, field = 'key') {
          const found = issued.placeholders.find((one) => one.credentialId === held.credentialId && one.field === field)
          if (found === undefined) throw new Error(`no placeholder for ${held.id}.${field}`)
          return found.text
        },
      }
    },
    async open(door, host, login, toPort = 443) {
      const wire = await dial()
      if (door !== 'tunnel') return wire
      const inner = wireOf(await secured(wire, host, login, toPort, 'http/1.1'))
      wires.add(inner)
      return inner
    },
    async openH2(door, host, login, toPort = 443) {
      const wire = await dial()
      if (door !== 'tunnel') wire.socket.removeAllListeners('data')
      const wire2 = h2WireOf(door === 'tunnel' ? await secured(wire, host, login, toPort, 'h2') : wire.socket)
      wires.add(wire2)
      return wire2
    },
    async request(ask) {
      const login = ask.login ?? { id: '', token: '', placeholder: () => '' }
      if (ask.protocol === 'h2') {
        const wire = await stage.openH2(ask.door, ask.held.host, login)
        try {
          return await wire.request(requestFields(stage, ask), ask.body)
        } finally {
          wire.close()
        }
      }
      const wire = await stage.open(ask.door, ask.held.host, login)
      wire.write(requestBytes(stage, ask))
      const answer = await wire.answer({ method: ask.method ?? 'GET' })
      wire.close()
      return answer
    },
    async entries(filter) {
      const found: JournalEntry[] = []
      for await (const entry of searchJournal({ directory, order: 'oldest', ...filter })) found.push(entry)
      return found
    },
    async journaled(filter) {
      const until = Date.now() + JOURNAL_WAIT_MILLISECONDS
      // An outcome is written after the answer: without this, that of the request before could be taken for it.
      if (filter.kind === 'outcome') await lastExchangeIsOver(directory)
      for (;;) {
        for await (const entry of searchJournal({ directory, order: 'newest', limit: 1, ...filter })) return entry
        if (Date.now() > until) {
          const last: string[] = []
          for await (const entry of searchJournal({ directory, order: 'newest', limit: 4 }))
            last.push(JSON.stringify(entry.event))
          throw new Error(`The journal has no ${JSON.stringify(filter)}; the last are\n${last.join('\n')}`)
        }
        await new Promise((done) => setTimeout(done, 10))
      }
    },
    async close() {
      for (const wire of wires) wire.close()
      await app.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return stage
}

/** Waits until the newest intent has its outcome, within reason: some tests look while an exchange is still open. */
async function lastExchangeIsOver(directory: string): Promise<void> {
  for (const until = Date.now() + OUTCOME_WAIT_MILLISECONDS; Date.now() < until;) {
    let over = true
    for await (const { event } of searchJournal({ directory, kind: 'intent', order: 'newest', limit: 1 })) {
      over = false
      const text = String(event['exchange'])
      for await (const _ of searchJournal({ directory, kind: 'outcome', order: 'newest', limit: 1, text })) over = true
    }
    if (over) return
    await new Promise((done) => setTimeout(done, 10))
  }
}

/** Waits until something has become true, without a fixed sleep. */
export async function eventually(condition: () => boolean, withinMilliseconds = 15_000): Promise<void> {
  const until = Date.now() + withinMilliseconds
  while (!condition()) {
    if (Date.now() > until) throw new Error('It did not become true in time.')
    await new Promise((done) => setTimeout(done, 5))
  }
}

/** A value that no text holds by chance, with characters that encodings treat differently. */
export function madeUp(): string {
  return `${randomBytes(24).toString('base64url')}+/=${randomBytes(6).toString('hex')}`
}

function once(socket: Socket, event: string): Promise<void> {
  return new Promise((done, fail) => {
    socket.once(event, () => done())
    socket.once('error', fail)
  })
}
