import { expect, test } from 'vitest'
import { parseCount, parseDuration, parseRate } from './measures.ts'

test('durations, rates and counts are read', () => {
  expect(parseDuration('90s')).toBe(90)
  expect(parseDuration('15m')).toBe(900)
  expect(parseDuration('30d')).toBe(2_592_000)
  expect(parseRate('60/min')).toEqual({ count: 60, perSeconds: 60 })
  expect(parseRate('5000/day')).toEqual({ count: 5000, perSeconds: 86_400 })
  expect(parseCount('8')).toBe(8)
})

test.each(['', '0m', '5', '-1m', '1.5h', '5 m', '1y', '1m2s', '99999999d'])('%j is no duration', (text) => {
  expect(() => parseDuration(text)).toThrow(expect.objectContaining({ code: 'usage' }))
})

test.each(['', '60', '60/', '/min', '0/min', '60/year', '60 / min'])('%j is no rate', (text) => {
  expect(() => parseRate(text)).toThrow(expect.objectContaining({ code: 'usage' }))
})
