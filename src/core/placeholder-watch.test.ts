import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { base62, base64url, makePlaceholder, makeSessionToken } from './placeholder.ts'
import {
  createPlaceholderWatch,
  placeholdersIn,
  WATCHED_BYTES_PER_MARK,
  WATCHED_MARKS_MAXIMUM,
  WATCHED_REPORTS_MAXIMUM,
} from './placeholder-watch.ts'

function randomText(length: number, alphabet: string): string {
  return Array.from({ length }, () => alphabet.charAt(randomBytes(4).readUInt32LE() % alphabet.length)).join('')
}

const shapes = [
  { prefix: 'sk-proj-', alphabet: base62, length: null },
  { prefix: 'sk-or-v1-', alphabet: base64url, length: 73 },
  { prefix: 'ghp_', alphabet: base62, length: 40 },
  { prefix: '', alphabet: base62, length: 32 },
  { prefix: 'xoxb-000000000000-000000000000-', alphabet: base62, length: null },
]
const tokens = (): string[] => [
  ...shapes.map((shape) => makePlaceholder(shape, randomText).text),
  makeSessionToken(randomText),
]

function watched(bytes: Uint8Array, cuts: readonly number[]): string[] {
  const watch = createPlaceholderWatch()
  const found: string[] = []
  let from = 0
  for (const cut of [...cuts, bytes.length]) {
    found.push(...watch.push(bytes.subarray(from, cut)))
    from = cut
  }
  return [...found, ...watch.end()]
}

const writers: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  'in a header': (text) => `authorization: Bearer ${text}\r\n`,
  'in JSON': (text) => JSON.stringify({ messages: [{ role: 'user', content: `what is ${text}?` }] }),
  'at the end of a name': (text) => `key_of-mine-${text}`,
  base64: (text) => Buffer.from(text).toString('base64'),
  'base64 after one byte': (text) => Buffer.from(`:${text}:`).toString('base64'),
  'base64 after two bytes': (text) => Buffer.from(`u:${text} and more`).toString('base64url'),
  percent: (text) => [...Buffer.from(text)].map((byte) => `%${byte.toString(16)}`).join(''),
  'percent, upper case': (text) => [...Buffer.from(text)].map((byte) => `%${byte.toString(16).toUpperCase()}`).join(''),
  'JSON escapes': (text) => [...text].map((c) => `\\u00${c.charCodeAt(0).toString(16)}`).join(''),
}

test.each(Object.entries(writers))('finds what is written %s, wherever it is cut', (_, write) => {
  for (const token of tokens()) {
    const bytes = Buffer.from(`{"a": "${'x'.repeat(50)} ${write(token)}", "b": 1}`)
    for (let cut = 0; cut <= bytes.length; cut++) expect(watched(bytes, [cut]), `cut at ${cut}`).toEqual([token])
    expect(watched(bytes, [...bytes.keys()])).toEqual([token])
    expect(placeholdersIn(bytes)).toEqual([token])
  }
})

test('over any chunks, each text once, whatever lies between', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(fc.constantFrom('kwp', 'kws_', 'kw', ' a3d', 'k', '"', '\n', ' '), fc.string({ maxLength: 40 })),
        {
          maxLength: 20,
        },
      ),
      fc.array(fc.nat(6000), { maxLength: 10 }),
      (noise, cuts) => {
        const all = tokens()
        const text = all
          .map((token, i) => `${noise.slice(i * 3, i * 3 + 3).join('')} ${token} ${'y '.repeat(400)}`)
          .join('')
        const bytes = Buffer.from(text + text)
        const places = cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b)
        expect(watched(bytes, places).toSorted()).toEqual([...all].toSorted())
        expect(placeholdersIn(bytes).toSorted()).toEqual([...all].toSorted())
      },
    ),
    { numRuns: 100 },
  )
})

test('a token whose checksum does not fit is not reported, nor is a part of one', () => {
  for (const token of tokens()) {
    const last = token.at(-1) === 'A' ? 'B' : 'A'
    expect(watched(Buffer.from(`"${token.slice(0, -1)}${last}"`), [])).toEqual([])
    expect(watched(Buffer.from(`"${token.slice(0, -1)}"`), [])).toEqual([])
  }
})

test('reports no more than so many, and goes on reading', () => {
  const many = Array.from({ length: WATCHED_REPORTS_MAXIMUM + 5 }, () => makeSessionToken(randomText))
  expect(watched(Buffer.from(many.join(' ')), [])).toEqual(many.slice(0, WATCHED_REPORTS_MAXIMUM))
})

test('a flood of marks is not looked at for ever', () => {
  const token = makeSessionToken(randomText)
  expect(watched(Buffer.from(`${'kwp-'.repeat(WATCHED_MARKS_MAXIMUM)} ${token} `), [])).toEqual([])
  expect(watched(Buffer.from(`${'kwp-'.repeat(100)} ${token} `), [])).toEqual([token])
  // What comes long after the flood is seen again.
  const flood = Buffer.from(`${'kwp-'.repeat(WATCHED_MARKS_MAXIMUM)}${' '.repeat(WATCHED_BYTES_PER_MARK * 10)}`)
  expect(watched(Buffer.concat([flood, Buffer.from(` ${token} `)]), [flood.length])).toEqual([token])
})

test('a mark that was encoded costs no more than a plain one, times a little', () => {
  const cost = (pattern: string): number => {
    const bytes = Buffer.from(pattern.repeat(WATCHED_MARKS_MAXIMUM))
    const runs = Array.from({ length: 3 }, () => {
      const begun = performance.now()
      watched(bytes, [])
      return performance.now() - begun
    })
    return Math.min(...runs)
  }
  const plain = cost('kwp')
  // Looking through all that surrounds each mark took sixty times as long and more.
  for (const pattern of ['a3dw', '%6b%77%70', '\\u006b\\u0077\\u0070'])
    expect(cost(pattern), pattern).toBeLessThan(20 * plain)
})
