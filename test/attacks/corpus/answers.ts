import { CHUNK_SIZES } from './chunk-mutations.ts'
import { randomFrom, type Random } from './random.ts'

/** Bytes that a hostile service answers with; after the last of them it ends the connection. */
export interface HostileAnswer {
  readonly name: string
  /** Of the request. */
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly bytes: Buffer
}

const STATUS_LINES = [
  'HTTP/1.1 200 OK',
  'HTTP/1.1 200 ',
  'HTTP/1.1 200',
  'HTTP/1.0 200 OK',
  'HTTP/1.2 200 OK',
  'HTTP/2.0 200 OK',
  'HTTP/0.9 200 OK',
  'http/1.1 200 OK',
  'HTTP/1.1  200 OK',
  'HTTP/1.1\t200 OK',
  'HTTP/1.1 200\tOK',
  'HTTP/1.1 20 OK',
  'HTTP/1.1 2000 OK',
  'HTTP/1.1 +20 OK',
  'HTTP/1.1 0x8 OK',
  'HTTP/1.1 099 OK',
  'HTTP/1.1 600 OK',
  'HTTP/1.1 999 OK',
  'HTTP/1.1 000 OK',
  'HTTP/1.1 200 O\0K',
  'HTTP/1.1 200 O\x7fK',
  'HTTP/1.1 200 O\x0bK',
  'HTTP/1.1 200 \xff',
  'HTTP/1.1 200 O\rK',
  'HTTP/1.1 200 O\nX: a',
  'HTTP/1.1 200OK',
  'HTTP/11 200 OK',
  'HTTP/1.1 200 OK ',
  'ICY 200 OK',
  'RTSP/1.0 200 OK',
  'HTTP/1.1 204 No Content',
  'HTTP/1.1 205 Reset',
  'HTTP/1.1 304 Not Modified',
  'HTTP/1.1 206 Partial',
  'HTTP/1.1 101 Switching',
  'HTTP/1.1 100 Continue',
  'HTTP/1.1 199 x',
  'GET / HTTP/1.1',
  '',
  ' HTTP/1.1 200 OK',
  '\r\nHTTP/1.1 200 OK',
  '\nHTTP/1.1 200 OK',
  'HTTP/1.1 200 ' + 'a'.repeat(70_000),
]

const FRAMING: readonly (readonly string[])[] = [
  [],
  ['Content-Length: 5'],
  ['Content-Length: 0'],
  ['Content-Length: 4'],
  ['Content-Length: 6'],
  ['Content-Length: 05'],
  ['Content-Length: +5'],
  ['Content-Length: -5'],
  ['Content-Length: 0x5'],
  ['Content-Length: 5 5'],
  ['Content-Length: 5, 5'],
  ['Content-Length: 5,6'],
  ['Content-Length:'],
  ['Content-Length: 5\t'],
  ['Content-Length: 5\0'],
  ['Content-Length: five'],
  ['Content-Length: 18446744073709551621'],
  ['Content-Length: 99999999999999999999'],
  ['Content-Length: 9007199254740993'],
  ['Content-Length: 5', 'Content-Length: 5'],
  ['Content-Length: 5', 'Content-Length: 6'],
  ['Content-Length: 0', 'Content-Length: 5'],
  ['Content-Length : 5'],
  [' Content-Length: 5'],
  ['Content_Length: 5'],
  ['Content-Length: 5\r\n '],
  ['Transfer-Encoding: chunked'],
  ['Transfer-Encoding: Chunked'],
  ['Transfer-Encoding: chunked '],
  ['Transfer-Encoding: \x0bchunked'],
  ['Transfer-Encoding: xchunked'],
  ['Transfer-Encoding: identity'],
  ['Transfer-Encoding: identity, chunked'],
  ['Transfer-Encoding: chunked, identity'],
  ['Transfer-Encoding: gzip'],
  ['Transfer-Encoding: gzip, chunked'],
  ['Transfer-Encoding: chunked, gzip'],
  ['Transfer-Encoding: chunked, chunked'],
  ['Transfer-Encoding: "chunked"'],
  ['Transfer-Encoding: chunked;a=b'],
  ['Transfer-Encoding:'],
  ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
  ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
  ['Transfer-Encoding : chunked'],
  ['Transfer_Encoding: chunked'],
  ['Transfer-Encoding:\r\n chunked'],
  ['Content-Length: 5', 'Transfer-Encoding: chunked'],
  ['Transfer-Encoding: chunked', 'Content-Length: 5'],
  ['Transfer-Encoding: identity', 'Content-Length: 5'],
  ['Transfer-Encoding: gzip', 'Content-Length: 5'],
  ['Connection: close'],
  ['Connection: close', 'Content-Length: 5'],
  ['Connection: upgrade', 'Upgrade: foo', 'Content-Length: 5'],
  ['Upgrade: h2c', 'Content-Length: 5'],
  ['Trailer: X', 'Transfer-Encoding: chunked'],
]

const LINES = [
  'X: a\r\n b',
  'X: a\r\n\tb',
  'X:',
  'X',
  ': a',
  'X : a',
  ' X: a',
  'X: a\nY: b',
  'X: a\rY: b',
  'X: a\0',
  'X: a\x7f',
  'X: \xff',
  'X\xff: a',
  'X\0: a',
  'X(: a',
  'X: ' + 'a'.repeat(70_000),
  'Set-Cookie: a=b\r\nSet-Cookie: c=d',
  'X: \t a \t ',
  'Keyward-Error: x',
  'Content-Encoding: gzip',
  'Location: http://evil.test/\r\nLocation: /',
  'Alt-Svc: h3=":443"',
  ...Array.from({ length: 32 }, (_, code) => `X: a${String.fromCharCode(code)}b`),
]

