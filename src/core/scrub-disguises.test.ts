import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { drawnBytes, drawnSeed, sayWhatWasDrawn } from '../../test/drawn.ts'
import { needlesOf } from './needles.ts'
import type { NeedleSet } from './needles.ts'
import { createScrubber } from './scrub.ts'

/** Disguises that need no cleverness to undo. Written independently of the code under test. */

sayWhatWasDrawn()

const alphanumeric = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

function randomKey(length: number, prefix = ''): string {
  return prefix + [...drawnBytes(length)].map((byte) => alphanumeric.charAt(byte % alphanumeric.length)).join('')
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

const hex = (byte: number, width = 2): string => byte.toString(16).padStart(width, '0')
const bytesOf = (text: string): number[] => [...Buffer.from(text)]
const groups = (text: string, size: number): string[] => text.match(new RegExp(`.{1,${size}}`, 'gs')) ?? []
const base64 = (text: string | Uint8Array): string => Buffer.from(text).toString('base64')
const rot13 = (text: string): string =>
  text.replaceAll(/[a-z]/gi, (c) => String.fromCharCode(c.charCodeAt(0) + (c.toLowerCase() < 'n' ? 13 : -13)))

/** A dump in the layout of `hexdump -C` or `xxd`, with other bytes before and after. */
function dump(text: string, lead: string, line: (address: number, bytes: number[]) => string): string {
  const bytes = bytesOf(`${lead}${text}; tail`)
  return Array.from({ length: Math.ceil(bytes.length / 16) }, (_, i) => line(16 * i, bytes.slice(16 * i, 16 * i + 16)))
    .map((row) => `${row}\n`)
    .join('')
}
const shownAscii = (bytes: number[]): string =>
  bytes.map((byte) => (byte < 32 || byte > 126 ? '.' : String.fromCharCode(byte))).join('')
const canonical = (address: number, bytes: number[]): string =>
  `${hex(address, 8)}  ${bytes
    .slice(0, 8)
    .map((byte) => hex(byte))
    .join(' ')}  ${bytes
    .slice(8)
    .map((byte) => hex(byte))
    .join(' ')}  |${shownAscii(bytes)}|`
const xxd = (address: number, bytes: number[]): string =>
  `${hex(address, 8)}: ${groups(bytes.map((byte) => hex(byte)).join(''), 4).join(' ')}  ${shownAscii(bytes)}`
const octalDump = (address: number, bytes: number[]): string =>
  `${address.toString(8).padStart(7, '0')} ${bytes.map((byte) => byte.toString(8).padStart(3, '0')).join(' ')}`
const words = (address: number, bytes: number[]): string =>
  `${hex(address, 7)} ${groups(bytes.map((byte) => hex(byte)).join(''), 4)
    .map((pair) => pair.slice(2) + pair.slice(0, 2))
    .join(' ')}`

const cyrillic = new Map(
  Object.entries({
    a: '\u0430',
    c: '\u0441',
    e: '\u0435',
    o: '\u043e',
    p: '\u0440',
    x: '\u0445',
    A: '\u0410',
    B: '\u0412',
    H: '\u041d',
    K: '\u041a',
    M: '\u041c',
    T: '\u0422',
  }),
)
const greek = new Map(
  Object.entries({
    A: '\u0391',
    B: '\u0392',
    E: '\u0395',
    Z: '\u0396',
    H: '\u0397',
    I: '\u0399',
    K: '\u039a',
    M: '\u039c',
    N: '\u039d',
    O: '\u039f',
    T: '\u03a4',
    X: '\u03a7',
    o: '\u03bf',
  }),
)
const mapped = (map: ReadonlyMap<string, string>) => (text: string) => [...text].map((c) => map.get(c) ?? c).join('')
const shifted = (lower: number, upper: number, digit: number) => (text: string) =>
  text.replaceAll(/[A-Za-z0-9]/g, (c) => {
    const code = c.charCodeAt(0)
    return String.fromCodePoint(code < 58 ? digit + code - 48 : code < 91 ? upper + code - 65 : lower + code - 97)
  })

const disguises: Readonly<Record<string, (text: string) => string>> = {
  'spaces between': (text) => [...text].join(' '),
  'dots, slashes, bars between': (text) => [...text].map((c, i) => c + '.|/~·'.charAt(i % 5)).join(''),
  'backslashes between': (text) => [...text].join('\\'),
  'line breaks with CR': (text) => groups(text, 5).join('\r\n'),
  'escaped line breaks': (text) => groups(text, 7).join('\\n'),
  'twice escaped line breaks': (text) => groups(text, 7).join('\\\\n'),
  'line breaks and indentation': (text) => groups(text, 6).join(`\n${' '.repeat(30)}`),
  'a letter a line': (text) => `\n${[...text].join('\n')}`,
  'quoted in a mail': (text) => groups(text, 10).join('\n> '),
  'zero-width joiners': (text) => [...text].join('\u200d'),
  'word joiners and marks of direction': (text) => [...text].join('\u2060\u202e'),
  'escaped zero-width spaces': (text) => [...text].join('\\u200b'),
  'zero-width spaces in HTML': (text) => [...text].join('&#8203;'),
  'zero-width spaces by percent': (text) => [...text].join('%E2%80%8B'),
  'byte order marks': (text) => [...text].join('\ufeff'),
  'soft hyphens by name': (text) => [...text].join('&shy;'),
  'combining accents': (text) => [...text].map((c) => `${c}\u0301`).join(''),
  'Cyrillic letters': mapped(cyrillic),
  'Greek letters': mapped(greek),
  'escaped Cyrillic letters': (text) =>
    mapped(cyrillic)(text).replaceAll(/[\u0400-\u04ff]/g, (c) => `\\u${hex(c.charCodeAt(0), 4)}`),
  'Cyrillic letters by percent': (text) => encodeURIComponent(mapped(cyrillic)(text)),
  'full width': (text) => [...text].map((c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0)).join(''),
  'mathematical bold': shifted(0x1d41a, 0x1d400, 0x1d7ce),
  'mathematical bold, escaped': (text) =>
    [...shifted(0x1d41a, 0x1d400, 0x1d7ce)(text)]
      .map((c) => (c.length === 1 ? c : `\\u${hex(c.charCodeAt(0), 4)}\\u${hex(c.charCodeAt(1), 4)}`))
      .join(''),
  'mathematical monospace': shifted(0x1d68a, 0x1d670, 0x1d7f6),
  'letters in circles': (text) =>
    text.replaceAll(/[A-Za-z]/g, (c) =>
      String.fromCodePoint(c <= 'Z' ? 0x24b6 + c.charCodeAt(0) - 65 : 0x24d0 + c.charCodeAt(0) - 97),
    ),
  'upper case': (text) => text.toUpperCase(),
  'lower case': (text) => text.toLowerCase(),
  'rot13 and spaces': (text) => [...rot13(text)].join(' '),
  'reversed and dashes': (text) => [...text].toReversed().join('-'),
  'colours of a terminal': (text) => groups(text, 4).join('\u001b[38;5;196m'),
  'colours, escaped': (text) => groups(text, 4).join('\\u001b[1;31m'),
  'colours, as shells write them': (text) => groups(text, 4).join('\\033[0m'),
  'colours, \\e': (text) => groups(text, 4).join('\\e[0m'),
  'links of a terminal': (text) => groups(text, 9).join('\u001b]8;;https://a.test\u0007'),
  tags: (text) =>
    groups(text, 3)
      .map((part) => `<b>${part}</b>`)
      .join(''),
  'tags with attributes': (text) =>
    groups(text, 5)
      .map((part) => `<span class="hl-s">${part}</span>`)
      .join(''),
  'tags within JSON': (text) =>
    groups(text, 5)
      .map((part) => `<i class=\\"x\\">${part}</i>`)
      .join(''),
  'escaped tags': (text) => groups(text, 5).join('\\u003cwbr\\u003e'),
  'concatenation in PHP': (text) =>
    groups(text, 8)
      .map((part) => `'${part}'`)
      .join(' . '),
  'concatenation in SQL': (text) =>
    groups(text, 8)
      .map((part) => `'${part}'`)
      .join(' || '),
  'concatenation in Visual Basic': (text) =>
    groups(text, 8)
      .map((part) => `"${part}"`)
      .join(' & _\r\n  '),
  'concatenation over lines, in JSON': (text) =>
    JSON.stringify(
      groups(text, 8)
        .map((part) => `"${part}"`)
        .join(' +\n  '),
    ),
  'list of characters': (text) => JSON.stringify([...text]),
  'two strings in a list': (text) => `["${text.slice(0, 20)}","${text.slice(20)}"]`,
  markdown: (text) => `\`${text.slice(0, 9)}\`**${text.slice(9, 17)}**_${text.slice(17)}_`,
  'two messages': (text) => `${text.slice(0, 22)}"}} {"event": {"id": "a17", "more": "${text.slice(22)}`,
  'three messages': (text) =>
    `${text.slice(0, 18)} [1/3]\nPART TWO ${text.slice(18, 36)} [2/3]\nPART THREE ${text.slice(36)}`,
  'numbers, spaces': (text) => bytesOf(text).join(' '),
  'numbers, JSON over lines': (text) => JSON.stringify(bytesOf(text), null, 8),
  'numbers, three digits': (text) =>
    bytesOf(text)
      .map((byte) => String(byte).padStart(3, '0'))
      .join(''),
  'numbers, HTML without end': (text) =>
    bytesOf(text)
      .map((byte) => `&#${byte} `)
      .join(''),
  'calls of chr': (text) =>
    bytesOf(text)
      .map((byte) => `chr(${byte})`)
      .join('.'),
  'calls of Char': (text) =>
    bytesOf(text)
      .map((byte) => `CHAR(${byte})`)
      .join(' || '),
  'hexadecimal array': (text) =>
    `{${bytesOf(text)
      .map((byte) => `0x${hex(byte)}`)
      .join(', ')}}`,
  'hexadecimal array, upper case, in lines': (text) =>
    groups(
      bytesOf(text)
        .map((byte) => `0x${hex(byte).toUpperCase()},`)
        .join(''),
      40,
    ).join('\n\t'),
  'hexadecimal with spaces': (text) =>
    bytesOf(text)
      .map((byte) => hex(byte))
      .join(' '),
  'hexadecimal with colons': (text) =>
    bytesOf(text)
      .map((byte) => hex(byte).toUpperCase())
      .join(':'),
  'hexadecimal in lines': (text) => groups(Buffer.from(text).toString('hex'), 20).join('\r\n'),
  'code points': (text) =>
    bytesOf(text)
      .map((byte) => `U+00${hex(byte).toUpperCase()}`)
      .join(' '),
  octal: (text) =>
    bytesOf(text)
      .map((byte) => `\\${byte.toString(8)}`)
      .join(''),
  'octal, four digits': (text) =>
    bytesOf(text)
      .map((byte) => `0${byte.toString(8)}`)
      .join(', '),
  'octal, 0o': (text) =>
    bytesOf(text)
      .map((byte) => `0o${byte.toString(8)}`)
      .join(', '),
  'escapes in braces': (text) =>
    bytesOf(text)
      .map((byte) => `\\u{${byte.toString(16)}}`)
      .join(''),
  'escapes of eight digits': (text) =>
    bytesOf(text)
      .map((byte) => `\\U${hex(byte, 8)}`)
      .join(''),
  'escapes of \\x in JSON': (text) =>
    JSON.stringify(
      bytesOf(text)
        .map((byte) => `\\x${hex(byte)}`)
        .join(''),
    ),
  'escaped escapes of HTML': (text) =>
    bytesOf(text)
      .map((byte) => `&amp;#x${hex(byte)};`)
      .join(''),
  'percent of percent': (text) =>
    bytesOf(text)
      .map((byte) => `%25%${hex(0x30 + (byte >> 4))}${byte % 16 < 10 ? `%3${byte % 16}` : `%6${(byte % 16) - 9}`}`)
      .join(''),
  'percent, then JSON escapes': (text) =>
    bytesOf(text)
      .map((byte) => `%5Cu00${hex(byte)}`)
      .join(''),
  'quoted-printable': (text) =>
    groups(
      bytesOf(text)
        .map((byte) => `=${hex(byte).toUpperCase()}`)
        .join(''),
      72,
    ).join('=\r\n'),
  'quoted-printable where needed': (text) =>
    groups(
      text.replaceAll(/[-_]/g, (c) => `=${hex(c.charCodeAt(0)).toUpperCase()}`),
      30,
    ).join('=\r\n'),
  'UTF-16, little-endian': (text) => Buffer.from(text, 'utf16le').toString('latin1'),
  'UTF-16, big-endian': (text) => Buffer.from(text, 'utf16le').swap16().toString('latin1'),
  'UTF-16 in hexadecimal': (text) => Buffer.from(text, 'utf16le').toString('hex'),
  'hexdump -C': (text) => dump(text, 'token=', canonical),
  'hexdump -C, in JSON': (text) => JSON.stringify(dump(text, 'a token: ', canonical)),
  hexdump: (text) => dump(text, 'token=', words),
  'hexdump, other half': (text) => dump(text, 'tokens=', words),
  xxd: (text) => dump(text, 'key: ', xxd),
  'od -b': (text) => dump(text, 'token=', octalDump),
  'base64 in short lines': (text) => groups(base64(text), 19).join('\n'),
  'base64 in lines with CR, in JSON': (text) => JSON.stringify(groups(base64(`?${text}?`), 20).join('\r\n')),
  'base64 with escaped slashes': (text) => base64(`???${text}???`).replaceAll('/', '\\/'),
  'base64 in other case': (text) => base64(text).toLowerCase(),
  'base64 with spaces': (text) => [...base64(`ab${text}`)].join(' '),
  'base64 of base64 after a byte': (text) => base64(`:${base64(`x${text}`)}`),
  'base64 of hexadecimal': (text) => base64(Buffer.from(text).toString('hex')),
  'base64 of upper-case hexadecimal': (text) => base64(`0${Buffer.from(text).toString('hex').toUpperCase()}`),
  'base64 of UTF-16': (text) => base64(Buffer.from(text, 'utf16le')),
  'base64 of big-endian UTF-16': (text) => base64(Buffer.from(text, 'utf16le').swap16()),
  'base64 of the reverse': (text) => base64([...text].toReversed().join('')),
  'base64 of rot13': (text) => base64(`user:${rot13(text)}`),
  'base64, reversed': (text) => [...base64(text)].toReversed().join(''),
  'rot13 of base64': (text) => rot13(base64(text)),
  'hexadecimal of base64': (text) => Buffer.from(base64(`x${text}`)).toString('hex'),
  'hexadecimal, reversed': (text) => [...Buffer.from(text).toString('hex')].toReversed().join(''),
  'gzip in base64': (text) => base64(gzipSync(`{"token": "${text}"}`)),
  'gzip in base64url, in lines': (text) => groups(gzipSync(text).toString('base64url'), 40).join('\n'),
  'gzip in base64, in JSON': (text) => JSON.stringify(groups(base64(gzipSync(text)), 64).join('\r\n')),
  'gzip of base64 in base64': (text) => base64(gzipSync(base64(text))),
  'zlib in base64': (text) => base64(deflateSync(`token ${text}`)),
  'zlib at its best in base64': (text) => base64(deflateSync(text, { level: 9 })),
  'raw DEFLATE in base64': (text) => base64(deflateRawSync(`token ${text} and more, and more, and more`)),
  'stored DEFLATE in base64': (text) => base64(deflateRawSync(text, { level: 0 })),
  'gzip in hexadecimal': (text) => gzipSync(text).toString('hex'),
}

/** The longest run of letters that both have. */
function shared(one: string, two: string): number {
  let longest = 0
  for (let from = 0; from + longest < two.length; from++)
    while (from + longest < two.length && one.includes(two.slice(from, from + longest + 1))) longest++
  return longest
}

describe('R4: a secret is found however it is written', () => {
  test.each(Object.entries(disguises))('%s, cut anywhere', (_, write) => {
    const secret = randomKey(43, 'sk_Ab-')
    const needles = needlesOf([
      { name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' },
      { name: 'other', value: drawnBytes(24), replacement: '[keyward:other]' },
    ])
    const written = write(secret)
    const answer =
      /[\u0080-\u00ff]/.test(written) && !/[\u0100-\uffff]/.test(written)
        ? Buffer.from(`{"a": "${written} end"}`, 'latin1')
        : Buffer.from(`{"a": "${written} end"}`)
    const whole = inPieces(needles, answer, [])
    expect(whole.hits, whole.text).toBeGreaterThan(0)
    expect(whole.text).toMatch(/end"\}$/)
    const form = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
    expect(shared(form(whole.text), form(answer.toString('latin1'))), whole.text).toBeLessThan(30)
    // Every offset is tried over a few runs: each begins at another one.
    const step = Math.ceil(answer.length / 100)
    for (let cut = (drawnBytes(1)[0] ?? 0) % step; cut <= answer.length; cut += step)
      expect(inPieces(needles, answer, [cut]), `cut at ${cut}`).toEqual(whole)
    expect(inPieces(needles, answer, [...answer.keys()])).toEqual(whole)
  })
})

/** Keys with which a part of the dump is followed by what the next one begins with, or has hardly a different digit. */
test.each([
  [
    'xxd',
    (column: string) => `sk_Ab-${'x'.repeat(5)}${`${column}abcdefghijklmno${column}pqrstuvwxyzABCD`}${column}YdmM`,
  ],
  [
    'hexdump -C',
    (column: string) => `sk_Ab-${'x'.repeat(1)}${`${column}ABCDEFGHIJKLMNO${column}PQRSTUVWXYZabcd`}${column}YdmM`,
  ],
  ['od -b', (column: string) => `sk_Ab-${column}oeGRIIJgMleBKKHxYs9xbfOEN6LILa`],
  ['od -b', (column: string) => `sk_Ab-zYWRrvcQzyEdwTliLTvAE5WfKZvBkUqz9Y${column}56HHHA`],
])('R4: %s, where what stands between could be what goes on', (disguise, keyOf) => {
  for (const column of alphanumeric) {
    const secret = keyOf(column)
    const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }])
    const whole = inPieces(needles, Buffer.from(disguises[disguise]?.(secret) ?? ''), [])
    expect(whole.hits, secret).toBeGreaterThan(0)
  }
})

