import { expect, test } from 'vitest'
import type { Caller } from '../identity/sessions.ts'
import { identifyProxy } from './identify.ts'

const caller: Caller = {
  sessionId: 's',
  agentId: 'a',
  agent: 'triage',
  environment: 'dev',
  egress: 'deny',
  binding: { kind: 'unbound' },
  jkt: null,
  narrowed: null,
}
const asked: string[] = []
const sessions = {
  byToken(text: string) {
    asked.push(text)
    return text === 'kws_good' ? caller : { refusal: 'token_invalid' as const }
  },
}
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const identify = (...values: string[]) =>
  identifyProxy(
    values.map((value) => ['proxy-authorization', value] as const),
    sessions,
  )

test.each([
  'Bearer kws_good',
  'bearer   kws_good',
  `Basic ${base64('keyward:kws_good')}`,
  `BASIC ${base64('kws_good:')}`,
  `Basic ${base64('kws_good:x')}`,
  `Basic ${base64('kws_good')}`,
])('%s proves the session', (value) => {
  expect(identify(value)).toBe(caller)
})

test.each([
  '',
  'kws_good',
  'Bearer',
  'Digest kws_good',
  `Basic ${base64('keyward:')}`,
  `Basic ${base64('kws_good:kws_bad')}`,
  `Bearer kws_good${' '.repeat(2_000)}x`,
])('%j proves nothing', (value) => {
  expect(identify(value)).toEqual({ refusal: 'token_invalid' })
})

test('none is told apart from a wrong one, and two are none of ours', () => {
  expect(identify()).toEqual({ refusal: 'token_missing' })
  expect(identify('Bearer kws_good', 'Bearer kws_good')).toEqual({ refusal: 'token_invalid' })
})

test('a value longer than is read is not looked up', () => {
  asked.length = 0
  identify(`Bearer ${'a'.repeat(5_000)}`)
  expect(asked).toEqual([])
})
