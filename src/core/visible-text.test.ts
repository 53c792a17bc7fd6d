import fc from 'fast-check'
import { expect, test } from 'vitest'
import { excerptOf, visibleText } from './visible-text.ts'

test('what a terminal would obey, hide or turn around is written out', () => {
  expect(visibleText('plain text, Grüße, 日本語 {"a": 1}')).toBe('plain text, Grüße, 日本語 {"a": 1}')
  expect(visibleText('a\nb\r\n\tc')).toBe(String.raw`a\nb\r\n\tc`)
  for (const [hidden, point] of [
    ['\u001b', '1b'],
    ['\u009b', '9b'],
    ['\u0000', '0'],
    ['\u202e', '202e'],
    ['\u2066', '2066'],
    ['\u200b', '200b'],
    ['\u00ad', 'ad'],
    ['\u2028', '2028'],
    ['\u00a0', 'a0'],
    ['\u3164', '3164'],
    ['\ufe0f', 'fe0f'],
    ['\ufeff', 'feff'],
    ['\u{e0041}', 'e0041'],
    ['\ud800', 'd800'],
  ] as const)
    expect(visibleText(`a${hidden}b`)).toBe(`a\\u{${point}}b`)
  // Two marks on a letter are a language; a heap of them covers the lines around.
  expect(visibleText('e\u0301\u0302')).toBe('e\u0301\u0302')
  expect(visibleText('e\u0301\u0302\u0303')).toBe('e\u0301\u0302\\u{303}')
})

test('nothing that is not shown passes, whatever the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(visibleText(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u)
    }),
  )
})

test('an excerpt has the beginning and the end, and says how much is missing', () => {
  expect(excerptOf('abc', 3)).toEqual({ text: 'abc', cut: false })
  const { text, cut } = excerptOf(`${'a'.repeat(100)}${'b'.repeat(100)}`, 40)
  expect(cut).toBe(true)
  expect(text).toBe(`${'a'.repeat(30)} […160 characters left out…] ${'b'.repeat(10)}`)
})
