import { digestOfApproval } from '../../core/approval-digest.ts'
import { KeywardError, type ErrorCode } from '../../core/errors.ts'
import type { Journal } from '../../journal/journal.ts'
import type { Narrowing } from '../../core/narrowing.ts'
import type { Inflight } from '../inflight.ts'
import type { Refusal } from '../refusal.ts'
import type { ApprovalFacts } from './facts.ts'
import { createRefusedRequests } from './refused.ts'
import type { SharedApprovals, SharedAnswer } from './shared.ts'

/** How long a request is held while a person is asked. */
export const APPROVAL_WAIT_MILLISECONDS = 60_000
/** How long after it was asked for an approval can be given and used. */
export const APPROVAL_LIFE_MILLISECONDS = 10 * 60_000
/** Approvals at once: of one session, of one agent, of all. Nobody's is put aside for another's. */
export const APPROVALS_SESSION_MAXIMUM = 16
export const APPROVALS_AGENT_MAXIMUM = 64
export const APPROVALS_MAXIMUM = 1_024
/** Bytes of the bodies of requests that are held. */
export const APPROVAL_BODIES_SESSION_MAXIMUM_BYTES = 4 * 1024 * 1024
export const APPROVAL_BODIES_MAXIMUM_BYTES = 32 * 1024 * 1024

/** What a person is asked: whether this very request may go out once. */
export interface ApprovalQuestion {
  readonly sessionId: string
  readonly agentId: string
  readonly narrowed: Narrowing | null
  readonly credentialId: string
  readonly bodyBytes: number
  /** The digest of the request as it is at this instant (core/approval-digest.ts). */
  digest(): string
  /** The request in words, worked out where there is room for the question. */
  describe(): Described
}

/** What a person is told of a request, and what the journal is, beside what belongs to the answer. */
export interface Described {
  readonly facts: ApprovalFacts
  readonly journaled: Readonly<Record<string, string | number>>
}

export type ApprovalState = 'pending' | 'accepted' | 'refused'

/** One request about which a person is asked, as it is shown. */
export interface AskedApproval {
  readonly id: string
  readonly state: ApprovalState
  /** Whether its request is still there and waits. */
  readonly held: boolean
  readonly facts: ApprovalFacts
  /** SHA-256 of request and nonce. */
  readonly hash: string
  readonly askedAt: number
  readonly expiresAt: number
  readonly answeredBy: string | null
}

/** A yes, in the hands of the one request that it is for. */
export interface Approval {
  readonly id: string
  /** Uses it up; false where it is used, too late, or for something else than this request is by now. */
  take(): boolean
  /** Whether the request still is what was approved. */
  holds(): boolean
  /** Lets go of it. What was not used may be used by the same request, sent again. */
  leave(): void
}

/**
 * Requests about which a person is asked. They are kept in memory alone (docs/decisions/0018): with the process goes
 * whatever was not used, so nothing is used twice. Answers are journaled, synced, before they count.
 */
export interface Approvals {
  /** Resolves once it is answered or the wait is over. `onGone` is told how to withdraw the question. */
  ask(question: ApprovalQuestion, onGone: (withdraw: () => void) => void): Promise<Approval | Refusal | Withdrawn>
  /** The n-th of each agent before the n-plus-first of any: who asks much hides nobody. */
  list(): readonly AskedApproval[]
  get(id: string): AskedApproval | undefined
  /** Throws `not_found`, `approval_expired`, `approval_answered` and `journal_unwritable`. */
  answer(id: string, answer: 'accept' | 'refuse', actor: string): Promise<void>
}

/** The agent went away, and its question with it. */
export interface Withdrawn {
  readonly withdrawn: string
}

interface Entry {
  readonly id: string
  readonly sessionId: string
  readonly agentId: string
  readonly described: Described
  readonly digest: string
  readonly askedAt: number
  state: ApprovalState
  answeredBy: string | null
  isAnswering: boolean
  /** The request that waits for the answer, or has it in its hands. */
  holder: Holder | null
  /** Takes it from the list of what a suspension ends. */
  forget: () => void
}

interface Holder {
  readonly bodyBytes: number
  settle(how: 'accepted' | Refusal | Withdrawn): void
}

export interface ApprovalParts {
  readonly now: () => number
  readonly newId: () => string
  readonly inflight: Pick<Inflight, 'add'>
  readonly journal: Pick<Journal, 'append'>
  readonly waitMilliseconds?: number
  /** Where other nodes share the store: their questions, and answers from there. */
  readonly shared?: SharedApprovals | null
}

