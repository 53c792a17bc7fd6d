import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EventOutline, OUTLINE_MAXIMUM_BYTES } from './event-outline.ts'

const DEPTH = 12

/** A place that knows its own way, and gives one for every name. */
class Way {
  readonly names: readonly (string | number)[]

  constructor(names: readonly (string | number)[]) {
    this.names = names
  }

  under(name: string | number): Way {
    return new Way([...this.names, name])
  }
}

const whole = new Way([])

/** What `JSON.parse` finds: every text with the way that leads to it. */
function textsOf(value: unknown, names: readonly (string | number)[] = []): [string, string][] {
  if (typeof value === 'string') return [[JSON.stringify(names), value]]
  if (typeof value !== 'object' || value === null) return []
  const index: unknown = Array.isArray(value) ? undefined : Object.getOwnPropertyDescriptor(value, 'index')?.value
  const here = typeof index === 'number' ? [...names, index] : names
  return Object.entries(value).flatMap(([name, inner]) => textsOf(inner, [...here, name]))
}

function outlineOf(line: string): EventOutline<Way> | null {
  const at = line.startsWith('data: ') ? 6 : 0
  return EventOutline.of(Buffer.from(line), at, JSON.parse(line.slice(at)), whole, DEPTH)
}

/** The texts of a line by its outline; null: it is not like it. */
function matched(outline: EventOutline<Way>, line: Buffer, before = ''): [string, string][] | null {
  const bytes = Buffer.concat([Buffer.from(before), line, Buffer.from('\nmore')])
  const end = outline.match(bytes, before.length)
  if (end < 0) return null
  expect(end).toBe(before.length + line.length)
  return outline.slots.flatMap(({ place, start, end: to, isPlain }): [string, string][] => {
    if (place === null) return []
    const raw = bytes.toString('utf8', start, to)
    if (isPlain) expect(raw).toMatch(/^[ -~\u007f]*$/)
    return [[JSON.stringify(place.names), isPlain ? raw : String(JSON.parse(`"${raw}"`))]]
  })
}

const sorted = (texts: readonly [string, string][]): [string, string][] =>
  texts.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

/** Names as vendors use them, those with a meaning of their own, and a few that make an outline impossible. */
const name = fc.oneof(
  fc.constantFrom('index', 'content', 'text', 'delta', 'id', '0', '1', '', '__proto__', 'constructor', 'a b', '\u007e'),
  fc.constantFrom('é', 'a"b', '\\'),
)
const { value: json } = fc.letrec<{ value: unknown; leaf: unknown }>((tie) => ({
  leaf: fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme-ascii' }),
    fc.integer({ min: -3, max: 3 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(true, false, null, '', '\ud83d', 'a\u0000"\\'),
  ),
  value: fc.oneof(
    { maxDepth: 4 },
    tie('leaf'),
    fc.array(tie('value'), { maxLength: 3 }),
    fc
      .array(fc.tuple(name, tie('value')), { maxLength: 4 })
      .map((members) => Object.fromEntries(members) as Readonly<Record<string, unknown>>),
  ),
}))

/** The same with other texts and numbers. An index says which text it is, so it stays. */
function changed(value: unknown, text: (was: string) => string, key = ''): unknown {
  if (typeof value === 'string') return text(value)
  if (typeof value === 'number') return key === 'index' ? value : value / 2 + 1
  if (Array.isArray(value)) return value.map((inner) => changed(inner, text))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([inner, was]) => [inner, changed(was, text, inner)]))
}

