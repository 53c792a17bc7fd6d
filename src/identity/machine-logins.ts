import { createHmac, type KeyObject, type X509Certificate } from 'node:crypto'
import { fitsPattern } from '../core/claim-pattern.ts'
import { KeywardError } from '../core/errors.ts'
import { looksLikeEnrolment, makeEnrolment } from '../core/enrolment-secret.ts'
import type { AgentRecord, CertificateTrust, EnrolmentRecord, JwtTrust, SessionLogin } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'
import type { IssuerKeys } from './issuer-keys.ts'
import type { Dpop } from './dpop.ts'
import type { Trusted } from './jwt.ts'
import { randomTextFrom } from './random-text.ts'
import { isLive } from './session-state.ts'
import type { IssuedSession, Sessions } from './sessions.ts'
import { spiffeIdOf } from './spiffe.ts'
import type { Trusts } from './trusts.ts'

/** Enrolment secrets of one agent that wait to be used, and of all. */
export const AGENT_ENROLMENTS_MAXIMUM = 100
export const ENROLMENTS_MAXIMUM = 10_000
export const minimumEnrolmentSeconds = 60
export const maximumEnrolmentSeconds = 7 * 24 * 60 * 60
/** How long a secret that was used or is too old stays known, so that it gets a better answer than "unknown". */
const KEPT_MILLISECONDS = 24 * 60 * 60 * 1000

/** What a machine brings to prove which agent it is. */
export type MachineProof =
  | { readonly kind: 'enrolment'; readonly secret: string }
  | { readonly kind: 'jwt'; readonly token: string }
  /** Null: the connection showed none that verified. */
  | { readonly kind: 'certificate'; readonly certificate: X509Certificate | null }

export interface MachineWish {
  readonly ttlSeconds: number
  readonly egress: 'open' | 'deny' | null
  /** Which agent it means to be, where its proof is good for several. */
  readonly agent: { readonly name: string; readonly environment: string } | null
  /** A proof of the key that the session shall be bound to; null: to none. */
  readonly dpop: string | null
}

export interface MachineLogins {
  /** A secret by which the agent logs in once. The text exists here alone. Throws `usage`, `not_found`, `overloaded`. */
  enrol(agentId: string, ttlSeconds: number, actor: string): Promise<{ id: string; secret: string; expiresAt: number }>
  /** Throws `not_found`. */
  withdraw(id: string, actor: string): Promise<void>
  enrolments(agentId?: string): readonly { readonly id: string; readonly record: EnrolmentRecord }[]
  /** Throws what the proof lacks, and what `issue` of sessions throws. */
  login(proof: MachineProof, wish: MachineWish): Promise<{ issued: IssuedSession; agentId: string; agent: AgentRecord }>
  /** Lets a session live on whose holder proves once more what it logged in with. Its texts stay. */
  renew(
    sessionToken: string,
    proof: MachineProof,
    wish: Pick<MachineWish, 'ttlSeconds' | 'dpop'>,
  ): Promise<{ id: string; expiresAt: number }>
  /** Ends a session, or a narrowing of one, by its own token. */
  logOut(token: string, dpop: string | null): Promise<void>
  /** Forgets secrets that were used or ran out long ago. */
  sweep(): Promise<void>
}

interface Proven {
  readonly agentId: string
  readonly how: SessionLogin
  /** What is written when it logs in; throws to refuse. */
  readonly also: () => readonly Change[]
}

