import { expect, test } from 'vitest'
import { differenceBetween } from './compare.ts'
import type { ReadRequest, Reading } from './reference.ts'

/** The comparison by which the codec is judged finds what it is made to find. */

const request: ReadRequest = {
  method: 'POST',
  target: '/a',
  version: '1.1',
  headers: [['host', 'x']],
  body: Buffer.from('hello'),
  trailers: [],
  whole: true,
}
const reading = (...requests: ReadRequest[]): Reading => ({ requests, error: null, waiting: false })

test('the same reading, and a part of it, are no difference', () => {
  expect(differenceBetween(reading(request, request), reading(request, request))).toBeNull()
  expect(differenceBetween(reading(request), reading(request, request))).toBeNull()
  expect(differenceBetween(reading(), reading(request))).toBeNull()
  expect(differenceBetween(reading({ ...request, whole: false, body: Buffer.from('he') }), reading(request))).toBeNull()
})

test.each<[string, Partial<ReadRequest>]>([
  ['another method', { method: 'GET' }],
  ['another target', { target: '/b' }],
  [
    'a header more',
    {
      headers: [
        ['host', 'x'],
        ['x', 'y'],
      ],
    },
  ],
  ['a header in another place', { headers: [['x', 'x']] }],
  ['another body', { body: Buffer.from('hullo') }],
  ['a shorter body', { body: Buffer.from('hell') }],
  ['a longer body', { body: Buffer.from('hello!') }],
  ['another trailer', { trailers: [['x', 'y']] }],
  ['another beginning of a body', { whole: false, body: Buffer.from('hu') }],
])('%s is a difference', (_name, change) => {
  expect(differenceBetween(reading({ ...request, ...change }), reading(request))).not.toBeNull()
})

test('a request that the reference has not, or not whole, is a difference', () => {
  expect(differenceBetween(reading(request), reading())).not.toBeNull()
  expect(differenceBetween(reading(request, request), reading(request))).not.toBeNull()
  expect(differenceBetween(reading(request), reading({ ...request, whole: false }))).not.toBeNull()
})
