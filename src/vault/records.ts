import type { KeyObject } from 'node:crypto'
import { canonicalJson } from '../core/canonical-json.ts'
import type { Json } from '../core/canonical-json.ts'
import { KeywardError } from '../core/errors.ts'
import type { TableName, Tables } from '../core/records.ts'
import type { Store, StoreContent, StoredRow, StoreIdentity } from '../stores/store.ts'
import { isReadableAt } from './former-schemas.ts'
import { bucketOf, emptyManifest, stageCommit } from './manifest.ts'
import type { Manifest, RowChange } from './manifest.ts'
import { createProvision } from './provision.ts'
import { isJson, isTableName, recordSchemas } from './record-schemas.ts'
import { tampered } from './row-mac.ts'
import { verifyChanges } from './verify-changes.ts'
import type { VerifiedChanges } from './verify-changes.ts'
import { verifyRows, verifyRowsInTurns } from './verify-rows.ts'

/** Commits that may wait for their turn. */
const MAX_WAITING_COMMITS = 10_000
/** How often a change is worked out anew because other nodes were quicker. */
export const COMMIT_ATTEMPTS_MAXIMUM = 20
/** Characters of one row's canonical JSON. */
const MAX_BODY_CHARACTERS = 4 * 1024 * 1024
/** The epoch of the first rows, which no journal has seen. */
const FIRST_EPOCH = 1
const ID = /^[\x21-\x7e]{1,256}$/

/** One row set to `body`, or removed where it is null. */
export type Change<T extends TableName = TableName> = {
  [K in T]: { readonly table: K; readonly id: string; readonly body: Tables[K] | null }
}[T]

/** Who changed what; goes into the journal, so it never holds a secret. */
export interface Reason {
  readonly actor: string
  readonly action: string
  readonly detail?: Json
}

/** The journal, as far as commits need it: both must be synced before they resolve. */
export interface Anchor {
  intent(entry: { epoch: number; actor: string; action: string; rows: string[]; detail?: Json }): Promise<void>
  applied(entry: { epoch: number }): Promise<void>
}

/** The verified view of the store. All rows live in memory, frozen. */
export interface Records {
  readonly storeId: string
  /** Grows by one with each commit. */
  readonly epoch: number
  /** The schema that the store has: what a release cannot read that knows this one, is not written. */
  readonly schema: number
  all<T extends TableName>(table: T): ReadonlyMap<string, Tables[T]>
  get<T extends TableName>(table: T, id: string): Tables[T] | undefined
  /** The epoch in which a row was last written. */
  writtenAt(table: TableName, id: string): number | undefined
  /** Runs `work`, whose first commit is made only if `condition` does not throw when its turn has come; with other nodes, also when it has come again. */
  provided<T>(condition: () => void, work: () => Promise<T>): Promise<T>
  /**
   * Atomic, one after the other. Journals the intent, writes the store, changes memory, journals that
   * it was applied, and resolves. Changes given as a function are worked out when their turn has
   * come, so what the function reads cannot change before they are written; it throws to refuse. When
   * the store refuses, memory is unchanged. When only the last journal entry fails, the change has
   * been made and the journal's error is thrown. An empty list of changes is journaled like any other.
   * Where another node has written to a shared store first, its changes are taken in and these are
   * worked out again. Throws `schema_held` for what would need a later schema than the store has.
   */
  commit(changes: readonly Change[] | (() => readonly Change[]), why: Reason): Promise<void>
  /**
   * Raises the schema of the store, in a commit of its own, where it is lower. Throws `schema_held` while somebody has
   * a shared store open who does not know it.
   */
  raise(schema: number, why: Reason): Promise<void>
  /** Takes in, verified, what other nodes have committed to a shared store. Throws `store_tampered`, `store_rolled_back`, or what the store throws; `store_newer` where the schema was raised above what this program knows; memory is unchanged then. */
  refresh(): Promise<void>
  /**
   * Every row as the store has it, verified, as of one moment between commits of this node, at which `also` is asked
   * too. Throws `store_tampered`, `store_rolled_back`, or what the store throws.
   */
  snapshot<T>(
    also: () => Promise<T>,
  ): Promise<{ readonly content: StoreContent; readonly schema: number; readonly also: T }>
  /** `listener` is called synchronously after memory has changed, by a commit of this or another node; it must not throw. */
  onCommit(listener: (changes: readonly Change[], epoch: number) => void): void
  attach(anchor: Anchor): void
  /** Waits for the commits under way and closes the store. */
  close(): Promise<void>
}

interface Place {
  readonly store: Store
  readonly identity: StoreIdentity
  /** HMAC-SHA256 key of the rows. */
  readonly key: KeyObject
}

type Memory = { readonly [T in TableName]: Map<string, Tables[T]> }

/** Verifies all of `rows` and opens them. Throws `store_tampered` naming the first row that is not as it was written. */
export function openRecords(place: Place, rows: readonly StoredRow[]): Records {
  const { manifest, epoch } = verifyRows(place.identity, place.key, rows)
  const memory = emptyMemory()
  for (const row of rows) if (isTableName(row.table)) remember(memory, row.table, row.id, parseRow(row.table, row))
  return createView(place, memory, manifest, epoch).records
}

