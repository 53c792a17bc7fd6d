import { claimAt, CLAIM_PATTERN_MAXIMUM_CHARACTERS, TRUST_CLAIMS_MAXIMUM } from '../core/claim-pattern.ts'
import { KeywardError } from '../core/errors.ts'
import type { JwtTrust, SessionRecord, TrustRecord } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'
import { checkUrl, readKeySet } from './issuer-keys.ts'
import type { Trusted } from './jwt.ts'
import { endedRecord } from './session-state.ts'
import { checkSpiffePattern } from './spiffe.ts'

/** Trusts of one agent, and of all. */
export const AGENT_TRUSTS_MAXIMUM = 50
export const TRUSTS_MAXIMUM = 5_000

type Wanted<T> = T extends TrustRecord ? Omit<T, 'agentId' | 'createdAt'> : never
export type WantedTrust = Wanted<TrustRecord>

export interface Trusts {
  /** Throws `usage` naming what is wrong, `not_found`, `overloaded`. */
  add(agentId: string, wanted: WantedTrust, actor: string): Promise<{ id: string }>
  /** Takes the word back, and ends the sessions that came of it. Throws `not_found`. */
  remove(id: string, actor: string): Promise<void>
  list(agentId?: string): readonly Trusted<TrustRecord>[]
}

export function createTrusts({
  records,
  now,
  newId,
}: {
  records: Records
  now: () => number
  newId: () => string
}): Trusts {
  const list = (agentId?: string): Trusted<TrustRecord>[] =>
    [...records.all('trust')]
      .filter(([, record]) => agentId === undefined || record.agentId === agentId)
      .map(([id, record]) => ({ id, record }))
      .toSorted((left, right) => (left.id < right.id ? -1 : 1))

  const nameOf = (agentId: string): string => records.get('agent', agentId)?.name ?? agentId

  return {
    list,

    async add(agentId, wanted, actor) {
      const checked = check(wanted)
      const id = newId()
      const changes = (): Change[] => {
        if (records.get('agent', agentId) === undefined)
          throw new KeywardError('not_found', 'The agent does not exist.')
        if (list(agentId).length >= AGENT_TRUSTS_MAXIMUM || records.all('trust').size >= TRUSTS_MAXIMUM)
          throw new KeywardError(
            'overloaded',
            `An agent has at most ${AGENT_TRUSTS_MAXIMUM} trusts, and a home ${TRUSTS_MAXIMUM}.`,
          )
        return [{ table: 'trust', id, body: { ...checked, agentId, createdAt: now() } }]
      }
      await records.commit(changes, {
        actor,
        action: 'trust.add',
        detail: { trust: id, agent: nameOf(agentId), ...described(checked) },
      })
      return { id }
    },

    async remove(id, actor) {
      const record = records.get('trust', id)
      if (record === undefined) throw new KeywardError('not_found', 'There is no trust of this id.')
      const changes = (): Change[] => {
        const ended = [...records.all('session')].filter(([, session]) => cameBy(session, id))
        return [
          { table: 'trust', id, body: null },
          ...ended.map(([sessionId, session]): Change => {
            return { table: 'session', id: sessionId, body: endedRecord(session, now()) }
          }),
        ]
      }
      await records.commit(changes, {
        actor,
        action: 'trust.remove',
        detail: { trust: id, agent: nameOf(record.agentId) },
      })
    },
  }
}

function cameBy({ login, state }: SessionRecord, trust: string): boolean {
  return state !== 'revoked' && login !== undefined && login.kind !== 'enrolment' && login.trust === trust
}

function check(wanted: WantedTrust): WantedTrust {
  if (wanted.kind === 'certificate') return { ...wanted, spiffe: checkSpiffePattern(wanted.spiffe) }
  const claims = Object.entries(wanted.claims)
  if (claims.length === 0 || claims.length > TRUST_CLAIMS_MAXIMUM)
    throw new KeywardError(
      'usage',
      `Name 1 to ${TRUST_CLAIMS_MAXIMUM} claims: whoever gets a token of this issuer would be the agent otherwise.`,
    )
  for (const [path, pattern] of claims) {
    if (path === '' || path.length > CLAIM_PATTERN_MAXIMUM_CHARACTERS || claimAt({ iss: '', aud: '' }, path) !== null)
      throw new KeywardError('usage', 'A claim is named by its path, and issuer and audience by themselves.')
    if (pattern === '' || pattern.length > CLAIM_PATTERN_MAXIMUM_CHARACTERS)
      throw new KeywardError('usage', `The claim ${path} must be 1 to ${CLAIM_PATTERN_MAXIMUM_CHARACTERS} characters.`)
  }
  if (claims.every(([, pattern]) => /^[*:]+$/.test(pattern)))
    throw new KeywardError('usage', 'Claims that may be anything tell nobody apart: write one of them out.')
  if (wanted.audience === '') throw new KeywardError('usage', 'Name the audience that the tokens are made for.')
  return { ...wanted, ...checkedKeys(wanted) }
}

function checkedKeys({ keys, issuer }: Wanted<JwtTrust>): Pick<JwtTrust, 'keys'> {
  try {
    if (keys.kind === 'fixed') {
      const known = readKeySet({ keys: keys.keys })
      if (known.length === 0) throw new KeywardError('usage', 'The file has no public key.')
      if (known.some((key) => 'd' in key))
        throw new KeywardError('usage', 'The file has a private key: treat it as leaked.')
      return { keys: { kind: 'fixed', keys: known } }
    }
    checkUrl(keys.kind === 'url' ? keys.url : issuer)
    return { keys }
  } catch (error) {
    if (error instanceof KeywardError && error.code === 'issuer_unreachable')
      throw new KeywardError('usage', error.detail)
    throw error
  }
}

function described(trust: WantedTrust): Record<string, string | boolean | Readonly<Record<string, string>>> {
  if (trust.kind === 'certificate') return { how: trust.kind, spiffe: trust.spiffe }
  const { kind, issuer, audience, claims, oneUse, keys } = trust
  return { how: kind, issuer, audience, claims, oneUse, keys: keys.kind }
}
