import { duplexPair } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { HeaderPair, RequestHead } from '../../core/request.ts'
import type { RequestBody, UpstreamBody } from '../body.ts'
import type { AnswerListener, Flow } from '../dial.ts'
import { ClientConnection, INTERIM_MAXIMUM_COUNT } from './client.ts'

const head: RequestHead = {
  method: 'POST',
  scheme: 'https',
  host: 'a.test',
  port: 443,
  target: '/v1/x?y',
  headers: [
    ['host', 'a.test'],
    ['content-length', '999'],
    ['x-a', 'b'],
  ],
}

const turns = async (count = 6): Promise<void> => {
  for (let at = 0; at < count; at++) await new Promise((done) => setImmediate(done))
}

/** A connection to a service that is played by hand. */
function connect() {
  const [service, socket] = duplexPair()
  const clock = { now: 0 }
  const told: string[] = []
  const connection = new ClientConnection(
    socket,
    { free: (_connection, kept) => void told.push(`free ${kept}`), gone: () => void told.push('gone') },
    { headMilliseconds: 100, bodyMilliseconds: 50 },
    clock,
  )
  let heard = ''
  service.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')))
  return {
    connection,
    clock,
    told,
    service,
    socket,
    heard: () => heard,
    answer: (text: string) => void service.write(text, 'latin1'),
    send(body: UpstreamBody = null, method = 'POST') {
      const got: { events: string[]; body: string; flow: Flow | null; headers: readonly HeaderPair[] } = {
        events: [],
        body: '',
        flow: null,
        headers: [],
      }
      const listener: AnswerListener = {
        onSent: (bytes) => void got.events.push(`sent ${bytes}`),
        onInformation: (status) => void got.events.push(`information ${status}`),
        onHead(status, headers, flow) {
          got.events.push(`head ${status}`)
          got.flow = flow
          got.headers = headers
        },
        onData: (chunk) => (got.body += Buffer.from(chunk).toString('latin1')),
        onEnd: (trailers) => void got.events.push(`end ${JSON.stringify(trailers)}`),
        onFailure: ({ refusal }) => void got.events.push(`failure ${refusal}`),
      }
      return { got, ...connection.send({ ...head, method }, body, listener) }
    },
  }
}

describe('requests', () => {
  test('carry the length that the body has, whatever the head says', async () => {
    const line = connect()
    line.send(Buffer.from('hello'))
    await turns()
    expect(line.heard()).toBe('POST /v1/x?y HTTP/1.1\r\nhost: a.test\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello')
  })

  test('without a body have none', async () => {
    const line = connect()
    line.send(null, 'GET')
    await turns()
    expect(line.heard()).toBe('GET /v1/x?y HTTP/1.1\r\nhost: a.test\r\nx-a: b\r\n\r\n')
  })

  const streamed = (length: number | null, pieces: readonly string[], end: 'end' | 'fail'): RequestBody => ({
    length,
    read(sink) {
      for (const piece of pieces) sink.data(Buffer.from(piece))
      if (end === 'end') sink.end([['x-late', 'trailer']])
      else sink.fail(null)
    },
    pause: () => undefined,
    resume: () => undefined,
  })

  test('of unknown length go in chunks, and their trailers, which nobody judged, go nowhere', async () => {
    const line = connect()
    line.send(streamed(null, ['ab', '', 'c'], 'end'))
    await turns()
    expect(line.heard()).toContain('transfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n')
    expect(line.heard()).not.toContain('late')
  })

  test.each([
    ['longer than announced', streamed(2, ['abc'], 'end')],
    ['shorter than announced', streamed(4, ['abc'], 'end')],
    ['that fail', streamed(4, ['ab'], 'fail')],
  ])('%s take the connection with them', async (_what, body) => {
    const line = connect()
    const { got } = line.send(body)
    await turns()
    expect(got.events.at(-1)).toBe('failure upstream_broken')
    expect(line.told).toEqual(['gone'])
  })
})

