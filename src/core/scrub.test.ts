import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { drawnBytes, drawnSeed, sayWhatWasDrawn } from '../../test/drawn.ts'
import { formsOf } from './encodings.ts'
import { needlesOf } from './needles.ts'
import type { NeedleSet } from './needles.ts'
import { JUNK_MAXIMUM_BYTES } from './part-chains.ts'
import { createScrubber, scrubBytes, scrubText } from './scrub.ts'

sayWhatWasDrawn()

const alphanumeric = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

function randomKey(length: number, prefix = ''): string {
  return prefix + [...drawnBytes(length)].map((byte) => alphanumeric.charAt(byte % alphanumeric.length)).join('')
}

function known(text: string, replacement = '[keyward:key]', name = 'key') {
  return { name, value: Buffer.from(text), replacement }
}

function inPieces(needles: NeedleSet, bytes: Uint8Array, cuts: readonly number[]): { text: string; hits: number } {
  const scrubber = createScrubber(needles)
  const pieces: Uint8Array[] = []
  let from = 0
  for (const cut of [...cuts, bytes.length]) {
    pieces.push(...scrubber.push(bytes.subarray(from, cut)))
    from = cut
  }
  pieces.push(...scrubber.end())
  return { text: Buffer.concat(pieces).toString('latin1'), hits: scrubber.hits }
}

function scrubbed(needles: NeedleSet, text: string): string {
  return Buffer.from(scrubBytes(needles, Buffer.from(text)).bytes).toString()
}

function everyByte(text: string, write: (byte: number) => string): string {
  return [...Buffer.from(text)].map(write).join('')
}

function hex(byte: number, width = 2): string {
  return byte.toString(16).padStart(width, '0')
}

function base32(text: string): string {
  const bits = [...Buffer.from(text)].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const groups = bits.match(/.{1,5}/g) ?? []
  const body = groups
    .map((group) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.charAt(parseInt(group.padEnd(5, '0'), 2)))
    .join('')
  return body.padEnd(Math.ceil(body.length / 8) * 8, '=')
}

/** Written independently of the code under test: how others encode a text. */
const writers: Readonly<Record<string, (text: string) => string>> = {
  raw: (text) => text,
  reversed: (text) => [...text].toReversed().join(''),
  'hex lower': (text) => Buffer.from(text).toString('hex'),
  'hex upper': (text) => Buffer.from(text).toString('hex').toUpperCase(),
  'hex mixed': (text) =>
    [...Buffer.from(text).toString('hex')].map((c, i) => (i % 3 === 0 ? c.toUpperCase() : c)).join(''),
  base64: (text) => Buffer.from(text).toString('base64'),
  'base64 unpadded': (text) => Buffer.from(text).toString('base64').replace(/=+$/, ''),
  'base64 after one byte': (text) => Buffer.from(`x${text}`).toString('base64'),
  'base64 after two bytes': (text) => Buffer.from(`xy${text}`).toString('base64'),
  'base64 amid others': (text) => Buffer.from(`user:${text}:more`).toString('base64'),
  base64url: (text) => Buffer.from(text).toString('base64url'),
  'base64url after one byte': (text) => Buffer.from(`x${text}~~`).toString('base64url'),
  'base64url after two bytes': (text) => Buffer.from(`xy${text}~~`).toString('base64url'),
  base32: (text) => base32(text),
  'base32 lower': (text) => base32(text).toLowerCase(),
  'base32 after three bytes': (text) => base32(`xyz${text}`),
  'percent as a component': (text) => encodeURIComponent(text),
  'percent as a form': (text) => new URLSearchParams({ k: text }).toString(),
  'percent, every byte, upper': (text) => everyByte(text, (byte) => `%${hex(byte).toUpperCase()}`),
  'percent, every byte, lower': (text) => everyByte(text, (byte) => `%${hex(byte)}`),
  'percent, some bytes': (text) =>
    everyByte(text, (byte) => (byte % 3 === 0 ? `%${hex(byte)}` : encodeURIComponent(String.fromCharCode(byte)))),
  'double percent': (text) => encodeURIComponent(everyByte(text, (byte) => `%${hex(byte)}`)),
  'triple percent': (text) => encodeURIComponent(encodeURIComponent(everyByte(text, (byte) => `%${hex(byte)}`))),
  JSON: (text) => JSON.stringify(text),
  'JSON with escaped slashes': (text) => JSON.stringify(text).replaceAll('/', '\\/'),
  'JSON, every character, lower': (text) => everyByte(text, (byte) => `\\u${hex(byte, 4)}`),
  'JSON, every character, upper': (text) => everyByte(text, (byte) => `\\u${hex(byte, 4).toUpperCase()}`),
  'JSON, some characters': (text) =>
    [...text].map((c, i) => (i % 4 === 1 ? `\\u${hex(c.charCodeAt(0), 4)}` : JSON.stringify(c).slice(1, -1))).join(''),
  'JSON in JSON': (text) => JSON.stringify(JSON.stringify({ inner: JSON.stringify(text) })),
  'JavaScript \\x': (text) => everyByte(text, (byte) => `\\x${hex(byte)}`),
  'HTML, named': (text) =>
    text
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
      .replaceAll("'", '&#39;'),
  'HTML, decimal': (text) => everyByte(text, (byte) => `&#${byte};`),
  'HTML, hexadecimal': (text) => everyByte(text, (byte) => `&#x${hex(byte)};`),
  'base64 in a query': (text) => encodeURIComponent(Buffer.from(`??${text}>>`).toString('base64')),
  'base64 in JSON with escaped slashes': (text) =>
    JSON.stringify(Buffer.from(`?${text}?`).toString('base64')).replaceAll('/', '\\/'),
}