test('R4: od -b, where four letters of the key come twice, and a part of it is found at the wrong one', () => {
  for (const last of alphanumeric) {
    const secret = `sk_Ab-mmdKaBtk2QUZSF9axl9hBeSCM5Qzj6OFqwuVcaRqD9axl0g8NCc86h3FKznWC2Jn${last}`
    const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }])
    const whole = inPieces(needles, Buffer.from(dump(secret, 'x', octalDump)), [])
    expect(whole.hits, secret).toBeGreaterThan(0)
  }
})

test('R4: quoted-printable ends with its last letter, whichever that is and wherever its line ends', () => {
  for (const last of alphanumeric) {
    // What begins with the letter follows, for there the secret would be thought to go on.
    const end = ` ${last}nd"}`
    for (const length of [24, 40, 43, 48]) {
      const secret = randomKey(length, 'sk_Ab-') + last
      const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }])
      const written = disguises['quoted-printable']?.(secret) ?? ''
      const answer = Buffer.from(`{"a": "${written}${end}`)
      expect(inPieces(needles, answer, []).text, secret).toBe(`{"a": "[keyward:key]${end}`)
    }
  }
})

test('R4: a soft line break of quoted-printable ends no line, however soon it comes', () => {
  const secret = randomKey(40, 'sk_Ab-')
  const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }])
  const coded = (text: string): string =>
    bytesOf(text)
      .map((byte) => `=${hex(byte).toUpperCase()}`)
      .join('')
  for (const before of ['token: ', 'x ', 'x=3D', 'a line\nand another: '])
    for (let at = 1; at <= 6; at++)
      for (const write of [coded, (text: string) => text])
        for (const soft of ['=\r\n', '=\n']) {
          const answer = Buffer.from(`${before}${write(secret.slice(0, at))}${soft}${write(secret.slice(at))}  end`)
          const told = `${before}, ${at}: ${answer.toString()}`
          expect(inPieces(needles, answer, []).hits, told).toBe(1)
          for (let cut = 1; cut < answer.length; cut++) expect(inPieces(needles, answer, [cut]).hits, told).toBe(1)
        }
})

