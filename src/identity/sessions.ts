import { createHmac } from 'node:crypto'
import { KeywardError } from '../core/errors.ts'
import { locatorOf, narrowedPrefix } from '../core/narrowed-token.ts'
import { looksLikePlaceholder, looksLikeSessionToken, makeSessionToken } from '../core/placeholder.ts'
import type { SessionBinding, SessionLogin, SessionRecord } from '../core/records.ts'
import type { Change } from '../vault/records.ts'
import { derivedText } from './derived-text.ts'
import { createDraw, type DrawnPlaceholder } from './draw-placeholders.ts'
import { createNarrowings, type Narrowings } from './narrowings.ts'
import { PERSON } from './people.ts'
import { randomTextFrom } from './random-text.ts'
import type { SessionParts } from './session-parts.ts'
import { createSessionIndex } from './session-index.ts'
import type { Caller, PlaceholderCaller, Refused, Timer } from './session-index.ts'
import {
  chainSchema,
  checkBinding,
  checkTtl,
  endedRecord,
  isLive,
  keepEndedMilliseconds,
  maximumEndedSessions,
  maximumLiveSessions,
  maximumPlaceholders,
  maximumPlaceholdersPerSession,
} from './session-state.ts'

export type { Caller, PlaceholderCaller, Timer } from './session-index.ts'

export type { NarrowingSummary, RegisteredNarrowing } from './narrowings.ts'

export interface IssuedPlaceholder {
  readonly credentialId: string
  readonly field: string
  readonly text: string
}

/** The only moment in which the texts exist outside the agent: the store has their keyed hashes. */
export interface IssuedSession {
  readonly id: string
  readonly token: string
  readonly placeholders: readonly IssuedPlaceholder[]
  readonly expiresAt: number
}

export interface SessionSummary {
  readonly id: string
  readonly agentId: string
  readonly agent: string
  readonly environment: string
  readonly state: 'active' | 'suspended' | 'revoked' | 'expired'
  readonly binding: SessionBinding
  readonly egress: 'open' | 'deny'
  readonly placeholders: number
  readonly createdAt: number
  /** When it ends or ended. */
  readonly expiresAt: number
}

export interface Sessions {
  /**
   * A login of the agent, with a placeholder for each secret field of each credential that it has a
   * grant for. `egress` null takes that of the environment. Throws `usage` (time of life, binding,
   * more egress than the environment has), `not_found`, `agent_suspended`, `overloaded`.
   */
  issue(
    wanted: {
      agentId: string
      ttlSeconds: number
      egress: 'open' | 'deny' | null
      binding: SessionBinding
      /** The thumbprint of the key that it is bound to; absent: none. */
      jkt?: string | null
      /** How it logged in by itself, and what is written in the same commit; the function throws to refuse. */
      login?: { readonly how: SessionLogin; readonly also: () => readonly Change[] }
    },
    actor: string,
  ): Promise<IssuedSession>
  /** Lets it live for `ttlSeconds` from now, never less than it has. The texts stay. */
  extend(id: string, ttlSeconds: number, actor: string): Promise<{ expiresAt: number }>
  /** Of a session, or of a narrowing of one with all that come from it. */
  revoke(id: string, actor: string): Promise<void>
  suspend(id: string, actor: string): Promise<void>
  resume(id: string, actor: string): Promise<void>
  byToken(text: string): Caller | Refused
  /** null: it does not look like a placeholder at all. */
  byPlaceholder(text: string): PlaceholderCaller | Refused | null
  /** The text of a placeholder that is signed with, made again; null where this session has no such one. It proves nothing by itself and must not be shown. */
  signingPlaceholder(
    owner: Pick<PlaceholderCaller, 'sessionId' | 'narrowed' | 'credentialId'>,
    field: string,
  ): string | null
  /** The same question for a session that was proven before: may it still go on? */
  live(caller: Pick<Caller, 'sessionId' | 'narrowed'>): Caller | Refused
  /** Sessions that were narrowed by whoever holds them. */
  readonly narrowings: Pick<Narrowings, 'register' | 'use' | 'ofSession'>
  /** Each time that a narrowing is revoked. */
  onNarrowingEnd(listener: (id: string) => void): void
  get(id: string): SessionSummary | undefined
  /** Newest first, those that ended lately included. */
  list(): readonly SessionSummary[]
  /** Each time that a session stops being usable: revoked, suspended, expired, or its agent suspended or removed. */
  onEnd(listener: (sessionId: string) => void): void
  /** Ends sessions whose process is gone or whose time is over, and forgets those that ended long ago. To be called every few seconds. */
  sweep(): Promise<void>
  /** Stops the timer. */
  close(): void
}

