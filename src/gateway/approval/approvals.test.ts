import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { JournalEvent } from '../../journal/event.ts'
import { createInflight } from '../inflight.ts'
import { isRefusal, type Refusal } from '../refusal.ts'
import {
  APPROVAL_BODIES_MAXIMUM_BYTES,
  APPROVAL_BODIES_SESSION_MAXIMUM_BYTES,
  APPROVAL_LIFE_MILLISECONDS,
  APPROVAL_WAIT_MILLISECONDS,
  APPROVALS_AGENT_MAXIMUM,
  APPROVALS_MAXIMUM,
  APPROVALS_SESSION_MAXIMUM,
  createApprovals,
  type Approval,
  type ApprovalQuestion,
  type Withdrawn,
} from './approvals.ts'
import type { ApprovalFacts } from './facts.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const facts: ApprovalFacts = {
  agent: 'ada',
  environment: 'dev',
  session: 's1',
  credential: 'one',
  service: 'mine',
  operation: null,
  destructive: true,
  grant: 'g1',
  rule: '*',
  method: 'POST',
  origin: 'https://mine.example.test',
  opensWebSocket: false,
  target: { text: '/', cut: false },
  headers: [],
  body: { text: '', cut: false, bytes: 0, sha256: '', type: null },
}

function question(digest: string, more: Partial<ApprovalQuestion> = {}): ApprovalQuestion {
  return {
    sessionId: 's1',
    narrowed: null,
    agentId: 'a1',
    credentialId: 'c1',
    bodyBytes: 0,
    digest: () => digest,
    describe: () => ({ facts: { ...facts, agent: more.agentId ?? 'ada' }, journaled: { agent: 'ada' } }),
    ...more,
  }
}

function open(append?: (event: JournalEvent) => Promise<void>) {
  const journaled: (readonly [JournalEvent, unknown])[] = []
  const inflight = createInflight()
  let count = 0
  const approvals = createApprovals({
    now: Date.now,
    newId: () => `id${(count += 1)}`,
    inflight,
    journal: {
      append: async (event, options) => {
        journaled.push([event, options])
        await append?.(event)
      },
    },
  })
  const held: (() => void)[] = []
  const ask = (digest: string, more: Partial<ApprovalQuestion> = {}) =>
    approvals.ask(question(digest, more), (withdraw) => void held.push(withdraw))
  return { approvals, inflight, journaled, ask, withdraw: (at: number) => held[at]?.() }
}

function given(asked: Approval | Refusal | Withdrawn): Approval {
  if ('withdrawn' in asked || isRefusal(asked)) throw new Error(JSON.stringify(asked))
  return asked
}

test('accepted while it is held: once, written down and synced before it counts', async () => {
  const { approvals, ask, journaled, inflight } = open()
  const asking = ask('x')
  expect(approvals.list()).toMatchObject([{ id: 'id1', state: 'pending', held: true, answeredBy: null }])
  await approvals.answer('id1', 'accept', 'operator:eve')
  expect(journaled).toMatchObject([
    [
      { kind: 'control', action: 'approval.accept', actor: 'operator:eve', approval: 'id1', agent: 'ada' },
      { sync: true },
    ],
  ])
  expect(approvals.get('id1')).toMatchObject({ state: 'accepted', answeredBy: 'operator:eve' })
  const approval = given(await asking)
  expect([approval.take(), approval.take()]).toEqual([true, false])
  expect(approvals.list()).toEqual([])
  expect(inflight.endWhere(() => true, 'session_revoked')).toBe(0)
  await expect(approvals.answer('id1', 'accept', 'operator:eve')).rejects.toMatchObject({ code: 'not_found' })
})

test('the wait ends with a no that names the approval; the same request takes up the question or its answer', async () => {
  const { approvals, ask } = open()
  const first = ask('x')
  await vi.advanceTimersByTimeAsync(APPROVAL_WAIT_MILLISECONDS)
  expect(await first).toMatchObject({ refusal: 'approval_required', approval: 'id1', facts: { approval: 'id1' } })
  const second = ask('x')
  expect(approvals.list()).toMatchObject([{ id: 'id1', held: true }])
  await vi.advanceTimersByTimeAsync(APPROVAL_WAIT_MILLISECONDS)
  expect(await second).toMatchObject({ refusal: 'approval_required', approval: 'id1' })
  await approvals.answer('id1', 'accept', 'operator:eve')
  const other = ask('y')
  const approval = given(await ask('x'))
  // In the hands of one request it is not for a second one.
  const third = ask('x')
  expect(approvals.list().map(({ id }) => id)).toEqual(['id1', 'id2', 'id3'])
  approval.leave()
  expect(given(await ask('x')).take()).toBe(true)
  expect(approval.take()).toBe(false)
  await vi.advanceTimersByTimeAsync(APPROVAL_WAIT_MILLISECONDS)
  expect([await other, await third]).toMatchObject([{ approval: 'id2' }, { approval: 'id3' }])
})

test('what is something else by now is not let through', async () => {
  const { approvals, ask } = open()
  let digest = 'x'
  const asking = ask('x', { digest: () => digest })
  await approvals.answer('id1', 'accept', 'operator:eve')
  const approval = given(await asking)
  digest = 'y'
  expect([approval.holds(), approval.take()]).toEqual([false, false])
})

