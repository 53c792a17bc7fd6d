import { another, type Draft } from './draft.ts'
import { each, type Family } from './mutation.ts'

/** Bodies whose length, coding or end two parsers could read in two ways. */

export const HELLO = 'hello'

/** A body that would be a request, if its length were read in another way. */
export function smuggle(draft: Draft): string {
  return another(draft, 'smuggled')
}

const length: Family = [
  ...each(
    'content-length',
    [
      '0',
      '5',
      '05',
      '005',
      '+5',
      '-5',
      '-0',
      '0x5',
      '5h',
      '5 ',
      ' 5',
      '\t5',
      '5\t',
      '5 5',
      '5,5',
      '5, 5',
      '5, 6',
      '5;',
      '5;a=b',
      '5.0',
      '5e0',
      '',
      ' ',
      '"5"',
      "'5'",
      'five',
      '5\x0b',
      '\x0b5',
      '5\0',
      '\x005',
      '5\x7f',
      '5\xa0',
      '\xb2',
      '4',
      '6',
      '1',
      '100',
      '65536',
      '4294967296',
      '4294967301',
      '9007199254740993',
      '18446744073709551615',
      '18446744073709551616',
      '18446744073709551621',
      '99999999999999999999999999999999',
      '5\r\n ',
      '\r\n 5',
      '5#',
      '%35',
      '0b101',
      '5_0',
      '٥',
    ],
    (draft, value) => {
      draft.method = 'POST'
      draft.lines.push(`Content-Length: ${value}`)
      draft.body = HELLO
    },
  ),
  ...each('length that lies over a request', ['0', '1', '+0', '0, 300', ' 0', '0x0', '00', ''], (draft, value) => {
    draft.method = 'POST'
    draft.lines.push(`Content-Length: ${value}`)
    draft.body = smuggle(draft)
  }),
  ...each(
    'content-length twice',
    [
      ['5', '5'],
      ['5', '0'],
      ['0', '5'],
      ['5', '5, 5'],
      ['5', ''],
      ['', '5'],
      ['5', '05'],
      ['+5', '5'],
    ],
    (draft, [first, second]) => {
      draft.method = 'POST'
      draft.lines.push(`Content-Length: ${first}`, `content-length: ${second}`)
      draft.body = HELLO
    },
  ),
  ...each(
    'spelling of content-length',
    [
      'content-length',
      'CONTENT-LENGTH',
      'Content_Length',
      'Content-Length ',
      ' Content-Length',
      'Content-Length\t',
      'Content-Length\0',
      'Content\x00-Length',
      'Content-Lengt\xc9',
      'Content--Length',
      'ContentLength',
      'X-Content-Length',
      'Content-Length\x0b',
    ],
    (draft, value) => {
      draft.method = 'POST'
      draft.lines.push(`${value}: 5`)
      draft.body = HELLO
    },
  ),
  ...each('a body with', ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'], (draft, value) => {
    draft.method = value
    const body = smuggle(draft)
    draft.lines.push(`Content-Length: ${body.length}`)
    draft.body = body
  }),
]

const CHUNKED = `5\r\n${HELLO}\r\n0\r\n\r\n`

