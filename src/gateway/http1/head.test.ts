import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HEAD_MAXIMUM_BYTES, HEADERS_MAXIMUM_COUNT, headText, isFault, readAnswer, readRequest } from './head.ts'

function request(text: string) {
  const head = headText(Buffer.from(text, 'latin1'))
  if (typeof head !== 'string') throw new Error('the head has no end')
  return readRequest(head)
}

function answer(text: string, method = 'GET') {
  const head = headText(Buffer.from(text, 'latin1'))
  if (typeof head !== 'string') throw new Error('the head has no end')
  return readAnswer(head, method)
}

test('a request as it is written', () => {
  expect(
    request(
      'POST /v1/x?y=1 HTTP/1.1\r\nHost: a.test\r\nX-Empty:\r\nX-Padded: \t a b \t\r\nContent-Length: 3\r\n\r\nabc',
    ),
  ).toEqual({
    method: 'POST',
    target: '/v1/x?y=1',
    version: '1.1',
    headers: [
      ['host', 'a.test'],
      ['x-empty', ''],
      ['x-padded', 'a b'],
      ['content-length', '3'],
    ],
    framing: { kind: 'length', bytes: 3 },
    keepAlive: true,
    expectsContinue: false,
    upgrade: null,
  })
})

describe('requests that are not read', () => {
  test.each([
    ['a bare line feed', 'GET / HTTP/1.1\nHost: a\r\n\r\n'],
    ['a bare carriage return', 'GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n'],
    ['a fold', 'GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nA : b\r\n\r\n'],
    ['a line without a colon', 'GET / HTTP/1.1\r\nAb\r\n\r\n'],
    ['a header without a name', 'GET / HTTP/1.1\r\n: b\r\n\r\n'],
    ['a NUL', 'GET / HTTP/1.1\r\nA: b\0c\r\n\r\n'],
    ['two spaces', 'GET  / HTTP/1.1\r\n\r\n'],
    ['a tab', 'GET\t/ HTTP/1.1\r\n\r\n'],
    ['a space in the target', 'GET /a b HTTP/1.1\r\n\r\n'],
    ['a byte above 0x7e in the target', 'GET /\xe9 HTTP/1.1\r\n\r\n'],
    ['no version', 'GET /\r\n\r\n'],
    ['another version', 'GET / HTTP/2.0\r\n\r\n'],
    ['version 0.9', 'GET / HTTP/0.9\r\n\r\n'],
    ['small letters', 'get / HTTP/1.1\r\n\r\n'],
    ['a method that nobody has registered', 'FROBNICATE / HTTP/1.1\r\n\r\n'],
    ['a target that is none', 'GET x HTTP/1.1\r\n\r\n'],
    ['two lengths', 'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n'],
    ['a list of lengths', 'POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n'],
    ['a signed length', 'POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n'],
    ['a length with zeros before it', 'POST / HTTP/1.1\r\nContent-Length: 01\r\n\r\n'],
    ['an empty length', 'POST / HTTP/1.1\r\nContent-Length:\r\n\r\n'],
    ['a length and chunks', 'POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['two transfer codings', 'POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
    ['chunked twice', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['a coding that is nearly chunked', 'POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n'],
    ['chunks in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ])('%s', (_what, text) => {
    expect(request(text)).toEqual({ fault: 'malformed' })
  })

  test('more headers than are read', () => {
    const lines = 'a: b\r\n'.repeat(HEADERS_MAXIMUM_COUNT)
    expect(isFault(request(`GET / HTTP/1.1\r\n${lines}\r\n`))).toBe(false)
    expect(request(`GET / HTTP/1.1\r\n${lines}c: d\r\n\r\n`)).toEqual({ fault: 'too-large' })
  })
})

describe('where a head ends', () => {
  test('nobody knows before its last line break', () => {
    const text = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
    for (let cut = 0; cut < text.length; cut++) expect(headText(Buffer.from(text.slice(0, cut)))).toBeNull()
    expect(headText(Buffer.from(text))).toBe(text)
    expect(headText(Buffer.from(`${text}more`))).toBe(text)
  })

  test.each([4_000, 4_090, 4_096, 5_000, HEAD_MAXIMUM_BYTES])('also where it has %i bytes', (bytes) => {
    for (let length = bytes - 6; length <= bytes; length++) {
      const start = 'GET / HTTP/1.1\r\nA: '
      const text = `${start}${'b'.repeat(length - start.length - 4)}\r\n\r\n`
      expect(headText(Buffer.from(text.slice(0, -1)))).toEqual(
        length > HEAD_MAXIMUM_BYTES ? { fault: 'too-large' } : null,
      )
      expect(headText(Buffer.from(text))).toBe(text)
      expect(headText(Buffer.from(`${text}${text}`))).toBe(text)
    }
  })

  test('a head that is larger than is read never ends', () => {
    const large = `GET / HTTP/1.1\r\nA: ${'b'.repeat(HEAD_MAXIMUM_BYTES)}`
    expect(headText(Buffer.from(large))).toEqual({ fault: 'too-large' })
    expect(headText(Buffer.from(`${large}\r\n\r\n`))).toEqual({ fault: 'too-large' })
  })
})

test.each([
  ['HTTP/1.1, nothing said', '1.1', '', true],
  ['HTTP/1.1, close', '1.1', 'Connection: x, Close\r\n', false],
  ['HTTP/1.0, nothing said', '1.0', '', false],
  ['HTTP/1.0, keep-alive', '1.0', 'Connection: keep-alive\r\n', true],
])('whether the connection is kept: %s', (_what, version, line, kept) => {
  expect(request(`GET / HTTP/${version}\r\n${line}\r\n`)).toMatchObject({ keepAlive: kept })
})

test('an upgrade is meant only where Connection says so', () => {
  expect(request('GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n')).toMatchObject({
    upgrade: 'websocket',
  })
  expect(request('GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n')).toMatchObject({ upgrade: null })
})

describe('answers', () => {
  test.each([
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', { kind: 'length', bytes: 5 }, true],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n', { kind: 'chunked' }, true],
    ['neither', 'HTTP/1.1 200 OK\r\n\r\n', { kind: 'close' }, false],
    ['an old server that closes', 'HTTP/1.0 200 OK\r\n\r\n', { kind: 'close' }, false],
    ['no content', 'HTTP/1.1 204\r\nContent-Length: 5\r\n\r\n', { kind: 'none' }, true],
    ['not modified', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', { kind: 'none' }, true],
    ['no reason, no space', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', { kind: 'none' }, true],
  ])('the body of an answer with %s', (_what, text, framing, keepAlive) => {
    expect(answer(text)).toMatchObject({ framing, keepAlive })
  })

  test('an answer to HEAD has no body', () => {
    expect(answer('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 'HEAD')).toMatchObject({
      framing: { kind: 'none' },
      keepAlive: true,
    })
  })

  test.each([
    ['another protocol', 'ICY 200 OK\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['a status that is none', 'HTTP/1.1 600 OK\r\n\r\n'],
    ['a bare line feed', 'HTTP/1.1 200 OK\nA: b\r\n\r\n'],
    ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['a fold', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n'],
  ])('are not read: %s', (_what, text) => {
    expect(answer(text)).toEqual({ fault: 'malformed' })
  })
})

test('whatever the bytes are, reading them gives a request or a fault, and what was read holds no line break', () => {
  const token = fc.stringMatching(/^[A-Za-z-]{1,10}$/)
  const anything = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 20,
  })
  fc.assert(
    fc.property(
      fc.constantFrom('GET', 'POST', 'get', 'PROPFIND', ''),
      fc.oneof(fc.constant('/'), anything),
      fc.array(fc.tuple(fc.oneof(token, anything), anything), { maxLength: 4 }),
      (method, target, headers) => {
        const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
        const bytes = Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines}\r\n`, 'latin1')
        const head = headText(bytes)
        if (typeof head !== 'string') return
        const read = readRequest(head)
        if (isFault(read)) return
        // oxlint-disable-next-line no-control-regex -- control characters are what it is about
        const control = /[\x00-\x08\x0a-\x1f\x7f]/
        expect(read.method).toMatch(/^[A-Z-]+$/)
        expect(read.target).toMatch(/^[\x21-\x7e]+$/)
        for (const [name, value] of read.headers) {
          expect(name).toMatch(/^[!#$%&'*+\-.^_`|~0-9a-z]+$/)
          expect(value).not.toMatch(control)
        }
      },
    ),
    { numRuns: 2_000 },
  )
})