/** The parts of an answer by which somebody could still tell the secret: it and its plain encodings. */
function leaks(secret: string, text: string): string[] {
  const inner = Buffer.from(secret)
  return [secret, inner.toString('hex'), inner.toString('base64').slice(0, -4), encodeURIComponent(secret)].filter(
    (form) => text.includes(form),
  )
}

const secrets = {
  'a vendor key': () => randomKey(40, 'sk-proj-'),
  'a short key': () => randomKey(8),
  'a key with every kind of character': () => `${randomKey(6)}"/\\&<>'%41+ =?${randomKey(6)}`,
  'a key file': () => `-----BEGIN TEST KEY-----\n${randomKey(64)}\n${randomKey(64)}\n-----END TEST KEY-----\n`,
}

describe.each(Object.entries(secrets))('R4: %s comes back in', (_, make) => {
  test.each(Object.entries(writers))('%s', (_, write) => {
    const secret = make()
    const needles = needlesOf([known(secret)])
    const written = write(secret)
    const answer = Buffer.from(`{"echo": "before ${written} after"}`)
    const whole = scrubBytes(needles, answer)
    const text = Buffer.from(whole.bytes).toString()
    expect(whole.hits, text).toBe(1)
    expect(leaks(secret, text)).toEqual([])
    expect(text).toMatch(/^\{"echo": "before .* after"\}$/s)
  })
})

test('R4: a secret that is not ASCII', () => {
  const secret = `pä$$wörd-\u{1f511}-${randomKey(8)}`
  const needles = needlesOf([known(secret)])
  const unicode = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  const forms = [
    secret,
    JSON.stringify(secret),
    JSON.stringify(secret).replaceAll(/[\u0080-\uffff]/g, unicode),
    encodeURIComponent(secret),
    everyByte(secret, (byte) => `%${hex(byte)}`),
    [...secret].map((character) => `&#${character.codePointAt(0)};`).join(''),
    Buffer.from(secret).toString('base64'),
  ]
  for (const form of forms) expect(scrubBytes(needles, Buffer.from(`<${form}>`)).hits, form).toBe(1)
})