test('too late: neither to answer nor to use', async () => {
  const { approvals, ask } = open()
  const asking = ask('x')
  await vi.advanceTimersByTimeAsync(APPROVAL_WAIT_MILLISECONDS)
  await asking
  vi.setSystemTime(Date.now() + APPROVAL_LIFE_MILLISECONDS)
  await expect(approvals.answer('id1', 'accept', 'operator:eve')).rejects.toMatchObject({ code: 'approval_expired' })
  const again = ask('x')
  expect(approvals.list().map(({ id }) => id)).toEqual(['id2'])
  await approvals.answer('id2', 'accept', 'operator:eve')
  const approval = given(await again)
  vi.setSystemTime(Date.now() + APPROVAL_LIFE_MILLISECONDS)
  expect(approval.take()).toBe(false)
})

test('an answer while the journal is written: the second is told so, and one that cannot be written counts for nothing', async () => {
  let fails = true
  const { approvals, ask } = open(() => (fails ? Promise.reject(new Error('disk')) : Promise.resolve()))
  const asking = ask('x')
  const first = approvals.answer('id1', 'accept', 'operator:eve')
  await expect(approvals.answer('id1', 'refuse', 'operator:bob')).rejects.toMatchObject({ code: 'approval_answered' })
  await expect(first).rejects.toThrow('disk')
  expect(approvals.get('id1')).toMatchObject({ state: 'pending', held: true })
  fails = false
  await approvals.answer('id1', 'refuse', 'operator:bob')
  expect(await asking).toMatchObject({ refusal: 'approval_refused', rule: '*' })
  await expect(approvals.answer('id1', 'accept', 'operator:eve')).rejects.toMatchObject({ code: 'approval_answered' })
  expect(await ask('x')).toMatchObject({ refusal: 'approval_refused', approval: 'id1' })
})

test('withdrawn or ended meanwhile, an answer finds nothing', async () => {
  let write = (): void => undefined
  const { approvals, ask, withdraw, inflight } = open(() => new Promise((done) => void (write = done)))
  const asking = ask('x')
  const answering = approvals.answer('id1', 'accept', 'operator:eve')
  withdraw(0)
  write()
  await expect(answering).rejects.toMatchObject({ code: 'not_found' })
  expect(await asking).toEqual({ withdrawn: 'id1' })
  const other = ask('y')
  expect(inflight.endWhere(({ credentialId }) => credentialId === 'c1', 'credential_suspended')).toBe(1)
  expect(await other).toEqual({ refusal: 'credential_suspended' })
  expect(approvals.list()).toEqual([])
})

test('a session, an agent and all have so many and no more; refusals make room, nothing of others does', async () => {
  const { approvals, ask } = open()
  for (let n = 0; n < APPROVALS_SESSION_MAXIMUM; n++) void ask(`s1 ${n}`)
  expect(await ask('more')).toMatchObject({ refusal: 'approvals_full' })
  await approvals.answer('id1', 'refuse', 'operator:eve')
  void ask('more')
  expect(approvals.get('id1')).toBeUndefined()
  // Crowding makes nobody forget that it was refused.
  expect(await ask('s1 0')).toMatchObject({ refusal: 'approval_refused', approval: 'id1' })
  expect(approvals.list()).toHaveLength(APPROVALS_SESSION_MAXIMUM)
  for (let n = APPROVALS_SESSION_MAXIMUM; n < APPROVALS_AGENT_MAXIMUM; n++)
    void ask(`a1 ${n}`, { sessionId: `s${Math.floor(n / APPROVALS_SESSION_MAXIMUM) + 1}` })
  expect(await ask('more', { sessionId: 's9' })).toMatchObject({ refusal: 'approvals_full' })
  // Whoever asks little stands before what the one who asks much asks beside its first.
  void ask('quiet', { sessionId: 'q', agentId: 'q' })
  expect(approvals.list()[1]).toMatchObject({ id: `id${APPROVALS_AGENT_MAXIMUM + 2}` })
  for (let n = APPROVALS_AGENT_MAXIMUM + 1; n < APPROVALS_MAXIMUM; n++)
    void ask(`all ${n}`, { sessionId: `x${n}`, agentId: `x${n}` })
  expect(await ask('more', { sessionId: 'y', agentId: 'y' })).toMatchObject({ refusal: 'approvals_full' })
  expect(approvals.list()).toHaveLength(APPROVALS_MAXIMUM)
})

test('bodies that wait take so much room and no more', async () => {
  const { ask, withdraw } = open()
  const bodyBytes = APPROVAL_BODIES_SESSION_MAXIMUM_BYTES / 2
  void ask('1', { bodyBytes })
  void ask('2', { bodyBytes })
  expect(await ask('3', { bodyBytes: 1 })).toMatchObject({ refusal: 'approvals_full' })
  withdraw(0)
  void ask('3', { bodyBytes })
  for (let left = APPROVAL_BODIES_MAXIMUM_BYTES - 2 * bodyBytes, n = 0; left > 0; left -= bodyBytes, n++)
    void ask(`other ${n}`, { bodyBytes, sessionId: `o${n}`, agentId: `o${n}` })
  expect(await ask('last', { bodyBytes: 1, sessionId: 'l', agentId: 'l' })).toMatchObject({ refusal: 'approvals_full' })
})