const INTERIM = [
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n',
  'HTTP/1.1 102 Processing\r\n\r\n',
  'HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n',
  'HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.1 101 x\r\n\r\n',
  'HTTP/1.1 199 x\r\n\r\n',
  'HTTP/1.1 103 x\r\nX: a\r\n b\r\n\r\n',
  'HTTP/1.1 103 x\nX: a\n\n',
]

const BODIES = [
  'hello',
  '',
  '5\r\nhello\r\n0\r\n\r\n',
  '0\r\n\r\n',
  '5\r\nhello\r\n0\r\nX: a\r\n\r\n',
  'helloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine',
  '5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine',
  '5\r\nhello\r\n',
]

/** `count` answers: the single things first, then mixtures that the seed draws. */
export function hostileAnswers(seed: number, count: number): HostileAnswer[] {
  const answers: HostileAnswer[] = []
  const add = (name: string, text: string, method: HostileAnswer['method'] = 'GET'): void =>
    void answers.push({ name, method, bytes: Buffer.from(text, 'latin1') })
  const message = (line: string, lines: readonly string[], body: string): string =>
    `${line}\r\n${lines.map((text) => `${text}\r\n`).join('')}\r\n${body}`

  for (const line of STATUS_LINES)
    for (const body of ['hello', '5\r\nhello\r\n0\r\n\r\n'])
      add(
        `status line ${JSON.stringify(line).slice(0, 50)}`,
        message(line, [body === 'hello' ? 'Content-Length: 5' : 'Transfer-Encoding: chunked'], body),
      )
  for (const lines of FRAMING)
    for (const body of BODIES)
      add(
        `framing ${JSON.stringify(lines)} with ${JSON.stringify(body.slice(0, 30))}`,
        message('HTTP/1.1 200 OK', lines, body),
      )
  for (const lines of FRAMING)
    add(`framing ${JSON.stringify(lines)} to HEAD`, message('HTTP/1.1 200 OK', lines, ''), 'HEAD')
  for (const status of [204, 205, 304])
    for (const lines of FRAMING)
      add(`${status} with ${JSON.stringify(lines)}`, message(`HTTP/1.1 ${status} x`, lines, 'hello'))
  for (const line of LINES)
    add(`line ${JSON.stringify(line).slice(0, 50)}`, message('HTTP/1.1 200 OK', [line, 'Content-Length: 5'], 'hello'))
  for (const interim of INTERIM)
    for (const times of [1, 2])
      add(
        `${times} × ${JSON.stringify(interim)}`,
        interim.repeat(times) + message('HTTP/1.1 200 OK', ['Content-Length: 5'], 'hello'),
      )
  for (const size of CHUNK_SIZES)
    add(
      `chunk size ${JSON.stringify(size).slice(0, 50)}`,
      message('HTTP/1.1 200 OK', ['Transfer-Encoding: chunked'], `${size}\r\nhello\r\n0\r\n\r\n`),
    )
  for (const end of ['', '\n', '\r', '\r\r\n', 'x\r\n', ' \r\n', '\0\r\n'])
    add(
      `end of a chunk ${JSON.stringify(end)}`,
      message('HTTP/1.1 200 OK', ['Transfer-Encoding: chunked'], `5\r\nhello${end}0\r\n\r\n`),
    )
  for (const trailer of LINES)
    add(
      `trailer ${JSON.stringify(trailer).slice(0, 50)}`,
      message('HTTP/1.1 200 OK', ['Transfer-Encoding: chunked'], `5\r\nhello\r\n0\r\n${trailer}\r\n\r\n`),
    )
  for (const [name, text] of [
    ['length', message('HTTP/1.1 200 OK', ['Content-Length: 5'], 'hello')],
    ['chunks', message('HTTP/1.1 200 OK', ['Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\nX: a\r\n\r\n')],
  ] as const)
    for (let at = 0; at <= text.length; at++) add(`${name} cut at ${at}`, text.slice(0, at))
  for (const end of ['\n', '\r', '\n\r'])
    add(
      `lines that end with ${JSON.stringify(end)}`,
      message('HTTP/1.1 200 OK', ['Content-Length: 5'], 'hello').replaceAll('\r\n', end),
    )

  for (let index = answers.length; index < count; index++) {
    const random = randomFrom(seed, index)
    const lines = [
      ...(random.chance(0.7) ? random.pick(FRAMING) : []),
      ...(random.chance(0.4) ? [random.pick(LINES)] : []),
      ...(random.chance(0.3) ? random.pick(FRAMING) : []),
    ]
    const text = message(random.chance(0.8) ? 'HTTP/1.1 200 OK' : random.pick(STATUS_LINES), lines, random.pick(BODIES))
    add(
      `mixture ${index}`,
      (random.chance(0.2) ? random.pick(INTERIM) : '') + mangled(text, random),
      random.pick(['GET', 'HEAD', 'POST']),
    )
  }
  return answers.slice(0, count)
}

/** Now and then a byte is lost, doubled or another. */
function mangled(text: string, random: Random): string {
  if (random.chance(0.6)) return text
  const at = random.below(text.length)
  return random.pick([
    text.slice(0, at) + text.slice(at + 1),
    text.slice(0, at) + text.charAt(at) + text.slice(at),
    text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1),
    text.slice(0, at),
  ])
}