/** Writes the first rows into an initialised, empty store: the one commit that no journal sees. */
export async function createRecords(place: Place, changes: readonly Change[]): Promise<Records> {
  const { records, write } = createView(place, emptyMemory(), emptyManifest(), 0)
  await write(changes, null)
  return records
}

/**
 * Compares the store with the journal: `storeEpoch` is the records' epoch, `lastCommit` that of this
 * node's last commit, where others commit too; the others are the highest that the journal knows, or
 * null where it has none. Throws `store_rolled_back` when the journal saw
 * a later store, and `journal_damaged` when the store saw a later journal. Between the last epoch
 * applied and the last intended lies what a crash leaves.
 */
export function checkEpoch(epochs: {
  storeEpoch: number
  lastCommit?: number
  lastApplied: number | null
  lastIntent: number | null
}): void {
  const { storeEpoch, lastCommit = storeEpoch, lastApplied, lastIntent } = epochs
  if (lastApplied !== null && storeEpoch < lastApplied) {
    throw new KeywardError('store_rolled_back', `It is at epoch ${storeEpoch}; the journal saw epoch ${lastApplied}.`)
  }
  if (lastCommit > (lastIntent ?? FIRST_EPOCH)) {
    throw new KeywardError(
      'journal_damaged',
      `The store is at epoch ${lastCommit}; the journal ${lastIntent === null ? 'is empty' : `ends at ${lastIntent}`}.`,
    )
  }
}

function createView(place: Place, memory: Memory, firstManifest: Manifest, firstEpoch: number) {
  const { store, identity, key } = place
  const listeners: ((changes: readonly Change[], epoch: number) => void)[] = []
  let manifest = firstManifest
  let epoch = firstEpoch
  let { schema } = identity
  let anchor: Anchor | null = null
  let waiting = 0
  let tail: Promise<unknown> = Promise.resolve()
  let closed = false
  const provision = createProvision()

  function apply(changes: readonly Change[], next: number): void {
    epoch = next
    for (const change of changes) remember(memory, change.table, change.id, change.body)
    for (const listener of listeners) listener(changes, epoch)
  }

  async function takeIn(): Promise<void> {
    const rows = await store.changesSince(epoch)
    if (rows.length === 0) return
    const verified = verifyChanges({ ...identity, schema }, key, { manifest, epoch }, rows)
    const changes = changesOf(verified)
    manifest = verified.manifest
    schema = verified.schema
    apply(changes, verified.epoch)
  }

  async function writeAmongOthers(
    wanted: readonly Change[] | (() => readonly Change[]),
    journal: Reason & { anchor: Anchor },
    raised: number | null = null,
  ): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (raised !== null && raised <= schema) return
        return await write(wanted, journal, raised ?? schema)
      } catch (error) {
        const lost = error instanceof KeywardError && error.code === 'store_conflict'
        if (!lost || store.node === null || attempt === COMMIT_ATTEMPTS_MAXIMUM) throw error
        await takeIn()
      }
    }
  }

  async function write(
    wanted: readonly Change[] | (() => readonly Change[]),
    journal: (Reason & { anchor: Anchor }) | null,
    schemaFromThenOn = schema,
  ) {
    provision.check()
    const asked = typeof wanted === 'function' ? wanted() : wanted
    const next = epoch + 1
    const node = store.node !== null && journal !== null ? [commitMark(store.node, next)] : []
    const changes = [...asked, ...node].map(settle)
    const texts = changes.map(rowChangeOf)
    refuseTwice(texts)
    for (const { table, id, body } of changes) {
      if (body === null && !memory[table].has(id))
        throw new KeywardError('not_found', `Table ${table} has no such row.`)
    }
    for (const { table, id, body } of changes) {
      if (body !== null && !isReadableAt(schemaFromThenOn, table, id, body))
        throw new KeywardError('schema_held', `Table ${table}; the store has schema ${schemaFromThenOn}.`)
    }
    if (journal !== null) {
      const { actor, action, detail } = journal
      const rows = changes.map(({ table, id }) => `${table}/${id}`)
      await journal.anchor.intent({ epoch: next, actor, action, rows, ...(detail === undefined ? {} : { detail }) })
    }
    const signer = { key, storeId: identity.storeId, schema: schemaFromThenOn }
    const { put, remove, accept } = stageCommit(manifest, signer, next, texts)
    const raised = schemaFromThenOn === schema ? {} : { schema: schemaFromThenOn }
    await store.commit({ expectedEpoch: epoch, put, remove, ...raised })
    accept()
    schema = schemaFromThenOn
    provision.met()
    apply(changes, next)
    await journal?.anchor.applied({ epoch: next })
  }

  async function inTurn(work: (journal: Reason & { anchor: Anchor }) => Promise<void>, why: Reason): Promise<void> {
    if (closed || anchor === null) throw new KeywardError('internal', 'The records have no journal attached.')
    if (waiting >= MAX_WAITING_COMMITS) throw new KeywardError('overloaded', 'Too many changes are waiting.')
    const journal = { ...why, anchor }
    waiting += 1
    const turn = tail.then(() => work(journal)).finally(() => (waiting -= 1))
    tail = turn.catch(() => undefined)
    return turn
  }

  const records: Records = {
    storeId: identity.storeId,
    get epoch() {
      return epoch
    },
    get schema() {
      return schema
    },
    all: (table) => memory[table],
    get: (table, id) => memory[table].get(id),
    writtenAt: (table, id) => manifest.tables.get(table)?.buckets.get(bucketOf(id))?.get(id)?.seq,
    provided: provision.run,
    commit: (changes, why) => inTurn((journal) => writeAmongOthers(changes, journal), why),
    raise: (wanted, why) => inTurn((journal) => writeAmongOthers([], journal, wanted), why),
    async refresh() {
      const turn = tail.then(takeIn)
      tail = turn.catch(() => undefined)
      return turn
    },
    async snapshot(also) {
      const turn = tail.then(async () => ({
        known: epoch,
        identity: { ...identity, schema },
        rows: await store.load(),
        also: await also(),
      }))
      tail = turn.catch(() => undefined)
      const moment = await turn
      const verified = await verifyRowsInTurns(moment.identity, key, moment.rows)
      if (verified.epoch < moment.known)
        throw new KeywardError('store_rolled_back', `It is at epoch ${verified.epoch}; this node saw ${moment.known}.`)
      const content = { epoch: verified.epoch, rows: moment.rows }
      return { content, schema: verified.schema, also: moment.also }
    },
    onCommit(listener) {
      listeners.push(listener)
    },
    attach(journal) {
      anchor = journal
    },
    async close() {
      closed = true
      await tail
      await store.close()
    },
  }
  return { records, write }
}