const transfer: Family = [
  ...each(
    'transfer-encoding',
    [
      'chunked',
      'Chunked',
      'CHUNKED',
      ' chunked',
      '\tchunked',
      'chunked ',
      'chunked\t',
      '\x0bchunked',
      'chunked\x0b',
      '\x0cchunked',
      'chunked\0',
      '\0chunked',
      'chunked;q=1',
      'chunked; a=b',
      'chunked, chunked',
      'chunked,chunked',
      'identity',
      'identity, chunked',
      'chunked, identity',
      'gzip',
      'gzip, chunked',
      'chunked, gzip',
      'deflate',
      'xchunked',
      'x-chunked',
      'chunke',
      'chunkedx',
      'chunked x',
      '"chunked"',
      "'chunked'",
      ',chunked',
      'chunked,',
      ', chunked',
      'chunked,,',
      '',
      ' ',
      'none',
      '0',
      'chun\0ked',
      'chun ked',
      'chunked\r\n ',
      '\r\n chunked',
      'chunked\r\n , identity',
      'chunke\xe4',
      'ch\xfcnked',
      'trailers',
      'chunked\x7f',
      '\xa0chunked',
    ],
    (draft, value) => {
      draft.method = 'POST'
      draft.lines.push(`Transfer-Encoding: ${value}`)
      draft.body = CHUNKED
    },
  ),
  ...each(
    'spelling of transfer-encoding',
    [
      'transfer-encoding',
      'TRANSFER-ENCODING',
      'Transfer_Encoding',
      'Transfer-Encoding ',
      ' Transfer-Encoding',
      'Transfer-Encoding\t',
      'Transfer-Encoding\0',
      'Transfer\0-Encoding',
      'Transfer-Encodin\xe7',
      'X-Transfer-Encoding',
      'TransferEncoding',
      'Transfer-Encoding\x0b',
      'T\xc9',
      'TE',
    ],
    (draft, value) => {
      draft.method = 'POST'
      draft.lines.push(`${value}: chunked`)
      draft.body = CHUNKED
    },
  ),
  ...each(
    'both',
    [
      ['Content-Length: 5', 'Transfer-Encoding: chunked'],
      ['Transfer-Encoding: chunked', 'Content-Length: 5'],
      ['Transfer-Encoding: chunked', 'Content-Length: 0'],
      ['Content-Length: 0', 'Transfer-Encoding: xchunked'],
      ['Transfer-Encoding: identity', 'Content-Length: 5'],
      ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
      ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
      ['Transfer-Encoding: identity', 'Transfer-Encoding: chunked'],
      ['Transfer-Encoding: gzip', 'Transfer-Encoding: chunked'],
      ['Transfer-Encoding : chunked', 'Content-Length: 5'],
      ['Transfer_Encoding: chunked', 'Content-Length: 5'],
      ['Transfer-Encoding: chunked', 'Content_Length: 5'],
      ['Transfer-Encoding:', 'Content-Length: 5'],
    ],
    (draft, lines) => {
      draft.method = 'POST'
      draft.lines.push(...lines)
      draft.body = CHUNKED
    },
  ),
  ...each('CL and TE over a request', ['first', 'last'], (draft, value) => {
    draft.method = 'POST'
    const body = `0\r\n\r\n${smuggle(draft)}`
    const lines = [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked']
    draft.lines.push(...(value === 'first' ? lines : lines.toReversed()))
    draft.body = body
  }),
  {
    name: 'chunked under HTTP/1.0',
    apply(draft) {
      draft.method = 'POST'
      draft.version = 'HTTP/1.0'
      draft.lines.push('Transfer-Encoding: chunked')
      draft.body = CHUNKED
    },
  },
]

const coded: Family = each(
  'coding of the body',
  [
    ['Content-Encoding: gzip', '\x1f\x8b\x08\0garbage'],
    ['Content-Encoding: br', '\xff\xff'],
    ['Content-Type: multipart/form-data; boundary=x', '--x\r\nContent-Length: 5\r\n\r\nGET / HTTP/1.1\r\n\r\n--x--'],
    ['Content-Type: message/http', 'GET / HTTP/1.1\r\n\r\n'],
    ['Content-Type: application/x-www-form-urlencoded', '_method=DELETE&a=b'],
    ['Content-Type: application/json', '{"a":1,"a":2}'],
    ['Content-Type: text/plain; charset=utf-16', '\xfe\xff\0G\0E\0T'],
    ['Content-Encoding: gzip, gzip', ''],
    ['Content-Encoding: chunked', CHUNKED],
    ['Expect: 100-continue', HELLO],
    ['Expect: 100-Continue', HELLO],
    ['Expect: 200-ok', HELLO],
    ['Expect: 100-continue, x', HELLO],
    ['Expect:', HELLO],
  ],
  (draft, [line, body]) => {
    draft.method = 'POST'
    draft.lines.push(line ?? '', `Content-Length: ${(body ?? '').length}`)
    draft.body = body ?? ''
  },
)

export const bodyFamilies: readonly Family[] = [length, transfer, coded]
