import { gunzipSync, gzipSync } from 'node:zlib'

/** One way to write bytes, and all that its reader could make of a text in which they stand somewhere. */
export interface Encoding {
  readonly name: string
  readonly write: (secret: Buffer) => string
  readonly read: (text: string) => string[]
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
const each = (secret: Buffer, write: (byte: number) => string): string => [...secret].map(write).join('')
const hex = (byte: number): string => byte.toString(16).padStart(2, '0')
const byCode = (digits: string, base: number): string => String.fromCharCode(Number.parseInt(digits, base))
const runs = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([run]) => run)

function fromBase64(text: string): string[] {
  return runs(text, /[A-Za-z0-9+/_-]{8,}/g).flatMap((run) =>
    [0, 1, 2, 3].map((skip) => latin1(Buffer.from(run.slice(skip), 'base64'))),
  )
}

function fromHex(text: string): string[] {
  return runs(text, /[0-9A-Fa-f]{8,}/g).flatMap((run) =>
    [0, 1].map((skip) => latin1(Buffer.from(run.slice(skip), 'hex'))),
  )
}

const base32Letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

function toBase32(bytes: Buffer): string {
  const bits = each(bytes, (byte) => byte.toString(2).padStart(8, '0'))
  return (bits.match(/.{1,5}/g) ?? [])
    .map((five) => base32Letters.charAt(Number.parseInt(five.padEnd(5, '0'), 2)))
    .join('')
}

function fromBase32(text: string): string[] {
  return runs(text.toUpperCase(), /[A-Z2-7]{8,}/g).flatMap((run) =>
    Array.from({ length: 8 }, (_, skip) => {
      const bits = Array.from(run.slice(skip), (letter) =>
        base32Letters.indexOf(letter).toString(2).padStart(5, '0'),
      ).join('')
      return (bits.match(/.{8}/g) ?? []).map((eight) => byCode(eight, 2)).join('')
    }),
  )
}

const unpercent = (text: string): string =>
  text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => byCode(digits, 16))
