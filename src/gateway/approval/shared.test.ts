import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Secret } from '../../core/secret.ts'
import { createFakeRecords, type FakeRecords } from '../../../test/fakes/records.ts'
import { createInflight } from '../inflight.ts'
import { isRefusal } from '../refusal.ts'
import { APPROVAL_LIFE_MILLISECONDS, createApprovals, type Approval, type ApprovalQuestion } from './approvals.ts'
import { APPROVAL_PUBLISH_MILLISECONDS, createSharedApprovals, type SharedApprovalParts } from './shared.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const facts = {
  agent: 'ada',
  environment: 'dev',
  session: 's',
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
  body: { text: 'what the agent wrote', cut: false, bytes: 20, sha256: '', type: null },
}

/** Keeps what it sealed, and gives it back in its place only. */
function vaultOf(): SharedApprovalParts['vault'] {
  const kept = new Map<string, Record<string, Secret>>()
  return {
    sealVersion(place, secrets) {
      const term = `${JSON.stringify(place)} ${kept.size}`
      kept.set(term, { ...secrets })
      return { sealedFields: {}, wrappedKey: '', term }
    },
    openVersion(place, { term }) {
      const found = kept.get(term)
      if (found === undefined || !term.startsWith(JSON.stringify(place))) throw new Error('damaged')
      return found
    },
  }
}

/** Nodes on one store: what one commits, all of them see. */
function nodes(records: FakeRecords = createFakeRecords(), first = 0) {
  const vault = vaultOf()
  const errors: unknown[] = []
  let count = first
  const start = (node: string) => {
    const shared = createSharedApprovals({
      records,
      vault,
      node,
      now: Date.now,
      onError: (error) => void errors.push(error),
    })
    const approvals = createApprovals({
      now: Date.now,
      newId: () => `${node}-${(count += 1)}`,
      inflight: createInflight(),
      journal: { append: () => Promise.resolve() },
      shared,
    })
    const ask = (
      digest: string,
      more: Partial<ApprovalQuestion> = {},
      onGone: Parameters<typeof approvals.ask>[1] = () => undefined,
    ) =>
      approvals.ask(
        {
          sessionId: 's',
          narrowed: null,
          agentId: 'a',
          credentialId: 'c',
          bodyBytes: 20,
          digest: () => digest,
          describe: () => ({ facts, journaled: { agent: 'ada' } }),
          ...more,
        },
        onGone,
      )
    return { approvals, ask }
  }
  return { records, errors, start, rows: () => [...records.all('approval').values()] }
}

const published = () => vi.advanceTimersByTimeAsync(APPROVAL_PUBLISH_MILLISECONDS)

function given(asked: Awaited<ReturnType<ReturnType<ReturnType<typeof nodes>['start']>['ask']>>): Approval {
  if ('withdrawn' in asked || isRefusal(asked)) throw new Error(JSON.stringify(asked))
  return asked
}

test('a question of one node is seen and answered at another; the request that is held goes on, once', async () => {
  const { start, rows, records, errors } = nodes()
  const [one, two] = [start('one'), start('two')]
  const asking = one.ask('x')
  expect(two.approvals.list()).toEqual([])
  await published()
  expect(two.approvals.list()).toMatchObject([{ id: 'one-1', state: 'pending', held: true, facts }])
  expect(two.approvals.get('one-1')).toEqual(one.approvals.get('one-1'))
  await two.approvals.answer('one-1', 'accept', 'operator:eve')
  expect(records.log.at(-1)?.why).toMatchObject({
    actor: 'operator:eve',
    action: 'approval.accept',
    detail: { approval: 'one-1', agent: 'ada', hash: expect.any(String) },
  })
  expect(one.approvals.get('one-1')).toMatchObject({ state: 'accepted', answeredBy: 'operator:eve' })
  const approval = given(await asking)
  expect([approval.take(), approval.take()]).toEqual([true, false])
  await published()
  expect(rows()).toEqual([])
  expect(two.approvals.list()).toEqual([])
  expect(errors).toEqual([])
})

test('neither the body nor what a person is shown of it stands in the row', async () => {
  const { start, rows } = nodes()
  void start('one').ask('x')
  await published()
  expect(rows()).toHaveLength(1)
  expect(JSON.stringify(rows())).not.toContain('what the agent wrote')
})

test('of two answers the first counts, at whichever node; the other is told so', async () => {
  const { start } = nodes()
  const [one, two, three] = [start('one'), start('two'), start('three')]
  const asking = one.ask('x')
  await published()
  const answers = await Promise.allSettled([
    two.approvals.answer('one-1', 'refuse', 'operator:bob'),
    one.approvals.answer('one-1', 'accept', 'operator:eve'),
    three.approvals.answer('one-1', 'accept', 'operator:eve'),
  ])
  expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
  expect(answers[1]).toMatchObject({ reason: { code: 'approval_answered' } })
  expect(await asking).toMatchObject({ refusal: 'approval_refused', approval: 'one-1' })
  expect(await one.ask('x')).toMatchObject({ refusal: 'approval_refused' })
})

