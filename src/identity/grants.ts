import { createHash } from 'node:crypto'
import { canonicalJson } from '../core/canonical-json.ts'
import type { CallLanguage } from '../core/call-pattern.ts'
import type { Condition } from '../core/condition.ts'
import { KeywardError } from '../core/errors.ts'
import type { NamedOperation } from '../core/operation-pattern.ts'
import { parseOperationPattern } from '../core/operation-pattern.ts'
import { compileGrant, neverMet } from '../core/policy.ts'
import type { CompiledGrant } from '../core/policy.ts'
import { checkRate, formatRate, maximumConcurrent } from '../core/rate.ts'
import type { AgentRecord, CredentialRecord, GrantRecord } from '../core/records.ts'
import type { Change, Records } from '../vault/records.ts'
import { conditionsAreLoaded, loadConditions, type ConditionReader } from './condition-reader.ts'

export interface FoundGrant {
  readonly id: string
  readonly record: GrantRecord
}

export interface Grants {
  /**
   * Throws `not_found` (agent, credential), `environment_mismatch`, and `usage` naming what is wrong:
   * an empty allow, a malformed pattern, the name of an operation that the service does not have, a
   * limit out of bounds, an expiry that is past. `condition_invalid`: what `when` says cannot be understood.
   */
  add(grant: Omit<GrantRecord, 'createdAt'>, actor: string): Promise<{ id: string }>
  remove(id: string, actor: string): Promise<void>
  /** By id. */
  list(filter?: { agentId?: string; credentialId?: string }): readonly FoundGrant[]
  /** Compiled once and kept until one of them, or a service, changes. Two map look-ups. */
  of(agentId: string, credentialId: string): readonly CompiledGrant[]
  /** SHA-256 of these grants as they are on record: another as soon as one of them is. */
  revisionOf(agentId: string, credentialId: string): string
  /** Credentials that the agent has any grant for, by id. */
  credentialsOf(agentId: string): readonly string[]
}

/** Agent and credential pairs whose grants are kept compiled; the ones compiled longest ago go first. */
export const maximumCompiledPairs = 10_000

/** What an agent may do with one credential. `compiled` is null until somebody asks. */
interface Pair {
  readonly ids: Set<string>
  compiled: readonly CompiledGrant[] | null
}

const none: readonly CompiledGrant[] = Object.freeze([])

/**
 * `operationsOf` gives the named operations of a credential's service; the same list each time is compiled once.
 * `languagesOf` gives what its bodies may be written in.
 */
