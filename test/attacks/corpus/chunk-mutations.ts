import { HELLO, smuggle } from './body-mutations.ts'
import { each, type Family } from './mutation.ts'

/** Sizes, ends and trailers of chunks. */

export const CHUNK_SIZES: readonly string[] = [
  '5',
  '05',
  '0005',
  `${'0'.repeat(15)}5`,
  `${'0'.repeat(40)}5`,
  '+5',
  '-5',
  '0x5',
  '5 ',
  ' 5',
  '\t5',
  '5\t',
  '5;',
  '5;a',
  '5;a=b',
  '5;a="b"',
  '5;a="b;c"',
  '5;a="b\r\nc"',
  '5;a="',
  '5 ;a',
  '5; a = b',
  '5;a=b;c=d',
  '5;\x00',
  '5;a\x0bb',
  '5;\xff',
  '5;a\n',
  '5;a\r',
  '5\n',
  '5\r',
  '5\r\r',
  '5\0',
  '5,',
  '5h',
  'G',
  '',
  ' ',
  '\r\n5',
  '4',
  '6',
  'a',
  'A',
  '7fffffff',
  'ffffffff',
  '100000005',
  'ffffffffffffffff',
  '10000000000000005',
  '1'.repeat(70),
  '5.0',
  '5e',
  '٥',
  '"5"',
  `5;${'a'.repeat(20_000)}`,
  '5 5',
  '5\x0b',
]

export const chunks: Family = [
  ...each('chunk size', CHUNK_SIZES, (draft, value) => {
    draft.method = 'POST'
    draft.lines.push('Transfer-Encoding: chunked')
    draft.body = `${value}\r\n${HELLO}\r\n0\r\n\r\n`
  }),
  ...each(
    'end of a chunk',
    ['', '\n', '\r', '\n\r', '\r\r\n', ' \r\n', 'x\r\n', '\0\r\n', '\r\n\r\n', '  ', 'xx'],
    (draft, value) => {
      draft.method = 'POST'
      draft.lines.push('Transfer-Encoding: chunked')
      draft.body = `5\r\n${HELLO}${value}0\r\n\r\n`
    },
  ),
  ...each(
    'last chunk',
    [
      '0',
      '00',
      '0000000000000000000',
      '-0',
      '+0',
      '0x0',
      '0 ',
      ' 0',
      '0;a',
      '0;a=b',
      '0\n',
      '0\r',
      '0\t',
      '0,',
      '0;\n',
      'O',
      '0.0',
      '0\0',
    ],
    (draft, value) => {
      draft.method = 'POST'
      draft.lines.push('Transfer-Encoding: chunked')
      draft.body = `5\r\n${HELLO}\r\n${value}\r\n\r\n`
    },
  ),
  ...each(
    'trailer',
    [
      'X-Check: a',
      'Content-Length: 5',
      'Transfer-Encoding: chunked',
      'Host: evil.test',
      'Authorization: Bearer x',
      'Connection: close',
      'X-A: b\r\n c',
      'X-A',
      ': a',
      ' X: a',
      'X-A : b',
      'X\0: b',
      'X: \0',
      'X: a\nY: b',
      'X: a\rY: b',
      'X-A: b\nGET / HTTP/1.1',
      'X-HTTP-Method-Override: DELETE',
      'Keyward-Error: x',
      'Trailer: X',
      'Expect: 100-continue',
      'Content-Encoding: gzip',
      `X: ${'a'.repeat(70_000)}`,
      '\xff: a',
      'X: \xff',
    ],
    (draft, value) => {
      draft.method = 'POST'
      draft.lines.push('Transfer-Encoding: chunked', 'Trailer: X-Check')
      draft.body = `5\r\n${HELLO}\r\n0\r\n${value}\r\n\r\n`
    },
  ),
  ...each(
    'end of the body',
    ['', '\r', '\n', '\r\n', '0', '0\r\n', '0\r\n\r', '0\r\n\n', '0\n\n', '0\r\r', '0\r\n \r\n', '0\r\n\0\r\n'],
    (draft, value) => {
      draft.method = 'POST'
      draft.lines.push('Transfer-Encoding: chunked')
      draft.body = `5\r\n${HELLO}\r\n${value}`
    },
  ),
  {
    name: 'chunks of one byte, many',
    apply(draft) {
      draft.method = 'POST'
      draft.lines.push('Transfer-Encoding: chunked')
      draft.body = `${'1\r\nx\r\n'.repeat(500)}0\r\n\r\n`
    },
  },
  {
    name: 'a request in a chunk',
    apply(draft) {
      draft.method = 'POST'
      const inner = smuggle(draft)
      draft.lines.push('Transfer-Encoding: chunked')
      draft.body = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`
    },
  },
  ...each(
    'size that hides a request',
    ['5\n', '5;\n', '5;a\r', '0;\n', '5 \n', '00000000000000005\n'],
    (draft, value) => {
      draft.method = 'POST'
      draft.lines.push('Transfer-Encoding: chunked')
      draft.body = `${value}\r\n${HELLO}\r\n0\r\n\r\n${smuggle(draft)}`
    },
  ),
]
