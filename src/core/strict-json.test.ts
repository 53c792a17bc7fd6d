import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  JSON_MAXIMUM_DEPTH,
  JSON_MAXIMUM_MEMBERS,
  looksLike,
  membersOf,
  parseStrictJson,
  readStrictJson,
} from './strict-json.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)

test('a JSON text with one reading is read', () => {
  for (const text of [
    '{}',
    '[]',
    '"a"',
    ' {"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]} ',
    '{"a":"\\uD83D\\uDE00","b":"\\\\","c":"\\"}{"}',
    '{"__proto__":1,"constructor":2}',
    '{"a\\u0000":1,"a":2}',
    '{"":1}',
    `${'['.repeat(JSON_MAXIMUM_DEPTH)}${']'.repeat(JSON_MAXIMUM_DEPTH)}`,
    `[${'[],'.repeat(JSON_MAXIMUM_MEMBERS - 2)}[]]`,
    `[${'1,"\\\\",'.repeat(JSON_MAXIMUM_MEMBERS)}1]`,
  ])
    expect(readStrictJson(bytes(text)), text).toEqual({ value: JSON.parse(text) })
})

test('what has another reading is refused', () => {
  for (const input of [
    bytes(''),
    bytes('{'),
    bytes('{}{}'),
    bytes('{} x'),
    bytes("{'a':1}"),
    bytes('{"a":1,}'),
    bytes('{"a":NaN}'),
    bytes('/**/{}'),
    bytes('\uFEFF{}'),
    Buffer.from('{}', 'utf16le'),
    Buffer.from([0x22, 0xff, 0x22]),
    Buffer.from([0x22, 0xc0, 0xae, 0x22]),
    Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
    bytes('{"a":1,"a":1}'),
    bytes('{"a":1,"\\u0061":2}'),
    bytes('[{"b":{"a":1,"c":[{}],"a":2}}]'),
    bytes('{"a":{"b":1},"a":1}'),
    bytes('"\\uD800"'),
    bytes('{"\\uDC00":1}'),
    bytes('"\\uDE00\\uD83D"'),
    bytes(`${'['.repeat(JSON_MAXIMUM_DEPTH + 1)}${']'.repeat(JSON_MAXIMUM_DEPTH + 1)}`),
    bytes('['.repeat(200_000)),
    bytes(`[${'[],'.repeat(JSON_MAXIMUM_MEMBERS - 1)}[]]`),
    bytes(`{${Array.from({ length: JSON_MAXIMUM_MEMBERS }, (_, at) => `"${at}":1`).join()}}`),
    bytes(`${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`),
  ])
    expect(readStrictJson(input), Buffer.from(input).toString('latin1').slice(0, 60)).toHaveProperty('fault')
})

test('whatever JSON.stringify writes is read as the same, in any spacing', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.constantFrom(0, 1, '\t'), (value, space) => {
      const text = JSON.stringify(value, null, space)
      expect(parseStrictJson(text)).toEqual({ value: JSON.parse(text) })
    }),
  )
})

test('a member that is written once more is found wherever it stands', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 6 }),
      fc.nat(5),
      fc.jsonValue({ maxDepth: 3 }),
      fc.integer({ min: 0, max: 3 }),
      (names, again, value, depth) => {
        const name = names[again % names.length] ?? ''
        const escaped = `"${Array.from({ length: name.length }, (_, at) => `\\u${name.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`
        const members = names.map((one) => `${JSON.stringify(one)}:${JSON.stringify(value)}`)
        const text = `${'[0,'.repeat(depth)}{${members.join(',')},${escaped}:1}${']'.repeat(depth)}`
        expect(parseStrictJson(text)).toHaveProperty('fault')
      },
    ),
  )
})

test('a text that is no JSON is refused, whatever it is', () => {
  const piece = fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', '\\u', '\\uD800', 'a', '1', 'null', ' ')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const text = pieces.join('')
      let isJson = true
      try {
        JSON.parse(text)
      } catch {
        isJson = false
      }
      const read = parseStrictJson(text)
      if (!isJson) expect(read).toHaveProperty('fault')
      else if (!/"|\\/.test(text)) expect(read).toHaveProperty('value')
    }),
    { numRuns: 1_000 },
  )
})

test('members are own names', () => {
  const json = parseStrictJson('{"__proto__":{"query":"x"},"a":1}')
  const members = 'value' in json ? membersOf(json.value) : null
  expect([...(members?.keys() ?? [])]).toEqual(['__proto__', 'a'])
  expect(membersOf([])).toBeNull()
  expect(membersOf(null)).toBeNull()
  expect(membersOf('a')).toBeNull()
})

test('a name that some reader takes for another', () => {
  for (const name of ['Method', 'METHOD', 'ｍethod', ' method', 'method\0', 'method\0x', 'me\u200bthod'])
    expect(looksLike(name, 'method'), name).toBe(true)
  expect(looksLike('param\u017F', 'params')).toBe(true)
  for (const name of ['method', 'methods', 'meth']) expect(looksLike(name, 'method'), name).toBe(false)
})