test('an answer given while the question is on its way to the store is the only one', async () => {
  const { start, rows } = nodes()
  const [one, two] = [start('one'), start('two')]
  const asking = one.ask('x')
  await one.approvals.answer('one-1', 'accept', 'operator:eve')
  await published()
  expect(rows()).toEqual([])
  await expect(two.approvals.answer('one-1', 'refuse', 'operator:bob')).rejects.toMatchObject({ code: 'not_found' })
  expect(given(await asking).take()).toBe(true)
})

test('an answer to another request, to another question, or a second time, changes nothing', async () => {
  const { start, records } = nodes()
  const one = start('one')
  const asking = one.ask('x')
  await published()
  const row = records.get('approval', 'one-1')
  if (row === undefined) throw new Error('not published')
  const why = { actor: 'somebody', action: 'approval.accept' }
  const answer = { answer: 'accept', by: 'somebody' } as const
  await records.commit([{ table: 'approval', id: 'one-1', body: { ...row, hash: 'f'.repeat(64), answer } }], why)
  expect(one.approvals.get('one-1')).toMatchObject({ state: 'pending' })
  await records.commit([{ table: 'approval', id: 'one-2', body: { ...row, answer } }], why)
  expect(one.approvals.get('one-1')).toMatchObject({ state: 'pending' })
  await records.commit([{ table: 'approval', id: 'one-1', body: { ...row, node: 'two', answer } }], why)
  expect(one.approvals.get('one-1')).toMatchObject({ state: 'pending' })
  await records.commit([{ table: 'approval', id: 'one-1', body: { ...row, answer } }], why)
  const approval = given(await asking)
  expect(approval.take()).toBe(true)
  // Put back as it was: nobody holds a request for it any more.
  await records.commit([{ table: 'approval', id: 'one-1', body: { ...row, answer } }], why)
  expect(one.approvals.get('one-1')).toBeUndefined()
  const again = one.ask('x')
  await published()
  expect(one.approvals.list()).toMatchObject([{ id: 'one-2', state: 'pending' }])
  void again
})

test('too late: neither to answer nor to be shown, and the row goes', async () => {
  const { start, rows } = nodes()
  const [one, two] = [start('one'), start('two')]
  void one.ask('x')
  await published()
  await vi.advanceTimersByTimeAsync(APPROVAL_LIFE_MILLISECONDS)
  expect(two.approvals.list()).toEqual([])
  await expect(two.approvals.answer('one-1', 'accept', 'operator:eve')).rejects.toMatchObject({ code: 'not_found' })
  expect(one.approvals.list()).toEqual([])
  await published()
  expect(rows()).toEqual([])
})

test('a node that was started anew acts on no answer that it was given before, and takes its questions away', async () => {
  const { start, rows, records } = nodes()
  void start('one').ask('x')
  const two = start('two')
  await published()
  await two.approvals.answer('one-1', 'accept', 'operator:eve')
  // The process died here, between the answer and the intent; its memory is gone, the row is not.
  const other = nodes(records, 10)
  const again = other.start('one')
  await vi.advanceTimersByTimeAsync(APPROVAL_PUBLISH_MILLISECONDS - 1)
  const asking = again.ask('x')
  let isAnswered = false
  void asking.then(() => (isAnswered = true))
  await published()
  await published()
  expect(isAnswered).toBe(false)
  expect(rows()).toHaveLength(1)
  expect(rows()[0]).toMatchObject({ node: 'one', answer: null })
})

test('withdrawn before anybody could see it, nothing was written', async () => {
  const { start, records } = nodes()
  const one = start('one')
  let withdraw = (): void => undefined
  const asking = one.ask('x', {}, (how) => void (withdraw = how))
  withdraw()
  expect(await asking).toEqual({ withdrawn: 'one-1' })
  await published()
  expect(records.log).toEqual([])
})

test('a store that is out of reach loses no question: it is answered where it is held, and published later', async () => {
  const { start, rows, records, errors } = nodes()
  const one = start('one')
  const { KeywardError } = await import('../../core/errors.ts')
  records.failWith(new KeywardError('store_unavailable'))
  const [x, y] = [one.ask('x'), one.ask('y')]
  await published()
  expect(errors).toHaveLength(1)
  await one.approvals.answer('one-1', 'accept', 'operator:eve')
  expect(given(await x).take()).toBe(true)
  records.failWith(null)
  await published()
  expect(rows()).toHaveLength(1)
  void y
})
