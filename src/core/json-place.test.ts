import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findJsonString, jsonStringAt, pointerParts, POINTER_MAXIMUM_PARTS } from './json-place.ts'

const at = (text: string, pointer: string): string | null => {
  const place = jsonStringAt(text, pointer)
  return place === null ? null : text.slice(place.start, place.end)
}

test.each([
  ['{"d":{"token":"x"}}', '/d/token', 'x'],
  [' { "a" : 1.5e3 , "d" : [ {} , [ "}" ] , { "t" : "a\\"b" } ] } ', '/d/2/t', 'a\\"b'],
  ['{"a/b":{"~":"x"}}', '/a~1b/~0', 'x'],
  ['{"\\u0064":"x"}', '/d', 'x'],
  ['{"":"x"}', '/', 'x'],
  ['["a","b"]', '/1', 'b'],
  ['{"a":true,"b":null,"c":-0,"d":"x"}', '/d', 'x'],
])('%s at %s is %s', (text, pointer, expected) => expect(at(text, pointer)).toBe(expected))

test.each([
  ['a name that stands twice', '{"t":"a","t":"b"}', '/t'],
  ['a name that stands twice in two spellings', '{"t":"a","\\u0074":"b"}', '/t'],
  ['a name on the way that stands twice', '{"d":{"t":"a"},"d":{"t":"b"}}', '/d/t'],
  ['a name in two letter cases', '{"t":"a","T":"b"}', '/t'],
  ['a name in another letter case alone', '{"T":"b"}', '/t'],
  ['a name that only some readers fold (the Kelvin sign)', '{"k":"a","\u212a":"b"}', '/k'],
  ['a number', '{"t":1}', '/t'],
  ['an object', '{"t":{}}', '/t'],
  ['nothing', '{"u":"a"}', '/t'],
  ['an index behind the end', '["a"]', '/1'],
  ['an index with a zero in front', '["a","b"]', '/01'],
  ['the index of what will be', '["a"]', '/-'],
  ['no JSON', '{"t":"a"', '/t'],
  ['JSON with something behind it', '{"t":"a"}{"t":"b"}', '/t'],
  ['JSON behind a byte order mark', '\ufeff{"t":"a"}', '/t'],
  ['a pointer that is none', '{"t":"a"}', 't'],
])('%s is no place', (_, text, pointer) => expect(jsonStringAt(text, pointer)).toBeNull())

test.each([
  ['{"t":"a"', '/t', 'no-json'],
  ['', '/t', 'no-json'],
  ['{"t":"a"}', '/u', 'absent'],
  ['{"t":"a"}', '/t/u', 'absent'],
  ['[]', '/0', 'absent'],
  ['{"t":"a","\\u0074":"b"}', '/t', 'twice'],
  ['{"d":{},"D":{"t":"b"}}', '/d/t', 'twice'],
  ['{"t":null}', '/t', 'other'],
] as const)('%s at %s says %s', (text, pointer, why) => expect(findJsonString(text, pointer)).toBe(why))

test('a string that ends in backslashes ends where it ends', () => {
  const text = JSON.stringify({ a: '\\', b: '\\"\\', c: '"', t: 'x' })
  expect(at(text, '/t')).toBe('x')
  expect(at(text, '/b')).toBe(JSON.stringify('\\"\\').slice(1, -1))
})

describe('a pointer', () => {
  test('has a bound', () => {
    expect(pointerParts('/a'.repeat(POINTER_MAXIMUM_PARTS))).toHaveLength(POINTER_MAXIMUM_PARTS)
    expect(pointerParts('/a'.repeat(POINTER_MAXIMUM_PARTS + 1))).toBeNull()
  })

  test.each(['', 'a', '/~', '/~2'])('%j is none', (pointer) => expect(pointerParts(pointer)).toBeNull())
})

const fold = (name: string): string => name.toUpperCase().toLowerCase()

/** Every string in a document that a pointer may name, with its pointer. */
function strings(value: unknown, pointer: string, found: [string, string][]): [string, string][] {
  if (typeof value === 'string') found.push([pointer, value])
  else if (Array.isArray(value)) value.forEach((one, index) => strings(one, `${pointer}/${index}`, found))
  else if (typeof value === 'object' && value !== null)
    for (const [name, one] of Object.entries(value))
      if (!Object.keys(value).some((other) => other !== name && fold(other) === fold(name)))
        strings(one, `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, found)
  return found
}

test('every string of any document is found where it stands, however the document is written', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom('', ' ', '\n\t '), (document, blank) => {
      const text = `${blank}${JSON.stringify(document, null, blank)}${blank}`
      for (const [pointer, value] of strings(JSON.parse(text), '', [])) {
        if (pointerParts(pointer) === null) continue
        const place = jsonStringAt(text, pointer)
        if (place === null) throw new Error(`nothing at ${pointer}`)
        expect(JSON.parse(text.slice(place.start - 1, place.end + 1))).toBe(value)
      }
    }),
  )
})