const unslash = (text: string): string =>
  text
    .replaceAll(/\\u\{?([0-9A-Fa-f]{1,6})\}?/g, (_, digits: string) => byCode(digits, 16))
    .replaceAll(/\\x([0-9A-Fa-f]{2})/g, (_, digits: string) => byCode(digits, 16))
    .replaceAll(/\\([0-7]{3})/g, (_, digits: string) => byCode(digits, 8))
    .replaceAll(/\\([/"\\=+-])/g, '$1')
const unhtml = (text: string): string =>
  text
    .replaceAll(/&#x([0-9A-Fa-f]+);?/g, (_, digits: string) => byCode(digits, 16))
    .replaceAll(/&#([0-9]+);?/g, (_, digits: string) => byCode(digits, 10))
const rot13 = (text: string): string =>
  text.replaceAll(/[A-Za-z]/g, (letter) => {
    const base = letter < 'a' ? 65 : 97
    return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base)
  })
const swapCase = (text: string): string =>
  text.replaceAll(/[A-Za-z]/g, (letter) => (letter < 'a' ? letter.toLowerCase() : letter.toUpperCase()))
const reversed = (text: string): string => [...text].toReversed().join('')

const literal = (text: string): string => text.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&')

/** Text with something between its characters, or every few of them. */
function spread(name: string, between: string, every = 1): Encoding {
  return {
    name,
    write: (secret) => (secret.toString().match(new RegExp(`.{1,${every}}`, 'g')) ?? []).join(between),
    // Only where it stands between: the secret may hold such a character of its own.
    read: (text) => [text.replaceAll(new RegExp(`(.{1,${every}})${literal(between)}`, 'g'), '$1')],
  }
}

/**
 * Every writing of which the gateway should let nothing through: those that services use on purpose, and
 * those in which a model or a hostile service would hide a value and a reader would find it again.
 */
export const encodings: readonly Encoding[] = [
  { name: 'as it is', write: (secret) => secret.toString(), read: (text) => [text] },
  { name: 'reversed', write: (secret) => reversed(secret.toString()), read: (text) => [reversed(text)] },
  { name: 'base64', write: (secret) => secret.toString('base64'), read: fromBase64 },
  { name: 'base64 behind one byte', write: (secret) => Buffer.from(`:${secret}`).toString('base64'), read: fromBase64 },
  {
    name: 'base64 behind two bytes',
    write: (secret) => Buffer.from(`a:${secret}!`).toString('base64'),
    read: fromBase64,
  },
  { name: 'base64url without padding', write: (secret) => secret.toString('base64url'), read: fromBase64 },
  {
    name: 'base64url behind a name',
    write: (secret) => Buffer.from(`user:${secret}`).toString('base64url'),
    read: fromBase64,
  },
  {
    name: 'base64 in lines (MIME, 76)',
    write: (secret) =>
      (
        Buffer.from(`${'x'.repeat(30)}${secret}`)
          .toString('base64')
          .match(/.{1,76}/g) ?? []
      ).join('\r\n'),
    read: (text) => fromBase64(text.replaceAll(/\s/g, '')),
  },
  {
    name: 'base64 of base64',
    write: (secret) => Buffer.from(secret.toString('base64')).toString('base64'),
    read: (text) => fromBase64(text).flatMap(fromBase64),
  },
  {
    name: 'base64 of gzip',
    write: (secret) => gzipSync(secret).toString('base64'),
    read: (text) =>
      runs(text, /[A-Za-z0-9+/]{8,}=*/g).flatMap((run) => {
        try {
          return [latin1(gunzipSync(Buffer.from(run, 'base64')))]
        } catch {
          return []
        }
      }),
  },
  { name: 'base32', write: toBase32, read: fromBase32 },
  { name: 'base32 in small letters', write: (secret) => toBase32(secret).toLowerCase(), read: fromBase32 },
  { name: 'hexadecimal', write: (secret) => secret.toString('hex'), read: fromHex },
  { name: 'hexadecimal in capitals', write: (secret) => secret.toString('hex').toUpperCase(), read: fromHex },
  {
    name: 'hexadecimal with colons',
    write: (secret) => [...secret].map((byte) => hex(byte).toUpperCase()).join(':'),
    read: (text) => fromHex(text.replaceAll(':', '')),
  },
  {
    name: 'hexadecimal with spaces',
    write: (secret) => [...secret].map(hex).join(' '),
    read: (text) => fromHex(text.replaceAll(' ', '')),
  },
  {
    name: 'percent, each byte',
    write: (secret) => each(secret, (byte) => `%${hex(byte)}`),
    read: (text) => [unpercent(text)],
  },
  {
    name: 'percent, what needs it',
    write: (secret) => encodeURIComponent(secret.toString()),
    read: (text) => [unpercent(text)],
  },
  {
    name: 'percent, every third byte',
    write: (secret) =>
      [...secret].map((byte, at) => (at % 3 === 0 ? `%${hex(byte)}` : String.fromCharCode(byte))).join(''),
    read: (text) => [unpercent(text)],
  },
  {
    name: 'percent twice',
    write: (secret) => each(secret, (byte) => `%25${hex(byte)}`),
    read: (text) => [unpercent(unpercent(text))],
  },
  {
    name: 'JSON, each character',
    write: (secret) => each(secret, (byte) => `\\u00${hex(byte)}`),
    read: (text) => [unslash(text)],
  },
  {
    name: 'JSON, slashes',
    write: (secret) => secret.toString().replaceAll('/', '\\/'),
    read: (text) => [unslash(text)],
  },
  {
    name: 'backslash x',
    write: (secret) => each(secret, (byte) => `\\x${hex(byte)}`),
    read: (text) => [unslash(text)],
  },
  {
    name: 'octal escapes',
    write: (secret) => each(secret, (byte) => `\\${byte.toString(8).padStart(3, '0')}`),
    read: (text) => [unslash(text)],
  },
  { name: 'HTML, decimal', write: (secret) => each(secret, (byte) => `&#${byte};`), read: (text) => [unhtml(text)] },
  {
    name: 'HTML, hexadecimal',
    write: (secret) => each(secret, (byte) => `&#x${hex(byte)};`),
    read: (text) => [unhtml(text)],
  },
  {
    name: 'a list of numbers',
    write: (secret) => `[${[...secret].join(', ')}]`,
    read: (text) => [
      runs(text, /\d+/g)
        .map((digits) => byCode(digits, 10))
        .join(''),
    ],
  },
  { name: 'rotated by thirteen', write: (secret) => rot13(secret.toString()), read: (text) => [rot13(text)] },
  { name: 'letter case swapped', write: (secret) => swapCase(secret.toString()), read: (text) => [swapCase(text)] },
  spread('with spaces between the characters', ' '),
  spread('with dashes between the characters', '-', 1),
  spread('with line breaks', '\n', 8),
  spread('with zero-width spaces', '\u200b'),
  spread('with soft hyphens', '\u00ad'),
  spread('joined by a program', '" + "', 6),
  spread('within the markup of emphasis', '**', 6),
  spread('with colours of a terminal', '\u001b[0m', 4),
  {
    name: 'full-width letters',
    write: (secret) => each(secret, (byte) => String.fromCharCode(byte + 0xfee0)),
    read: (text) => [text.replaceAll(/[\uff01-\uff5e]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0))],
  },
  {
    name: 'UTF-16',
    write: (secret) => each(secret, (byte) => `${String.fromCharCode(byte)}\u0000`),
    read: (text) => [text.replaceAll('\u0000', '')],
  },
]
