import { expect, test } from 'vitest'
import { createInflight } from './inflight.ts'

const entry = (sessionId: string, ended: string[]) => ({
  sessionId,
  agentId: 'a',
  narrowed: null,
  credentialId: null,
  end: (code: string) => void ended.push(`${sessionId} ${code}`),
})

test('only what fits is ended, once, and told why', () => {
  const inflight = createInflight()
  const ended: string[] = []
  for (const id of ['one', 'two', 'one']) inflight.add(entry(id, ended))
  expect(inflight.endWhere(({ sessionId }) => sessionId === 'one', 'session_revoked')).toBe(2)
  expect(inflight.endWhere(({ sessionId }) => sessionId === 'one', 'session_revoked')).toBe(0)
  expect(ended).toEqual(['one session_revoked', 'one session_revoked'])
  expect(inflight.size).toBe(1)
})

test('what was taken back is neither counted nor ended, also when it is taken back while others end', () => {
  const inflight = createInflight()
  const ended: string[] = []
  const remove = inflight.add(entry('late', ended))
  inflight.add({ ...entry('first', ended), end: () => void remove() })
  remove()
  remove()
  expect(inflight.size).toBe(1)
  inflight.endWhere(() => true, 'agent_suspended')
  expect(ended).toEqual([])
  expect(inflight.size).toBe(0)
})

test('a place that is reserved counts until it is left, and what is added for it is not counted again', () => {
  const inflight = createInflight()
  const ended: string[] = []
  const leave = inflight.reserve('one')
  const remove = inflight.add({ ...entry('one', ended), reserved: true })
  expect([inflight.size, inflight.countOf('one')]).toEqual([1, 1])
  expect(inflight.endWhere(() => true, 'session_revoked')).toBe(1)
  expect(ended).toEqual(['one session_revoked'])
  remove()
  expect(inflight.countOf('one')).toBe(1)
  leave()
  leave()
  expect([inflight.size, inflight.countOf('one')]).toEqual([0, 0])
})
