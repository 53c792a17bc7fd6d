import { duplexPair, type Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { Arrival } from '../arrival.ts'
import type { RequestBody } from '../body.ts'
import type { Front } from '../codec.ts'
import type { Refusal } from '../refusal.ts'
import type { Reply } from '../reply.ts'
import { AHEAD_MAXIMUM_BYTES, createHttp1Codec, defaultTimes, type Http1Times } from './server.ts'
import { nowhere } from '../peer-gate.ts'

interface Seen {
  readonly arrival: Arrival
  readonly body: RequestBody
  readonly reply: Reply
}

/** A client at the other end of a served connection. */
function dial(options: { readonly times?: Partial<Http1Times>; readonly onRequest?: (seen: Seen) => void } = {}) {
  const [client, server] = duplexPair()
  const seen: Seen[] = []
  const refused: string[] = []
  const taken: { kind: 'connect' | 'preface'; early: string; stream: Duplex }[] = []
  const front: Front = {
    request(arrival, body, reply) {
      seen.push({ arrival, body, reply })
      options.onRequest?.({ arrival, body, reply })
    },
    connect: (_arrival, { stream }, early) =>
      void taken.push({ kind: 'connect', early: Buffer.from(early).toString('latin1'), stream }),
    async malformed(_connection, refusal: Refusal) {
      refused.push(refusal.refusal)
      return refusal
    },
    preface: ({ stream }) => void taken.push({ kind: 'preface', early: '', stream }),
  }
  const codec = createHttp1Codec(front, { ...defaultTimes, ...options.times })
  codec.serve({ stream: server, peer: '192.0.2.1', remote: nowhere, tunnel: null })
  let heard = ''
  let ended = false
  client.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')))
  client.on('end', () => (ended = true))
  server.on('close', () => client.destroy())
  return {
    seen,
    refused,
    taken,
    server,
    client,
    codec,
    heard: () => heard,
    ended: () => ended || server.destroyed,
    write: (text: string) => void client.write(text, 'latin1'),
  }
}

const turn = (): Promise<void> => new Promise((done) => setImmediate(done))
const turns = async (count = 5): Promise<void> => {
  for (let at = 0; at < count; at++) await turn()
}

/** Everything of a body, once it has ended; the reason where it failed. */
function wholeOf(body: RequestBody): Promise<string> {
  return new Promise((done) => {
    let text = ''
    body.read({
      data: (chunk) => (text += Buffer.from(chunk).toString('latin1')),
      end: () => done(text),
      fail: (why) => done(`failed: ${why?.refusal ?? 'gone'}`),
    })
  })
}

const ok = ({ reply }: Seen): void => reply.respond(200, [['content-length', '2']], Buffer.from('ok'))

describe('requests on one connection', () => {
  test('cut at any place, they are the same', async () => {
    const text =
      'POST /s/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello' +
      'POST /s/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /s/c HTTP/1.1\r\nHost: x\r\n\r\n'
    for (let cut = 0; cut < text.length; cut++) {
      const bodies: Promise<string>[] = []
      const line = dial({
        onRequest(seen) {
          bodies.push(
            wholeOf(seen.body).then((whole) => {
              ok(seen)
              return `${seen.arrival.rawTarget} ${whole}`
            }),
          )
        },
      })
      line.write(text.slice(0, cut))
      await turns(2)
      line.write(text.slice(cut))
      await turns(8)
      expect(await Promise.all(bodies)).toEqual(['/s/a hello', '/s/b abc', '/s/c '])
      expect(line.heard().match(/HTTP\/1\.1 200 OK/g)).toHaveLength(3)
      line.codec.close()
    }
  })

  test('the second is not read before the first is answered', async () => {
    const line = dial()
    line.write('GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n')
    await turns()
    expect(line.seen.map(({ arrival }) => arrival.rawTarget)).toEqual(['/1'])
    ok(line.seen[0] ?? fail())
    await turns()
    expect(line.seen.map(({ arrival }) => arrival.rawTarget)).toEqual(['/1', '/2'])
  })

  test('a client that sends on and on is not read any more', async () => {
    const line = dial()
    line.write('GET /1 HTTP/1.1\r\n\r\n')
    await turns()
    for (let sent = 0; sent < 4 * AHEAD_MAXIMUM_BYTES; sent += 16_384) line.write(`G${'x'.repeat(16_383)}`)
    await turns(50)
    expect(line.server.isPaused()).toBe(true)
    expect(line.client.writableLength + line.server.readableLength).toBeGreaterThan(AHEAD_MAXIMUM_BYTES)
  })

  test('a body that nobody has read ends the connection behind the answer', async () => {
    const line = dial({ onRequest: ok })
    line.write('POST /1 HTTP/1.1\r\nContent-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n')
    await turns()
    expect(line.heard()).toContain('connection: close')
    expect(line.seen).toHaveLength(1)
    await turns()
    expect(line.ended()).toBe(true)
  })

  test('a pause holds the body back, and resuming brings the rest', async () => {
    const line = dial()
    line.write('POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n')
    await turns()
    const { body } = line.seen[0] ?? fail()
    let text = ''
    body.read({
      data(chunk) {
        text += Buffer.from(chunk).toString()
        body.pause()
      },
      end: () => (text += '.'),
      fail: () => (text += '!'),
    })
    for (const now of ['a', 'ab', 'abc', 'abc.']) {
      await turns()
      expect(text).toBe(now)
      body.resume()
    }
  })

  test('chunks that cannot be read are told to whoever reads them', async () => {
    const line = dial()
    line.write('POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n')
    await turns()
    expect(await wholeOf((line.seen[0] ?? fail()).body)).toBe('failed: request_malformed')
  })
})

describe('what the client expects', () => {
  const head = 'POST /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n'

  test('is told to go on when somebody wants the body, and not before', async () => {
    const line = dial()
    line.write(head)
    await turns()
    expect(line.heard()).toBe('')
    const whole = wholeOf((line.seen[0] ?? fail()).body)
    await turns()
    expect(line.heard()).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    line.write('ab')
    expect(await whole).toBe('ab')
  })

  test('is not told to go on when it is refused', async () => {
    const line = dial({ onRequest: ok })
    line.write(head)
    await turns()
    expect(line.heard()).toMatch(/^HTTP\/1\.1 200 OK\r\n.*connection: close/s)
  })
})

describe('answers', () => {
  const to = async (request: string, answer: (reply: Reply) => void): Promise<string> => {
    const line = dial({ onRequest: ({ reply }) => answer(reply) })
    line.write(request)
    await turns(10)
    return line.heard() + (line.ended() ? '[end]' : '')
  }
  const pieces = (reply: Reply): void => {
    reply.start(200, [['x-a', 'b']])
    reply.write(Buffer.from('one'))
    reply.write(Buffer.from('two'))
    reply.end([['x-t', 'u']])
  }

  test('of unknown length go in chunks, with trailers', async () => {
    expect(await to('GET / HTTP/1.1\r\n\r\n', pieces)).toBe(
      'HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nx-t: u\r\n\r\n',
    )
  })

  test('to a client of HTTP/1.0 end with the connection', async () => {
    expect(await to('GET / HTTP/1.0\r\n\r\n', pieces)).toBe(
      'HTTP/1.1 200 OK\r\nx-a: b\r\nconnection: close\r\n\r\nonetwo[end]',
    )
  })

  test('to HEAD have no body, and go on', async () => {
    const heard = await to('HEAD / HTTP/1.1\r\n\r\n', (reply) => {
      reply.start(200, [['content-length', '7']])
      reply.end()
    })
    expect(heard).toBe('HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n')
  })

  test('shorter than announced are broken off', async () => {
    const heard = await to('GET / HTTP/1.1\r\n\r\n', (reply) => {
      reply.start(200, [['content-length', '7']])
      reply.write(Buffer.from('one'))
      reply.end()
    })
    expect(heard).toContain('[end]')
  })

  test('longer than announced are broken off before the first byte too many', async () => {
    const heard = await to('GET / HTTP/1.1\r\n\r\n', (reply) => {
      reply.start(200, [['content-length', '3']])
      reply.write(Buffer.from('onetwo'))
    })
    expect(heard).not.toContain('onetwo')
    expect(heard).toContain('[end]')
  })

  test('interim ones come first; a client of HTTP/1.0 does not get them', async () => {
    const early = (reply: Reply): void => {
      reply.inform(103, [['link', '</a>']])
      reply.respond(200, [['content-length', '0']], Buffer.alloc(0))
    }
    expect(await to('GET / HTTP/1.1\r\n\r\n', early)).toMatch(
      /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a>\r\n\r\nHTTP\/1\.1 200/,
    )
    expect(await to('GET / HTTP/1.0\r\n\r\n', early)).toMatch(/^HTTP\/1\.1 200/)
  })
})

describe('what never becomes a request', () => {
  test.each([
    ['nonsense', 'nonsense\r\n\r\n', 'request_malformed'],
    ['a line break before the request', '\r\nGET / HTTP/1.1\r\n\r\n', 'request_malformed'],
    ['CONNECT with a body', 'CONNECT a:443 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx', 'request_malformed'],
    ['a head without an end', `GET / HTTP/1.1\r\nA: ${'b'.repeat(70_000)}`, 'request_too_large'],
  ])('%s', async (_what, text, code) => {
    const line = dial()
    line.write(text)
    await turns(10)
    expect(line.refused).toEqual([code])
    expect(line.heard()).toContain(`keyward-error: ${code}`)
    expect(line.seen).toEqual([])
    expect(line.ended()).toBe(true)
  })

  test('a head that comes too slowly', async () => {
    const line = dial({ times: { headMilliseconds: 20 } })
    line.write('GET / HT')
    await expect.poll(() => line.refused).toEqual(['request_timeout'])
    await expect.poll(() => line.ended()).toBe(true)
  })

  test('a connection that is quiet between requests is closed', async () => {
    const line = dial({ times: { headMilliseconds: 20, keepAliveMilliseconds: 30 }, onRequest: ok })
    line.write('GET / HTTP/1.1\r\n\r\n')
    await expect.poll(() => line.heard()).toContain('200 OK')
    await expect.poll(() => line.ended()).toBe(true)
    expect(line.refused).toEqual([])
  })
})

test('CONNECT hands the connection over, with what came too early', async () => {
  const line = dial()
  line.write('CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\nearly')
  await turns()
  expect(line.taken).toMatchObject([{ kind: 'connect', early: 'early' }])
  expect(line.server.listenerCount('data')).toBe(0)
})

test('HTTP/2 without TLS is handed over with every byte, however it is cut', async () => {
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  for (let cut = 1; cut <= preface.length; cut++) {
    const line = dial()
    line.write(preface.slice(0, cut))
    await turns(3)
    line.write(`${preface.slice(cut)}frames`)
    await turns(3)
    expect(line.taken).toMatchObject([{ kind: 'preface' }])
    const read: unknown = line.taken[0]?.stream.read()
    expect(String(read)).toBe(`${preface}frames`)
  }
})

test('a client that goes away takes its request with it', async () => {
  let closed = 0
  const line = dial({ onRequest: ({ reply }) => reply.onClose(() => (closed += 1)) })
  line.write('POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab')
  await turns()
  const whole = wholeOf((line.seen[0] ?? fail()).body)
  line.client.destroy()
  line.server.destroy()
  expect(await whole).toBe('failed: gone')
  expect(closed).toBe(1)
})

function fail(): never {
  throw new Error('No request came.')
}

test('an answer of which nothing was sent yet can still be another one', async () => {
  const line = dial({
    onRequest({ reply }) {
      reply.start(200, [['x-first', 'a']])
      expect(reply.started).toBe(false)
      reply.respond(502, [['content-length', '2']], Buffer.from('no'))
    },
  })
  line.write('GET / HTTP/1.1\r\n\r\n')
  await turns()
  expect(line.heard()).toBe('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 2\r\n\r\nno')
})
