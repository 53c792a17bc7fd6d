import { expect, test } from 'vitest'
import { errors, KeywardError } from '../core/errors.ts'
import type { HeaderPair } from '../core/request.ts'
import { refusalFrom, sendRefusal, type Refusal } from './refusal.ts'
import type { Reply } from './reply.ts'

function replyThat(started: boolean) {
  const said: { status: number; headers: readonly HeaderPair[]; body: string; ended: boolean; destroyed: boolean } = {
    status: 0,
    headers: [],
    body: '',
    ended: false,
    destroyed: false,
  }
  const reply: Reply = {
    started,
    inform: () => undefined,
    start: (status, headers) => void Object.assign(said, { status, headers }),
    write: (chunk) => {
      said.body += Buffer.from(chunk).toString()
      return true
    },
    respond: (status, headers, body) =>
      void Object.assign(said, { status, headers, body: Buffer.from(body).toString(), ended: true }),
    end: () => void (said.ended = true),
    destroy: () => void (said.destroyed = true),
    onDrain: () => undefined,
    onClose: () => undefined,
  }
  return { reply, said }
}

test.each(Object.keys(errors).map((code) => [code]))('%s is told as problem JSON with its code in a header', (name) => {
  const [code] = (Object.keys(errors) as (keyof typeof errors)[]).filter((one) => one === name)
  if (code === undefined) throw new Error(name)
  const caller = {
    sessionId: 'hidden-session',
    agentId: 'hidden-id',
    agent: 'hidden-agent',
    environment: 'hidden-environment',
    egress: 'deny',
    binding: { kind: 'unbound' },
    jkt: null,
    narrowed: null,
  } as const
  const { reply, said } = replyThat(false)
  sendRefusal(reply, { refusal: code, detail: 'About this case.', rule: 'GET /x', caller })
  const problem: unknown = JSON.parse(said.body)
  expect(problem).toMatchObject({
    code,
    status: errors[code].status,
    title: errors[code].title,
    next: errors[code].next,
    detail: 'About this case.',
    rule: 'GET /x',
  })
  expect(said.status).toBe(errors[code].status)
  expect(Object.fromEntries(said.headers)).toMatchObject({
    'content-type': 'application/problem+json',
    'keyward-error': code,
    'content-length': String(Buffer.byteLength(said.body)),
    'cache-control': 'no-store',
  })
  expect(said.ended).toBe(true)
  // Whom it met is for the journal alone.
  expect(said.body + JSON.stringify(said.headers)).not.toContain('hidden')
})

test('an answer that has begun is broken off: words after it would be taken for a part of it', () => {
  const { reply, said } = replyThat(true)
  sendRefusal(reply, { refusal: 'session_revoked' })
  expect(said).toMatchObject({ destroyed: true, body: '', status: 0 })
})

test('an SDK is told when to come back, or not to', () => {
  const headersOf = (refusal: Refusal) => {
    const { reply, said } = replyThat(false)
    sendRefusal(reply, refusal)
    return Object.fromEntries(said.headers)
  }
  expect(headersOf({ refusal: 'rate_exceeded', retryAfterSeconds: 7 })).toMatchObject({ 'retry-after': '7' })
  expect(headersOf({ refusal: 'rate_exceeded', retryAfterSeconds: 7 })).not.toHaveProperty('x-should-retry')
  expect(headersOf({ refusal: 'operation_denied' })).toMatchObject({ 'x-should-retry': 'false' })
  expect(headersOf({ refusal: 'token_missing' })).toHaveProperty('proxy-authenticate')
})

test('only errors with a code become refusals', () => {
  expect(refusalFrom(new KeywardError('field_missing', 'Its name is key.'))).toEqual({
    refusal: 'field_missing',
    detail: 'Its name is key.',
  })
  const other = new TypeError('x')
  expect(() => refusalFrom(other)).toThrow(other)
})
