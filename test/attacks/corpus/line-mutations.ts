import { another, type Draft } from './draft.ts'
import type { Random } from './random.ts'

/** One way to make a part of a request hostile. */
export interface Mutation {
  readonly name: string
  apply(draft: Draft, random: Random): void
}

/** Mutations of one part. Two of the same family are never put into one request. */
export type Family = readonly Mutation[]

export function each<T>(
  family: string,
  values: readonly T[],
  apply: (draft: Draft, value: T, random: Random) => void,
): Family {
  return values.map((value) => ({
    name: `${family} ${JSON.stringify(value).slice(0, 60)}`,
    apply: (draft, random) => apply(draft, value, random),
  }))
}

const BYTES_THAT_SEPARATE = ['\t', '\x0b', '\x0c', '\0', '\r', '\n', '\x85', '\xa0', '\x1c', '\x7f']

const method: Family = each(
  'method',
  [
    'get',
    'Get',
    'gET',
    'TRACE',
    'TRACK',
    'CONNECT',
    'PRI',
    'HEAD',
    'OPTIONS',
    'PUT',
    'PATCH',
    'DELETE',
    'QUERY',
    'LINK',
    'M-SEARCH',
    'PROPFIND',
    'SOURCE',
    'FROBNICATE',
    '',
    'G',
    'GE',
    'GETT',
    'GET,',
    'GET;',
    '"GET"',
    'G(T',
    'G\0T',
    'GET\x0b',
    '\x00GET',
    'G\xcbT',
    'GET/',
    'GET:',
    '_GET',
    '-GET',
    'GET-',
    'G E T',
    'G'.repeat(40),
    'A'.repeat(5_000),
    '%47ET',
    '*',
  ],
  (draft, value) => {
    draft.method = value
  },
)

const version: Family = each(
  'version',
  [
    'HTTP/1.0',
    'HTTP/1.2',
    'HTTP/2.0',
    'HTTP/3.0',
    'HTTP/0.9',
    'HTTP/9.9',
    'http/1.1',
    'Http/1.1',
    'HTTP/1.10',
    'HTTP/01.1',
    'HTTP/1.01',
    'HTTP/1',
    'HTTP/1.',
    'HTTP/.1',
    'HTTP/1,1',
    'HTTP/1.1.1',
    'HTTPS/1.1',
    'HTTP /1.1',
    'HTTP/ 1.1',
    'HTTP/1 .1',
    'HTTP/+1.1',
    'HTTP/1.-1',
    'ICE/1.0',
    'RTSP/1.0',
    'HTTP/1.1 ',
    'HTTP/1.1\t',
    'HTTP/1.1\0',
    'HTTP/1.1 HTTP/1.1',
    'HTTP\\1.1',
    'HTTP/\x31.\xb1',
    'H',
    '',
  ],
  (draft, value) => {
    draft.version = value
  },
)

const spacing: Family = [
  ...each('gap', ['', '  ', ...BYTES_THAT_SEPARATE, ' \t', '\r\n', '\r\n ', ' '.repeat(70_000)], (draft, value) => {
    draft.gap = value
  }),
  ...each('second gap', ['', '  ', ...BYTES_THAT_SEPARATE, ' \t', '\r\n', '\n '], (draft, value) => {
    draft.secondGap = value
  }),
  ...each(
    'before',
    [
      '\r\n',
      '\n',
      '\r',
      '\r\n\r\n',
      ' ',
      '\t',
      '\0',
      '\xef\xbb\xbf',
      '\xfe\xff',
      'X',
      'X\r\n',
      '\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      '\x16\x03\x01\x00\x05hello',
      'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n',
      'HTTP/1.1 200 OK\r\n\r\n',
    ],
    (draft, value) => {
      draft.before = value
    },
  ),
  ...each(
    'line end',
    ['\n', '\r', '\r\r\n', '\n\r', '\r\n ', ' \r\n', '\0\r\n', '\x0b\r\n', '\x85'],
    (draft, value) => {
      draft.lineEnd = value
      draft.headEnd = value === ' \r\n' || value === '\r\n ' ? '\r\n' : value
    },
  ),
  ...each('head end', ['\n', '\r', '\r\r\n', '', ' \r\n', '\t\r\n', '\n\r\n', '\0\r\n', '\r\n\r'], (draft, value) => {
    draft.headEnd = value
  }),
]