/** Disguises that may be put on one after the other: whoever undoes them one by one gets the secret. */
const layers: Readonly<Record<string, (text: string) => string>> = {
  json: (text) => JSON.stringify(text).slice(1, -1),
  percent: (text) => encodeURIComponent(text),
  'percent, all': (text) => [...Buffer.from(text)].map((byte) => `%${hex(byte)}`).join(''),
  html: (text) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;'),
  unicode: (text) => [...text].map((c) => (c < '\u0080' ? `\\u${hex(c.charCodeAt(0), 4)}` : c)).join(''),
  lines: (text) => groups(text, 24).join('\n'),
  'lines with CR': (text) => groups(text, 31).join('\r\n'),
  spaces: (text) => groups(text, 4).join(' '),
  colours: (text) => groups(text, 12).join('\u001b[0m'),
  'zero width': (text) => groups(text, 8).join('\u200b'),
}
const encodings: Readonly<Record<string, (text: string) => string>> = {
  none: (text) => text,
  base64: (text) => base64(`??${text}!`),
  hexadecimal: (text) => Buffer.from(text).toString('hex'),
  'base64 twice': (text) => base64(base64(text)),
  rot13,
  reversed: (text) => [...text].toReversed().join(''),
}

test('R3, R4: whatever is put around an encoding, and however the answer is cut', () => {
  const secret = randomKey(36, 'sk-')
  const needles = needlesOf([{ name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' }])
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(encodings)),
      // An escape tears the line breaks of the layer before it apart into letters only if it is put on twice.
      fc.uniqueArray(fc.constantFrom('spaces', 'lines', 'lines with CR', 'zero width', 'colours'), { maxLength: 1 }),
      fc.array(fc.constantFrom('json', 'percent', 'percent, all', 'html', 'unicode'), { maxLength: 1 }),
      fc.array(fc.constantFrom('json', 'percent', 'html'), { maxLength: 2 }),
      fc.string({ maxLength: 30 }),
      fc.array(fc.nat(3000), { maxLength: 8 }),
      (encoding, gaps, inner, outer, noise, cuts) => {
        // A colour has letters of its own; three escapes deep it is not undone (SECURITY.md).
        fc.pre(!(gaps.includes('colours') && inner.length + outer.length > 2))
        let text = encodings[encoding]?.(secret) ?? ''
        for (const name of [...gaps, ...inner, ...outer]) text = layers[name]?.(text) ?? ''
        const bytes = Buffer.from(`${noise}: "${text}" ${noise}`)
        const whole = inPieces(needles, bytes, [])
        expect(whole.hits, bytes.toString()).toBeGreaterThan(0)
        const places = cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b)
        expect(inPieces(needles, bytes, places)).toEqual(whole)
      },
    ),
    { numRuns: Number(process.env['KEYWARD_TEST_RUNS'] ?? 300), seed: drawnSeed() },
  )
})