const isOrdinary = (value: unknown): boolean =>
  typeof value !== 'object' ||
  value === null ||
  Object.entries(value).every(([inner, was]) => /^[ !#-[\]-~]*$/.test(inner) && isOrdinary(was))

const indents = fc.constantFrom(undefined, ' ', '\t')

describe('an outline', () => {
  test('finds in the lines that are like it what JSON.parse finds', () => {
    fc.assert(
      fc.property(json, indents, fc.string({ unit: 'binary' }), (value, indent, text) => {
        const write = (what: unknown): string => JSON.stringify(what, null, indent).replaceAll('\n', '\r')
        const outline = outlineOf(write(value))
        if (outline === null) {
          expect(isOrdinary(value)).toBe(false)
          return
        }
        for (const other of [value, changed(value, (was) => was + text), changed(value, () => text)]) {
          const line = write(other)
          expect(sorted(matched(outline, Buffer.from(line), 'before') ?? [['none', line]])).toEqual(
            sorted(textsOf(JSON.parse(line))),
          )
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('takes no line for like it that JSON.parse reads in another way, or not at all', () => {
    const change = fc.tuple(
      fc.nat(),
      fc.constantFrom(0, 1, 2),
      fc.oneof(
        fc.constantFrom(
          '"',
          '\\',
          '\\u',
          '\\u00e9',
          '\\ud83d',
          '\\x',
          '0',
          '-',
          '.',
          'e5',
          ',',
          ':',
          '{',
          '}',
          '[',
          ']',
        ),
        fc.constantFrom('null', ' ', '\r', '\0', '\t', '"a":"b",', '"index":1,'),
        fc.uint8Array({ maxLength: 3 }),
      ),
    )
    fc.assert(
      fc.property(json, fc.array(change, { minLength: 1, maxLength: 3 }), (value, changes) => {
        const line = JSON.stringify(value)
        const outline = outlineOf(line)
        if (outline === null) return
        let broken = Buffer.from(line)
        for (const [at, taken, put] of changes) {
          const place = at % (broken.length + 1)
          broken = Buffer.concat([
            broken.subarray(0, place),
            typeof put === 'string' ? Buffer.from(put) : put,
            broken.subarray(place + taken),
          ])
        }
        // Either ends the line.
        if (broken.includes(0x0a) || broken.includes(0x0d)) return
        const found = matched(outline, broken)
        if (found !== null) expect(sorted(found)).toEqual(sorted(textsOf(JSON.parse(broken.toString()))))
      }),
      { numRuns: 5_000 },
    )
  })

  test.each([
    ['a name that stands twice', '{"a":"x","a":"y"}'],
    ['the same once escaped', '{"a":"x","\\u0061":"y"}'],
    ['a name outside ASCII', '{"é":"x"}'],
    ['two kinds of value of one name', '{"a":{"b":"x"},"a":["y"]}'],
    ['more depth than is read', `${'['.repeat(DEPTH + 1)}"x"${']'.repeat(DEPTH + 1)}`],
    ['more bytes than an outline has', `{"a":"${'x'.repeat(OUTLINE_MAXIMUM_BYTES)}"}`],
  ])('there is none of a line with %s', (_what, line) => {
    expect(outlineOf(line)).toBeNull()
  })

  test.each([
    ['another index', '{"index":1,"text":"x"}'],
    ['the index in another way', '{"index":0.0,"text":"x"}'],
    ['an index that is a text', '{"index":"0","text":"x"}'],
    ['null for a text', '{"index":0,"text":null}'],
    ['another name', '{"index":0,"tex1":"x"}'],
    ['more behind it', '{"index":0,"text":"x"} '],
    ['less', '{"index":0,"text":"x"'],
    ['a text that does not end', '{"index":0,"text":"x'],
    ['a line break in a text', '{"index":0,"text":"\n"}'],
    ['half an escape', '{"index":0,"text":"\\u00"}'],
  ])('is not that of a line with %s', (_what, line) => {
    const outline = outlineOf('{"index":0,"text":"a"}')
    expect(outline?.match(Buffer.from(`${line}\n`), 0)).toBe(-1)
    expect(outline?.match(Buffer.from('{"index":0,"text":"\\n\\u00e9 é"}\n'), 0)).toBeGreaterThan(0)
  })

  test('needs the whole line, with its line break', () => {
    const line = 'data: {"n":12,"text":"some words","end":{}}\r\n'
    const outline = outlineOf(line.slice(0, -1))
    const bytes = Buffer.from(line)
    for (let end = 0; end < bytes.length; end++) expect(outline?.match(bytes.subarray(0, end), 0), `${end}`).toBe(-1)
    expect(outline?.match(bytes, 0)).toBe(bytes.length - 1)
  })
})