const SEGMENTS = [
  'a',
  'admin',
  'A',
  'x.y',
  '...',
  '..a',
  '.',
  '..',
  '%2e',
  '%2E',
  '%2e%2e',
  '.%2e',
  '%2e.',
  '%252e%252e',
  '%2f',
  '%2F',
  '..%2f',
  '%2e%2e%2f',
  '%5c',
  '..%5c',
  '\\',
  '..\\',
  '',
  ';',
  '..;',
  ';a=b',
  '%3b',
  '%00',
  '%0a',
  '%0d%0a',
  '%09',
  '%20',
  ' ',
  '\t',
  '\0',
  '%',
  '%2',
  '%zz',
  '%u002e',
  '%u2215',
  '%c0%ae',
  '%c0%af',
  '%e0%80%af',
  '%ef%bc%8f',
  '\xc0\xaf',
  '\xe2\x88\x95',
  '\xff',
  '%ff',
  '%41',
  '%7e',
  '~',
  '+',
  '*',
  '@',
  ':',
  'a:b',
  '&',
  '=',
  '!',
  '$',
  "'",
  '(',
  ')',
  ',',
  '|',
  '^',
  '`',
  '{',
  '}',
  '{a}',
  '<',
  '>',
  '"',
  '[',
  ']',
  '%25',
  '%2525',
  '%25252e',
  '%7f',
]
const QUERIES = [
  '',
  '?',
  '??',
  '?a=b',
  '?a=%00',
  '?a=%0d%0aX: y',
  '?a= b',
  '?a=#',
  '?_method=DELETE',
  '?%5fmethod=DELETE',
  '?a=/../b',
  '?a=%',
  '?a=%zz',
  '?a="',
  '?a=<',
  '?\xff',
  '?a=\\',
  '?a=;b',
  '?a=%2e%2e%2f',
  '#',
  '#/../x',
  '?a\tb',
  '?a\0b',
  '?http://x/',
  '?a={b}',
  '?%',
  '?=',
  '?&&',
]

const path: Family = [
  ...each('segment', SEGMENTS, (draft, value) => {
    draft.path = `${draft.root}/${value}/end`
  }),
  ...each('query', QUERIES, (draft, value) => {
    draft.path = `${draft.root}/plain${value}`
  }),
  // What matters as well is how the pieces stand together.
  ...Array.from({ length: 60 }, (_, i) => ({
    name: `path ${i}`,
    apply(draft: Draft, random: Random) {
      const segments = Array.from({ length: 1 + random.below(4) }, () =>
        random.chance(0.25) ? random.pick(SEGMENTS) + random.pick(SEGMENTS) : random.pick(SEGMENTS),
      )
      draft.path = `${draft.root}/${segments.join('/')}${random.pick(QUERIES)}`
    },
  })),
]

const target: Family = [
  ...each(
    'target',
    [
      '*',
      '',
      '/',
      '//',
      '///',
      '?',
      '#',
      '.',
      '..',
      '/..',
      '/.',
      '\\',
      '/\\',
      'a',
      '%2f',
      '/%',
      'http:',
      'http:/',
      'http://',
      'http:///',
      'https://',
      '://',
      ':80',
      '/\x7f',
      '/\x80',
      '/\xff\xfe',
      '/ /',
      '/\t',
    ],
    (draft, value) => {
      draft.target = value
    },
  ),
  ...each(
    'absolute',
    [
      'https://HOST',
      'HTTP://HOST',
      'hTTp://HOST',
      'ftp://HOST',
      'file://HOST',
      'ws://HOST',
      'javascript://HOST',
      'http:HOST',
      'http:\\\\HOST',
      'http://user@HOST',
      'http://user:pw@HOST',
      'http://HOST@evil.test',
      'http://evil.test',
      'http://HOST.evil.test',
      'http://evilHOST',
      'http://HOST.',
      'http://HOST:80',
      'http://HOST:443',
      'http://HOST:0',
      'http://HOST:080',
      'http://HOST:65536',
      'http://HOST:',
      'http://HOST:80:80',
      'http://HOST%00.evil.test',
      'http://HOST\0.evil.test',
      'http://HOST\\.evil.test',
      'http://HOST#.evil.test',
      'http://HOST?.evil.test',
      'http://HOST,evil.test',
      'http://HOST evil.test',
      'http://%61pi.example.test',
      'http://[::1]',
      'http://[::1',
      'http://[HOST]',
      'http://127.0.0.1',
      'http://0x7f000001',
      'http://2130706433',
      'http://0177.1',
      'http://localhost',
      'http://169.254.169.254',
      '//HOST',
      '/http://HOST',
      'http://HOST/http://evil.test',
    ],
    (draft, value) => {
      draft.target = `${value.replace('HOST', draft.scene.host)}${draft.root}/absolute`
    },
  ),
  ...each('size of the target', [17_000, 70_000], (draft, value) => {
    draft.path = `${draft.root}/${'a'.repeat(value)}`
  }),
]