export function createApprovals(parts: ApprovalParts): Approvals {
  const { now, newId } = parts
  const wait = parts.waitMilliseconds ?? APPROVAL_WAIT_MILLISECONDS
  const entries = new Map<string, Entry>()
  const refused = createRefusedRequests(now)
  const shared = parts.shared ?? null
  shared?.onAnswer(answeredElsewhere)

  const expiryOf = (entry: Entry): number => entry.askedAt + APPROVAL_LIFE_MILLISECONDS
  const isOver = (entry: Entry): boolean => now() >= expiryOf(entry)

  function remove(entry: Entry): void {
    if (entries.get(entry.id) !== entry) return
    entries.delete(entry.id)
    entry.forget()
    shared?.withdraw(entry.id)
  }

  /** Ends the question; whoever waits is told why. */
  function end(entry: Entry, why: Refusal | Withdrawn): void {
    const { holder } = entry
    entry.holder = null
    remove(entry)
    holder?.settle(why)
  }

  function removeOld(): void {
    for (const entry of entries.values()) if (isOver(entry) && entry.holder === null) remove(entry)
  }

  function isCrowded({ sessionId, agentId }: ApprovalQuestion): boolean {
    let ofSession = 0
    let ofAgent = 0
    for (const entry of entries.values()) {
      if (entry.agentId === agentId) ofAgent += 1
      if (entry.sessionId === sessionId) ofSession += 1
    }
    return (
      ofSession >= APPROVALS_SESSION_MAXIMUM || ofAgent >= APPROVALS_AGENT_MAXIMUM || entries.size >= APPROVALS_MAXIMUM
    )
  }

  function hasNoRoomFor({ sessionId, bodyBytes }: ApprovalQuestion): boolean {
    let all = bodyBytes
    let ofSession = bodyBytes
    for (const { holder, sessionId: whose } of entries.values()) {
      if (holder === null) continue
      all += holder.bodyBytes
      if (whose === sessionId) ofSession += holder.bodyBytes
    }
    return ofSession > APPROVAL_BODIES_SESSION_MAXIMUM_BYTES || all > APPROVAL_BODIES_MAXIMUM_BYTES
  }

  /** The question of a refusal makes room for another; that it was refused is remembered apart. */
  function dropRefused({ agentId }: ApprovalQuestion): boolean {
    for (const entry of entries.values()) {
      if (entry.state !== 'refused' || entry.agentId !== agentId) continue
      remove(entry)
      return true
    }
    return false
  }

  /** The answer, or the open question, about the same request that no other request waits for. */
  function known(digest: string): Entry | null {
    let found: Entry | null = null
    const order: readonly ApprovalState[] = ['refused', 'pending', 'accepted']
    for (const entry of entries.values()) {
      if (entry.digest !== digest || entry.holder !== null) continue
      if (found === null || order.indexOf(entry.state) > order.indexOf(found.state)) found = entry
    }
    return found
  }

  function open(question: ApprovalQuestion, digest: string): Entry {
    const { sessionId, agentId, narrowed, credentialId } = question
    const entry: Entry = {
      id: newId(),
      sessionId,
      agentId,
      described: question.describe(),
      digest,
      askedAt: now(),
      state: 'pending',
      answeredBy: null,
      isAnswering: false,
      holder: null,
      forget: () => undefined,
    }
    entry.forget = parts.inflight.add({
      sessionId,
      agentId,
      narrowed,
      credentialId,
      reserved: true,
      end: (code: ErrorCode) => end(entry, { refusal: code }),
    })
    entries.set(entry.id, entry)
    shared?.publish(shown(entry), entry.described.journaled, Math.min(now() + wait, expiryOf(entry)))
    return entry
  }

  /** What was accepted, in the hands of this request alone until it is used or let go of. */
  function hand(entry: Entry, digest: () => string): Approval {
    // The body of a request that goes on is counted where it was read.
    const holder: Holder = { bodyBytes: 0, settle: () => undefined }
    entry.holder = holder
    const holds = (): boolean => digest() === entry.digest
    return {
      id: entry.id,
      holds,
      take() {
        if (entries.get(entry.id) !== entry || entry.holder !== holder || isOver(entry) || !holds()) return false
        remove(entry)
        return true
      },
      leave() {
        if (entry.holder === holder) entry.holder = null
      },
    }
  }

  function hold(
    entry: Entry,
    { bodyBytes, digest }: ApprovalQuestion,
    onGone: (withdraw: () => void) => void,
  ): Promise<Approval | Refusal | Withdrawn> {
    return new Promise((done) => {
      const timer = setTimeout(waited, Math.min(wait, expiryOf(entry) - now()))
      const holder: Holder = {
        bodyBytes,
        settle(how) {
          clearTimeout(timer)
          done(how === 'accepted' ? hand(entry, digest) : how)
        },
      }
      function waited(): void {
        entry.holder = null
        if (isOver(entry)) remove(entry)
        done(requiredFor(entry))
      }
      entry.holder = holder
      onGone(() => {
        if (entry.holder === holder) end(entry, { withdrawn: entry.id })
      })
    })
  }

  function settle(entry: Entry, answer: 'accept' | 'refuse', actor: string): void {
    const { id, holder } = entry
    const { rule } = entry.described.facts
    entry.answeredBy = actor
    entry.state = answer === 'accept' ? 'accepted' : 'refused'
    if (answer === 'refuse') refused.remember(entry.agentId, entry.digest, { id, rule, until: expiryOf(entry) })
    entry.holder = null
    holder?.settle(answer === 'accept' ? 'accepted' : refusedBy(id, rule))
  }

  /** What came by way of the store counts for the very request that is held here, in time, and once. */
  function answeredElsewhere(id: string, { answer, by, hash }: SharedAnswer): void {
    const entry = entries.get(id)
    if (entry === undefined || entry.state !== 'pending' || isOver(entry)) return
    if (digestOfApproval(entry.digest, id) === hash) settle(entry, answer, by)
  }

  function shown(entry: Entry): AskedApproval {
    const { id, digest, state, askedAt, answeredBy, described } = entry
    return {
      id,
      state,
      held: entry.holder !== null,
      facts: described.facts,
      hash: digestOfApproval(digest, id),
      askedAt,
      expiresAt: expiryOf(entry),
      answeredBy,
    }
  }

  return {
    async ask(question, onGone) {
      removeOld()
      const digest = question.digest()
      const before = known(digest)
      if (before?.state === 'refused') return refusedBy(before.id, before.described.facts.rule)
      if (before?.state === 'accepted') return hand(before, question.digest)
      const earlier = before === null ? refused.find(question.agentId, digest) : undefined
      if (earlier !== undefined) return refusedBy(earlier.id, earlier.rule)
      if (hasNoRoomFor(question))
        return { refusal: 'approvals_full', detail: 'The bodies of requests that wait take all the room there is.' }
      if (before === null && isCrowded(question) && !(dropRefused(question) && !isCrowded(question)))
        return { refusal: 'approvals_full' }
      return hold(before ?? open(question, digest), question, onGone)
    },

    list() {
      removeOld()
      const counts = new Map<string, number>()
      return [...[...entries.values()].map(shown), ...(shared?.list() ?? [])]
        .map((one) => {
          const whose = `${one.facts.environment}/${one.facts.agent}`
          const turn = counts.get(whose) ?? 0
          counts.set(whose, turn + 1)
          return { one, turn }
        })
        .toSorted((left, right) => left.turn - right.turn || left.one.askedAt - right.one.askedAt)
        .map(({ one }) => one)
    },

    get(id) {
      const entry = entries.get(id)
      if (entry === undefined) return shared?.get(id)
      return isOver(entry) ? undefined : shown(entry)
    },

    async answer(id, answer, actor) {
      const entry = entries.get(id)
      // Where others can answer it too, the store says who was first.
      if (shared !== null && (entry === undefined ? shared.get(id) !== undefined : shared.isPublished(id)))
        return shared.answer(id, answer, actor)
      if (entry === undefined) throw gone()
      if (isOver(entry)) throw new KeywardError('approval_expired')
      if (entry.state !== 'pending' || entry.isAnswering) throw new KeywardError('approval_answered')
      entry.isAnswering = true
      shared?.withdraw(id)
      try {
        const { journaled } = entry.described
        const event = { ...journaled, kind: 'control', action: `approval.${answer}`, actor, approval: id } as const
        await parts.journal.append({ ...event, hash: digestOfApproval(entry.digest, id) }, { sync: true })
      } finally {
        entry.isAnswering = false
      }
      // The journal took its time: the agent may have gone, or been suspended, meanwhile.
      if (entries.get(id) !== entry) throw gone()
      if (isOver(entry)) throw new KeywardError('approval_expired')
      settle(entry, answer, actor)
    },
  }
}

function gone(): KeywardError {
  return new KeywardError('not_found', 'No approval of this id is open: it was used, withdrawn or is too old.')
}

function requiredFor({ id, described }: Entry): Refusal {
  return {
    refusal: 'approval_required',
    detail: `Nobody has answered yet; this is approval ${id}.`,
    rule: described.facts.rule,
    approval: id,
    facts: { approval: id },
  }
}

function refusedBy(id: string, rule: string): Refusal {
  return { refusal: 'approval_refused', rule, approval: id, facts: { approval: id } }
}