const maximumGenerations = 16
const maximumRememberedHashes = 50_000

export function createSessions(parts: SessionParts): Sessions {
  const { records, tokenKey, now, newId } = parts
  const randomText = randomTextFrom(parts.randomBytes)
  const index = createSessionIndex({ records, now, timer: parts.timer ?? unreferencedTimer })

  /** Of placeholders that were found: they come with every request, and a keyed hash costs more than all other look-ups of one. */
  const hashes = new Map<string, string>()
  const hashOf = (text: string): string => createHmac('sha256', tokenKey).update(text, 'utf8').digest('base64url')

  const draw = createDraw({
    hashOf,
    isTaken: index.knowsPlaceholder,
    shapeOf: parts.shapeOf,
    randomText,
    key: parts.signing.key,
  })
  const tokenOf = (id: string, generation: number): string =>
    makeSessionToken(derivedText(parts.sessionKey, [id, generation]))
  const narrowings = createNarrowings({
    records,
    index,
    draw,
    now,
    tokenOf(id) {
      const chain = records.get('session', id)?.chain
      return chain === undefined ? null : tokenOf(id, chain.generation)
    },
    fieldsOf,
  })

  function fieldsOf(agentId: string): { credentialId: string; field: string }[] {
    return parts
      .credentialsOf(agentId)
      .flatMap((credentialId) => parts.secretFieldsOf(credentialId).map((field) => ({ credentialId, field })))
  }

  function need(id: string): SessionRecord {
    const record = records.get('session', id)
    if (record === undefined) throw new KeywardError('not_found', 'The session does not exist.')
    return record
  }

  function needLive(id: string): SessionRecord {
    const record = need(id)
    if (record.state === 'revoked') throw new KeywardError('session_revoked')
    if (record.expiresAt <= now()) throw new KeywardError('session_expired')
    return record
  }

  function nameOf(record: SessionRecord): string {
    return records.get('agent', record.agentId)?.name ?? record.agentId
  }

  function change(
    id: string,
    next: (record: SessionRecord) => SessionRecord,
    action: string,
    actor: string,
  ): Promise<void> {
    const detail = { session: id, agent: nameOf(need(id)) }
    return records.commit(() => [{ table: 'session', id, body: next(needLive(id)) }], { actor, action, detail })
  }

  /** The token of a new session, and how it can be made again. */
  function drawToken(id: string): { token: string; chain: NonNullable<SessionRecord['chain']> } {
    for (let generation = 1; generation <= maximumGenerations; generation += 1) {
      const token = tokenOf(id, generation)
      const locator = locatorOf(token)
      if (index.idByLocator(locator) === undefined) return { token, chain: { generation, locator } }
    }
    throw new KeywardError('internal', 'No token is free for this session.')
  }

  function drawPlaceholders(sessionId: string, agentId: string): DrawnPlaceholder[] {
    const wanted = fieldsOf(agentId)
    if (wanted.length > maximumPlaceholdersPerSession) {
      throw new KeywardError('overloaded', `A session has at most ${maximumPlaceholdersPerSession} placeholders.`)
    }
    if (index.placeholderCount + wanted.length > maximumPlaceholders) {
      throw new KeywardError('overloaded', `There are at most ${maximumPlaceholders} placeholders.`)
    }
    const taken = new Set<string>()
    return wanted.map(({ credentialId, field }) => {
      const holder = parts.signing.signsWith(credentialId, field) ? sessionId : null
      return draw.fresh(holder, credentialId, field, taken)
    })
  }

  function egressFor(environment: string, wanted: 'open' | 'deny' | null): 'open' | 'deny' {
    const most = records.get('environment', environment)?.egress ?? 'deny'
    if (wanted === 'open' && most === 'deny') {
      throw new KeywardError('usage', `The environment ${environment} does not allow other hosts, so a session cannot.`)
    }
    return wanted ?? most
  }

  function summary(id: string, record: SessionRecord): SessionSummary {
    const expired = record.state !== 'revoked' && record.expiresAt <= now()
    return {
      id,
      agentId: record.agentId,
      agent: nameOf(record),
      environment: record.environment,
      state: expired ? 'expired' : record.state,
      binding: record.binding,
      egress: record.egress,
      placeholders: record.placeholders.length,
      createdAt: record.createdAt,
      expiresAt: record.expiresAt,
    }
  }

  async function endOrphans(): Promise<void> {
    const orphans = [...records.all('session')].filter(
      ([, record]) => isLive(record, now()) && record.binding.kind === 'process' && !parts.isAlive(record.binding),
    )
    if (orphans.length === 0) return
    for (const [id] of orphans) index.end(id)
    const changes = (): Change[] =>
      orphans.flatMap(([id]): Change[] => {
        const record = records.get('session', id)
        if (record === undefined || record.state === 'revoked') return []
        return [{ table: 'session', id, body: endedRecord(record, now()) }]
      })
    const detail = { sessions: orphans.map(([id]) => id), why: 'The process that it was bound to is gone.' }
    await records.commit(changes, { actor: 'keyward', action: 'session.end', detail })
  }

  async function forgetEnded(): Promise<void> {
    const time = now()
    const ended = [...records.all('session')]
      .filter(([, record]) => !isLive(record, time))
      .toSorted(([, left], [, right]) => right.expiresAt - left.expiresAt)
    const old = ended.filter(
      ([, record], place) => place >= maximumEndedSessions || record.expiresAt + keepEndedMilliseconds <= time,
    )
    const stale = narrowings.stale(old.map(([id]) => id))
    if (old.length + stale.length === 0) return
    const changes = (): Change[] => [
      ...old
        .filter(([id]) => records.get('session', id) !== undefined)
        .map(([id]): Change => ({ table: 'session', id, body: null })),
      ...stale.filter(({ table, id }) => records.get(table, id) !== undefined),
    ]
    await records.commit(changes, { actor: 'keyward', action: 'session.forget', detail: { count: old.length } })
  }

  return {
    async issue({ agentId, ttlSeconds, egress, binding, jkt = null, login }, actor) {
      checkTtl(ttlSeconds)
      const bound = boundHere(checkBinding(binding), parts.node ?? null)
      const id = newId()
      const issued: IssuedSession[] = []
      const agentName = records.get('agent', agentId)?.name ?? agentId
      const changes = (): Change[] => {
        const agent = records.get('agent', agentId)
        if (agent === undefined) throw new KeywardError('not_found', 'The agent does not exist.')
        if (agent.state === 'suspended') throw new KeywardError('agent_suspended')
        if (index.countLive() >= maximumLiveSessions) {
          throw new KeywardError('overloaded', `There are at most ${maximumLiveSessions} live sessions.`)
        }
        const more = login?.also() ?? []
        const { environment } = agent
        const createdAt = now()
        const expiresAt = createdAt + ttlSeconds * 1000
        const { token, chain } = drawToken(id)
        const drawn = drawPlaceholders(id, agentId)
        const body: SessionRecord = {
          agentId,
          environment,
          tokenHash: hashOf(token),
          placeholders: drawn.map(({ record }) => record),
          egress: egressFor(environment, egress),
          binding: bound,
          state: 'active',
          createdAt,
          expiresAt,
          ...(records.schema < chainSchema ? {} : { chain }),
          ...(jkt === null ? {} : { jkt }),
          ...(login === undefined ? {} : { login: login.how }),
          ...(actor.startsWith(PERSON) ? { issuedBy: actor } : {}),
        }
        const placeholders = drawn.map(({ text, record: { credentialId, field } }) => ({ credentialId, field, text }))
        issued.push({ id, token, placeholders, expiresAt })
        return [{ table: 'session', id, body }, ...more]
      }
      const detail = {
        session: id,
        agent: agentName,
        ttlSeconds,
        binding: bound.kind,
        ...(login === undefined ? {} : { login: { ...login.how } }),
      }
      await records.commit(changes, { actor, action: 'session.issue', detail })
      // Where another node was quicker, the changes were worked out again: what was committed is the last.
      const session = issued.at(-1)
      if (session === undefined) throw new KeywardError('internal', 'The session was not made.')
      return session
    },

    async extend(id, ttlSeconds, actor) {
      const until = now() + checkTtl(ttlSeconds) * 1000
      const next = (record: SessionRecord): SessionRecord => ({
        ...record,
        expiresAt: Math.max(record.expiresAt, until),
      })
      await change(id, next, 'session.extend', actor)
      return { expiresAt: need(id).expiresAt }
    },

    async revoke(id, actor) {
      if (records.get('session', id) === undefined) return narrowings.revoke(id, actor)
      const detail = { session: id, agent: nameOf(need(id)) }
      const changes = (): Change[] => {
        const record = need(id)
        return record.state === 'revoked' ? [] : [{ table: 'session', id, body: endedRecord(record, now()) }]
      }
      await records.commit(changes, { actor, action: 'session.revoke', detail })
    },

    suspend: async (id, actor) => change(id, (record) => ({ ...record, state: 'suspended' }), 'session.suspend', actor),

    resume: async (id, actor) => change(id, (record) => ({ ...record, state: 'active' }), 'session.resume', actor),

    byToken(text) {
      if (text.startsWith(narrowedPrefix)) return narrowings.byToken(text)
      return looksLikeSessionToken(text) ? index.byTokenHash(hashOf(text)) : { refusal: 'token_invalid' }
    },

    byPlaceholder(text) {
      const known = hashes.get(text)
      if (known !== undefined) return index.byPlaceholderHash(known)
      if (!looksLikePlaceholder(text)) return null
      const hash = hashOf(text)
      if (index.knowsPlaceholder(hash)) {
        if (hashes.size >= maximumRememberedHashes) hashes.clear()
        hashes.set(text, hash)
      }
      return index.byPlaceholderHash(hash)
    },

    signingPlaceholder({ sessionId, narrowed, credentialId }, field) {
      const row = narrowed === null ? records.get('session', sessionId) : records.get('narrowing', narrowed.id)
      const known = row?.placeholders.find((one) => one.credentialId === credentialId && one.field === field)
      if (known === undefined || !parts.signing.signsWith(credentialId, field)) return null
      // Null as well where the service or the shape of its keys was changed since.
      return draw.again(narrowed?.id ?? sessionId, known)
    },

    live: (caller) => index.byCaller(caller),
    narrowings,
    onNarrowingEnd: (listener) => index.narrowings.onEnd(listener),

    get(id) {
      const record = records.get('session', id)
      return record === undefined ? undefined : summary(id, record)
    },

    list: () =>
      [...records.all('session')]
        .map(([id, record]) => summary(id, record))
        .toSorted((left, right) => right.createdAt - left.createdAt || (left.id < right.id ? -1 : 1)),

    onEnd: (listener) => index.onEnd(listener),

    async sweep() {
      index.checkExpiry()
      await endOrphans()
      await forgetEnded()
    },

    close: () => index.close(),
  }
}

/** A process number says nothing on another node's machine. */
function boundHere(binding: SessionBinding, node: string | null): SessionBinding {
  return binding.kind === 'process' && node !== null ? { ...binding, node } : binding
}

const unreferencedTimer: Timer = (afterMilliseconds, run) => {
  const timeout = setTimeout(run, afterMilliseconds)
  timeout.unref()
  return () => clearTimeout(timeout)
}