describe('R3: a secret cut anywhere', () => {
  test.each(Object.entries(writers))('%s, at every offset', (_, write) => {
    const secret = `${randomKey(9)}/+%${randomKey(9)}`
    const needles = needlesOf([known(secret), known(randomKey(30), 'two', 'two')])
    const answer = Buffer.from(`data: 100% \\"${write(secret)}\\" &amp; ${write(secret)}\n\n`)
    const expected = inPieces(needles, answer, [])
    expect(expected.hits).toBe(2)
    for (let cut = 0; cut <= answer.length; cut++)
      expect(inPieces(needles, answer, [cut]), `cut at ${cut}`).toEqual(expected)
    const single = Array.from({ length: answer.length }, (_unused, i) => i)
    expect(inPieces(needles, answer, single)).toEqual(expected)
  })

  test('every form that is looked for, at every offset', () => {
    const secret = `${randomKey(7)}"\\/&${randomKey(8)}`
    const needles = needlesOf([known(secret)])
    for (const form of formsOf(Buffer.from(secret))) {
      const answer = Buffer.concat([Buffer.from('x '), form.bytes, Buffer.from(' y')])
      const expected = inPieces(needles, answer, [])
      expect(expected.hits, Buffer.from(form.bytes).toString('latin1')).toBe(1)
      for (let cut = 0; cut <= answer.length; cut++) expect(inPieces(needles, answer, [cut])).toEqual(expected)
    }
  })

  const escaped = [
    '%',
    '\\',
    '&',
    'u',
    '00',
    '61',
    '%61',
    '%62',
    '%6e',
    '\\u0061',
    '\\u006e',
    '\\u00',
    '\\/',
    '\\\\',
    '\\\\n',
    '\\n',
    '%25',
    '%2561',
    '%5c',
    '%255c',

    '&#x61;',
    '&#98;',
    '&#',
    ';',
    '&amp;',
    '\n',
    '"',
    '\\"',
    '\\\\\\"',
    '41',
    'u0062',
    '%4',
    '\\x6',
    '\\x61',
    'n',
    '\\\\u0061',
    '=',
    '/',
    '~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~',
  ]
  test.each([
    ['with escape characters in the secrets', ['ab%41"\\/cdab', 'abababab', 'aaaaaaaaaa']],
    ['without', ['nabababa', 'abababab', 'aaaaaaaaaan']],
  ])('any text made of pieces of needles and escapes, cut anywhere: %s', (_, values) => {
    const needles = needlesOf(values.map((value, i) => known(value, '', `key${i}`)))
    const atom = fc.oneof(
      { weight: 2, arbitrary: fc.constantFrom('a', 'b', 'ab', 'aaaa', ...escaped) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          ...values,
          ...values.map((value) => everyByte(value, (byte) => `%${hex(byte)}`)),
          ...values.map((value) => everyByte(value, (byte) => `%25${hex(byte)}`)),
          ...values.map((value) => everyByte(value, (byte) => `\\\\u00${hex(byte)}`)),
          ...values.map((value) => Buffer.from(value).toString('base64')),
          ...values.flatMap((value) => Array.from(value, (_c, i) => value.slice(0, i + 1))),
          ...values.flatMap((value) => Array.from(value, (_c, i) => value.slice(i))),
        ),
      },
    )
    fc.assert(
      fc.property(fc.array(atom, { maxLength: 40 }), fc.array(fc.nat(600), { maxLength: 12 }), (atoms, cuts) => {
        const answer = Buffer.from(atoms.join(''))
        const places = cuts.map((cut) => Math.min(cut, answer.length)).toSorted((a, b) => a - b)
        const whole = inPieces(needles, answer, [])
        expect(inPieces(needles, answer, places)).toEqual(whole)
        expect(
          inPieces(
            needles,
            answer,
            Array.from({ length: answer.length }, (_c, i) => i),
          ),
        ).toEqual(whole)
        const { kept, places: expected } = obvious(values, answer.toString('latin1'))
        expect(whole.hits).toBe(expected)
        expect(whole.text.replaceAll(/(?:\[|%5B)keyward(?::|%3A)key\d(?:\]|%5D)/g, '')).toBe(kept)
      }),
      { numRuns: Number(process.env['KEYWARD_TEST_RUNS'] ?? 300), seed: drawnSeed() },
    )
  })
})