describe('answers', () => {
  const length = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=7\r\n\r\nhello'
  const chunks = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nx-t: u\r\n\r\n'

  test.each([
    ['with a length', length, 'end []', 'free 7000'],
    ['in chunks', chunks, 'end [["x-t","u"]]', 'free null'],
  ])('%s, cut at any place', async (_what, text, end, free) => {
    for (let cut = 0; cut < text.length; cut++) {
      const line = connect()
      const { got } = line.send()
      line.answer(text.slice(0, cut))
      await turns(2)
      line.answer(text.slice(cut))
      await turns(3)
      expect(got).toMatchObject({ events: ['head 200', end], body: 'hello' })
      expect(line.told).toEqual([free])
      expect(line.connection.idle).toBe(true)
    }
  })

  test('without a length end with the connection', async () => {
    const line = connect()
    const { got } = line.send()
    line.service.end('HTTP/1.1 200 OK\r\n\r\nhello')
    await turns()
    expect(got).toMatchObject({ events: ['head 200', 'end []'], body: 'hello' })
    expect(line.told).toEqual(['gone'])
  })

  test('interim ones are passed on, but that to go on; too many end it', async () => {
    const line = connect()
    const { got } = line.send()
    line.answer('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n')
    await turns()
    expect(got.events).toEqual(['information 103'])
    line.answer('HTTP/1.1 102 Processing\r\n\r\n'.repeat(INTERIM_MAXIMUM_COUNT))
    await turns()
    expect(got.events.at(-1)).toBe('failure upstream_broken')
  })

  test.each([
    ['another protocol that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
    ['nonsense', 'nonsense\r\n\r\n'],
    ['an endless head', `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(70_000)}`],
    ['broken chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n'],
  ])('are broken by %s', async (_what, text) => {
    const line = connect()
    const { got } = line.send()
    line.answer(text)
    await turns(10)
    expect(got.events.at(-1)).toBe('failure upstream_broken')
    expect(line.socket.destroyed).toBe(true)
  })

  test('that end before their length are broken', async () => {
    const line = connect()
    const { got } = line.send()
    line.service.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello')
    await turns()
    expect(got.events.at(-1)).toBe('failure upstream_broken')
  })

  test('with more than was announced are not used for another request', async () => {
    const line = connect()
    const { got } = line.send()
    line.answer(`${length}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`)
    await turns()
    expect(got).toMatchObject({ events: ['head 200', 'end []'], body: 'hello' })
    expect(line.told).toEqual(['gone'])
  })

  test('that nobody asked for end an idle connection', async () => {
    const line = connect()
    line.answer('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
    await turns()
    expect(line.told).toEqual(['gone'])
  })

  test('before the request is out end the connection behind them', async () => {
    const line = connect()
    const waits: RequestBody = { length: 10, read: () => undefined, pause: () => undefined, resume: () => undefined }
    const { got } = line.send(waits)
    line.answer(length)
    await turns()
    expect(got.events).toEqual(['head 200', 'end []'])
    expect(line.told).toEqual(['gone'])
  })

  test('are held back while the reader is behind, to the last byte and the end', async () => {
    const line = connect()
    const { got } = line.send()
    line.answer('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    await turns()
    got.flow?.pause()
    line.answer('2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n')
    await turns()
    expect(got.body).toBe('')
    got.flow?.resume()
    await turns()
    expect(got).toMatchObject({ events: ['head 200', 'end []'], body: 'hello' })
  })
})

describe('silence', () => {
  test('before the answer, and within it, is bounded; a reader who waits is not silence', async () => {
    const before = connect()
    const first = before.send()
    before.clock.now = 100
    before.connection.look()
    expect(first.got.events).toEqual([])
    before.clock.now = 101
    before.connection.look()
    expect(first.got.events).toEqual(['failure upstream_timeout'])

    const within = connect()
    const second = within.send()
    within.answer('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab')
    await turns()
    second.got.flow?.pause()
    within.clock.now = 1_000
    within.connection.look()
    expect(second.got.events).toEqual(['head 200'])
    second.got.flow?.resume()
    within.clock.now = 1_051
    within.connection.look()
    expect(second.got.events.at(-1)).toBe('failure upstream_timeout')
  })
})

test('breaking off ends this exchange, and never the one after it', async () => {
  const line = connect()
  const first = line.send()
  line.answer('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  await turns()
  const second = line.send()
  first.abort()
  first.got.flow?.abort()
  line.answer('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  await turns()
  expect(second.got.events).toEqual(['head 200', 'end []'])
  line.send().abort()
  await turns()
  expect(line.told.at(-1)).toBe('gone')
})