test('R3: any text made of pieces of disguises comes out the same, however it is cut', () => {
  const secret = `${randomKey(20)}-${randomKey(20)}`
  const needles = needlesOf([
    { name: 'key', value: Buffer.from(secret), replacement: '[keyward:key]' },
    { name: 'short', value: Buffer.from('Zq9-x+4/'), replacement: '[keyward:short]' },
  ])
  const forms = [
    secret,
    base64(secret),
    Buffer.from(secret).toString('hex'),
    base64(gzipSync(secret)),
    base64(deflateRawSync(secret)),
  ]
  const parts = forms.flatMap((form) => [
    form,
    form.slice(0, 14),
    form.slice(0, 24),
    form.slice(14),
    form.slice(24),
    ...groups(form, 16).slice(1, 3),
  ])
  const marks = [
    '\\',
    '\\u',
    '\\u00',
    '%',
    '%25',
    '%2',
    '&',
    '&#',
    '&amp;',
    '<',
    '<b>',
    '</',
    '=',
    '=3',
    '\u001b',
    '\u001b[',
    '\u001b]',
    'H4s',
    'H4sI',
    '1f8b',
    '\u0430',
    '\xad',
    '\n',
    '\n\n',
    '}\n',
    '\r\n',
    '"',
    ' ',
    '[',
    '0x',
    ';',
    '00000010  ',
    'n',
  ]
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...parts), fc.constantFrom(...marks), fc.constantFrom(...marks)), {
        maxLength: 30,
      }),
      fc.array(fc.nat(1500), { maxLength: 10 }),
      (atoms, cuts) => {
        const bytes = Buffer.from(atoms.join(''))
        const whole = inPieces(needles, bytes, [])
        const places = cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b)
        expect(inPieces(needles, bytes, places)).toEqual(whole)
        expect(inPieces(needles, bytes, [...bytes.keys()])).toEqual(whole)
      },
    ),
    { numRuns: Number(process.env['KEYWARD_TEST_RUNS'] ?? 300), seed: drawnSeed() },
  )
})
