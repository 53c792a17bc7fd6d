import { another } from './draft.ts'
import { each, type Family } from './mutation.ts'

/** Request lines, line ends, and what stands before and behind a request. */

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

export const lineFamilies: readonly Family[] = [method, version, spacing, pipelined]