export function createGrants({
  records,
  now,
  newId,
  operationsOf,
  languagesOf,
  conditionOf,
}: {
  records: Records
  now: () => number
  newId: () => string
  operationsOf: (credentialId: string) => readonly NamedOperation[]
  languagesOf: (credentialId: string) => readonly CallLanguage[]
  conditionOf: ConditionReader
}): Grants {
  const byAgent = new Map<string, Map<string, Pair>>()
  const compiledPairs = new Set<Pair>()
  const places = new Map<string, { agentId: string; credentialId: string }>()

  function drop(id: string): void {
    const place = places.get(id)
    if (place === undefined) return
    places.delete(id)
    const pairs = byAgent.get(place.agentId)
    const pair = pairs?.get(place.credentialId)
    if (pairs === undefined || pair === undefined) return
    pair.ids.delete(id)
    forget(pair)
    if (pair.ids.size === 0) pairs.delete(place.credentialId)
    if (pairs.size === 0) byAgent.delete(place.agentId)
  }

  function put(id: string, { agentId, credentialId }: GrantRecord): void {
    drop(id)
    let pairs = byAgent.get(agentId)
    if (pairs === undefined) byAgent.set(agentId, (pairs = new Map()))
    let pair = pairs.get(credentialId)
    if (pair === undefined) pairs.set(credentialId, (pair = { ids: new Set(), compiled: null }))
    pair.ids.add(id)
    forget(pair)
    places.set(id, { agentId, credentialId })
  }

  function forget(pair: Pair): void {
    pair.compiled = null
    compiledPairs.delete(pair)
  }

  function forgetAll(): void {
    for (const pair of compiledPairs) pair.compiled = null
    compiledPairs.clear()
  }

  for (const [id, record] of records.all('grant')) put(id, record)
  records.onCommit((changes) => {
    for (const change of changes) {
      if (change.table === 'grant') {
        if (change.body === null) drop(change.id)
        else put(change.id, change.body)
      }
    }
    // An operator's service may have other operations now, or a credential another service.
    if (changes.some((change) => change.table === 'service' || change.table === 'credential')) forgetAll()
  })

  function compilePair(pair: Pair, credentialId: string): readonly CompiledGrant[] {
    const operations = operationsOf(credentialId)
    const compiled: CompiledGrant[] = []
    for (const id of [...pair.ids].toSorted()) {
      const record = records.get('grant', id)
      if (record !== undefined) compiled.push(compileGrant(id, record, operations, readOnRecord))
    }
    return Object.freeze(compiled)
  }

  /** What another release has written and this one cannot read must not stop the rest: it allows nothing. */
  function readOnRecord(text: string): Condition {
    if (!conditionsAreLoaded()) {
      // The first one came from another node; until it can be read, it allows nothing.
      void loadConditions().then(forgetAll)
      return neverMet
    }
    try {
      return conditionOf(text)
    } catch (error) {
      if (error instanceof KeywardError && error.code === 'condition_invalid') return neverMet
      throw error
    }
  }

  function need(id: string): GrantRecord {
    const record = records.get('grant', id)
    if (record === undefined) throw new KeywardError('not_found', 'The grant does not exist.')
    return record
  }

  function needBoth(grant: GrantRecord): { agent: AgentRecord; credential: CredentialRecord } {
    const agent = records.get('agent', grant.agentId)
    if (agent === undefined) throw new KeywardError('not_found', 'The agent does not exist.')
    const credential = records.get('credential', grant.credentialId)
    if (credential === undefined) throw new KeywardError('not_found', 'The credential does not exist.')
    return { agent, credential }
  }

  return {
    async add(grant, actor) {
      const id = newId()
      if (grant.when !== undefined) await loadConditions()
      const body = checkGrant(grant, now())
      const changes = (): Change[] => {
        const { agent, credential } = needBoth(body)
        if (agent.environment !== credential.environment) throw mismatch(agent, credential)
        checkFit(
          body,
          {
            id: credential.service,
            operations: operationsOf(body.credentialId),
            languages: languagesOf(body.credentialId),
          },
          conditionOf,
        )
        return [{ table: 'grant', id, body }]
      }
      const { agent, credential } = needBoth(body)
      await records.commit(changes, {
        actor,
        action: 'grant.add',
        detail: { grant: id, ...describe(body, agent, credential) },
      })
      return { id }
    },

    async remove(id, actor) {
      const record = need(id)
      const agent = records.get('agent', record.agentId)
      const credential = records.get('credential', record.credentialId)
      const changes = (): Change[] => {
        need(id)
        return [{ table: 'grant', id, body: null }]
      }
      const detail = { grant: id, ...describe(record, agent, credential) }
      await records.commit(changes, { actor, action: 'grant.remove', detail })
    },

    list: (filter = {}) =>
      [...records.all('grant')]
        .filter(([, record]) => filter.agentId === undefined || record.agentId === filter.agentId)
        .filter(([, record]) => filter.credentialId === undefined || record.credentialId === filter.credentialId)
        .map(([id, record]) => ({ id, record }))
        .toSorted((left, right) => (left.id < right.id ? -1 : 1)),

    of(agentId, credentialId) {
      const pair = byAgent.get(agentId)?.get(credentialId)
      if (pair === undefined) return none
      if (pair.compiled !== null) return pair.compiled
      const compiled = compilePair(pair, credentialId)
      if (compiledPairs.size >= maximumCompiledPairs)
        for (const oldest of compiledPairs) {
          forget(oldest)
          break
        }
      compiledPairs.add(pair)
      pair.compiled = compiled
      return compiled
    },

    revisionOf(agentId, credentialId) {
      const ids = [...(byAgent.get(agentId)?.get(credentialId)?.ids ?? [])].toSorted()
      const revision = createHash('sha256')
      for (const id of ids) revision.update(canonicalJson([id, { ...need(id) }])).update('\n')
      return revision.digest('hex')
    },

    credentialsOf: (agentId) => [...(byAgent.get(agentId)?.keys() ?? [])].toSorted(),
  }
}

