import type { ApprovalRecord } from '../../core/records.ts'
import { KeywardError } from '../../core/errors.ts'
import { Secret } from '../../core/secret.ts'
import type { Change, Records } from '../../vault/records.ts'
import type { Vault } from '../../vault/vault.ts'
import type { AskedApproval } from './approvals.ts'

/** How long a question waits until other nodes may see it: most that are withdrawn are by then. All that came meanwhile go in one commit. */
export const APPROVAL_PUBLISH_MILLISECONDS = 250
/** Characters of what a person is shown of one question. */
export const APPROVAL_FACTS_MAXIMUM_CHARACTERS = 64 * 1024
/** How long after its end a question of another node is left for that node to remove. */
const LEFT_TO_ITS_NODE_MILLISECONDS = 60_000

/** An answer that stands in the store, about the request and nonce of this hash. */
export interface SharedAnswer {
  readonly answer: 'accept' | 'refuse'
  readonly by: string
  readonly hash: string
}

/**
 * Questions of all nodes of a shared store, and their answers. A row is a question and at most one answer; what was
 * asked is sealed in it, the body is not there. The request, and the right to use an answer, stay with the node that
 * holds them (docs/decisions/0030).
 */
export interface SharedApprovals {
  publish(asked: AskedApproval, journaled: ApprovalRecord['journaled'], heldUntil: number): void
  /** It was used, withdrawn, or its time is over. */
  withdraw(id: string): void
  /** Whether other nodes can answer it, or will be able to. */
  isPublished(id: string): boolean
  /** Of other nodes. */
  list(): readonly AskedApproval[]
  get(id: string): AskedApproval | undefined
  /** Throws `not_found`, `approval_expired`, `approval_answered`, and what a commit throws. */
  answer(id: string, answer: 'accept' | 'refuse', actor: string): Promise<void>
  /** Told of each answer to a question of this node, whoever gave it. */
  onAnswer(listener: (id: string, answer: SharedAnswer) => void): void
}

export interface SharedApprovalParts {
  readonly records: Pick<Records, 'all' | 'get' | 'commit' | 'onCommit'>
  readonly vault: Pick<Vault, 'sealVersion' | 'openVersion'>
  readonly node: string
  readonly now: () => number
  readonly onError: (error: unknown) => void
}

export function createSharedApprovals({ records, vault, node, now, onError }: SharedApprovalParts): SharedApprovals {
  /** What the next commit puts, or (null) removes. */
  const waiting = new Map<string, ApprovalRecord | null>()
  const listeners: ((id: string, answer: SharedAnswer) => void)[] = []
  /** What was opened of the rows of others, once each. */
  const opened = new WeakMap<ApprovalRecord, AskedApproval['facts'] | null>()
  let timer: NodeJS.Timeout | null = null
  let isCommitting = false
  let isFailing = false

  // What this node held before it was started anew is gone, and with it every answer.
  for (const [id, row] of records.all('approval')) if (row.node === node) waiting.set(id, null)
  if (waiting.size > 0) schedule()

  records.onCommit((changes) => {
    for (const { table, id, body } of changes)
      if (table === 'approval' && body !== null && body.node === node && body.answer !== null)
        for (const listener of listeners) listener(id, { ...body.answer, hash: body.hash })
  })

  function schedule(): void {
    timer ??= setTimeout(() => {
      timer = null
      void flush()
    }, APPROVAL_PUBLISH_MILLISECONDS).unref()
  }

  async function flush(): Promise<void> {
    if (isCommitting) return schedule()
    const taken = [...waiting]
    const due = (): Change[] => [
      // An answer that was given meanwhile must not be written over.
      ...taken.flatMap(([id, body]): Change[] =>
        (body === null) === (records.get('approval', id) !== undefined) ? [{ table: 'approval', id, body }] : [],
      ),
      ...left().map((id): Change => ({ table: 'approval', id, body: null })),
    ]
    if (due().length === 0) return void waiting.clear()
    isCommitting = true
    try {
      await records.commit(due, { actor: 'keyward', action: 'approval.share' })
      isFailing = false
      for (const [id, body] of taken) if (waiting.get(id) === body) waiting.delete(id)
    } catch (error) {
      // While a former release shares the store, questions are answered where they are held.
      if (error instanceof KeywardError && error.code === 'schema_held') waiting.clear()
      else if (!isFailing) onError(error)
      isFailing = true
    } finally {
      isCommitting = false
      if (waiting.size > 0) schedule()
    }
  }

  /** Questions of nodes that have not come back to remove them. */
  function left(): string[] {
    const old = now() - LEFT_TO_ITS_NODE_MILLISECONDS
    return [...records.all('approval')].flatMap(([id, row]) => (row.node !== node && row.expiresAt < old ? [id] : []))
  }

  function factsOf(id: string, row: ApprovalRecord): AskedApproval['facts'] | null {
    const known = opened.get(row)
    if (known !== undefined) return known
    let facts: AskedApproval['facts'] | null = null
    try {
      const secret = vault.openVersion({ environment: row.environment, credentialId: id, number: 0 }, row.sealed)[
        'facts'
      ]
      if (secret !== undefined) facts = JSON.parse(secret.revealText())
    } catch (error) {
      onError(error)
    }
    opened.set(row, facts)
    return facts
  }

  function shown(id: string, row: ApprovalRecord): AskedApproval | undefined {
    if (row.node === node || row.expiresAt <= now()) return undefined
    const facts = factsOf(id, row)
    if (facts === null) return undefined
    const { hash, askedAt, expiresAt, answer } = row
    const state = answer === null ? 'pending' : answer.answer === 'accept' ? 'accepted' : 'refused'
    const held = answer === null && now() < row.heldUntil
    return { id, state, held, facts, hash, askedAt, expiresAt, answeredBy: answer?.by ?? null }
  }

  return {
    publish({ id, facts, hash, askedAt, expiresAt }, journaled, heldUntil) {
      const text = JSON.stringify(facts)
      if (text.length > APPROVAL_FACTS_MAXIMUM_CHARACTERS) return
      const { environment } = facts
      const place = { environment, credentialId: id, number: 0 }
      const sealed = vault.sealVersion(place, { facts: new Secret('facts', Buffer.from(text)) })
      waiting.set(id, { node, environment, hash, sealed, journaled, askedAt, heldUntil, expiresAt, answer: null })
      schedule()
    },

    withdraw(id) {
      if (records.get('approval', id) !== undefined || isCommitting) waiting.set(id, null)
      else waiting.delete(id)
      if (waiting.size > 0) schedule()
    },

    isPublished: (id) => records.get('approval', id) !== undefined || (isCommitting && waiting.has(id)),

    list: () => [...records.all('approval')].flatMap(([id, row]) => shown(id, row) ?? []),

    get(id) {
      const row = records.get('approval', id)
      return row === undefined ? undefined : shown(id, row)
    },

    async answer(id, answer, actor) {
      const detail = records.get('approval', id)
      await records.commit(
        () => {
          const row = records.get('approval', id)
          if (row === undefined) throw new KeywardError('not_found', 'No approval of this id is open any more.')
          if (row.expiresAt <= now()) throw new KeywardError('approval_expired')
          if (row.answer !== null) throw new KeywardError('approval_answered')
          return [{ table: 'approval', id, body: { ...row, answer: { answer, by: actor } } }]
        },
        {
          actor,
          action: `approval.${answer}`,
          detail: { approval: id, hash: detail?.hash ?? null, ...detail?.journaled },
        },
      )
    },

    onAnswer: (listener) => void listeners.push(listener),
  }
}