export function createMachineLogins(parts: {
  readonly records: Records
  readonly sessions: Pick<Sessions, 'issue' | 'extend' | 'revoke' | 'byToken'>
  readonly trusts: Trusts
  readonly keys: IssuerKeys
  readonly dpop: Pick<Dpop, 'verify'>
  /** HMAC-SHA256 key of secrets. */
  readonly tokenKey: KeyObject
  readonly randomBytes: (size: number) => Uint8Array
  readonly now: () => number
  readonly newId: () => string
}): MachineLogins {
  const { records, sessions, trusts, now } = parts
  const randomText = randomTextFrom(parts.randomBytes)
  const hashOf = (text: string): string => createHmac('sha256', parts.tokenKey).update(text, 'utf8').digest('base64url')

  function needAgent(id: string): AgentRecord {
    const agent = records.get('agent', id)
    if (agent === undefined) throw new KeywardError('not_found', 'The agent does not exist.')
    return agent
  }

  const isOpen = ({ usedAt, expiresAt }: EnrolmentRecord): boolean => usedAt === null && expiresAt > now()

  function enrolments(agentId?: string): { id: string; record: EnrolmentRecord }[] {
    return [...records.all('enrolment')]
      .filter(([, record]) => agentId === undefined || record.agentId === agentId)
      .map(([id, record]) => ({ id, record }))
      .toSorted((left, right) => left.record.createdAt - right.record.createdAt || (left.id < right.id ? -1 : 1))
  }

  function byEnrolment(secret: string): Proven[] {
    const hash = looksLikeEnrolment(secret) ? hashOf(secret) : null
    const found = enrolments().find(({ record }) => record.secretHash === hash)
    if (found === undefined) throw new KeywardError('enrolment_invalid')
    const { id, record } = found
    const also = (): Change[] => {
      // Asked in its turn of the commits, where no other login can come between, at no node.
      const current = records.get('enrolment', id)
      if (current === undefined) throw new KeywardError('enrolment_invalid')
      if (current.usedAt !== null) throw new KeywardError('enrolment_used')
      if (current.expiresAt <= now()) throw new KeywardError('enrolment_expired')
      return [{ table: 'enrolment', id, body: { ...current, usedAt: now() } }]
    }
    also()
    return [{ agentId: record.agentId, how: { kind: 'enrolment', enrolment: id }, also }]
  }

  async function byJwt(token: string): Promise<Proven[]> {
    const known = trusts.list().filter((one): one is Trusted<JwtTrust> => one.record.kind === 'jwt')
    const { verifyJwt } = await import('./jwt.ts')
    const proven = await verifyJwt(token, known, { keys: parts.keys, now })
    return proven.map(({ trust, subject, use }): Proven => {
      const hash = use === null ? null : hashOf(JSON.stringify([trust.id, use]))
      return {
        agentId: trust.record.agentId,
        how: { kind: 'jwt', trust: trust.id, subject, ...(hash === null ? {} : { use: hash }) },
        also() {
          needTrust(trust.id)
          if (hash === null) return []
          for (const { login } of records.all('session').values())
            if (login?.kind === 'jwt' && login.use === hash) throw new KeywardError('jwt_replayed')
          return []
        },
      }
    })
  }

  function byCertificate(certificate: X509Certificate | null): Proven[] {
    const subject = certificate === null ? null : spiffeIdOf(certificate)
    if (subject === null) throw new KeywardError('certificate_missing')
    const known = trusts.list().filter((one): one is Trusted<CertificateTrust> => one.record.kind === 'certificate')
    const fitting = known.filter(({ record }) => fitsPattern(record.spiffe, subject, '/'))
    if (fitting.length === 0) throw new KeywardError('certificate_foreign')
    return fitting.map(({ id, record }) => ({
      agentId: record.agentId,
      how: { kind: 'certificate', trust: id, subject },
      also() {
        needTrust(id)
        return []
      },
    }))
  }

  /** It may have been taken back while the keys were fetched. */
  function needTrust(id: string): void {
    if (records.get('trust', id) === undefined) throw new KeywardError('issuer_unknown')
  }

  function prove(proof: MachineProof): Promise<Proven[]> | Proven[] {
    if (proof.kind === 'enrolment') return byEnrolment(proof.secret)
    return proof.kind === 'jwt' ? byJwt(proof.token) : byCertificate(proof.certificate)
  }

  /** The thumbprint of the key that made the proof. Under which name the server was asked, it does not know: the path counts. */
  async function proveKey(proof: string | null, path: string, token: string | null, holder: string): Promise<string> {
    if (proof === null) throw new KeywardError('proof_missing')
    const isTarget = (target: string): boolean => URL.parse(target)?.pathname === path
    const proven = await parts.dpop.verify(proof, { method: 'POST', isTarget, token }, holder)
    if ('refusal' in proven) throw new KeywardError(proven.refusal, proven.detail)
    return proven.thumbprint
  }

  function choose(proven: readonly Proven[], wanted: MachineWish['agent']): Proven {
    const fitting = proven.filter(({ agentId }) => {
      const agent = records.get('agent', agentId)
      return wanted === null || (agent?.name === wanted.name && agent.environment === wanted.environment)
    })
    const [first] = fitting
    if (first === undefined) throw new KeywardError('login_foreign')
    if (fitting.some(({ agentId }) => agentId !== first.agentId)) throw new KeywardError('login_ambiguous')
    return first
  }

  return {
    enrolments,

    async enrol(agentId, ttlSeconds, actor) {
      if (
        !(
          Number.isSafeInteger(ttlSeconds) &&
          ttlSeconds >= minimumEnrolmentSeconds &&
          ttlSeconds <= maximumEnrolmentSeconds
        )
      )
        throw new KeywardError('usage', 'An enrolment secret is good for one minute to seven days.')
      const agent = needAgent(agentId)
      const id = parts.newId()
      const secret = makeEnrolment(randomText)
      const createdAt = now()
      const expiresAt = createdAt + ttlSeconds * 1000
      const changes = (): Change[] => {
        needAgent(agentId)
        if (
          enrolments(agentId).filter(({ record }) => isOpen(record)).length >= AGENT_ENROLMENTS_MAXIMUM ||
          records.all('enrolment').size >= ENROLMENTS_MAXIMUM
        )
          throw new KeywardError(
            'overloaded',
            `At most ${AGENT_ENROLMENTS_MAXIMUM} secrets of one agent wait to be used, and ${ENROLMENTS_MAXIMUM} are remembered.`,
          )
        const body = { agentId, secretHash: hashOf(secret), usedAt: null, createdAt, expiresAt }
        return [{ table: 'enrolment', id, body }]
      }
      const { name, environment } = agent
      const detail = { enrolment: id, agent: name, environment, ttlSeconds }
      await records.commit(changes, { actor, action: 'enrolment.add', detail })
      return { id, secret, expiresAt }
    },

    async withdraw(id, actor) {
      const record = records.get('enrolment', id)
      if (record === undefined) throw new KeywardError('not_found', 'There is no enrolment of this id.')
      const detail = { enrolment: id, agent: records.get('agent', record.agentId)?.name ?? record.agentId }
      await records.commit(() => [{ table: 'enrolment', id, body: null }], {
        actor,
        action: 'enrolment.remove',
        detail,
      })
    },

    async login(proof, wish) {
      const { agentId, how, also } = choose(await prove(proof), wish.agent)
      const agent = needAgent(agentId)
      const { ttlSeconds, egress, dpop } = wish
      const jkt = dpop === null ? null : await proveKey(dpop, '/machine/logins', null, 'login')
      const issued = await sessions.issue(
        { agentId, ttlSeconds, egress, binding: { kind: 'unbound' }, jkt, login: { how, also } },
        `agent:${agent.name}`,
      )
      return { issued, agentId, agent }
    },

    async renew(sessionToken, proof, { ttlSeconds, dpop }) {
      const caller = sessions.byToken(sessionToken)
      if ('refusal' in caller) throw new KeywardError(caller.refusal)
      const record = records.get('session', caller.sessionId)
      if (caller.narrowed !== null || record === undefined || !isLive(record, now()))
        throw new KeywardError('token_invalid', 'A session is renewed with its own token.')
      if (caller.jkt !== null) {
        const thumbprint = await proveKey(dpop, '/machine/renewals', sessionToken, caller.sessionId)
        if (thumbprint !== caller.jkt) throw new KeywardError('proof_invalid', 'It is of another key.')
      }
      const { login } = record
      if (login === undefined || login.kind === 'enrolment')
        throw new KeywardError('renewal_refused', 'It did not log in with a token or a certificate.')
      const same = (await prove(proof)).find(
        ({ how }) => how.kind === login.kind && how.trust === login.trust && how.subject === login.subject,
      )
      if (same === undefined) throw new KeywardError('renewal_refused', 'The proof is of another machine.')
      if (login.kind === 'jwt' && login.use !== undefined)
        throw new KeywardError('renewal_refused', 'Its issuer’s tokens are good for one login.')
      same.also()
      const { expiresAt } = await sessions.extend(caller.sessionId, ttlSeconds, `agent:${caller.agent}`)
      return { id: caller.sessionId, expiresAt }
    },

    async logOut(token, dpop) {
      const caller = sessions.byToken(token)
      if ('refusal' in caller) throw new KeywardError(caller.refusal)
      if (caller.jkt !== null && (await proveKey(dpop, '/machine/logouts', token, caller.sessionId)) !== caller.jkt)
        throw new KeywardError('proof_invalid', 'It is of another key.')
      await sessions.revoke(caller.narrowed?.id ?? caller.sessionId, `agent:${caller.agent}`)
    },

    async sweep() {
      const isOld = ({ usedAt, expiresAt }: EnrolmentRecord): boolean =>
        Math.min(usedAt ?? Infinity, expiresAt) + KEPT_MILLISECONDS <= now()
      const old = enrolments().filter(({ record }) => isOld(record))
      if (old.length === 0) return
      const changes = (): Change[] =>
        old
          .filter(({ id }) => records.get('enrolment', id) !== undefined)
          .map(({ id }) => ({ table: 'enrolment', id, body: null }))
      await records.commit(changes, { actor: 'keyward', action: 'enrolment.forget', detail: { count: old.length } })
    },
  }
}