test.each([
  '\\\\na%2562ababa',
  'abab\\\\zbab\\u0061',
  'abab\\u005czbab%61',
  '\\\\nabab\\u0061ba',
  '\\\\\\"nabab%61ba',
  'nab\\\\u0061baba \\\\',
  '%5cna%2562ababa',
  '\\\\\\\\na%2562ababa',
  '\\\\zabab%61ban',
])('an escaped backslash before the beginning of a needle: %s', (text) => {
  const values = text.startsWith('abab\\') ? ['abab\\zbaba', 'ababaxyz'] : ['nabababa', 'ababaxyz']
  const needles = needlesOf(values.map((value, i) => known(value, '', `key${i}`)))
  for (let cut = 0; cut <= text.length; cut++) {
    const { text: out, hits } = inPieces(needles, Buffer.from(text), [cut])
    const { kept, places } = obvious(values, text)
    expect([hits, out.replaceAll(/(?:\[|%5B)keyward(?::|%3A)key\d(?:\]|%5D)/g, '')], `cut at ${cut}`).toEqual([
      places,
      kept,
    ])
  }
})

/** The same promise in the slowest and plainest way: the whole text, all its readings, every form at every position. */
function obvious(values: readonly string[], text: string): { kept: string; places: number } {
  interface Cell {
    readonly byte: string
    readonly start: number
    readonly end: number
  }
  const unescape = (cells: readonly Cell[]): Cell[] => {
    const from = cells.map((cell) => cell.byte).join('')
    const one =
      /%([0-9a-f]{2})|\\u([0-9a-f]{4})|\\x([0-9a-f]{2})|\\(["'/\\bfnrt])|&#x([0-9a-f]{1,6});|&#([0-9]{1,7});|&(amp|lt|gt|quot|apos);/iy
    const result: Cell[] = []
    for (let at = 0; at < cells.length;) {
      one.lastIndex = at
      const match = one.exec(from)
      const [all = from.charAt(at), percent, u, x, letter, hexadecimal, decimal, name] = match ?? []
      const code = percent ?? u ?? x ?? hexadecimal
      const named = new Map(
        Object.entries({
          amp: '&',
          lt: '<',
          gt: '>',
          quot: '"',
          apos: "'",
          b: '\b',
          f: '\f',
          n: '\n',
          r: '\r',
          t: '\t',
        }),
      )
      let meaning = all
      if (code !== undefined) meaning = String.fromCodePoint(parseInt(code, 16))
      else if (decimal !== undefined) meaning = String.fromCodePoint(Number(decimal))
      else if (name !== undefined) meaning = named.get(name.toLowerCase()) ?? ''
      else if (letter !== undefined) meaning = named.get(letter) ?? letter
      const start = cells[at]?.start ?? 0
      const end = cells[at + all.length - 1]?.end ?? 0
      const bytes = percent === undefined && x === undefined ? Buffer.from(meaning) : Buffer.from(meaning, 'latin1')
      for (const byte of match === null ? [from.charCodeAt(at)] : bytes)
        result.push({ byte: String.fromCharCode(byte), start, end })
      at += all.length
    }
    return result
  }
  const forms = values.flatMap((value) =>
    formsOf(Buffer.from(value)).flatMap((form) => {
      const texts = [Buffer.from(form.bytes).toString('latin1')]
      for (let depth = 0; depth < 3; depth++) {
        const cells = Array.from(texts.at(-1) ?? '', (byte, i) => ({ byte, start: i, end: i + 1 }))
        texts.push(
          unescape(cells)
            .map((cell) => cell.byte)
            .join(''),
        )
      }
      return texts.filter((form_) => form_.length >= 8).map((text_) => ({ text: text_, fold: form.fold }))
    }),
  )
  const covered: [number, number][] = []
  let cells: Cell[] = Array.from(text, (byte, i) => ({ byte, start: i, end: i + 1 }))
  for (let depth = 0; depth <= 3; depth++) {
    const view = cells.map((cell) => cell.byte).join('')
    const folded = view.toLowerCase()
    for (const { text: form, fold } of forms) {
      for (let at = (fold ? folded : view).indexOf(form); at >= 0; at = (fold ? folded : view).indexOf(form, at + 1)) {
        covered.push([cells[at]?.start ?? 0, cells[at + form.length - 1]?.end ?? 0])
      }
    }
    cells = unescape(cells)
  }
  covered.sort((a, b) => a[0] - b[0] || b[1] - a[1])
  let kept = ''
  let places = 0
  let done = 0
  for (const [start, end] of covered) {
    if (start >= done) {
      kept += text.slice(done, start)
      places++
    }
    done = Math.max(done, end)
  }
  return { kept: kept + text.slice(done), places }
}

describe('what is held back', () => {
  test('an event that ends in no beginning of a needle leaves at once', () => {
    const secret = randomKey(40, 'sk-proj-')
    const scrubber = createScrubber(needlesOf([known(secret)]))
    const event = Buffer.from('data: {"text":"all is well, 100% \\"sure\\" \\u00e9 & sk-proj-"}\n\n')
    expect(Buffer.concat(scrubber.push(event)).equals(event)).toBe(true)
  })

  test('only the longest rest that may become a needle waits', () => {
    const secret = `Q${randomKey(40).replaceAll('Q', 'q')}`
    const scrubber = createScrubber(needlesOf([known(secret)]))
    const out = Buffer.concat(scrubber.push(Buffer.from(`~~~ ${secret.slice(0, 20)}`))).toString()
    expect(out).toBe('~~~ ')
    // It may go on behind anything that is no letter, but not that far away.
    expect(scrubber.push(Buffer.from('~~'))).toEqual([])
    const far = '~'.repeat(JUNK_MAXIMUM_BYTES)
    expect(Buffer.concat(scrubber.push(Buffer.from(far))).toString()).toBe(`${secret.slice(0, 20)}~~${far}`)
  })

  test('text without hits is passed on without a copy', () => {
    const scrubber = createScrubber(needlesOf([known(randomKey(40))]))
    const chunk = Buffer.from('plain text.\n')
    const [piece] = scrubber.push(chunk)
    expect(piece?.buffer).toBe(chunk.buffer)
  })
})

describe('what is written instead', () => {
  test('the placeholder, in the encoding of the place', () => {
    const secret = randomKey(41, 'sk-')
    const placeholder = `sk-kwp${randomKey(30)}`
    const needles = needlesOf([known(secret, placeholder)])
    expect(scrubbed(needles, `Bearer ${secret}`)).toBe(`Bearer ${placeholder}`)
    for (const lead of ['', 'u', 'uv', 'uvw:']) {
      const decoded = Buffer.from(
        scrubbed(needles, Buffer.from(`${lead}${secret}; and more text`).toString('base64')),
        'base64',
      ).toString('latin1')
      expect(decoded).toContain(placeholder.slice(1))
      expect(decoded).toContain('; and more text')
    }
    expect(Buffer.from(scrubbed(needles, Buffer.from(secret).toString('hex')), 'hex').toString()).toBe(placeholder)
    expect(JSON.parse(scrubbed(needles, `"${everyByte(secret, (byte) => `\\u${hex(byte, 4)}`)}"`))).toBe(placeholder)
  })

  test('the Basic composite', () => {
    const secret = randomKey(30)
    const basic = Buffer.from(`user:${secret}`).toString('base64')
    const needles = needlesOf([known(secret)], [basic, { text: `user:${secret}`, replacement: 'user:x' }])
    for (const text of [basic, Buffer.from(basic).toString('base64'), Buffer.from(basic).toString('hex')]) {
      const out = scrubBytes(needles, Buffer.from(`Basic ${text}.`))
      expect(out.hits).toBe(1)
    }
  })

  test('never anything that is itself looked for, or that may complete it', () => {
    const first = randomKey(24)
    const second = randomKey(24)
    const needles = needlesOf([known(first, second, 'one'), known(second, `${first.slice(0, 12)}`, 'two')])
    const out = scrubbed(needles, `${first} ${second} ${first}${first.slice(12)}`)
    expect(out).not.toContain(first)
    expect(out).not.toContain(second)
    expect(out).toContain('[keyward:one]')
  })

  test('the same needles with the placeholder of one session', () => {
    const [one, two] = [randomKey(30), randomKey(30)]
    const needles = needlesOf([known(one, '[keyward:one]', 'id1'), known(two, '[keyward:two]', 'id2')])
    const restated = needles.restated('id1', 'sk-kwp-mine')
    expect(scrubbed(restated, `${one} ${two}`)).toBe('sk-kwp-mine [keyward:two]')
    expect(scrubbed(needles, `${one} ${two}`)).toBe('[keyward:one] [keyward:two]')
  })

  test('overlapping secrets both vanish', () => {
    const [a, b, c] = [randomKey(12), randomKey(12), randomKey(12)]
    const needles = needlesOf([known(a + b, 'R1', 'one'), known(b + c, 'R2', 'two')])
    expect(scrubbed(needles, `<${a}${b}${c}>`)).toBe('<R1>')
  })

  test('P10: one secret that begins with another', () => {
    const short = randomKey(16)
    const needles = needlesOf([known(short, 'S', 'short'), known(`${short}-extended`, 'L', 'long')])
    expect(scrubbed(needles, `${short} ${short}-extended ${short}-ext`)).toBe('S L S-ext')
  })
})

describe('bounds', () => {
  test('R7: a flood of decoys before the real one', () => {
    const secret = randomKey(40, 'sk-proj-')
    const decoys = Array.from({ length: 5000 }, () => randomKey(40, 'sk-proj-')).join(' ')
    const out = scrubText(needlesOf([known(secret)]), `${decoys} ${secret}`)
    expect(out.hits).toBe(1)
    expect(out.text).toBe(`${decoys} [keyward:key]`)
  })

  test('R11: a body of any length needs no more memory than its chunks', () => {
    const secret = 'a'.repeat(32)
    const scrubber = createScrubber(needlesOf([known(secret)]))
    let length = 0
    for (let i = 0; i < 40; i++) for (const piece of scrubber.push(Buffer.alloc(65_536, 'a'))) length += piece.length
    for (const piece of scrubber.end()) length += piece.length
    expect(scrubber.hits).toBe(1)
    expect(length).toBeLessThan(64)
  })

  test('repeats of the beginning of a needle stay fast', () => {
    const cases = [`${'ab'.repeat(40)}c`, `c${'ab'.repeat(40)}`, `${'a'.repeat(40)}c${'a'.repeat(40)}`]
    const needles = needlesOf(cases.map((text, i) => known(text, 'r', `k${i}`)))
    const answer = Buffer.from('ab'.repeat(1_000_000) + 'a'.repeat(2_000_000) + '%61'.repeat(500_000))
    const before = process.cpuUsage()
    expect(scrubBytes(needles, answer).hits).toBe(0)
    const { user, system } = process.cpuUsage(before)
    expect((user + system) / 1000).toBeLessThan(5000)
  })

  test('a secret that cannot be told from text is refused, and its value is not named', () => {
    expect(() => needlesOf([known('seven77')])).toThrow(/shorter than 8 bytes/)
    expect(() => needlesOf([known('seven77')])).not.toThrow(/seven77/)
  })

  test('nothing to look for: everything passes', () => {
    const chunk = drawnBytes(1000)
    expect(inPieces(needlesOf([]), chunk, [3, 500]).text).toBe(chunk.toString('latin1'))
  })

  test('ten thousand secrets', () => {
    const keys = Array.from(
      { length: 10_000 },
      (_, i) => `sk-ant-api03-${createHash('sha256').update(`${i}`).digest('base64url')}`,
    )
    const needles = needlesOf(keys.map((key, i) => known(key, `R${i}`, `k${i}`)))
    expect(scrubbed(needles, `${keys[77]} ${Buffer.from(keys[9999] ?? '').toString('hex')} sk-ant-api03-`)).toMatch(
      /^R77 [0-9a-f]{10} sk-ant-api03-$/,
    )
  })
})