/** The epoch of the last commit that a shared store has of this node, or null: the node's journal must know it. */
export function keptCommit(records: Records, node: string): number | null {
  const value = records.get('setting', commitMarkId(node))?.value
  return typeof value === 'number' ? value : null
}

const commitMarkId = (node: string): string => `last-commit.${node}`

function commitMark(node: string, epoch: number): Change {
  return { table: 'setting', id: commitMarkId(node), body: { value: epoch } }
}

/** What another node did, as changes: in no order, for all of it happens at once. */
function changesOf({ changed, removed }: VerifiedChanges): Change[] {
  const changes: Change[] = []
  for (const row of changed)
    if (isTableName(row.table)) changes.push(withBody({ table: row.table, id: row.id, body: null }, row))
  for (const { table, id } of removed) if (isTableName(table)) changes.push({ table, id, body: null })
  return changes
}

function withBody<T extends TableName>(change: Change<T>, row: StoredRow): Change<T> {
  return { ...change, body: parseRow(change.table, row) }
}

function emptyMemory(): Memory {
  return {
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
}

function remember<T extends TableName>(memory: Memory, table: T, id: string, body: Tables[T] | null): void {
  if (body === null) memory[table].delete(id)
  else memory[table].set(id, body)
}

/** The change with a body of its own, as it would be read back: checked, without `undefined`, frozen. */
function settle<T extends TableName>(change: Change<T>): Change<T> {
  if (!ID.test(change.id))
    throw new KeywardError('usage', 'A name has 1 to 256 printable ASCII characters, without spaces.')
  if (change.body === null) return change
  const text = textOf(change.body)
  if (text === null || text.length > MAX_BODY_CHARACTERS) {
    throw new KeywardError('internal', `A row for table ${change.table} is not JSON, or too long.`)
  }
  const body = parseBody(change.table, text)
  if (body === null) throw new KeywardError('internal', `A row for table ${change.table} has the wrong shape.`)
  return { ...change, body }
}

function rowChangeOf({ table, id, body }: Change): RowChange {
  return { table, id, body: body === null ? null : textOf(body) }
}

function textOf(body: unknown): string | null {
  return isJson(body) ? canonicalJson(body) : null
}

function refuseTwice(changes: readonly RowChange[]): void {
  const seen = new Set<string>()
  for (const { table, id } of changes) {
    if (seen.has(`${table}/${id}`)) throw new KeywardError('internal', `A commit changes one row of ${table} twice.`)
    seen.add(`${table}/${id}`)
  }
}

function parseRow<T extends TableName>(table: T, row: StoredRow): Tables[T] {
  const body = parseBody(table, row.body)
  if (body === null) throw tampered(table, row.id, 'its content has the wrong shape')
  return body
}

function parseBody<T extends TableName>(table: T, text: string): Tables[T] | null {
  const parsed = recordSchemas[table].safeParse(JSON.parse(text))
  return parsed.success ? deepFreeze(parsed.data) : null
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const member of Object.values(value)) deepFreeze(member)
  return Object.freeze(value)
}