/** Whether the service knows what the grant names. Throws KeywardError `usage` and `condition_invalid`. */
export function checkFit(
  grant: Pick<GrantRecord, 'allow' | 'deny' | 'limits' | 'when' | 'expiresAt'>,
  service: {
    readonly id: string
    readonly operations: readonly NamedOperation[]
    readonly languages: readonly CallLanguage[]
  },
  conditionOf: ConditionReader,
): void {
  compileGrant('', grant, service.operations, conditionOf)
  checkNames([...grant.allow, ...grant.deny], service.operations, service.id)
  checkLanguages([...grant.allow, ...grant.deny], service.languages, service.id)
}

/** The canonical form: patterns without repetition and in order, so that equal grants look equal. */
export function checkGrant(grant: Omit<GrantRecord, 'createdAt'>, now: number): GrantRecord {
  const { rate, concurrent } = grant.limits
  if (
    concurrent !== undefined &&
    !(Number.isSafeInteger(concurrent) && concurrent >= 1 && concurrent <= maximumConcurrent)
  ) {
    throw new KeywardError('usage', `A grant allows 1 to ${maximumConcurrent} requests in flight.`)
  }
  if (grant.expiresAt !== null && !(Number.isSafeInteger(grant.expiresAt) && grant.expiresAt > now)) {
    throw new KeywardError('usage', 'A grant expires in the future, or never.')
  }
  return {
    agentId: grant.agentId,
    credentialId: grant.credentialId,
    allow: [...new Set(grant.allow)].toSorted(),
    deny: [...new Set(grant.deny)].toSorted(),
    limits: {
      ...(rate === undefined ? {} : { rate: checkRate(rate) }),
      ...(concurrent === undefined ? {} : { concurrent }),
    },
    ...(grant.when === undefined ? {} : { when: grant.when.trim() }),
    ...(grant.approve === undefined ? {} : { approve: grant.approve }),
    expiresAt: grant.expiresAt,
    createdAt: now,
  }
}

/** A misspelt name in `deny` would deny nothing and look as if it did. */
function checkNames(texts: readonly string[], operations: readonly NamedOperation[], service: string): void {
  for (const text of texts) {
    const pattern = parseOperationPattern(text)
    if (pattern.kind !== 'name') continue
    const known = operations.some(({ name }) => (pattern.open ? name.startsWith(pattern.name) : name === pattern.name))
    if (known) continue
    const names = [...new Set(operations.map(({ name }) => name))]
    const hint = names.length === 0 ? 'It has no named operations; write METHOD /path.' : `It has ${names.join(', ')}.`
    throw new KeywardError('usage', `The service ${service} has no operation ${JSON.stringify(text)}. ${hint}`)
  }
}

/** So would a pattern for calls where no body is read for any. */
function checkLanguages(texts: readonly string[], languages: readonly CallLanguage[], service: string): void {
  for (const text of texts) {
    const pattern = parseOperationPattern(text)
    if (pattern.kind !== 'call' || languages.includes(pattern.language)) continue
    throw new KeywardError(
      'usage',
      `${JSON.stringify(text)} fits nothing at ${service}: its service says of no path that ${pattern.language} is spoken there (speaks).`,
    )
  }
}

function mismatch(agent: AgentRecord, credential: CredentialRecord): KeywardError {
  return new KeywardError(
    'environment_mismatch',
    `The agent ${agent.name} belongs to ${agent.environment}, the credential ${credential.name} to ${credential.environment}.`,
  )
}

function describe(
  record: GrantRecord,
  agent: AgentRecord | undefined,
  credential: CredentialRecord | undefined,
): Record<string, string | number | null | readonly string[]> {
  const { rate, concurrent } = record.limits
  return {
    agent: agent?.name ?? record.agentId,
    credential: credential?.name ?? record.credentialId,
    environment: agent?.environment ?? null,
    allow: record.allow,
    deny: record.deny,
    rate: rate === undefined ? null : formatRate(rate),
    concurrent: concurrent ?? null,
    when: record.when ?? null,
    approve: record.approve ?? 'never',
    expiresAt: record.expiresAt,
  }
}
