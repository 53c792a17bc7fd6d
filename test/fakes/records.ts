import type { TableName, Tables } from '../../src/core/records.ts'
import { KeywardError } from '../../src/core/errors.ts'
import { storeSchema } from '../../src/stores/store.ts'
import type { Change, Reason, Records } from '../../src/vault/records.ts'

type Memory = { readonly [T in TableName]: Map<string, Tables[T]> }

export interface FakeRecords extends Records {
  /** What was committed, in order. */
  readonly log: readonly { readonly changes: readonly Change[]; readonly why: Reason }[]
  /** The next commits fail with this error, until it is set to null. */
  failWith(error: KeywardError | null): void
}

/** Records without a store: the same order of things (one commit after the other, listeners before it resolves), nothing on disk. */
export function createFakeRecords(first: readonly Change[] = []): FakeRecords {
  const memory: Memory = {
    environment: new Map(),
    service: new Map(),
    credential: new Map(),
    version: new Map(),
    agent: new Map(),
    grant: new Map(),
    session: new Map(),
    narrowing: new Map(),
    person: new Map(),
    login: new Map(),
    approval: new Map(),
    enrolment: new Map(),
    trust: new Map(),
    slot: new Map(),
    term: new Map(),
    setting: new Map(),
  }
  const listeners: ((changes: readonly Change[], epoch: number) => void)[] = []
  const log: { changes: readonly Change[]; why: Reason }[] = []
  let epoch = 1
  let failure: KeywardError | null = null
  let tail: Promise<unknown> = Promise.resolve()

  for (const { table, id, body } of first) remember(memory, table, id, body)

  return {
    storeId: 'fake',
    get epoch() {
      return epoch
    },
    schema: storeSchema,
    all: (table) => memory[table],
    get: (table, id) => memory[table].get(id),
    commit(wanted, why) {
      const turn = tail.then(() => {
        const changes = typeof wanted === 'function' ? wanted() : wanted
        if (failure !== null) throw failure
        for (const { table, id, body } of changes) {
          if (body === null && !memory[table].has(id)) throw new KeywardError('not_found')
        }
        for (const { table, id, body } of changes) remember(memory, table, id, body)
        log.push({ changes, why })
        epoch += 1
        for (const listener of listeners) listener(changes, epoch)
      })
      tail = turn.catch(() => undefined)
      return turn
    },
    writtenAt: (table, id) => (memory[table].has(id) ? epoch : undefined),
    async provided(condition, work) {
      condition()
      return work()
    },
    raise: () => Promise.resolve(),
    refresh: () => Promise.resolve(),
    snapshot: () => Promise.reject(new KeywardError('internal', 'There is no store behind these records.')),
    onCommit: (listener) => void listeners.push(listener),
    attach: () => undefined,
    close: () => Promise.resolve(),
    log,
    failWith(error) {
      failure = error
    },
  }
}

function remember<T extends TableName>(memory: Memory, table: T, id: string, body: Tables[T] | null): void {
  if (body === null) memory[table].delete(id)
  else memory[table].set(id, structuredClone(body))
}

/** The environments of a new vault. */
export function fakeEnvironments(): Change[] {
  return [
    { table: 'environment', id: 'dev', body: { name: 'dev', egress: 'open', createdAt: 0 } },
    { table: 'environment', id: 'staging', body: { name: 'staging', egress: 'deny', createdAt: 0 } },
    { table: 'environment', id: 'prod', body: { name: 'prod', egress: 'deny', createdAt: 0 } },
  ]
}

export function fakeCredential(id: string, environment = 'dev', service = 'echo'): Change {
  const body = {
    name: id,
    environment,
    service,
    owner: null,
    sensitivity: 'medium',
    state: 'active',
    createdAt: 0,
  } as const
  return { table: 'credential', id, body }
}