const host: Family = [
  ...each(
    'host',
    [
      null,
      'Host:',
      'Host: ',
      'Host: evil.test',
      'Host: HOST:80',
      'Host: HOST:443',
      'Host: HOST:8443',
      'Host: HOST:',
      'Host: HOST:x',
      'Host: HOST:080',
      'Host: HOST.',
      'Host: HOST..',
      'Host: .HOST',
      'Host: user@HOST',
      'Host: HOST@evil.test',
      'Host: HOST, evil.test',
      'Host: HOST evil.test',
      'Host: HOST\tevil.test',
      'Host: HOST/x',
      'Host: http://HOST',
      'Host: HOST#x',
      'Host: HOST\\x',
      'Host: HOST\0.evil.test',
      'Host: HOST%00',
      'Host: HOST\x0b',
      'Host: HOST\x7f',
      'Host: \xffHOST',
      'Host: [::1]',
      'Host: [::1',
      'Host: 127.0.0.1',
      'Host: 2130706433',
      'Host: localhost',
      'Host: *',
      'Host: "HOST"',
      'Host : HOST',
      'Host\t: HOST',
      ' Host: HOST',
      '\tHost: HOST',
      'host: HOST',
      'HOST: HOST',
      'Ho\0st: HOST',
      'Host\0: HOST',
      'Host:HOST',
      'Host:\tHOST\t',
      'Host:   HOST   ',
      'Host: HOST\r\n evil.test',
      'Host:\r\n HOST',
      'Host;: HOST',
    ],
    (draft, value) => {
      draft.host =
        value === null ? null : value.replaceAll('HOST', (found, at) => (at === 0 ? found : draft.scene.host))
    },
  ),
  ...each(
    'second host',
    [
      'Host: HOST',
      'Host: evil.test',
      'host: HOST',
      'Host : evil.test',
      ' Host: evil.test',
      'X-Forwarded-Host: evil.test',
      'X-Host: evil.test',
      'Forwarded: host=evil.test',
      ':authority: evil.test',
      'Host_: evil.test',
      'X-Original-Host: evil.test',
      'X-HTTP-Host-Override: evil.test',
    ],
    (draft, value) => {
      draft.lines.push(value.replace('HOST', draft.scene.host))
    },
  ),
]

const pipelined: Family = [
  ...each('behind', ['allowed', 'closed'], (draft, value) => {
    draft.after += another(draft, `${value}/second`)
  }),
  ...each('behind, method', ['DELETE', 'TRACE', 'get', 'POST'], (draft, value) => {
    draft.after += another(draft, 'second', value)
  }),
  ...each('behind, after', ['\r\n', '\n', '\r\n\r\n', ' ', '\0', 'x', '0\r\n\r\n', '\r'], (draft, value) => {
    draft.after += value + another(draft, 'second')
  }),
  {
    name: 'behind, ten',
    apply(draft) {
      for (let i = 0; i < 10; i++) draft.after += another(draft, `second-${i}`)
    },
  },
  {
    name: 'behind, a part',
    apply(draft, random) {
      const text = another(draft, 'second')
      draft.after += text.slice(0, 1 + random.below(text.length - 1))
    },
  },
  ...each(
    'behind, garbage',
    ['garbage', '\r\n', '\0\0\0\0', 'GET', 'HTTP/1.1 200 OK\r\n\r\n', '\xff'.repeat(50)],
    (draft, value) => {
      draft.after += value
    },
  ),
]

export const lineFamilies: readonly Family[] = [method, version, spacing, path, target, host, pipelined]
