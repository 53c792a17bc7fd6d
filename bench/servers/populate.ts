import { randomBytes } from 'node:crypto'
import type { App } from '../../src/app.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Change } from '../../src/vault/records.ts'

/** How much a home holds. */
export interface Size {
  readonly credentials: number
  readonly agents: number
  readonly grants: number
}

export interface Wanted {
  readonly size: Size
  /** Sessions that call, shared out over the first agents. */
  readonly sessions: number
  readonly callers: number
  /** Origins of the upstreams, and the secrets that they ask for. */
  readonly origins: { readonly plain: string; readonly tls: string }
  readonly secrets: { readonly plain: string; readonly tls: string }
  /** PEM text of the authority of the upstream with TLS. */
  readonly trust: string
}

/** What one session's load needs to know. */
export interface SessionFacts {
  readonly id: string
  readonly token: string
  readonly placeholders: { readonly plain: string; readonly tls: string }
}

const actor = 'bench'
const environment = 'dev'
const ROWS_PER_COMMIT = 2_000
/** Commits that wait in line at once. */
const COMMITS_AT_ONCE = 500

/** The two services stand for one API: one is reached over plain HTTP, one over TLS. */
function definition(id: string, endpoint: string, trust: string | null) {
  return {
    id,
    name: id,
    hosts: [`${id}.example.test`],
    endpoint,
    ...(trust === null ? {} : { trust }),
    fields: { key: 'secret' },
    inject: [{ kind: 'bearer' }],
    variables: { fields: { key: ['BENCH_API_KEY'] } },
    operations: [{ name: 'chat.completions', match: 'POST /v1/chat/completions' }],
    checked: 'documented',
    source: 'bench',
  }
}

/** Fills a new home through the ways that the commands use, and logs the callers in. */
export async function populate(app: App, wanted: Wanted): Promise<SessionFacts[]> {
  const createdAt = Date.now()
  const services = {
    bench: definition('bench', wanted.origins.plain, null),
    'bench-tls': definition('bench-tls', wanted.origins.tls, wanted.trust),
  }
  await app.records.commit(
    Object.entries(services).map(([id, row]): Change => ({
      table: 'service',
      id,
      body: { definition: row, createdAt },
    })),
    { actor, action: 'service.add' },
  )
  const plain = await addCredential(app, 'bench', 'bench', wanted.secrets.plain)
  const tls = await addCredential(app, 'bench-tls', 'bench-tls', wanted.secrets.tls)
  const others = await inTurns(wanted.size.credentials - 2, (index) =>
    addCredential(app, `other-${index}`, 'bench', randomBytes(30).toString('base64url')),
  )
  const callers = await inTurns(wanted.callers, async (index) => {
    const { id } = await app.agents.add({ name: `caller-${index}`, environment, owner: null }, actor)
    return id
  })
  for (const agentId of callers) {
    for (const credentialId of [plain, tls]) {
      await app.grants.add(
        {
          agentId,
          credentialId,
          allow: ['POST /v1/**', 'GET /**'],
          deny: ['* /v1/admin/**'],
          limits: { rate: { count: 1_000_000_000, perSeconds: 60 }, concurrent: 10_000 },
          expiresAt: null,
        },
        actor,
      )
    }
  }
  await addBystanders(app, wanted, others, createdAt)
  return inTurns(wanted.sessions, async (index) => {
    const agentId = callers[index % callers.length] ?? ''
    const session = await app.sessions.issue(
      { agentId, ttlSeconds: 6 * 3600, egress: null, binding: { kind: 'unbound' } },
      actor,
    )
    const textOf = (credentialId: string): string =>
      session.placeholders.find((placeholder) => placeholder.credentialId === credentialId)?.text ?? ''
    return { id: session.id, token: session.token, placeholders: { plain: textOf(plain), tls: textOf(tls) } }
  })
}

async function addCredential(app: App, name: string, service: string, secret: string): Promise<string> {
  const fields = { key: new Secret(name, Buffer.from(secret)) }
  const { id } = await app.credentials.add(
    { name, environment, service, fields, owner: null, sensitivity: 'low' },
    actor,
  )
  return id
}

/** Agents that do not call, and their grants: no two agents with the same rules. */
async function addBystanders(app: App, { size, callers }: Wanted, others: readonly string[], createdAt: number) {
  const agents = Math.max(0, size.agents - callers)
  const grants = agents === 0 || others.length === 0 ? 0 : Math.max(0, size.grants - 2 * callers)
  const rows: Change[] = []
  for (let index = 0; index < agents; index += 1) {
    const body = { name: `bystander-${index}`, environment, owner: null, state: 'active' as const, createdAt }
    rows.push({ table: 'agent', id: `agent-${index}`, body })
  }
  for (let index = 0; index < grants; index += 1) {
    const body = {
      agentId: `agent-${index % agents}`,
      credentialId: others[index % others.length] ?? '',
      allow: [`GET /repos/{owner}/site-${index % agents}/**`, 'chat.completions'],
      deny: [`* /repos/{owner}/site-${index % agents}/secrets/**`],
      limits: {},
      expiresAt: null,
      createdAt,
    }
    rows.push({ table: 'grant', id: `grant-${index}`, body })
  }
  for (let from = 0; from < rows.length; from += ROWS_PER_COMMIT)
    await app.records.commit(rows.slice(from, from + ROWS_PER_COMMIT), { actor, action: 'bench.populate' })
}

async function inTurns<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const made: T[] = []
  for (let from = 0; from < count; from += COMMITS_AT_ONCE) {
    const length = Math.min(COMMITS_AT_ONCE, count - from)
    made.push(...(await Promise.all(Array.from({ length }, (_, index) => make(from + index)))))
  }
  return made
}
